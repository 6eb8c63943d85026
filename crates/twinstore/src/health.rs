//! The state of each role, for the probes of a service: [`Stores::health`](crate::Stores::health).

pub use crate::stores::{Health, HealthError, Pressure, RoleHealth};
