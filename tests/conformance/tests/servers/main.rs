//! Tests that need real servers: lost replies, late copies, random sequences of operations compared with the embedded engine, gaps
//! of broadcasts, a restart, and a run on servers with other data.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod against;
mod broadcasts;
mod late_copies;
mod lost_reply;
mod model;
mod restart;
mod topic_model;
