//! The builder of a worker.

use std::collections::HashSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use store_core::{
    Durability, Heartbeats, HolderName, Homes, JobType, Lease, NewJob, PoolName, Queue, QueueName, StateRole,
};

use crate::handler::Handler;
use crate::job::Job;
use crate::queue_options::QueueOptions;
use crate::span::SpanHook;
use crate::task::Start;
use crate::typed::{JobHandler, Typed};
use crate::worker::Worker;

/// The largest concurrency of a worker.
const MAX_CONCURRENCY: usize = 10_000;

/// The interval of sweeps. Three quarters of it are the time of a lease.
const SWEEPS: RangeInclusive<Duration> = Duration::from_millis(20)..=Duration::from_secs(30 * 24 * 3600);

/// The parts of a worker. [`Worker::new`] creates it. Its methods do not fail; [`build`](WorkerBuilder::build) reports all
/// problems at once.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use twinstore::prelude::*;
///
/// # let (stores, _) = twinstore::testing::stores();
/// let builder = stores.state().worker().with_concurrency(8).with_name("mailer-1".try_into()?);
/// let worker = builder.with_queue("mails", async |_: Job| Ok(())).build()?;
/// assert_eq!(worker.name().as_str(), "mailer-1");
/// # Ok(())
/// # }
/// ```
pub struct WorkerBuilder {
    pub(crate) parts: Parts,
    name: Option<HolderName>,
    problems: Vec<String>,
}

/// The checked parts of a worker.
pub(crate) struct Parts {
    pub(crate) store: Arc<dyn Queue>,
    pub(crate) queues: Vec<QueueParts>,
    pub(crate) concurrency: usize,
    pub(crate) prefetch: Option<usize>,
    pub(crate) lease: Duration,
    pub(crate) handler_timeout: Option<Duration>,
    pub(crate) cancel_grace: Duration,
    pub(crate) shutdown_deadline: Duration,
    pub(crate) durability: Durability,
    pub(crate) signals: bool,
    pub(crate) heartbeats: Option<(Arc<dyn Heartbeats>, PoolName)>,
    pub(crate) span_hook: Option<SpanHook>,
    pub(crate) outboxes: Option<Arc<dyn Homes>>,
    pub(crate) sweeps: Option<(Arc<dyn StateRole>, Duration)>,
}

/// One queue of a worker.
pub(crate) struct QueueParts {
    pub(crate) name: QueueName,
    pub(crate) options: QueueOptions,
    pub(crate) handler: Arc<dyn Start>,
}

impl WorkerBuilder {
    pub(crate) fn new(store: Arc<dyn Queue>) -> Self {
        let parts = Parts {
            store,
            queues: Vec::new(),
            concurrency: 64,
            prefetch: None,
            lease: Duration::from_secs(15),
            handler_timeout: None,
            cancel_grace: Duration::from_secs(5),
            shutdown_deadline: Duration::from_secs(20),
            durability: Durability::Accepted,
            signals: false,
            heartbeats: None,
            span_hook: None,
            outboxes: None,
            sweeps: None,
        };
        Self { parts, name: None, problems: Vec::new() }
    }

    /// With the queue of a type of jobs, and its handler.
    ///
    /// ```
    /// use twinstore::prelude::*;
    ///
    /// #[derive(serde::Serialize, serde::Deserialize)]
    /// struct Mail {
    ///     to: String,
    /// }
    ///
    /// impl JobType for Mail {
    ///     const QUEUE: &'static str = "mails";
    /// }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (stores, _) = twinstore::testing::stores();
    /// let worker = stores
    ///     .state()
    ///     .worker()
    ///     .with_handler(async |mail: Mail, job: Job| {
    ///         println!("{}: to {}", job.id(), mail.to);
    ///         Ok(())
    ///     })
    ///     .with_concurrency(8)
    ///     .build()?;
    /// # assert_eq!(worker.queues().next().map(QueueName::as_str), Some("mails"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_handler<T: JobType>(self, handler: impl JobHandler<T>) -> Self {
        self.with_handler_options(QueueOptions::new(), handler)
    }

    /// With the queue of a type of jobs, its options and its handler.
    #[must_use]
    pub fn with_handler_options<T: JobType>(mut self, options: QueueOptions, handler: impl JobHandler<T>) -> Self {
        self.add(QueueName::of::<T>(), options, Typed::new(handler));
        self
    }

    /// With a queue and the handler of its jobs, with any payloads. [`with_handler`](Self::with_handler) also reads the payloads.
    #[must_use]
    pub fn with_queue<N>(self, name: N, handler: impl Handler) -> Self
    where
        N: TryInto<QueueName, Error: fmt::Display>,
    {
        self.with_queue_options(name, QueueOptions::new(), handler)
    }

    /// With a queue, its options and the handler of its jobs.
    #[must_use]
    pub fn with_queue_options<N>(mut self, name: N, options: QueueOptions, handler: impl Handler) -> Self
    where
        N: TryInto<QueueName, Error: fmt::Display>,
    {
        match name.try_into() {
            Ok(name) => self.add(name, options, handler),
            Err(error) => self.problems.push(error.to_string()),
        }
        self
    }

    fn add(&mut self, name: QueueName, options: QueueOptions, handler: impl Handler) {
        self.parts.queues.push(QueueParts { name, options, handler: Arc::new(Arc::new(handler)) });
    }

    /// With at most this many handlers at the same time, over all queues: 1 to 10,000. Default 64.
    #[must_use]
    pub fn with_concurrency(mut self, concurrency: usize) -> Self {
        self.parts.concurrency = concurrency;
        self
    }

    /// With at most this many jobs claimed ahead of a free handler, up to 1,000. Default: the concurrency.
    ///
    /// The worker claims this many only while handlers end as fast as claims are answered. Otherwise it claims as many as ended
    /// during the last claim. If a job claimed ahead has waited for a third to two thirds of the lease, the worker gives it back,
    /// so that a free worker can run it.
    #[must_use]
    pub fn with_prefetch(mut self, jobs: usize) -> Self {
        self.parts.prefetch = Some(jobs);
        self
    }

    /// With leases that last this long, 10 ms to 30 days. The worker renews them every third of that time. If the worker dies,
    /// its jobs run again after it. Default 15 s.
    #[must_use]
    pub fn with_lease(mut self, lease: Duration) -> Self {
        self.parts.lease = lease;
        self
    }

    /// With the name under which the worker claims. Default: `worker` and a random number.
    #[must_use]
    pub fn with_name(mut self, name: HolderName) -> Self {
        self.name = Some(name);
        self
    }

    /// With a time-out for handlers, up to 366 days. After it the worker drops the handler, and the attempt has failed. Default:
    /// no time-out.
    #[must_use]
    pub fn with_handler_timeout(mut self, timeout: Duration) -> Self {
        self.parts.handler_timeout = Some(timeout.min(NewJob::MAX_DELAY));
        self
    }

    /// With this time for a handler to end after a request to cancel its job, up to 366 days. Default 5 s.
    #[must_use]
    pub fn with_cancel_grace(mut self, grace: Duration) -> Self {
        self.parts.cancel_grace = grace.min(NewJob::MAX_DELAY);
        self
    }

    /// With this time for running handlers to end after a shutdown has begun, up to 366 days. After it the worker takes up to
    /// 5 s more to give back the remaining jobs. Default 20 s.
    #[must_use]
    pub fn with_shutdown_deadline(mut self, deadline: Duration) -> Self {
        self.parts.shutdown_deadline = deadline.min(NewJob::MAX_DELAY);
        self
    }

    /// With settlements that request this durability. If a settlement does not reach it, the worker counts the delivery as
    /// [unknown](crate::WorkerStats::unknown) and logs it: the settlement took effect if the lease lasted. Default [`Durability::Accepted`].
    #[must_use]
    pub fn with_durability(mut self, durability: Durability) -> Self {
        self.parts.durability = durability;
        self
    }

    /// With a shutdown on SIGTERM and SIGINT; a second signal ends the worker immediately. After the worker has ended, both
    /// signals still do not end the process. If a handler may block its thread for ever, let `main` end with
    /// [`std::process::exit`]: a runtime that is dropped waits for its threads. Default: the worker does not handle signals.
    #[must_use]
    pub fn with_signals(mut self) -> Self {
        self.parts.signals = true;
        self
    }

    /// With a heartbeat every 5 s that lasts 15 s, under the worker's name. It carries the number of running handlers of each
    /// queue as JSON. The worker leaves the pool at its shutdown.
    #[must_use]
    pub fn with_heartbeats(mut self, heartbeats: Arc<dyn Heartbeats>, pool: PoolName) -> Self {
        self.parts.heartbeats = Some((heartbeats, pool));
        self
    }

    /// Also delivers the outboxes of the worker's queues ([`Worker`]). `homes`: those of its store; `State::worker` sets them.
    #[must_use]
    pub fn with_outboxes(mut self, homes: Arc<dyn Homes>) -> Self {
        self.parts.outboxes = Some(homes);
        self
    }

    /// Also sweeps listings of runs and sessions ([`Worker`]) at this interval, less up to a fifth, 20 ms to 30 days. `store`: that of
    /// the worker, in the scope that all services share; `State::worker` sets it, with an hour.
    #[must_use]
    pub fn with_sweeps(mut self, store: Arc<dyn StateRole>, every: Duration) -> Self {
        self.parts.sweeps = Some((store, every));
        self
    }

    /// Calls `hook` with the span of each delivery before its handler starts. Use it to connect the span to the trace of
    /// the push, which the span has only as fields. An example with the crates `opentelemetry` and `tracing-opentelemetry`:
    ///
    /// ```ignore
    /// let builder = builder.with_span_hook(|job, span| {
    ///     let Some(trace) = job.trace() else { return };
    ///     let mut headers = HashMap::from([("traceparent".to_owned(), trace.traceparent().to_owned())]);
    ///     headers.extend(trace.tracestate().map(|state| ("tracestate".to_owned(), state.to_owned())));
    ///     let parent = TraceContextPropagator::new().extract(&headers);
    ///     let _ = span.set_parent(parent); // OpenTelemetrySpanExt
    /// });
    /// ```
    ///
    /// The hook runs in the worker's own task: it must not block. If it panics, the worker logs an error and starts the handler.
    #[must_use]
    pub fn with_span_hook(mut self, hook: impl Fn(&Job, &tracing::Span) + Send + Sync + 'static) -> Self {
        self.parts.span_hook = Some(Arc::new(hook));
        self
    }

    /// Validates the settings and returns the worker. It does no I/O.
    ///
    /// # Errors
    /// [`BuildError`] with all problems: no queue, a queue twice, an invalid name, a value outside its range.
    pub fn build(mut self) -> Result<Worker, BuildError> {
        self.validate();
        let name = match self.name.map_or_else(|| HolderName::unique("worker"), Ok) {
            Ok(name) => name,
            Err(error) => {
                self.problems.push(error.to_string());
                return Err(BuildError { problems: self.problems });
            }
        };
        if !self.problems.is_empty() {
            return Err(BuildError { problems: self.problems });
        }
        Ok(Worker::assemble(self.parts, name))
    }

    fn validate(&mut self) {
        let parts = &self.parts;
        let mut problems = Vec::new();
        if parts.queues.is_empty() && self.problems.is_empty() {
            problems.push("it has no queue; add one with `with_handler` or `with_queue`".to_owned());
        }
        if !(1..=MAX_CONCURRENCY).contains(&parts.concurrency) {
            problems.push(format!("the concurrency is {}; give 1 to {MAX_CONCURRENCY}", parts.concurrency));
        }
        if parts.prefetch.is_some_and(|jobs| jobs > NewJob::MAX_BATCH) {
            problems.push(format!(
                "the prefetch is {}; give at most {most}",
                parts.prefetch.unwrap_or_default(),
                most = NewJob::MAX_BATCH
            ));
        }
        if !Lease::RANGE.contains(&parts.lease) {
            problems.push(format!("the lease lasts {:?}; give 10 ms to 30 days", parts.lease));
        }
        if parts.sweeps.as_ref().is_some_and(|(_, every)| !SWEEPS.contains(every)) {
            problems.push("the interval of sweeps is out of range; give 20 ms to 30 days".to_owned());
        }
        if parts.handler_timeout.is_some_and(|timeout| timeout.is_zero()) {
            problems.push("the handler time-out is zero; leave it out for no limit".to_owned());
        }
        let mut names = HashSet::new();
        for QueueParts { name, options, .. } in &parts.queues {
            if !names.insert(name) {
                problems.push(format!("the queue {name} is given twice; give it one handler"));
            }
            if options.concurrency == Some(0) || options.weight == 0 {
                problems.push(format!("the queue {name} has a concurrency or a weight of zero; give at least 1"));
            }
            if options.handler_timeout.is_some_and(|timeout| timeout.is_zero()) {
                problems
                    .push(format!("the queue {name} has a handler time-out of zero; leave it out for the worker's"));
            }
        }
        self.problems.append(&mut problems);
    }
}

impl fmt::Debug for WorkerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queues: Vec<_> = self.parts.queues.iter().map(|queue| &queue.name).collect();
        f.debug_struct("WorkerBuilder").field("queues", &queues).finish_non_exhaustive()
    }
}

/// All problems of a worker that cannot be built.
///
/// ```
/// # let (stores, _) = twinstore::testing::stores();
/// let error = stores.state().worker().with_concurrency(0).build().unwrap_err();
/// assert_eq!(error.problems.len(), 2); // it has no queue, and the concurrency is 0
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the worker cannot be built: {}", problems.join("; "))]
pub struct BuildError {
    /// The problems, one sentence each.
    pub problems: Vec<String>,
}
