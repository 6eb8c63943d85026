//! Workers run handlers for the jobs of queues.
//!
//! A [`Worker`] claims jobs in batches, renews their leases, runs one task per job, and settles in batches. Delivery is at
//! least once: if a worker dies, its jobs run again when their leases expire.

pub use store_worker::{
    BuildError, Done, Handler, HandlerResult, Job, JobError, JobHandler, QueueOptions, QueueSampler, QueueSampling,
    ServiceHandler, Worker, WorkerBuilder, WorkerHandle, WorkerReport, WorkerStats,
};
