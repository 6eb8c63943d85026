//! From jobs to notifications.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Serialize;
use twinstore::name::Key;
use twinstore::rate_limit::{Rate, RateCheck, RateLimit};
use twinstore::worker::{BuildError, Done, HandlerResult, Job, JobError, JobHandler, Worker};
use twinstore::{Error, Stores};

use crate::cli::Options;
use crate::delivery::Webhook;
use crate::ingest::Outage;
use crate::log::{Entry, Log, Step};
use crate::render::render;
use crate::report::Tally;
use crate::sink::Sink;

/// How long a job and its result are kept: a delivery that is sent again is known as long, even to a cache that forgot it.
const RESULT_KEPT: Duration = Duration::from_secs(3 * 24 * 3600);

/// How long running handlers may take to end after SIGTERM.
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(20);

/// How long a snoozed job waits when the limit does not say.
const SNOOZE: Duration = Duration::from_millis(100);

/// The worker that delivers what is in the queue.
pub(crate) fn worker(stores: &Stores, options: &Options, sink: Sink, tally: Arc<Tally>) -> Result<Worker, BuildError> {
    let concurrency = options.concurrency as usize;
    let deliver = Deliver {
        sink,
        limits: stores.cache().rate_limit(),
        rate: Rate::per_second(options.rate),
        failure_rate: options.failure_rate,
        delay: options.delay,
        tally,
        log: Log::new(stores, Outage::default()),
        complained: AtomicBool::new(false),
    };
    stores
        .state()
        .worker()
        .with_handler(deliver)
        .with_concurrency(concurrency)
        .with_lease(options.lease)
        .with_shutdown_deadline(SHUTDOWN_DEADLINE)
        .build()
}

/// Handles one job: rate limit, render, deliver.
struct Deliver {
    sink: Sink,
    limits: Arc<dyn RateLimit>,
    rate: Rate,
    failure_rate: f64,
    delay: Duration,
    tally: Arc<Tally>,
    log: Log,
    /// Whether the log says already that the sink fails.
    complained: AtomicBool,
}

/// What is kept of a delivered notification.
#[derive(Serialize)]
struct Delivered<'a> {
    event: &'a str,
    bytes: usize,
}

impl JobHandler<Webhook> for Deliver {
    async fn call(&self, webhook: Webhook, job: Job) -> HandlerResult {
        if job.attempt() == 1 {
            self.tally.waited(job.since_push());
        }
        if let Some(repository) = webhook.repository()
            && let Some(wait) = self.over_limit(repository).await?
        {
            return Err(JobError::snooze(wait));
        }
        let (id, attempt) = (job.id().as_str().into(), Some(job.attempt()));
        match self.send(&webhook, &job).await {
            Ok(result) => {
                self.log.append(Step::Delivered, &Entry { id, attempt, error: None }).await;
                Ok(Done::keep(result, RESULT_KEPT))
            }
            Err(error) => {
                let step = if job.is_last_attempt() { Step::Dead } else { Step::Failed };
                let entry = Entry { id, attempt, error: Some(error.as_str().into()) };
                self.log.append(step, &entry).await;
                Err(JobError::retry(error))
            }
        }
    }
}

impl Deliver {
    /// What is kept of the job, or why it was not sent.
    async fn send(&self, webhook: &Webhook, job: &Job) -> Result<Vec<u8>, String> {
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        if self.failure_rate > 0.0 && fastrand::f64() < self.failure_rate {
            return Err("failed on purpose (--failure-rate)".to_owned());
        }
        let describe = |error: serde_json::Error| error.to_string();
        let line = serde_json::to_vec(&render(webhook)).map_err(describe)?;
        let kept = Delivered { event: &webhook.event, bytes: line.len() };
        let result = serde_json::to_vec(&kept).map_err(describe)?;
        if let Err(error) = self.sink.deliver(line).await {
            if job.is_last_attempt() {
                tracing::warn!(id = %job.id(), %error, "a delivery is dead");
            } else if !self.complained.swap(true, Ordering::Relaxed) {
                tracing::warn!(%error, "the sink fails; deliveries are tried again");
            }
            return Err(error);
        }
        Ok(result)
    }

    /// How long to wait, if the repository has had its share. A limit that cannot be asked lets the notification pass: it
    /// protects readers from noise, and a late notification is worse than one too many.
    async fn over_limit(&self, repository: &str) -> Result<Option<Duration>, JobError> {
        let Ok(key) = Key::new(format!("notifications/{repository}")) else { return Ok(None) };
        match self.limits.check(&[RateCheck::new(key, self.rate)]).await {
            Ok(decision) if decision.allowed => Ok(None),
            Ok(decision) => Ok(Some(decision.retry_after().unwrap_or(SNOOZE))),
            Err(Error::Unavailable { .. } | Error::Indeterminate { .. } | Error::Limit { .. }) => Ok(None),
            Err(error) => Err(JobError::retry(error)),
        }
    }
}
