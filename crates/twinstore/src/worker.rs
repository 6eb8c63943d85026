//! Workers: handlers that run for the jobs of queues.
//!
//! A [`Worker`] claims jobs in batches, renews their leases, runs one task per job, and settles in batches. Delivery is at
//! least once: the job of a worker that dies is run again when its lease expires.

pub use store_worker::{
    BuildError, Done, Handler, HandlerResult, Job, JobError, JobHandler, QueueOptions, ServiceHandler, Worker,
    WorkerBuilder, WorkerHandle, WorkerReport, WorkerStats,
};
