//! The environment contract of a service, the checks before it starts, and its refusal to start.
//!
//! - [`VARIABLES`] is the one table of all variables; [`Environment`] is the source that they are read from.
//! - [`validate`] is for services: it returns settings, or [`Refused`] with every finding.
//! - A running service refreshes its [`Claims`]; [`release_number`] frees the number of a retired one.
//! - [`check_environment`], [`check`] and [`check_fleet`] are what a linter calls: the same findings, nothing claimed.
//!   With the feature `command`, `ConfigCheck` is that linter as a command line.
//! - [`check_server_conf`] checks the configuration file of a server; [`acl_file`] renders its users.
//!
//! A [`Finding`] has a stable [`Code`]. Every check has three results: right, wrong and unknown. An unknown result is a
//! finding of its own: a warning whose code ends in `-unknown`, never a pass.
//!
//! ```
//! use store_validation::{Code, Environment, check_environment};
//!
//! let environment = Environment::from_variables([
//!     ("SERVICE_NAME", "billing"),
//!     ("REDIS_CONN_BASE_URL", "redis://cache.internal/0"),
//!     ("REDIS_WORKERCACHE_CONN_URL", "embedded:"),
//! ]);
//! let report = check_environment(&environment);
//! let codes: Vec<_> = report.findings().iter().map(|finding| finding.code).collect();
//! assert!(codes.contains(&Code::CacheUrlHasDatabase) && codes.contains(&Code::DatabaseNumberMissing));
//! ```

mod acl_file;
mod code;
mod commands;
#[cfg(feature = "command")]
mod config_check;
mod draft;
mod env_file;
mod environment;
mod finding;
mod fleet;
mod in_memory;
mod nearest;
mod read;
mod report;
mod same_engine;
mod server_conf;
mod servers;
mod settings;
mod validate;
mod variable;

pub use acl_file::acl_file;
pub use code::{Code, Severity, UnknownCode};
#[cfg(feature = "command")]
pub use config_check::ConfigCheck;
pub use env_file::EnvFileError;
pub use environment::{Environment, SuspectVariable};
pub use finding::Finding;
pub use fleet::check_fleet;
pub use read::parse_duration;
pub use report::{Report, check, check_environment};
pub use server_conf::{ConfFinding, ServerConfError, check_server_conf};
pub use servers::{Claims, NotReleased, NumberOwner, NumberRelease, Proven, ReleaseRequest, release_number};
pub use settings::{CacheServer, Engine, PreflightMode, Settings};
pub use validate::{Refused, Validated, validate};
pub use variable::{VARIABLES, Variable, WhenUnset, environment_table_markdown};
