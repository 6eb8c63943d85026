//! Jobs in durable queues: pushing them, looking at them, acting on them.
//!
//! A service pushes values with a [`TypedQueue`], or bytes with [`Queue`], and works on them with a
//! [`Worker`](crate::worker::Worker). [`QueueInspect`] shows what a queue holds; [`QueueControl`] cancels, replays and
//! deletes jobs.
//!
//! The types by which a worker claims and settles jobs are in the crate `store-core`: services do not need them.

pub use store_core::{
    Backoff, Cancelled, Counts, Deleted, Explanation, Inventory, JobId, JobInfo, JobState, JobType, NewJob, Priority,
    Pushed, Queue, QueueControl, QueueExt, QueueInspect, QueueName, Replayed, RetryPolicy, TraceContext, TypedQueue,
    Unique, UniqueKey, UniqueUntil,
};
