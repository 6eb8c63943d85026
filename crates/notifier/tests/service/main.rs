//! The reference service as whole processes, on embedded and on real stores, and what happens when they are killed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in what the cases share")]

mod events;
mod failovers;
mod fixture;
mod following;
mod inputs;
mod kills;
mod refusals;
mod runs;
mod waiting;
