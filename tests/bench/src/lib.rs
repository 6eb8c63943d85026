//! The benchmarks: what each operation costs, beside the least that it could cost.
//!
//! A [`Case`] is one benchmark, one small file under `cases/` and one line in [`cases::all`]. It has sides: ours through
//! the public traits, and floors, the same work by the smallest commands or scripts over the smallest client
//! ([`wire`]). Sides take turns in rounds on the same server, so that a busy machine slows both; ratios count, machines
//! differ. The server's CPU is what `INFO cpu` says, the client's is this whole process's.
//!
//! What is fair: keys and payloads are made before the clock starts on both sides; floors send no key, id or payload that
//! is shorter than a service would choose, and know nothing that ours must find out; nobody subscribes to events or metrics, as
//! floors have none. What a round leaves behind is removed outside of the measurement, so that no side pays for another's
//! expiry. A target is judged by the median, a ratio by the median of the ratios within a round.
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

pub use case::{Case, OURS, Plan, Side};
pub use environment::{Engine, Environment, SERVER_SETTINGS, Settings, Stores, open_state, queue};
pub use machine::Machine;
pub use report::{CaseReport, Report, SideReport, Verdict};
pub use runner::{is_taken, run};
pub use statistics::{STEADY, Spread, percentile};
pub use table::render;

/// What goes wrong in a benchmark ends its case.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// A result of the bench.
pub type Result<T> = std::result::Result<T, Error>;
