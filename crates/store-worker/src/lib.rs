//! The worker runtime: runs handlers for the jobs of queues, on any engine of [`store_core::Queue`].
//!
//! A [`Worker`] claims jobs in batches, renews their leases, runs one task per job, and settles in batches. While it has nothing
//! to do, it waits and sends nothing. A [`JobHandler`] is an async function from a payload and its [`Job`] to [`Done`] or a
//! [`JobError`]; a [`Handler`] gets the [`Job`] alone. [`ServiceHandler`] makes a `tower` service a handler.
//!
//! - **At least once.** A job whose worker dies comes back when its lease expires. What a handler does outside the store must be
//!   safe to repeat, or must present [`Job::fence`].
//! - **A lost lease ends the handler.** The worker drops it at its next `await` and settles nothing for it. It does the same if a
//!   lease cannot be renewed, before the lease can have expired by this machine's monotonic clock.
//! - **A failure is an outcome.** An error, a panic and a time-out each count as an attempt and are retried by the job's
//!   policy, with jitter; after the last attempt the job is dead.
//! - **The store may become unavailable.** The worker waits and resumes when it is back. It keeps results that it could not
//!   deliver until their lease has certainly expired.
//! - **A shutdown loses nothing.** The worker gives claimed jobs that have not begun back at once, lets running handlers finish
//!   until a deadline, and then gives back what is left.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use embedded_store::{EmbeddedState, StateOptions};
//! use store_core::{NewJob, QueueExt, QueueName, ServiceName};
//! use store_worker::{Done, HandlerResult, Job, JobError, Worker};
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
//! let state = Arc::new(EmbeddedState::in_memory(ServiceName::new("mailer")?, StateOptions::default()));
//! state.push_one(&QueueName::new("email")?, NewJob::new("\"ada@example.org\"")).await?;
//!
//! let worker = Worker::new(state).with_queue("email", send).with_concurrency(8).with_signals().build()?;
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
//! | `error` | a job is dead | its last attempt failed, or its handler gave it up |
//! | `warn` | a job failed, timed out, panicked | the attempt counts, and the job is tried again |
//! | `warn` | a job was lost | its lease ended before its result was settled: the job runs again, or is dead after its last attempt |
//! | `warn`, `info` | the store is unavailable, is available again | once per outage |
//!
//! The events of jobs have the fields `queue`, `id`, `attempt`, `max_attempts`, `outcome` (`failed`, `timed_out`, `panicked` or
//! `lost`), `reason` and `trace_id`. A delivery is logged at most once: an attempt after which the job is dead is one event.
//! The reason is the text of the handler's error: handlers that put payloads or secrets into errors log them. The worker
//! itself logs no payload. It logs up to 1,000 such events per queue and second, and the number of the others. The lease of a
//! worker that dies is lost without an event of that worker.
//!
//! Each handler runs in the span `job` (level `info`) with the names of OpenTelemetry's conventions for messaging: `otel.name`
//! (`process <queue>`), `otel.kind`, `otel.status_code`, `messaging.system` (`twinstore`), `messaging.operation.name` and
//! `.type` (`process`), `messaging.destination.name`, `messaging.message.id`, `messaging.client.id` (the worker's name) and
//! `error.type` (as `outcome` above). Beside them it has `twinstore.job.attempt`, `twinstore.job.max_attempts`, and, if the
//! push had a [`TraceContext`](store_core::TraceContext), `trace_id`, `parent_span_id`, `traceparent` and `tracestate`.
//! [`WorkerBuilder::with_span_hook`] connects the span to that trace.
//!
//! [`Leadership`] makes one of several processes the leader, on [`store_core::Leases`].

mod builder;
mod driver;
mod handler;
mod heartbeat;
mod job;
mod leadership;
mod leading;
mod sampler;
mod signal;
mod span;
mod stats;
mod task;
mod typed;
mod worker;

pub use builder::{BuildError, QueueOptions, WorkerBuilder};
pub use handler::{Done, Handler, HandlerResult, JobError, ServiceHandler};
pub use job::Job;
pub use leadership::{Candidate, Leadership, Standing};
pub use leading::Leading;
pub use sampler::{QueueSampler, QueueSampling};
pub use stats::{WorkerReport, WorkerStats};
pub use typed::JobHandler;
pub use worker::{Worker, WorkerHandle};
