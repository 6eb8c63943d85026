//! Putting a worker together.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use store_core::{Durability, Heartbeats, HolderName, LEASE_RANGE, MAX_BATCH, MAX_DELAY, PoolName, Queue, QueueName};

use crate::handler::Handler;
use crate::job::Job;
use crate::span::SpanHook;
use crate::task::Start;
use crate::worker::Worker;

/// The most handlers that one worker runs at a time.
const MAX_CONCURRENCY: usize = 10_000;

/// How a worker treats one of its queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueOptions {
    /// At most how many of the worker's handlers work on this queue. Default: as many as the worker has.
    pub concurrency: Option<usize>,
    /// Its share where several queues have work: a queue of weight 2 gets twice the handlers of one of weight 1. Default 1.
    pub weight: u32,
    /// How long a handler may take, at most 366 days. Default: what [`WorkerBuilder::handler_timeout`] says.
    pub handler_timeout: Option<Duration>,
}

impl QueueOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self { concurrency: None, weight: 1, handler_timeout: None }
    }

    /// With at most this many handlers.
    #[must_use]
    pub fn with_concurrency(mut self, concurrency: usize) -> Self {
        self.concurrency = Some(concurrency);
        self
    }

    /// With this share.
    #[must_use]
    pub fn with_weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// With a time-out of its own.
    #[must_use]
    pub fn with_handler_timeout(mut self, timeout: Duration) -> Self {
        self.handler_timeout = Some(timeout.min(MAX_DELAY));
        self
    }
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// What a worker is made of; [`Worker::new`] begins it, [`build`](WorkerBuilder::build) ends it.
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
        };
        Self { parts, name: None, problems: Vec::new() }
    }

    /// Works on a queue with this handler.
    #[must_use]
    pub fn queue<N>(self, name: N, handler: impl Handler) -> Self
    where
        N: TryInto<QueueName, Error: fmt::Display>,
    {
        self.queue_with(name, QueueOptions::new(), handler)
    }

    /// Works on a queue with this handler and options.
    #[must_use]
    pub fn queue_with<N>(mut self, name: N, options: QueueOptions, handler: impl Handler) -> Self
    where
        N: TryInto<QueueName, Error: fmt::Display>,
    {
        match name.try_into() {
            Ok(name) => self.parts.queues.push(QueueParts { name, options, handler: Arc::new(Arc::new(handler)) }),
            Err(error) => self.problems.push(error.to_string()),
        }
        self
    }

    /// At most how many handlers run at a time, over all queues: 1 to 10,000. Default 64.
    #[must_use]
    pub fn concurrency(mut self, concurrency: usize) -> Self {
        self.parts.concurrency = concurrency;
        self
    }

    /// At most how many jobs are claimed ahead of a free handler. That many are only while handlers end as fast as claims are
    /// answered, else as many as ended during the last claim; and they are given back when none has begun after a third to
    /// two thirds of the lease, so jobs that take long are not held back from other workers. Default: as many as the
    /// concurrency.
    #[must_use]
    pub fn prefetch(mut self, jobs: usize) -> Self {
        self.parts.prefetch = Some(jobs);
        self
    }

    /// How long a lease lasts; it is renewed every third of it. The jobs of a worker that dies come back after this time.
    /// Default 15 s.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.parts.lease = lease;
        self
    }

    /// The name under which it claims. Default: `worker` and a random number.
    #[must_use]
    pub fn name(mut self, name: HolderName) -> Self {
        self.name = Some(name);
        self
    }

    /// How long a handler may take before it is dropped and the attempt has failed, at most 366 days. Default: as long as
    /// it likes.
    #[must_use]
    pub fn handler_timeout(mut self, timeout: Duration) -> Self {
        self.parts.handler_timeout = Some(timeout.min(MAX_DELAY));
        self
    }

    /// How long a handler may go on after somebody asked for its job to be cancelled, at most 366 days. Default 5 s.
    #[must_use]
    pub fn cancel_grace(mut self, grace: Duration) -> Self {
        self.parts.cancel_grace = grace.min(MAX_DELAY);
        self
    }

    /// How long running handlers may go on after a shutdown began, at most 366 days. After it the worker takes at most 5 s more to give
    /// back what is left. Default 20 s.
    #[must_use]
    pub fn shutdown_deadline(mut self, deadline: Duration) -> Self {
        self.parts.shutdown_deadline = deadline.min(MAX_DELAY);
        self
    }

    /// How far settlements have to reach. One that does not reach it stands, and is logged. Default
    /// [`Durability::Accepted`].
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.parts.durability = durability;
        self
    }

    /// Shuts down on SIGTERM and SIGINT; a second one ends it at once. The process catches both from then on, also when the
    /// worker has ended. Default: signals are left alone.
    #[must_use]
    pub fn on_signals(mut self) -> Self {
        self.parts.signals = true;
        self
    }

    /// Sends a heartbeat every 5 s, lasting 15 s, under the worker's name, with the number of running handlers per queue
    /// as JSON; leaves the pool at shutdown.
    #[must_use]
    pub fn heartbeats(mut self, heartbeats: Arc<dyn Heartbeats>, pool: PoolName) -> Self {
        self.parts.heartbeats = Some((heartbeats, pool));
        self
    }

    /// Calls `hook` with the span of each delivery before its handler starts. Use it to connect the span to the trace of
    /// the push, which the span has only as fields. With the crates `opentelemetry` and `tracing-opentelemetry`:
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

    /// The worker. Sends nothing yet.
    ///
    /// # Errors
    /// [`BuildError`] with everything that is wrong.
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
            problems.push("it has no queue; give it one with its handler".to_owned());
        }
        if !(1..=MAX_CONCURRENCY).contains(&parts.concurrency) {
            problems.push(format!("a concurrency of {}; give 1 to {MAX_CONCURRENCY}", parts.concurrency));
        }
        if parts.prefetch.is_some_and(|jobs| jobs > MAX_BATCH) {
            problems.push(format!("a prefetch over {MAX_BATCH} jobs"));
        }
        if !LEASE_RANGE.contains(&parts.lease) {
            problems.push("a lease lasts from 10 ms to 30 days".to_owned());
        }
        if parts.handler_timeout.is_some_and(|timeout| timeout.is_zero()) {
            problems.push("a handler timeout of zero; leave it out for none".to_owned());
        }
        let mut names = HashSet::new();
        for QueueParts { name, options, .. } in &parts.queues {
            if !names.insert(name) {
                problems.push(format!("the queue {name} is given twice"));
            }
            if options.concurrency == Some(0) || options.weight == 0 {
                problems.push(format!("the queue {name} has a concurrency or a weight of zero"));
            }
            if options.handler_timeout.is_some_and(|timeout| timeout.is_zero()) {
                problems.push(format!("the queue {name} has a handler timeout of zero"));
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

/// Everything that is wrong with a worker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the worker cannot be built: {}", problems.join("; "))]
pub struct BuildError {
    /// One sentence each.
    pub problems: Vec<String>,
}
