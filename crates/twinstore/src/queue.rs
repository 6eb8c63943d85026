//! Jobs in durable queues: push, inspect, cancel, replay.
//!
//! A service pushes values with a [`TypedQueue`], or bytes with [`Queue`], and handles them with a
//! [`Worker`](crate::worker::Worker). [`QueueInspect`] shows what a queue holds; [`QueueControl`] cancels, replays and
//! deletes jobs.
//!
//! Services do not need the types by which a worker claims and settles jobs. Those are in the crate `store-core`.

pub use store_core::{
    Backoff, Cancelled, Counts, Deleted, Explanation, Inventory, JobId, JobInfo, JobState, JobType, NewJob, Priority,
    Pushed, Queue, QueueControl, QueueExt, QueueInspect, QueueName, Replayed, RetryPolicy, TraceContext, TypedQueue,
    Unique, UniqueKey, UniqueUntil,
};
