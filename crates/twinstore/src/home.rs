//! Homes: steps, runs of agents and resume tokens that are stored beside the jobs of a queue, and commits that write several of them
//! together with the end of a job.
//!
//! A handler that settles its job, pushes the next one, appends an event and moves a resume token in separate calls can die between
//! two of them. With a [`Commit`] it cannot: either everything is written, or nothing.

pub use store_core::{Commit, CommitParts, Committed, Home};
