//! What only real servers can show: lost replies, random sequences of operations compared with the embedded engine, and a
//! run among foreign keys.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod against;
mod lost_reply;
mod model;
