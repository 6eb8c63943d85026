//! The state of each role, for the probes of a service: [`Stores::health`](crate::Stores::health).

pub use store_core::{Pressure, PressureReading};

pub use crate::stores::{Health, HealthError, RoleHealth};
