//! What only real servers can show: lost replies, late copies, random sequences of operations compared with the embedded engine, and a
//! run among foreign keys.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod against;
mod late_copies;
mod lost_reply;
mod model;
