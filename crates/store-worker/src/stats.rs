//! The counters of a worker.

use store_core::metric::{
    Counter, Gauge, Histogram, WORKER_DEAD_JOBS, WORKER_JOB_SECONDS, WORKER_JOBS, WORKER_LAST_CLAIM_SECONDS,
    WORKER_RUNNING_JOBS, WORKER_START_DELAY_SECONDS, WORKER_STORE_ERRORS, WORKER_STUCK_JOBS,
};
use store_core::{Op, QueueName, Timestamp};

use crate::tally::Tally;

/// How a delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Completed,
    Failed,
    TimedOut,
    Panicked,
    Snoozed,
    Cancelled,
    Released,
    Lost,
    /// The reply to its settlement was lost, or it did not reach the durability, or the handler did not return after a commit.
    Unknown,
}

impl Ending {
    pub(crate) const ALL: [Ending; 9] = [
        Ending::Completed,
        Ending::Failed,
        Ending::TimedOut,
        Ending::Panicked,
        Ending::Snoozed,
        Ending::Cancelled,
        Ending::Released,
        Ending::Lost,
        Ending::Unknown,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Ending::Completed => "completed",
            Ending::Failed => "failed",
            Ending::TimedOut => "timed_out",
            Ending::Panicked => "panicked",
            Ending::Snoozed => "snoozed",
            Ending::Cancelled => "cancelled",
            Ending::Released => "released",
            Ending::Lost => "lost",
            Ending::Unknown => "unknown",
        }
    }
}

/// What a worker has done since it began. Each delivery is counted in exactly one of `completed`, `failed`, `timed_out`,
/// `panicked`, `snoozed`, `cancelled`, `released`, `lost` and `unknown`, when the store has accepted its settlement or its lease
/// is lost.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use twinstore::prelude::*;
///
/// # let (stores, _) = twinstore::testing::stores();
/// # stores.state().queue().push_one(&"mails".try_into()?, NewJob::new("ann@example.org")).await?;
/// let fails = async |_: Job| -> HandlerResult { Err("no network")? };
/// let worker = stores.state().worker().with_queue("mails", fails).build()?;
/// let stats = twinstore::testing::run_until_empty(worker, stores.state()).await?.stats;
/// assert_eq!((stats.failed, stats.retried(), stats.dead), (1, 1, 0));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct WorkerStats {
    /// Handlers that run now.
    pub running: u64,
    /// Of the running handlers: those that the worker has stopped and that have not ended within the
    /// [grace](crate::WorkerBuilder::with_cancel_grace). They block their threads.
    pub stuck: u64,
    /// When the store last answered a claim, by this machine's clock. An idle worker claims at least every 10 s; a worker whose
    /// handlers are all busy does not claim. [`WorkerHandle::is_claiming_within`](crate::WorkerHandle::is_claiming_within) takes that into account.
    pub last_claim_answered_at: Option<Timestamp>,
    /// Done.
    pub completed: u64,
    /// The handler returned an error.
    pub failed: u64,
    /// The handler exceeded its time-out.
    pub timed_out: u64,
    /// The handler panicked.
    pub panicked: u64,
    /// Delayed, without counting as an attempt.
    pub snoozed: u64,
    /// Stopped because a cancellation was requested.
    pub cancelled: u64,
    /// Given back before their handlers began or ended: at a shutdown, or because no handler was free in time.
    pub released: u64,
    /// Lost their lease, or could not be settled before it expired: the job is delivered again.
    pub lost: u64,
    /// Their lease ended after the reply to their settlement was lost, or after the handler had made a commit; or their settlement did
    /// not reach the [durability](crate::WorkerBuilder::with_durability): the store has accepted the result, or the job is delivered again.
    pub unknown: u64,
    /// Of the deliveries that failed, timed out or panicked: those after which the job was dead.
    pub dead: u64,
}

impl WorkerStats {
    /// Failures after which the job is tried again.
    pub fn retried(&self) -> u64 {
        (self.failed + self.timed_out + self.panicked).saturating_sub(self.dead)
    }
}

/// The result of [`Worker::run`](crate::Worker::run) when the worker has shut down.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use twinstore::prelude::*;
///
/// # let (stores, _) = twinstore::testing::stores();
/// let worker = stores.state().worker().with_queue("mails", async |_: Job| Ok(())).build()?;
/// worker.handle().shutdown();
/// let report = worker.run().await?;
/// assert!(report.clean && report.stats.completed == 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct WorkerReport {
    /// The counters at the end.
    pub stats: WorkerStats,
    /// Whether, since the beginning of the shutdown, every handler ended before the deadline and every result was accepted. Other
    /// jobs were given back, or run again when their leases expire.
    pub clean: bool,
}

/// The metrics of one queue, made once.
pub(crate) struct Meters {
    endings: [Counter; Ending::ALL.len()],
    dead: Counter,
    /// How long handlers ran.
    pub(crate) seconds: Histogram,
    /// How long first deliveries waited for their handler.
    pub(crate) push_to_handler: Histogram,
    /// Running handlers.
    pub(crate) running: Gauge,
    /// Of those: handlers that were stopped and have not ended.
    pub(crate) stuck: Gauge,
    /// When a claim was last answered.
    pub(crate) last_claim: Gauge,
}

impl Meters {
    pub(crate) fn new(queue: &QueueName) -> Self {
        let name = queue.as_str();
        Self {
            endings: Ending::ALL.map(|ending| WORKER_JOBS.counter(&[name, ending.name()])),
            dead: WORKER_DEAD_JOBS.counter(&[name]),
            seconds: WORKER_JOB_SECONDS.histogram(&[name]),
            push_to_handler: WORKER_START_DELAY_SECONDS.histogram(&[name]),
            running: WORKER_RUNNING_JOBS.gauge(&[name]),
            stuck: WORKER_STUCK_JOBS.gauge(&[name]),
            last_claim: WORKER_LAST_CLAIM_SECONDS.gauge(&[name]),
        }
    }

    /// Counts the end of a delivery; `dead` if the job is dead after it.
    pub(crate) fn count(&self, tally: &Tally, ending: Ending, dead: bool) {
        self.endings[ending as usize].increment(1);
        tally.count(ending, dead);
        if dead {
            self.dead.increment(1);
        }
    }
}

/// Counts a call to the store that returned an error.
pub(crate) fn count_store_error(op: Op, kind: &'static str) {
    WORKER_STORE_ERRORS.counter(&[op.name(), kind]).increment(1);
}
