//! Homes: steps, runs of agents and resume tokens that are stored beside the jobs of a queue, and commits that write several of them
//! together with the end of a job.
//!
//! A handler that settles its job, pushes the next one, appends an event and moves a resume token in separate calls may die
//! between two of them, and then only some of them are written. A [`Commit`] writes everything or nothing; [`Home::commit`]
//! describes a crash of the server. What belongs elsewhere, a [`Delivery`], is recorded with the commit and arrives once.

pub use store_core::{Commit, CommitParts, Committed, Delivery, Home};
