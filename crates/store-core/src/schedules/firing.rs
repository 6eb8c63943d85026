//! Schedules as the store has recorded them.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::Schedule;
use crate::{JobId, ScheduleName, Timestamp};

/// A schedule as the store has recorded it. In JSON, times are milliseconds since 1970-01-01 UTC in fields that end in `_ms`;
/// the payload does not appear.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// # use std::time::Duration;
/// # use twinstore::durability::Durability;
/// # use twinstore::queue::{NewJob, QueueName};
/// use twinstore::schedule::{Schedule, ScheduleInfo, ScheduleName};
///
/// # let schedules = stores.state().schedules();
/// # let (mails, digest) = (QueueName::new("mails")?, ScheduleName::new("digest")?);
/// # let hourly = Schedule::every(Duration::from_secs(3600), NewJob::new("digest"))?;
/// # schedules.put(&mails, &digest, &hourly, None, Durability::Accepted).await?;
/// let info: ScheduleInfo = schedules.get(&mails, &digest).await?.expect("it exists");
/// let times = info.next_times(3);
/// assert_eq!(times[2].since(times[0]), Duration::from_secs(2 * 3600));
/// schedules.pause(&mails, &digest).await?;
/// assert!(schedules.get(&mails, &digest).await?.unwrap().next_times(3).is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ScheduleInfo {
    /// The name.
    pub name: ScheduleName,
    /// The schedule.
    pub schedule: Schedule,
    /// Its version: 1 when it was created, and 1 more with each change.
    pub version: u64,
    /// Whether it is paused.
    pub paused: bool,
    /// All times up to this one are done with: they have fired, or were dropped. At first, when the schedule was put or resumed.
    #[serde(rename = "since_ms")]
    pub since: Timestamp,
    /// Its last firing that pushed a job. See [`Firing`] for the outcome of the job.
    pub last: Option<Firing>,
}

impl ScheduleInfo {
    /// A schedule that has not fired. Engines set the other fields.
    pub fn new(name: ScheduleName, schedule: Schedule, version: u64, since: Timestamp) -> Self {
        Self { name, schedule, version, paused: false, since, last: None }
    }

    /// Its next time. It may have passed, if no process has fired it yet. `None` if the schedule is paused, or if no time is
    /// left.
    pub fn next(&self) -> Option<Timestamp> {
        if self.paused { None } else { self.schedule.next_after(self.since) }
    }

    /// Its next times, at most `count` and 1,000: see [`next`](Self::next).
    pub fn next_times(&self, count: usize) -> Vec<Timestamp> {
        std::iter::successors(self.next(), |time| self.schedule.next_after(*time)).take(count.min(1000)).collect()
    }
}

impl fmt::Debug for ScheduleInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScheduleInfo")
            .field("name", &self.name)
            .field("schedule", &self.schedule)
            .field("version", &self.version)
            .field("paused", &self.paused)
            .field("since", &self.since)
            .field("last", &self.last)
            .finish()
    }
}

/// A firing of a schedule that pushed jobs. `QueueInspect::get` with [`Firing::job`] returns what became of the job: it waits, runs,
/// is dead with its reason, or is completed with its result. A completed job is kept only if its handler keeps a result
/// (`Outcome::Complete` with a [`Kept`](crate::Kept), or `Done::keep` of a worker), and only as long as the result; then, and without
/// one, `get` returns `None`. So keep a result for longer than the interval to see the outcome of the last firing.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, clock) = twinstore::testing::stores();
/// # use std::time::Duration;
/// # use twinstore::durability::Durability;
/// # use twinstore::queue::{JobState, NewJob, QueueName};
/// use twinstore::schedule::{Firing, Schedule, ScheduleName};
///
/// # let schedules = stores.state().schedules();
/// # let (mails, digest) = (QueueName::new("mails")?, ScheduleName::new("digest")?);
/// # let hourly = Schedule::every(Duration::from_secs(3600), NewJob::new("digest"))?;
/// # schedules.put(&mails, &digest, &hourly, None, Durability::Accepted).await?;
/// # clock.advance(Duration::from_secs(3600));
/// # let due = schedules.due(&mails, 1).await?;
/// # schedules.advance(&mails, &due.schedules[0].plan(due.now), Durability::Accepted).await?;
/// let last: Firing = schedules.get(&mails, &digest).await?.unwrap().last.expect("it has fired");
/// let job = stores.state().inspect().get(&mails, &last.job).await?.expect("the job waits");
/// assert_eq!(job.state, JobState::Ready);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Firing {
    /// The time of the schedule, the last one if several fired together.
    #[serde(rename = "due_ms")]
    pub due: Timestamp,
    /// When it fired, by the server's clock.
    #[serde(rename = "fired_ms")]
    pub fired: Timestamp,
    /// How many jobs it pushed.
    pub jobs: u32,
    /// How many times it dropped: those that were due too, and got no job. At most 999,999.
    pub missed: u32,
    /// The last of its jobs.
    pub job: JobId,
}

impl Firing {
    /// What an engine has recorded.
    pub fn new(due: Timestamp, fired: Timestamp, jobs: u32, missed: u32, job: JobId) -> Self {
        Self { due, fired, jobs, missed, job }
    }
}

/// What [`Schedules::due`](super::Schedules::due) returns.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// # use twinstore::queue::QueueName;
/// use twinstore::schedule::DueSchedules;
///
/// let due: DueSchedules = stores.state().schedules().due(&QueueName::new("mails")?, 10).await?;
/// assert!(due.schedules.is_empty() && due.next_in.is_none()); // the queue has no schedules
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DueSchedules {
    /// The server's clock.
    pub now: Timestamp,
    /// The schedules, the earliest first.
    pub schedules: Vec<ScheduleInfo>,
    /// The time until the next one is due that is not in `schedules`, zero if there are more. `None` if there is none.
    pub next_in: Option<Duration>,
    /// Schedules that are due and that this version cannot read: their records are damaged, or newer. Delete and put them again, or
    /// let a newer version fire them.
    pub unreadable: Vec<ScheduleName>,
}

impl DueSchedules {
    /// The largest number of schedules in one answer.
    pub const MAX_LIMIT: u32 = 50;

    /// The largest number of unreadable schedules in one answer. They do not count towards its limit.
    pub const MAX_UNREADABLE: u32 = 200;

    /// What an engine returns.
    pub fn new(now: Timestamp, schedules: Vec<ScheduleInfo>, next_in: Option<Duration>) -> Self {
        Self { now, schedules, next_in, unreadable: Vec::new() }
    }
}
