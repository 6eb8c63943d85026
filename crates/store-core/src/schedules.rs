//! Schedules: jobs that are pushed at recurring times, once in the whole fleet.

mod firing;
mod plan;
mod schedule;
mod stored;
mod timing;

use std::fmt;

use async_trait::async_trait;
use serde::Serialize;

use crate::{Durability, JobId, Page, PageRequest, QueueName, Receipt, Result, ScheduleName};

pub use firing::{DueSchedules, Firing, ScheduleInfo};
pub use plan::Advance;
pub use schedule::{CatchUp, Schedule};

/// Schedules of queues: each pushes its job at recurring times, by a cron expression in a time zone or at an interval. A
/// schedule belongs to its queue, and its name is unique there.
///
/// **Once in the fleet.** Any number of processes may watch the same schedules, without a leader. A process reads what is
/// [`due`](Schedules::due), computes the times, and calls [`advance`](Schedules::advance): one write that compares the version of
/// the schedule and its last firing with those that were read, pushes the jobs and records the firing. Of several processes one
/// succeeds. A process that slept between the two calls pushes nothing, also if the jobs were completed and forgotten meanwhile.
/// `Scheduler` does this in a service.
///
/// **Times.** The server's clock decides what is due. A new schedule begins with its first time after it was put, and a resumed
/// one with its first time after it was resumed. Times that pass while nobody watches are missed; [`CatchUp`] decides what
/// becomes of them.
///
/// **Changes.** [`put`](Schedules::put) is one write. A changed cron expression, zone or interval begins with its first time after
/// the change; any other change keeps the last firing. Firings that other processes have computed before a change are refused.
///
/// On servers, schedules are stored in partition 0 of the queue, and their jobs are pushed there. Each call is one
/// round trip, and its cost does not grow with the number of schedules.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, clock) = twinstore::testing::stores();
/// use std::time::Duration;
/// use twinstore::durability::Durability;
/// use twinstore::queue::{NewJob, QueueName};
/// use twinstore::schedule::{Advanced, Schedule, ScheduleName, SchedulePut, Schedules};
///
/// let schedules = stores.state().schedules();
/// let (reports, nightly) = (QueueName::new("reports")?, ScheduleName::new("nightly")?);
/// let schedule = Schedule::cron("30 2 * * *", "Europe/Berlin", NewJob::new("all customers"))?;
/// let put = schedules.put(&reports, &nightly, &schedule, None, Durability::Accepted).await?.value;
/// assert_eq!(put, SchedulePut::Stored { version: 1 });
///
/// clock.advance(Duration::from_secs(24 * 3600));
/// let due = schedules.due(&reports, 10).await?;
/// let advance = due.schedules[0].plan(due.now);
/// let advanced = schedules.advance(&reports, &advance, Durability::Accepted).await?.value;
/// assert!(matches!(advanced, Advanced::Done { jobs } if jobs.len() == 1));
/// let last = schedules.get(&reports, &nightly).await?.unwrap().last.unwrap();
/// assert_eq!((last.jobs, last.missed), (1, 0));
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Schedules: Send + Sync + fmt::Debug {
    /// `async fn put(&self, queue: &QueueName, name: &ScheduleName, schedule: &Schedule, expected: Option<u64>, durability: Durability) -> Result<Receipt<SchedulePut>>`
    ///
    /// Creates or changes a schedule, in one write. If the stored schedule is the same, nothing is changed. `expected`: the
    /// version that the caller has read, 0 if there must be none; `None` replaces any. A changed schedule stays paused if it is.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) if the job of the schedule has an id, a delay or a unique key,
    /// or more than [`Schedule::MAX_PAYLOAD_BYTES`].
    async fn put(
        &self,
        queue: &QueueName,
        name: &ScheduleName,
        schedule: &Schedule,
        expected: Option<u64>,
        durability: Durability,
    ) -> Result<Receipt<SchedulePut>>;

    /// `async fn get(&self, queue: &QueueName, name: &ScheduleName) -> Result<Option<ScheduleInfo>>`
    ///
    /// Returns a schedule, with its next time and its last firing.
    async fn get(&self, queue: &QueueName, name: &ScheduleName) -> Result<Option<ScheduleInfo>>;

    /// `async fn list(&self, queue: &QueueName, page: PageRequest) -> Result<Page<ScheduleInfo>>`
    ///
    /// Lists the schedules of a queue, by name. A page may have fewer schedules than its limit, although others follow.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) if the cursor belongs to another listing;
    /// [`Error::Corrupt`](crate::Error::Corrupt), with its name, if a schedule cannot be read.
    async fn list(&self, queue: &QueueName, page: PageRequest) -> Result<Page<ScheduleInfo>>;

    /// `async fn delete(&self, queue: &QueueName, name: &ScheduleName) -> Result<()>`
    ///
    /// Deletes a schedule, if there is one. The jobs that it has pushed stay.
    async fn delete(&self, queue: &QueueName, name: &ScheduleName) -> Result<()>;

    /// `async fn pause(&self, queue: &QueueName, name: &ScheduleName) -> Result<bool>`
    ///
    /// Stops the firings of a schedule. `false` if there is none.
    async fn pause(&self, queue: &QueueName, name: &ScheduleName) -> Result<bool>;

    /// `async fn resume(&self, queue: &QueueName, name: &ScheduleName) -> Result<bool>`
    ///
    /// Lets a paused schedule fire again. Times that have passed meanwhile are not missed: it begins with its first time from now
    /// on. `false` if there is none.
    async fn resume(&self, queue: &QueueName, name: &ScheduleName) -> Result<bool>;

    /// `async fn due(&self, queue: &QueueName, limit: u32) -> Result<DueSchedules>`
    ///
    /// Returns up to `limit` schedules whose next time has passed or has yet to be computed, the earliest first, and how long it
    /// takes until the next one is due. The limit is clamped to 1 to [`DueSchedules::MAX_LIMIT`]. Up to
    /// [`DueSchedules::MAX_UNREADABLE`] due schedules of a newer version do not count towards it.
    async fn due(&self, queue: &QueueName, limit: u32) -> Result<DueSchedules>;

    /// `async fn advance(&self, queue: &QueueName, advance: &Advance, durability: Durability) -> Result<Receipt<Advanced>>`
    ///
    /// Pushes the jobs of a firing, and records it with the next time of the schedule: both or neither, wherever the server
    /// fails. [`ScheduleInfo::plan`] makes the request. If a failover loses an acknowledged firing, it loses both, and the schedule
    /// fires again: that time may have two jobs, and a loss report does not name the first one. A durability prevents it.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) if a time lies in the future by the server's clock.
    async fn advance(&self, queue: &QueueName, advance: &Advance, durability: Durability) -> Result<Receipt<Advanced>>;
}

/// The outcome of [`Schedules::put`]. In JSON: `{"outcome":"stored","version":1}`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// # use std::time::Duration;
/// # use twinstore::durability::Durability;
/// # use twinstore::queue::{NewJob, QueueName};
/// use twinstore::schedule::{Schedule, ScheduleName, SchedulePut};
///
/// # let schedules = stores.state().schedules();
/// # let (mails, digest) = (QueueName::new("mails")?, ScheduleName::new("digest")?);
/// let hourly = Schedule::every(Duration::from_secs(3600), NewJob::new("digest"))?;
/// let put = schedules.put(&mails, &digest, &hourly, Some(0), Durability::Accepted).await?.value;
/// assert_eq!(put, SchedulePut::Stored { version: 1 });
/// let daily = Schedule::every(Duration::from_secs(24 * 3600), NewJob::new("digest"))?;
/// let put = schedules.put(&mails, &digest, &daily, Some(0), Durability::Accepted).await?.value;
/// assert_eq!(put, SchedulePut::Conflict { version: 1 }); // it exists
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
#[non_exhaustive]
pub enum SchedulePut {
    /// The schedule is stored, or was stored before.
    Stored {
        /// Its version. It begins with 1, and each change adds 1.
        version: u64,
    },
    /// The stored schedule has another version than the expected one. Nothing was changed.
    Conflict {
        /// The version of the stored schedule. 0 if there is none.
        version: u64,
    },
}

/// The outcome of [`Schedules::advance`].
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
/// let due = schedules.due(&mails, 10).await?;
/// let (first, second) = (due.schedules[0].plan(due.now), due.schedules[0].plan(due.now)); // two processes
/// let advanced = schedules.advance(&mails, &first, Durability::Accepted).await?.value;
/// assert!(matches!(advanced, Advanced::Done { jobs } if jobs.len() == 1));
/// assert_eq!(schedules.advance(&mails, &second, Durability::Accepted).await?.value, Advanced::Superseded);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Advanced {
    /// The firing is recorded, and its jobs are in the queue.
    Done {
        /// The ids of the jobs, in the order of their times.
        jobs: Vec<JobId>,
    },
    /// The schedule was advanced by another process, changed, paused or deleted since it was read. Nothing was changed, unless the reply
    /// to an earlier copy of the call was lost: that copy may have fired, once.
    Superseded,
}
