//! The store as a pipeline sees it, on the embedded engine and on a Redis server.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fixture;
mod instances;
mod locks;
mod positions;
mod standby;
mod without_locks;
