//! Tests that need real servers: lost replies, late copies, random sequences of operations compared with the embedded engine, and
//! a run on servers with other data.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod against;
mod late_copies;
mod lost_reply;
mod model;
