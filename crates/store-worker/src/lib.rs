//! The worker runtime: runs handlers for the jobs of queues, on any engine of [`store_core::Queue`].
//!
//! A [`Worker`] claims jobs in batches, renews their leases, runs one task per job, and settles in batches. An idle
//! worker registers at its queues: a push then hands its jobs over, or notifies the worker. A [`JobHandler`] is an async
//! function from a payload and its [`Job`] to [`Done`] or a [`JobError`]; a [`Handler`] gets the [`Job`] alone. [`ServiceHandler`] makes a `tower` service a handler.
//!
//! - **At least once.** If a worker dies, its jobs run again when their leases expire. A handler's effects outside the store must
//!   be safe to repeat, or must present [`Job::fence`].
//! - **A lost lease ends the handler.** The worker drops the handler at its next `await` and does not settle its job. If a lease
//!   cannot be renewed, the worker does the same before the lease can have expired by this machine's monotonic clock.
//! - **A failure is an outcome.** An error, a panic and a time-out each count as an attempt. The job's policy determines the next
//!   attempt, with jitter; after the last attempt the job is dead.
//! - **The store may become unavailable.** The worker waits and resumes when it is back. It keeps results that it could not
//!   settle until their leases have certainly expired. If the reply to a claim is lost, the worker immediately asks for the jobs
//!   that the claim leased.
//! - **A blocked handler is reported.** A handler that does not end within the grace after it was stopped is logged and counted,
//!   and keeps its place until it ends. For a liveness probe, [`WorkerHandle::is_claiming_within`] reports whether the worker claims.
//! - **A shutdown loses no job.** The worker immediately gives back claimed jobs that have not begun, lets running handlers finish
//!   until a deadline, and then gives back the remaining jobs.
//!
//! ```
//! use std::time::Duration;
//! use twinstore::prelude::*;
//!
//! async fn send(job: Job) -> HandlerResult {
//!     let address: String = job.json()?; // any error is retried by the job's policy
//!     if !address.contains('@') {
//!         return Err(JobError::dead("not an address"));
//!     }
//!     Ok(Done::keep("sent", Duration::from_secs(3600)))
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (stores, _) = twinstore::testing::stores();
//! let state = stores.state();
//! state.queue().push_one(&QueueName::new("email")?, NewJob::new("\"ada@example.org\"")).await?;
//!
//! let worker = state.worker().with_queue("email", send).with_concurrency(8).with_signals().build()?;
//! let handle = worker.handle();
//! let running = tokio::spawn(worker.run());
//! while handle.stats().completed < 1 {
//!     tokio::task::yield_now().await;
//! }
//! handle.shutdown(); // a SIGTERM does the same
//! assert!(running.await??.clean);
//! # Ok(())
//! # }
//! ```
//!
//! # Logs and spans
//!
//! A worker logs with `tracing`, under the target `twinstore::worker`:
//!
//! | level | event | when |
//! |---|---|---|
//! | `error` | a job is dead | its last attempt failed, or its handler returned [`JobError::dead`] |
//! | `warn` | a job failed, timed out, panicked | the attempt counts, and the job is tried again |
//! | `warn` | a job was lost | its lease ended before its result was settled: the job runs again, or is dead after its last attempt |
//! | `warn` | the outcome of a job is unknown | the reply to its settlement was lost, and the settlement could not be repeated before its lease ended; or its handler made a commit and did not return in time |
//! | `error` | a stopped handler does not end | once per handler that blocks after it was stopped; it keeps its place until it ends |
//! | `error` | an entry of an outbox is dead | its destination refuses it for good; operators replay it |
//! | `warn`, `info` | entries of an outbox cannot be delivered, are delivered again | once per outage |
//! | `warn` | listings could not be swept | entries of expired runs or sessions remain until the next sweep, about an hour later |
//! | `warn`, `info` | the store is unavailable, is available again | once per outage |
//!
//! The events of jobs have the fields `queue`, `id`, `attempt`, `max_attempts`, `outcome` (`failed`, `timed_out`, `panicked`,
//! `lost` or `unknown`), `reason` and `trace_id`. A delivery is logged at most once: if the job is dead after it, only that event is logged.
//! The reason is the text of the handler's error, so a handler must not put payloads or secrets into errors. The worker
//! logs no payload. It logs up to 1,000 such events per queue and second, and the number of the others. If a
//! worker dies, it logs no event for the leases that it loses.
//!
//! Each handler runs in the span `job` (level `info`) with the names of OpenTelemetry's conventions for messaging: `otel.name`
//! (`process <queue>`), `otel.kind`, `otel.status_code`, `messaging.system` (`twinstore`), `messaging.operation.name` and
//! `.type` (`process`), `messaging.destination.name`, `messaging.message.id`, `messaging.client.id` (the worker's name) and
//! `error.type` (as `outcome` above). Beside them it has `twinstore.job.attempt`, `twinstore.job.max_attempts`, and, if the
//! push had a [`TraceContext`](store_core::TraceContext), `trace_id`, `parent_span_id`, `traceparent` and `tracestate`.
//! [`WorkerBuilder::with_span_hook`] connects the span to that trace.
//!
//! [`Leadership`] makes one of several processes the leader, on [`store_core::Leases`]. [`Scheduler`] fires the schedules of queues,
//! on [`store_core::Schedules`].

mod builder;
mod deliverer;
mod driver;
mod event;
mod handler;
mod heartbeat;
mod job;
mod leadership;
mod leading;
mod queue_options;
mod sampler;
mod scheduler;
mod signal;
mod span;
mod stats;
mod sweeper;
mod tally;
mod task;
mod typed;
mod worker;

pub use builder::{BuildError, WorkerBuilder};
pub use handler::{Done, Handler, HandlerResult, JobError, ServiceHandler};
pub use job::Job;
pub use leadership::{Candidate, Leadership, Standing};
pub use leading::Leading;
pub use queue_options::QueueOptions;
pub use sampler::{QueueSampler, QueueSampling};
pub use scheduler::{Scheduler, Scheduling};
pub use stats::{WorkerReport, WorkerStats};
pub use typed::JobHandler;
pub use worker::{Worker, WorkerHandle};
