//! The environment of a service, and the findings of the checks before its start.
//!
//! [`Stores::from_env`](crate::Stores::from_env) reads the environment of the process; tests can make an [`Environment`]
//! from variables. The README has the table of all variables.

pub use crate::stores::StoresOptions;
pub use store_core::Retention;
pub use store_validation::{Code, Environment, Finding, Refused, Severity, parse_duration};
