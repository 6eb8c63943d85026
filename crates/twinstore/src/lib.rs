//! Twinstore: two Redis-compatible stores that a fleet of microservices shares. One may be lost, the other must not be lost.
//!
//! The **cache store** holds short-lived values, idempotency keys, rate limits and hand-offs. It may be lost at any time.
//! The **worker state store** holds queues, schedules, leases, heartbeats, resume tokens, steps, retries, runs of agents,
//! sessions, homes (a job and its data in one commit), topics,
//! broadcasts and idempotency keys. An acknowledged write survives every failure that its [durability](durability::Durability) covers. Environment variables configure a service. It refuses to start if
//! the two roles share an instance, or if a server is misconfigured for its role.
//!
//! # Map
//!
//! [`Stores`] opens both stores. [`Cache`] and [`State`] return the capabilities of one role each. [`prelude`] has what
//! most services import; every other name has one path:
//!
//! | module | what it has | begin with |
//! |---|---|---|
//! | [`queue`] | jobs in durable queues: push, inspect, cancel, replay | [`State::queue_of`], [`State::inspect`], [`State::control`] |
//! | [`worker`] | handlers that run for the jobs of queues | [`State::worker`], [`State::sampler`] |
//! | [`schedule`] | jobs that are pushed at recurring times, once in the fleet | [`State::schedules`], [`State::scheduler`] |
//! | [`lease`] | leases with fencing tokens, leadership, periodic work of a leader | [`State::candidate`], [`State::leases`] |
//! | [`resume_token`] | where the consumer of a stream continues | [`State::resume_tokens`] |
//! | [`heartbeat`] | which processes of a pool are alive | [`State::heartbeats`] |
//! | [`idempotency`] | a repeated request gets the response of the first | [`State::operation`], [`Cache::operation`] |
//! | [`step`] | steps of a job or a workflow that are carried out once | [`State::run_of`], [`State::run`] |
//! | [`run`] | runs of agents: their states, their events, and who watches and cancels them; records of sessions | [`State::runs`], [`State::watch_run`], [`State::sessions`] |
//! | [`topic`] | events that several groups of consumers read, in order and from any point | [`State::topic`] |
//! | [`broadcast`] | messages to the processes that listen now, with gaps reported | [`State::broadcast`] |
//! | [`retry`] | attempts, errors and next times of operations that are not jobs | [`State::retries`] |
//! | [`home`] | the end of a job and writes to steps, runs and resume tokens: all or nothing | [`State::home`] |
//! | [`cache`] | values with a time to live, and get-or-load | [`Cache::values`], [`Cache::loading`] |
//! | [`rate_limit`] | limits that all processes of a service share | [`Cache::rate_limit`] |
//! | [`handoff`] | one service puts a value, another takes it, once | [`Cache::handoffs`] |
//! | [`health`] | the state of each role, for probes | [`Stores::health`] |
//! | [`config`] | the environment, the findings of the preflight, retention | [`Stores::from_env`] |
//! | [`durability`] | how far a write has to reach | [`Durability`](durability::Durability) |
//! | [`name`] | validated names, keys and ids | |
//! | [`time`] | times by the server's clock, and times to live | |
//! | [`page`] | listings in bounded pages | |
//! | [`metrics`] | the table of all metrics, and what to alert on | |
//! | [`cost_model`] | what each operation costs | |
//! | `testing` | for tests of services, with the feature `testing`: a clock, a worker that runs until its queues are empty, assertions | |
//!
//! Every operation returns [`Result`]. The documentation of [`Error`] has a table of its kinds: whether the operation was
//! executed, the HTTP status, whether to retry, whether to alert.
//!
//! # A program
//!
//! It pushes a job, handles it, and stops on SIGTERM:
//!
//! ```
//! use twinstore::prelude::*;
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Mail {
//!     to: String,
//! }
//!
//! impl JobType for Mail {
//!     const QUEUE: &'static str = "mails";
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! #   let environment = Environment::from_variables([
//! #       ("SERVICE_NAME", "mailer"),
//! #       ("REDIS_CONN_BASE_URL", "embedded:"),
//! #       ("REDIS_WORKERCACHE_CONN_URL", "embedded:"),
//! #   ]);
//! #   let stores = Stores::open(&environment).await?;
//! #   #[cfg(any())]
//!     // SERVICE_NAME, REDIS_CONN_BASE_URL, REDIS_CACHE_DB and REDIS_WORKERCACHE_CONN_URL give the stores' addresses.
//!     let stores = Stores::from_env().await.unwrap_or_else(|error| error.exit());
//!
//!     let mails = stores.state().queue_of::<Mail>();
//!     mails.push(&Mail { to: "ann@example.org".into() }).await?;
//!
//!     let worker = stores.state().worker().with_handler(async |mail: Mail, _: Job| {
//!         println!("sending to {}", mail.to);
//!         Ok(())
//!     });
//!     let worker = worker.with_signals().build()?;
//! #   let (handle, inspect) = (worker.handle(), stores.state().inspect());
//! #   tokio::spawn(async move {
//! #       while inspect.counts(mails.name()).await.is_ok_and(|counts| counts.pending() > 0) {
//! #           tokio::task::yield_now().await;
//! #       }
//! #       handle.shutdown();
//! #   });
//!     worker.run().await?; // until SIGTERM
//!     stores.close().await;
//!     Ok(())
//! }
//! ```

pub mod broadcast;
pub mod cache;
pub mod config;
pub mod durability;
pub mod handoff;
pub mod health;
pub mod heartbeat;
pub mod home;
pub mod idempotency;
pub mod lease;
pub mod name;
pub mod page;
pub mod queue;
pub mod rate_limit;
pub mod resume_token;
pub mod retry;
pub mod run;
pub mod schedule;
pub mod step;
mod stores;
#[cfg(feature = "testing")]
pub mod testing;
pub mod time;
pub mod topic;
pub mod worker;

#[doc = include_str!("../docs/cost-model.md")]
pub mod cost_model {}

#[doc = include_str!("../docs/metrics.md")]
pub mod metrics {}

/// The bytes of payloads and values. A clone shares them.
///
/// ```
/// use twinstore::Bytes;
///
/// let payload = Bytes::from_static(b"ann@example.org");
/// assert_eq!(payload.slice(..3), "ann");
/// ```
#[doc(inline)]
pub use bytes::Bytes;
pub use store_core::{Error, ErrorKind, Op, Result, Role};
pub use stores::{Cache, SharedState, StartError, State, Stores};

/// What most services import.
pub mod prelude {
    #[doc(no_inline)]
    pub use crate::cache::KeyValueExt;
    #[doc(no_inline)]
    pub use crate::config::Environment;
    #[doc(no_inline)]
    pub use crate::durability::Durability;
    #[doc(no_inline)]
    pub use crate::idempotency::{Operation, Ran};
    #[doc(no_inline)]
    pub use crate::name::{HandleName, Key, RequestId, ServiceName};
    #[doc(no_inline)]
    pub use crate::queue::{JobId, JobType, NewJob, Priority, QueueExt, QueueName};
    #[doc(no_inline)]
    pub use crate::rate_limit::{OnUnavailable, Rate, RateCheck, RateLimitExt};
    #[doc(no_inline)]
    pub use crate::time::Ttl;
    #[doc(no_inline)]
    pub use crate::worker::{Done, HandlerResult, Job, JobError, Worker};
    #[doc(no_inline)]
    pub use crate::{Cache, Error, StartError, State, Stores};
}
