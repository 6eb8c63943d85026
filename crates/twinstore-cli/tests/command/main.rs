//! The command `twinstore` as operators run it, on real servers.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod check;
mod dead;
mod fixture;
mod reading;
mod refusing;
mod tokens;
mod topics;
mod writing;
