//! For tests of services (feature `testing`): stores in memory with a clock that the test moves, a worker that runs until
//! its queues are empty, and assertions on what was pushed.
//!
//! ```toml
//! [dev-dependencies]
//! twinstore = { path = "…", features = ["testing"] } # the source of [dependencies]
//! ```
//!
//! ```
//! use std::time::Duration;
//! use twinstore::prelude::*;
//! use twinstore::testing;
//!
//! #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
//! struct Mail {
//!     to: String,
//! }
//!
//! impl JobType for Mail {
//!     const QUEUE: &'static str = "mails";
//! }
//!
//! /// The code under test: it greets a user now, and asks for an opinion a day later.
//! async fn welcome(state: &State, to: &str) -> twinstore::Result<()> {
//!     let mails = state.queue_of::<Mail>();
//!     let mail = Mail { to: to.to_owned() };
//!     mails.push(&mail).await?;
//!     mails.push_one(mails.job(&mail)?.with_delay(Duration::from_secs(24 * 3600))).await?;
//!     Ok(())
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (stores, clock) = testing::stores();
//! welcome(stores.state(), "ann@example.org").await?;
//! let ann = Mail { to: "ann@example.org".into() };
//! testing::assert_pushed(stores.state(), &ann).await;
//! assert_eq!(testing::pushed::<Mail>(stores.state()).await?, [ann.clone(), ann]);
//!
//! let worker = || stores.state().worker().with_handler(async |_: Mail, _: Job| Ok(())).build();
//! let report = testing::run_until_empty(worker()?, stores.state()).await?;
//! assert_eq!(report.stats.completed, 1);
//! clock.advance(Duration::from_secs(24 * 3600));
//! let report = testing::run_until_empty(worker()?, stores.state()).await?;
//! assert_eq!(report.stats.completed, 1);
//! testing::assert_nothing_pushed::<Mail>(stores.state()).await;
//! # Ok(())
//! # }
//! ```

mod empty;
mod pushed;

use store_core::Timestamp;

use crate::Stores;

pub use empty::{Left, NotEmpty, run_until_empty, run_until_empty_within};
pub use pushed::{assert_nothing_pushed, assert_pushed, pushed};
pub use store_core::{Clock, ManualClock};

/// Both stores in memory, for a service called `test`, and their clock. The clock shows 2026-01-01 00:00:00 UTC until the
/// test moves it.
///
/// The stores use this clock for all times: TTLs, delays, leases, limits. The worker's time-outs and leaderships use the clock of
/// the process. [`Loading`](crate::cache::Loading) takes a clock in its options.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> twinstore::Result<()> {
/// use std::time::Duration;
/// use twinstore::prelude::*;
///
/// let (stores, clock) = twinstore::testing::stores();
/// let names = HandleName::new("names").expect("a valid name");
/// let values = stores.cache().values::<String>(names, Ttl::from_secs(60));
/// let key = Key::new("7").expect("a valid key");
/// values.set(&key, &"ann".to_owned()).await?;
/// clock.advance(Duration::from_secs(61));
/// assert_eq!(values.get(&key).await?, None);
/// # Ok(())
/// # }
/// ```
pub fn stores() -> (Stores, ManualClock) {
    let clock = ManualClock::new(Timestamp::from_millis(1_767_225_600_000));
    (Stores::in_memory(Clock::Manual(clock.clone())), clock)
}
