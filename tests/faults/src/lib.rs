//! Puts both stores under load and faults, and checks the recorded requests and answers.
//!
//! [`run()`] starts real servers, lets actors use them through `twinstore` (producers, workers, control, leases, idempotent
//! requests, heartbeats, retries, runs of agents, sessions, firings of schedules, commits in a home, deliverers of
//! what commits send elsewhere, broadcasts, producers and consumers of a topic, contenders for a resume token), kills and stops the
//! servers and a worker process, and closes, delays and blocks connections. Every operation is written into a history with its interval. At the end the queues are drained and listed, and
//! [`checker::check`] reads the history.
//!
//! One seed determines the plan of operations and faults. Their times depend on the machine, so the same seed repeats the
//! plan, not the exact run; a kept history can be checked again.
//!
//! [`contend()`] is another run: 100 contenders in several processes move one resume token on, by the steps of a workflow run, while
//! the holder of their lease is suspended and the server dies.
//!
//! - [`history`]: the format, the recorder, and the reader.
//! - `recorded`: the capabilities behind a recorder.
//! - `workload`: the actors. `nemesis`: the faults. `probe`: an independent client. `memory`: what a soak samples. `environment`, `process`: what they act on.
//! - [`checker`]: the rules. It only reads a history. [`table`]: the table of the README.

pub mod checker;
mod contention;
mod environment;
pub mod history;
mod memory;
mod nemesis;
mod probe;
mod process;
mod recorded;
mod run;
pub mod table;
mod topology;
mod workload;

pub use contention::contend;
pub use environment::Usage;
pub use memory::Memory;
pub use process::{ProcessArguments, contend_in_process, work_in_process};
pub use run::{Options, Outcome, RunError, read_kept, run};
pub use topology::{Level, PrimaryFault, Topology};

/// What the name of an actor ends with whose calls are those of a handler.
pub(crate) const OF_HANDLER: &str = "/handler";

/// The group that reads the whole topic after the run.
pub(crate) const AUDIT: &str = "audit";

/// The actor that prepares and ends a run. It uses the stores of the first group.
pub(crate) const RUN: &str = "run";

/// What the name of a session begins with, in place of the name of an agent's run.
pub(crate) const SESSION: &str = "session/";

/// What the name of an outbox ends with.
pub(crate) const OUTBOX: &str = "~outbox";

/// How often the schedules of a run fire.
pub(crate) const FIRES_EVERY_MS: u64 = 1000;

/// The fault that moves slots: its name in a history.
pub(crate) const MOVE_SLOTS: &str = "move-slots state";

/// The fault after which the cache store is empty: its name in a history.
pub(crate) const KILL_CACHE: &str = "kill cache";
