//! The worker on the embedded engine, whole and with a store in between that fails on command.

mod batching;
mod building;
mod handlers;
mod leadership;
mod leases;
mod outages;
mod shutdown;
mod stage;
mod telemetry;
