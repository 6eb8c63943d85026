//! Twinstore: two Redis-compatible stores behind a fleet of microservices, one that may be lost and one that may not.
//!
//! The **cache store** holds short-lived values, idempotency keys, rate limits and hand-offs; all of it may be lost at any
//! moment. The **worker state store** holds queues, leases and heartbeats; what it acknowledged survives. A service is
//! configured by environment variables alone and refuses to start when the two share an instance, or a server is set up
//! against its role. What each operation costs stands in [`cost_model`].
//!
//! A complete program: it pushes a job, works on it, and stops.
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
//!     // SERVICE_NAME, REDIS_CONN_BASE_URL, REDIS_CACHE_DB and REDIS_WORKERCACHE_CONN_URL say where the stores are.
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

pub mod cache;
mod stores;
#[cfg(feature = "testing")]
pub mod testing;

#[doc = include_str!("../docs/cost-model.md")]
pub mod cost_model {}

#[doc = include_str!("../docs/metrics.md")]
pub mod metrics {}

pub use bytes::Bytes;
pub use store_core::*;
pub use store_validation::{
    Code, EnvFileError, Environment, Finding, Refused, Severity, SuspectVariable, parse_duration,
};
pub use store_worker::*;
pub use stores::{
    Cache, Health, HealthError, Pressure, RoleHealth, SharedState, StartError, State, Stores, StoresOptions,
};
pub use stores::{Operation, OperationError, OperationFailure, Ran};

/// What most services import.
pub mod prelude {
    pub use crate::{
        Cache, Done, Durability, Environment, Error, HandleName, HandlerResult, Job, JobError, JobId, JobType, Key,
        KeyValueExt, NewJob, OnUnavailable, Operation, Priority, QueueExt, QueueName, Ran, Rate, RateCheck,
        RateLimitExt, RequestId, ServiceName, StartError, State, Stores, Ttl, Worker,
    };
}
