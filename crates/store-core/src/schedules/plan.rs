//! Which times fire.

use super::{CatchUp, ScheduleInfo};
use crate::{Error, JobId, NewJob, Op, RequestId, Result, ScheduleName, Timestamp};

/// A request to record a firing: see [`Schedules::advance`](super::Schedules::advance).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, clock) = twinstore::testing::stores();
/// # use std::time::Duration;
/// # use twinstore::durability::Durability;
/// # use twinstore::queue::{NewJob, QueueName};
/// use twinstore::schedule::{Advance, Schedule, ScheduleName};
///
/// # let schedules = stores.state().schedules();
/// # let (mails, digest) = (QueueName::new("mails")?, ScheduleName::new("digest")?);
/// # let hourly = Schedule::every(Duration::from_secs(3600), NewJob::new("digest"))?;
/// # schedules.put(&mails, &digest, &hourly, None, Durability::Accepted).await?;
/// # clock.advance(Duration::from_secs(3600));
/// let due = schedules.due(&mails, 1).await?;
/// let advance: Advance = due.schedules[0].plan(due.now);
/// assert_eq!(advance.due, [advance.until]); // one job
/// assert_eq!(advance.next, due.schedules[0].schedule.next_after(due.now));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Advance {
    /// The schedule.
    pub name: ScheduleName,
    /// The version that it must have.
    pub version: u64,
    /// The [`ScheduleInfo::since`] that it must have.
    pub since: Timestamp,
    /// The one that it gets: its last time that has passed, or the same if none has.
    pub until: Timestamp,
    /// The times of the jobs, one job each.
    pub due: Vec<Timestamp>,
    /// How many times are dropped.
    pub missed: u32,
    /// The next time. `None` if none is left.
    pub next: Option<Timestamp>,
    /// The ids of the jobs. Each contains its time: see [`Schedule::time_of`](super::Schedule::time_of).
    pub jobs: Vec<JobId>,
    /// The job of each time.
    pub job: NewJob,
    /// The identity of this request, by which the store recognises its repetition. Random.
    pub request: RequestId,
}

impl Advance {
    /// Checks the times against the order that an engine relies on.
    #[doc(hidden)]
    pub fn validate(&self) -> Result<()> {
        let is_ordered = self.due.is_sorted() && self.since <= self.until;
        let is_within = self.due.iter().all(|due| self.since < *due && *due <= self.until);
        if is_ordered
            && is_within
            && self.due.len() == self.jobs.len()
            && self.due.len() <= usize::from(CatchUp::MAX_ALL)
        {
            return Ok(());
        }
        Err(Error::invalid_argument(Op::ScheduleAdvance, "the times of the firing do not follow the last one"))
    }
}

impl ScheduleInfo {
    /// Which of its times fire at `now`, by its [`CatchUp`] policy. Use the clock of the store: [`DueSchedules::now`].
    ///
    /// [`DueSchedules::now`]: super::DueSchedules::now
    pub fn plan(&self, now: Timestamp) -> Advance {
        let schedule = &self.schedule;
        let most = match schedule.catch_up {
            CatchUp::All(most) => usize::from(most),
            CatchUp::Skip | CatchUp::One => 1,
        };
        let (mut due, count) = schedule.timing.between(self.since, now, most);
        let until = due.last().copied().unwrap_or(self.since);
        if schedule.catch_up == CatchUp::Skip && now.since(until) > schedule.grace {
            due.clear();
        }
        let missed = u32::try_from(count - due.len() as u64).unwrap_or(u32::MAX).min(999_999);
        Advance {
            name: self.name.clone(),
            version: self.version,
            since: self.since,
            until,
            // Schedules are in partition 0 of their queue.
            jobs: due.iter().map(|&due| JobId::new_batch_at(due, 0).job(0)).collect(),
            due,
            missed,
            next: schedule.next_after(now.max(until)),
            job: schedule.job.clone(),
            request: RequestId::generate(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Schedule;

    fn planned(catch_up: CatchUp, now: u64) -> (Vec<u64>, u32, u64, Option<u64>) {
        let schedule = Schedule::every(Duration::from_secs(100), NewJob::new("x")).unwrap();
        let schedule = schedule.with_catch_up(catch_up);
        let name = ScheduleName::new("s").unwrap();
        let advance =
            ScheduleInfo::new(name, schedule, 1, Timestamp::from_millis(100_000)).plan(Timestamp::from_millis(now));
        assert!(advance.validate().is_ok());
        let millis = |time: &Timestamp| time.as_millis() / 1000;
        (
            advance.due.iter().map(millis).collect(),
            advance.missed,
            millis(&advance.until),
            advance.next.as_ref().map(millis),
        )
    }

    #[test]
    fn each_policy_fires_what_it_promises() {
        for policy in [CatchUp::Skip, CatchUp::One, CatchUp::All(3)] {
            assert_eq!(planned(policy, 199_999), (vec![], 0, 100, Some(200)), "{policy:?}");
            assert_eq!(planned(policy, 200_000), (vec![200], 0, 200, Some(300)), "{policy:?}");
        }
        assert_eq!(planned(CatchUp::Skip, 560_000), (vec![500], 3, 500, Some(600)));
        assert_eq!(planned(CatchUp::Skip, 560_001), (vec![], 4, 500, Some(600)));
        assert_eq!(planned(CatchUp::One, 599_999), (vec![500], 3, 500, Some(600)));
        assert_eq!(planned(CatchUp::All(3), 599_999), (vec![300, 400, 500], 1, 500, Some(600)));
        assert_eq!(planned(CatchUp::All(9), 599_999), (vec![200, 300, 400, 500], 0, 500, Some(600)));
    }
}
