//! Fires schedules when their times have come.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use store_core::{Advance, Advanced, DueSchedules, Durability, Error, Op, QueueName, Result, Schedules};
use tokio::time::sleep;

use crate::worker::AbortOnDrop;

/// How long a queue is left alone at most: a new schedule is noticed within this time.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// The pause after a failed call.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// Processes that wake up for the same time are spread over this time: the first one fires.
const JITTER: Duration = Duration::from_millis(100);
/// How many calls of `due` one tick makes at most for a queue.
const ROUNDS: usize = 20;

/// Fires the schedules of queues. Every process of a service may run one. One of them fires each time; the others find that it is
/// done. If a process dies, the others continue. [`CatchUp`](store_core::CatchUp) decides what becomes of times that all of them
/// missed.
///
/// It sleeps until the next time of its queues, and checks each queue every 10 s for schedules that were put or resumed meanwhile.
/// So the first firing of a new schedule may be up to 10 s late; each other one is up to 0.1 s late. An idle process sends one
/// small call per queue in 10 s. A queue that does not answer delays no other one.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, clock) = twinstore::testing::stores();
/// use std::time::Duration;
/// use twinstore::prelude::*;
/// use twinstore::schedule::{Schedule, ScheduleName, Scheduler};
///
/// let (state, reports) = (stores.state(), QueueName::new("reports")?);
/// let hourly = Schedule::every(Duration::from_secs(3600), NewJob::new("hourly report"))?;
/// state.schedules().put(&reports, &ScheduleName::new("hourly")?, &hourly, None, Durability::Accepted).await?;
///
/// let scheduler: Scheduler = state.scheduler().with_queue(reports.clone());
/// # clock.advance(Duration::from_secs(3600));
/// # scheduler.tick().await?;
/// # let inspect = state.inspect();
/// let scheduling = scheduler.start(); // until it is dropped
/// # assert_eq!(inspect.counts(&reports).await?.ready, 1);
/// # drop(scheduling);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Scheduler {
    schedules: Arc<dyn Schedules>,
    queues: Vec<QueueName>,
    durability: Durability,
}

impl Scheduler {
    /// A scheduler without queues.
    pub fn new(schedules: Arc<dyn Schedules>) -> Self {
        Self { schedules, queues: Vec::new(), durability: Durability::Accepted }
    }

    /// With the schedules of this queue, too.
    #[must_use]
    pub fn with_queue(mut self, queue: QueueName) -> Self {
        self.queues.push(queue);
        self
    }

    /// With firings that request this durability. Default [`Durability::Accepted`].
    #[must_use]
    pub fn with_durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Fires what is due in all queues, once. Returns the time until the next call is worthwhile, at most 10 s. For services
    /// that have a loop of their own, and for tests; others call [`start`](Self::start).
    ///
    /// # Errors
    /// The first one of a call, after all schedules were tried. What has not fired fires with the next call. If this version cannot
    /// read a schedule, [`Error::Corrupt`](store_core::Error::Corrupt) with its name; the other schedules fire.
    pub async fn tick(&self) -> Result<Duration> {
        let mut result = Ok(LOOK_EVERY);
        for (pause, ticked) in join_all(self.queues.iter().map(|queue| self.tick_queue(queue))).await {
            result = result.and_then(|least: Duration| ticked.map(|()| least.min(pause)));
        }
        result
    }

    /// Starts a task that fires the schedules until the result is dropped. If the store is unavailable, it tries again every
    /// second.
    ///
    /// # Panics
    /// If it is called outside a Tokio runtime.
    pub fn start(self) -> Scheduling {
        Scheduling { _task: AbortOnDrop(tokio::spawn(self.run())) }
    }

    async fn run(self) {
        join_all(self.queues.iter().map(|queue| self.watch(queue))).await;
    }

    /// Fires the schedules of a queue, and logs the begin and the end of an outage.
    async fn watch(&self, queue: &QueueName) {
        let mut has_failed = false;
        loop {
            let (pause, ticked) = self.tick_queue(queue).await;
            let had_failed = std::mem::replace(&mut has_failed, ticked.is_err());
            match ticked {
                Ok(()) if had_failed => tracing::info!(%queue, "all schedules of the queue fire again"),
                Err(error) if !had_failed => {
                    tracing::warn!(%queue, %error, "not all schedules of the queue have fired");
                }
                _ => {}
            }
            sleep(pause + JITTER.mul_f64(fastrand::f64())).await;
        }
    }

    /// Returns the time until the next call is worthwhile: until the next schedule of the queue is due, at most 10 s, or until what has
    /// not fired is tried again. And the first error.
    async fn tick_queue(&self, queue: &QueueName) -> (Duration, Result<()>) {
        let (mut pause, mut result) = (LOOK_EVERY, Ok(()));
        for _ in 0..ROUNDS {
            let due = match self.schedules.due(queue, DueSchedules::MAX_LIMIT).await {
                Ok(due) => due,
                Err(error) => return (AFTER_FAILURE, Err(error)),
            };
            let mut has_all_fired = true;
            for info in &due.schedules {
                let advance = info.plan(due.now);
                if let Some(next) = advance.next {
                    pause = pause.min(next.since(due.now));
                }
                let advanced = self.advance(queue, &advance).await;
                has_all_fired &= matches!(advanced, Ok(()) | Err(Error::NotDurable { .. }));
                result = result.and(advanced);
            }
            if let Some(name) = due.unreadable.first() {
                let detail =
                    format!("this version cannot read the schedule `{name}` of the queue `{queue}`; others fire");
                result = result.and(Err(Error::corrupt(Op::ScheduleDue, detail)));
            }
            if !has_all_fired {
                return (AFTER_FAILURE, result);
            }
            match due.next_in {
                Some(Duration::ZERO) => {}
                next => return (next.unwrap_or(LOOK_EVERY).min(pause), result),
            }
        }
        (Duration::ZERO, result)
    }

    async fn advance(&self, queue: &QueueName, advance: &Advance) -> Result<()> {
        match self.schedules.advance(queue, advance, self.durability).await?.value {
            Advanced::Done { jobs } if !jobs.is_empty() => {
                let (schedule, jobs, missed) = (&advance.name, jobs.len(), advance.missed);
                tracing::debug!(%queue, %schedule, jobs, missed, "a schedule fired");
            }
            _ => {}
        }
        Ok(())
    }
}

/// A scheduler that runs until this is dropped. A firing under way is then completed or not begun: never half.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::prelude::*;
/// use twinstore::schedule::Scheduling;
///
/// let scheduling: Scheduling = stores.state().scheduler().with_queue(QueueName::new("reports")?).start();
/// # assert!(format!("{scheduling:?}").contains("Scheduling"));
/// drop(scheduling); // stops it
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "the scheduler ends when this is dropped"]
pub struct Scheduling {
    _task: AbortOnDrop<()>,
}
