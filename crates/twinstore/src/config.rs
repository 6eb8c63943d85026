//! The environment of a service, and what the checks before its start find.
//!
//! [`Stores::from_env`](crate::Stores::from_env) reads the environment of the process; an [`Environment`] can also be made
//! from variables, for tests. The README has the table of all variables.

pub use crate::stores::StoresOptions;
pub use store_core::Retention;
pub use store_validation::{Code, Environment, Finding, Refused, Severity, parse_duration};
