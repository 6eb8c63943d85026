//! The benchmarks measure the cost of each operation and, for comparison, of the smallest work that has the same effect.
//!
//! A [`Case`] is one benchmark: one small file under `cases/` and one line in [`cases::all`]. It has sides: this library's
//! through the public traits, and floors, which do the same work with the smallest commands or scripts and the smallest
//! client ([`wire`]). Sides take turns in rounds on the same server, so that a busy machine slows both. Compare ratios,
//! because machines differ. The server's CPU time is from `INFO cpu`; the client's is that of this whole process.
//!
//! The comparison is fair: both sides make keys and payloads before the clock starts. Floors send no key, id or payload that
//! is shorter than a service would choose, and have no data that this library's side has to read first. No recorder of events
//! or metrics is installed, because floors have none. The data of a round is removed outside of the measurement, so that its
//! expiry costs no other side. A target is judged by the median, a ratio by the median of the ratios within a round.
//!
//! ```no_run
//! # #[tokio::main]
//! # async fn main() {
//! let settings = bench::Settings::quick(std::env::current_exe().expect("a program has a path"));
//! let report = bench::run(&bench::cases::all(), &settings, "leases", |_| ()).await;
//! assert_eq!(report.failures().count(), 0);
//! let table = bench::render(&report);
//! # }
//! ```

mod case;
pub mod cases;
pub mod cost_model;
mod environment;
pub mod figure;
mod floor;
mod load;
mod machine;
mod meter;
mod report;
mod runner;
mod sent;
mod statistics;
mod table;
pub mod wire;

pub use case::{Also, Case, OURS, Plan, Side};
pub use environment::{Engine, Environment, SERVER_SETTINGS, Settings, Stores, open_state, queue};
pub use machine::Machine;
pub use report::{CaseReport, Report, SideReport, Verdict};
pub use runner::{is_taken, run};
pub use statistics::{STEADY, Spread, percentile};
pub use table::render;

/// An error of a benchmark; it ends the case.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// A result of the bench.
pub type Result<T> = std::result::Result<T, Error>;
