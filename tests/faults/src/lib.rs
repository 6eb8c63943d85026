//! Puts both stores under load and faults, and checks the recorded requests and answers.
//!
//! [`run()`] starts real servers, lets actors use them through `twinstore` (producers, workers, control, leases, idempotent
//! requests, heartbeats), kills and stops the servers and a worker process, and cuts, delays and holds connections. Every
//! operation is written into a history with its interval. At the end the queues are drained and listed, and
//! [`checker::check`] reads the history.
//!
//! One seed determines the plan of operations and faults. Their times depend on the machine, so the same seed repeats the
//! plan, not the exact run; a kept history can be checked again.
//!
//! - [`history`]: the format, the recorder, and the reader.
//! - `recorded`: the capabilities behind a recorder.
//! - `workload`: the actors. `nemesis`: the faults. `environment`, `process`: what they act on.
//! - [`checker`]: the rules. It only reads a history.

pub mod checker;
mod environment;
pub mod history;
mod nemesis;
mod process;
mod recorded;
mod run;
mod topology;
mod workload;

pub use process::work_in_process;
pub use run::{Options, RunError, read_kept, run};
pub use topology::{Level, PrimaryFault, Topology};

/// The fault after which the cache store is empty: its name in a history.
pub(crate) const KILL_CACHE: &str = "kill cache";
