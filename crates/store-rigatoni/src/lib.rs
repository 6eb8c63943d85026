//! [Rigatoni](https://crates.io/crates/rigatoni-core) pipelines on Twinstore: a [`StateStore`](rigatoni_core::state::StateStore)
//! whose positions are resume tokens and whose locks are leases with fencing tokens.
//!
//! A Rigatoni pipeline copies the changes of a MongoDB collection, a database or a deployment to a destination. Several instances
//! may stand by for one change stream; the one that holds its lock runs the pipeline. [`RigatoniStore`] guarantees, for Rigatoni
//! 0.2.0:
//!
//! - **Only the holder of the lock saves.** Rigatoni's saves carry no owner. The store maps each to the lock that this instance
//!   holds, presents its fence, and refuses the save if the lock is not held, was lost, or has expired by the clock of the process.
//!   From the moment at which another instance acquires the lock, no save of an earlier holder is accepted, however late it arrives.
//! - **No position is ahead of the destination.** A pipeline saves each event when it receives it, and each batch when it is
//!   written, under two different keys, and reads the first one. The store keeps the second, and returns it under both. After a
//!   crash, the events since the last written batch are written again; none is skipped.
//! - **A running standby takes over**: [`RigatoniStore::stand_by`] waits for the lock and returns the position. **A lost lock is
//!   reported**: [`RigatoniStore::lost`] returns, and the service stops the pipeline.
//! - A lock request whose reply was lost is repeated, and returns the same lock. Locks last from 10 ms to 30 days.
//!
//! What the store cannot do: stop a worker, or notice that one has ended. If the worker of a pipeline ends with an error, for example
//! because MongoDB cannot be reached when it starts, Rigatoni 0.2.0 reports that only when the pipeline is stopped, and refreshes the
//! lock until then. Monitor that events are processed.
//!
//! Writes to the destination have no fence: between the loss of a lock and the stop of the pipeline, two instances can write the
//! same events. Delivery is at least once.
//!
//! # A pipeline with standbys
//!
//! ```no_run
//! use rigatoni_core::destination::Destination;
//! use rigatoni_core::pipeline::{Pipeline, PipelineConfig};
//! use store_rigatoni::RigatoniStore;
//! use twinstore::State;
//!
//! # type Failure = Box<dyn std::error::Error + Send + Sync>;
//! async fn replicate<D>(state: &State, destination: impl Fn() -> D) -> Result<(), Failure>
//! where
//!     D: Destination + Send + Sync + 'static,
//! {
//!     let uri = "mongodb://localhost:27017/?replicaSet=rs0";
//!     let users = vec!["users".to_owned()]; // a pipeline for each collection
//!     let config = PipelineConfig::builder().mongodb_uri(uri).database("shop").watch_collections(users).build()?;
//!     let store = RigatoniStore::new(state, &config);
//!     loop {
//!         let resumed = store.stand_by(&config).await?; // until this instance holds the lock
//!         let mut pipeline = Pipeline::new(resumed, store.clone(), destination()).await?;
//!         pipeline.start().await?;
//!         let lock = store.lost().await; // add your shutdown signal here
//!         tracing::warn!(lock, "stopping the pipeline");
//!         pipeline.stop().await?;
//!     }
//! }
//! ```
//!
//! Without [`stand_by`](RigatoniStore::stand_by), the store works with any pipeline, but Rigatoni 0.2.0 then has these limits. A
//! pipeline of collections ignores its position and starts at the end of each collection (the store logs a warning). An instance
//! that finds a collection locked never watches it. `start` returns an error if a database is locked. A pipeline of several
//! collections has no position to resume from; run one pipeline for each collection, or watch the database.
//!
//! # Pipelines without locks
//!
//! If the locks of a pipeline are disabled (`disable_distributed_lock`), it never calls the lock methods. The store then acquires
//! the lock with the first save of a change stream, keeps its fence, and releases it. So the instance that began to save last
//! wins: all later saves of an earlier one are refused, and [`lost`](RigatoniStore::lost) returns there. After
//! [`stand_by`](RigatoniStore::stand_by), it acquires the lock again with its next save, and supersedes the other one. While a pipeline with locks
//! runs, the saves of one without are refused.

mod keys;
mod locks;
mod positions;
mod stand_by;
mod store;

use rigatoni_core::state::StateStoreError;

pub use store::RigatoniStore;

/// The error of Rigatoni for an error of the worker state store.
fn failed(error: twinstore::Error) -> StateStoreError {
    use twinstore::ErrorKind;
    let text = error.to_string();
    match error.kind() {
        ErrorKind::Corrupt => StateStoreError::Serialization(text),
        ErrorKind::InvalidArgument | ErrorKind::Unsupported => StateStoreError::Other(text),
        _ => StateStoreError::Connection(text),
    }
}
