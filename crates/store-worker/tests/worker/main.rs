//! The worker on the embedded engine, whole and with a store in between that fails on command.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in what the cases share")]

mod ahead;
mod batching;
mod blocked;
mod building;
mod captured;
mod commits;
mod deliveries;
mod faulty;
mod fixture;
mod handlers;
mod handovers;
mod leadership;
mod leading;
mod leases;
mod liveness;
mod logging;
mod metering;
mod notifications;
mod outages;
mod shutdown;
mod silent_queue;
mod sweeps;
mod typed;
