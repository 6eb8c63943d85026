//! Rigatoni's pipelines on the store. A stub stands in for the MongoDB server: it speaks the part of the wire protocol that a change
//! stream needs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod instance;
mod mongo;
mod processes;
mod runs;
