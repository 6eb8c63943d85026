//! From lines to jobs: each delivery id once, whatever happens on the way.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufRead, BufReader};
use tokio::task::JoinSet;
use twinstore::idempotency::{Begun, IdempotentRequest};
use twinstore::queue::{JobId, Pushed};
use twinstore::time::Ttl;
use twinstore::{Error, Op, Stores};

use crate::delivery::{Deliveries, Delivery, Webhook};
use crate::log::{Entry, Log, Step};
use crate::report::{Tally, add, count};
use crate::stop::Stop;

/// How long the answer of a delivery is kept: GitHub redelivers within three days.
const ANSWER_KEPT: Ttl = Ttl::from_secs(3 * 24 * 3600);

/// What the idempotency key answers when the delivery is sent again.
const ANSWER: &[u8] = br#"{"status":"queued"}"#;

/// Pauses between tries of what cannot be done yet.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// How the ingestion ended.
#[derive(Debug, Default)]
pub(crate) struct Ingested {
    /// The ids of all deliveries that were accepted, now or before, if they are kept.
    pub(crate) ids: Vec<JobId>,
    /// Why reading ended early.
    pub(crate) failure: Option<String>,
}

/// Where deliveries come from.
pub(crate) type Input = Box<dyn AsyncBufRead + Unpin + Send>;

/// Opens the input that the flags name.
pub(crate) async fn open(input: Option<&Path>) -> Result<Input, String> {
    match input {
        None => Ok(Box::new(std::io::Cursor::new(crate::sample::sample()))),
        Some(path) if path == Path::new("-") => Ok(Box::new(BufReader::new(tokio::io::stdin()))),
        Some(path) => match tokio::fs::File::open(path).await {
            Ok(file) => Ok(Box::new(BufReader::with_capacity(1 << 16, file))),
            Err(error) => Err(format!("cannot read {}: {error}", path.display())),
        },
    }
}

/// Pushes deliveries to the queue.
#[derive(Clone)]
pub(crate) struct Ingest {
    pub(crate) stores: Stores,
    pub(crate) tally: Arc<Tally>,
    pub(crate) stop: Stop,
    pub(crate) concurrency: usize,
    /// How long a delivery stays in progress when this process dies.
    pub(crate) lease: Ttl,
    pub(crate) outage: Outage,
    pub(crate) log: Log,
    /// Whether to keep the ids of the deliveries.
    pub(crate) keeps_ids: bool,
}

/// Whether a store is unavailable, so that this is reported once and not by every waiting delivery. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Outage(Arc<AtomicBool>);

impl Outage {
    pub(crate) fn begins(&self, error: &Error) {
        if !self.0.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "a store does not answer; trying again until it does");
        }
    }

    pub(crate) fn ends(&self) {
        if self.0.swap(false, Ordering::Relaxed) {
            tracing::warn!("the stores answer again");
        }
    }
}

/// What became of one delivery.
pub(crate) enum Fate {
    Accepted(JobId),
    Rejected(String),
    Stopped,
    Failed(Error),
}

impl Ingest {
    /// Reads until the end, or until it is stopped; reports each line that is not a delivery, and continues.
    pub(crate) async fn run(self, input: Input, complain: impl Fn(String)) -> Ingested {
        let mut deliveries = Deliveries::new(input);
        let mut under_way = JoinSet::new();
        let mut ingested = Ingested::default();
        let mut is_stopped = false;
        loop {
            while under_way.len() >= self.concurrency {
                is_stopped |= self.note(under_way.join_next().await, &mut ingested, &complain);
            }
            if ingested.failure.is_some() {
                break;
            }
            let next = tokio::select! {
                next = deliveries.next() => next,
                () = self.stop.stopped() => {
                    is_stopped = true;
                    break;
                }
            };
            match next {
                Ok(None) => {
                    if count(&self.tally.received) == 0 {
                        ingested.failure = Some("the input holds no delivery".to_owned());
                    }
                    break;
                }
                Ok(Some(Ok(delivery))) => {
                    add(&self.tally.received);
                    let ingest = self.clone();
                    under_way.spawn(async move { ingest.accept(delivery).await });
                }
                Ok(Some(Err(refused))) => {
                    add(&self.tally.received);
                    add(&self.tally.rejected);
                    complain(refused.to_string());
                }
                Err(error) => {
                    ingested.failure = Some(format!("cannot read the input any further: {error}"));
                    break;
                }
            }
        }
        while let Some(done) = under_way.join_next().await {
            is_stopped |= self.note(Some(done), &mut ingested, &complain);
        }
        if is_stopped && ingested.failure.is_none() {
            let done = "the lines after the last one that was queued are not; ingest the input again";
            ingested.failure = Some(format!("stopped before the end of the input: {done}"));
        }
        ingested
    }

    /// Whether the delivery was stopped.
    fn note(
        &self,
        done: Option<Result<Fate, tokio::task::JoinError>>,
        ingested: &mut Ingested,
        complain: &impl Fn(String),
    ) -> bool {
        match done {
            Some(Ok(Fate::Accepted(id))) if self.keeps_ids => ingested.ids.push(id),
            Some(Ok(Fate::Rejected(why))) => {
                add(&self.tally.rejected);
                complain(why);
            }
            Some(Ok(Fate::Failed(error))) => ingested.failure = Some(error.to_string()),
            Some(Err(error)) => ingested.failure = Some(format!("a delivery was not carried through: {error}")),
            Some(Ok(Fate::Stopped)) => return true,
            Some(Ok(Fate::Accepted(_))) | None => {}
        }
        false
    }

    /// Carries one delivery through: takes its idempotency key, pushes its job, and keeps the answer.
    pub(crate) async fn accept(self, delivery: Delivery) -> Fate {
        let line = delivery.line;
        let request = IdempotentRequest::new(delivery.key.clone(), delivery.fingerprint);
        let idempotency = self.stores.cache().idempotency();
        let mut pauses = Pauses::new();
        loop {
            let wait = match idempotency.begin(&request, self.lease).await {
                Ok(Begun::Started) => break,
                Ok(Begun::Finished(_)) => {
                    add(&self.tally.duplicates);
                    return Fate::Accepted(delivery.id);
                }
                Ok(Begun::InProgress { retry_after, .. }) => retry_after.min(pauses.next()),
                Ok(Begun::Mismatch) => {
                    return Fate::Rejected(format!("line {line}: its id was used before with another content"));
                }
                Ok(other) => {
                    let detail = format!("the notifier does not handle the outcome {other:?}");
                    return Fate::Failed(Error::unsupported(Op::IdempotencyBegin, detail));
                }
                Err(error) if error.is_retryable() => {
                    self.outage.begins(&error);
                    pauses.next()
                }
                Err(error) => return Fate::Failed(error),
            };
            if self.stop.pause(wait).await {
                return Fate::Stopped;
            }
        }
        let entry = Entry::new(delivery.id.as_str());
        tokio::select! {
            () = self.log.append(Step::Received, &entry) => {}
            () = self.stop.stopped() => return Fate::Stopped,
        }
        match self.push(&delivery, &mut pauses).await {
            Ok(Some(pushed)) if pushed.is_new() => add(&self.tally.queued),
            // The process that began this delivery before pushed it, and died before it kept the answer.
            Ok(Some(_)) => add(&self.tally.duplicates),
            Ok(None) => return Fate::Stopped,
            Err(error) => {
                let _ = idempotency.abandon(&request).await;
                return match error {
                    Error::InvalidArgument { .. } => Fate::Rejected(format!("line {line}: {error}")),
                    error => Fate::Failed(error),
                };
            }
        }
        // An answer that cannot be kept costs nothing but a second look: the queue knows the id.
        while let Err(error) = idempotency.finish(&request, &ANSWER.into(), ANSWER_KEPT).await {
            if !error.is_retryable() || self.stop.pause(pauses.next()).await {
                break;
            }
        }
        Fate::Accepted(delivery.id)
    }

    /// Pushes until it is answered; `None` when it is stopped before.
    async fn push(&self, delivery: &Delivery, pauses: &mut Pauses) -> Result<Option<Pushed>, Error> {
        let webhooks = self.stores.state().queue_of::<Webhook>();
        let job = webhooks.job(&delivery.webhook)?.with_id(delivery.id.clone());
        loop {
            match webhooks.push_one(job.clone()).await {
                Ok(pushed) => {
                    self.outage.ends();
                    return Ok(Some(pushed));
                }
                Err(error) if error.is_retryable() => {
                    self.outage.begins(&error);
                    if self.stop.pause(pauses.next()).await {
                        return Ok(None);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Growing pauses with jitter.
pub(crate) struct Pauses(Duration);

impl Pauses {
    pub(crate) fn new() -> Self {
        Self(PAUSES.0)
    }

    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.0.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.0 = (self.0 * 2).min(PAUSES.1);
        pause
    }
}
