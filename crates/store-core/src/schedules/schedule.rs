//! What a schedule is: its times, its job and its catch-up policy.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::timing::Timing;
use crate::{Error, NewJob, Op, Result, Timestamp, millis_ceil};

const OP: Op = Op::SchedulePut;

/// What becomes of the times that a schedule has missed because no process watched it. In JSON: `"one"`, `{"all":10}`.
///
/// A time is missed if a later one is due too, and under [`CatchUp::Skip`] also if it is older than [`Schedule::grace`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, clock) = twinstore::testing::stores();
/// # use std::time::Duration;
/// # use twinstore::durability::Durability;
/// # use twinstore::queue::{NewJob, QueueName};
/// # use twinstore::time::Timestamp;
/// use twinstore::schedule::{CatchUp, Schedule, ScheduleName};
///
/// # let (mails, schedules) = (QueueName::new("mails")?, stores.state().schedules());
/// let minutely = |catch_up| -> twinstore::Result<Schedule> {
///     Ok(Schedule::every(Duration::from_secs(60), NewJob::new("digest"))?.with_catch_up(catch_up))
/// };
/// # let anchor = schedules.due(&mails, 1).await?.now;
/// # let minutely = |catch_up| minutely(catch_up).map(|schedule| schedule.with_anchor(anchor));
/// for (name, catch_up) in [("skip", CatchUp::Skip), ("one", CatchUp::One), ("all", CatchUp::All(10))] {
///     schedules.put(&mails, &name.try_into()?, &minutely(catch_up)?, None, Durability::Accepted).await?;
/// }
/// clock.advance(Duration::from_secs(5 * 60 + 59)); // nobody watches
/// let due = schedules.due(&mails, 10).await?;
/// let jobs = |name| due.schedules.iter().find(|info| info.name.as_str() == name).unwrap().plan(due.now).due.len();
/// assert_eq!((jobs("skip"), jobs("one"), jobs("all")), (1, 1, 5));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CatchUp {
    /// Missed times are dropped. The last time still fires within the grace.
    Skip,
    /// All that were missed and the last time fire once together: one job. The default.
    #[default]
    One,
    /// Each time has a job of its own, the last ones up to this number, at most [`CatchUp::MAX_ALL`]. Earlier ones are dropped.
    All(u16),
}

impl CatchUp {
    /// The largest number of jobs of one firing.
    pub const MAX_ALL: u16 = 100;
}

/// A schedule to [`put`](super::Schedules::put): its recurring times, and the job that it pushes at each.
///
/// The job may have a priority, a retry policy, a schema, a trace and a time within which it must start. The id of a pushed job
/// contains the time of its firing: [`Schedule::time_of`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use std::time::Duration;
/// use twinstore::queue::{NewJob, Priority};
/// use twinstore::schedule::{CatchUp, Schedule};
///
/// let job = NewJob::new("invoices").with_priority(Priority::High).with_start_within(Duration::from_secs(3600));
/// let monthly = Schedule::cron("0 6 1 * *", "America/New_York", job)?.with_catch_up(CatchUp::All(12));
/// assert_eq!(monthly.to_string(), "cron America/New_York 0 6 1 * *");
/// assert!(Schedule::cron("0 25 * * *", "UTC", NewJob::new("never")).is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Schedule {
    pub(super) timing: Timing,
    pub(super) job: NewJob,
    pub(super) catch_up: CatchUp,
    pub(super) grace: Duration,
}

impl Schedule {
    /// The largest payload of a scheduled job, in bytes: 64 KiB.
    pub const MAX_PAYLOAD_BYTES: usize = 64 << 10;

    /// At the times of a cron expression, by the wall clock of a time zone of the IANA database (`Europe/Berlin`, `UTC`).
    ///
    /// The expression has five fields (minute, hour, day of the month, month, day of the week), six with seconds before them,
    /// or seven with a year behind them. `*/5`, `1-5`, `MON-FRI`, `L` (last), `#` (the n-th day of a week) and `@daily` are
    /// understood. If the day of the month and the day of the week are both restricted, either matches.
    ///
    /// **When clocks change.** A fixed time that is skipped fires at the first time after the gap: 02:30 at 03:00. One that is
    /// repeated fires once, the first time. An expression with `*` or a step in its hours, minutes or seconds fires at
    /// each matching time that really occurs, in a repeated hour twice. The time zones are those that this version of the
    /// library was built with.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] with the reason: the expression, the zone or the job.
    pub fn cron(expression: &str, zone: &str, job: NewJob) -> Result<Self> {
        let timing = Timing::cron(expression, zone).map_err(|reason| Error::invalid_argument(OP, reason))?;
        Self::new(timing, job)
    }

    /// At an interval, from 1 ms to 366 days: at each multiple of it since 1970-01-01 UTC, unless
    /// [`with_anchor`](Self::with_anchor) moves them.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] with the reason: the interval or the job.
    pub fn every(interval: Duration, job: NewJob) -> Result<Self> {
        if interval.is_zero() || interval > NewJob::MAX_DELAY {
            return Err(Error::invalid_argument(OP, "the interval of a schedule lies outside 1 ms to 366 days"));
        }
        Self::new(Timing::Every { interval: millis_ceil(interval), anchor: 0 }, job)
    }

    fn new(timing: Timing, mut job: NewJob) -> Result<Self> {
        // All pushes of one schedule are alike: its text is compared.
        job.request = 0;
        let schedule = Self { timing, job, catch_up: CatchUp::default(), grace: Self::DEFAULT_GRACE };
        schedule.validate()?;
        Ok(schedule)
    }

    const DEFAULT_GRACE: Duration = Duration::from_secs(60);

    /// Moves the times of an interval so that `anchor` is one of them. Does nothing to a cron expression.
    #[must_use]
    pub fn with_anchor(mut self, at: Timestamp) -> Self {
        if let Timing::Every { interval, anchor } = &mut self.timing {
            *anchor = at.as_millis() % *interval;
        }
        self
    }

    /// What becomes of missed times. Default [`CatchUp::One`].
    #[must_use]
    pub fn with_catch_up(mut self, policy: CatchUp) -> Self {
        self.catch_up = match policy {
            CatchUp::All(most) => CatchUp::All(most.clamp(1, CatchUp::MAX_ALL)),
            other => other,
        };
        self
    }

    /// How late the last time may fire under [`CatchUp::Skip`]. Default 60 s.
    #[must_use]
    pub fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = Duration::from_millis(millis_ceil(grace));
        self
    }

    /// What becomes of missed times.
    pub fn catch_up(&self) -> CatchUp {
        self.catch_up
    }

    /// How late the last time may fire under [`CatchUp::Skip`].
    pub fn grace(&self) -> Duration {
        self.grace
    }

    /// The job that is pushed at each time.
    pub fn job(&self) -> &NewJob {
        &self.job
    }

    /// The first time after `time`. `None` if the cron expression names years, and all have passed.
    pub fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        self.timing.next_after(time)
    }

    /// The time of the firing that pushed this job, for its handler. `None` if no schedule can have pushed it. Of a job that was
    /// pushed without a schedule and without an id, about the time of the push.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (stores, clock) = twinstore::testing::stores();
    /// # use std::time::Duration;
    /// # use twinstore::durability::Durability;
    /// # use twinstore::queue::{NewJob, QueueName};
    /// use twinstore::schedule::{Advanced, Schedule, ScheduleName};
    ///
    /// # let schedules = stores.state().schedules();
    /// # let (mails, digest) = (QueueName::new("mails")?, ScheduleName::new("digest")?);
    /// # let hourly = Schedule::every(Duration::from_secs(3600), NewJob::new("digest"))?;
    /// # schedules.put(&mails, &digest, &hourly, None, Durability::Accepted).await?;
    /// # clock.advance(Duration::from_secs(3600));
    /// let due = schedules.due(&mails, 1).await?;
    /// let advance = due.schedules[0].plan(due.now);
    /// let Advanced::Done { jobs } = schedules.advance(&mails, &advance, Durability::Accepted).await?.value else {
    ///     unreachable!("no other process has fired")
    /// };
    /// assert_eq!(Schedule::time_of(&jobs[0]), Some(advance.due[0]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn time_of(job: &crate::JobId) -> Option<Timestamp> {
        job.place().map(|(batch, _)| batch.time())
    }

    /// Checks the job against what a schedule can push.
    fn validate(&self) -> Result<()> {
        let refuse = |detail: String| Err(Error::invalid_argument(OP, detail));
        let job = &self.job;
        if job.id.is_some() || job.unique.is_some() || !job.delay.is_zero() {
            return refuse("the job of a schedule has no id, no unique key and no delay".to_owned());
        }
        let (len, most) = (job.payload.len(), Self::MAX_PAYLOAD_BYTES);
        if len > most {
            return refuse(format!("the payload of a scheduled job has {len} bytes; at most {most}"));
        }
        NewJob::validate_all(std::slice::from_ref(job)).map_err(|error| Error::invalid_argument(OP, error.detail()))
    }
}

/// Its times as they are stored: `cron Europe/Berlin 0 5 * * *` or `every 60000 0`, interval and anchor in ms.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.timing.fmt(f)
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schedule")
            .field("times", &self.timing.to_string())
            .field("job", &self.job)
            .field("catch_up", &self.catch_up)
            .field("grace", &self.grace)
            .finish()
    }
}

impl Serialize for Schedule {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
