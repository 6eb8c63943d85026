//! Schedules: one file per operation.

mod advance;
mod change;
mod due;
mod list;
mod policy;
mod put;

use std::time::Duration;

use store_core::{
    Advance, Advanced, CatchUp, DueSchedules, Durability, JobId, JobState, NewJob, PageRequest, QueueName, Result,
    Schedule, ScheduleInfo, ScheduleName, SchedulePut,
};

use crate::case::Case;
use crate::fixture::{Fixture, secs};
use crate::verdict::Verdict;

/// The cases of every operation on schedules.
pub(crate) const CASES: &[&[Case]] = &[
    put::CASES,
    change::GET,
    list::CASES,
    change::DELETE,
    change::PAUSE,
    change::RESUME,
    due::CASES,
    advance::CASES,
    policy::CASES,
];

/// The interval of the schedules of cases. The clock of a case starts at a multiple of it.
const MINUTE: Duration = Duration::from_secs(60);

fn name(text: &str) -> ScheduleName {
    ScheduleName::new(text).expect("invariant: cases use short plain names")
}

/// Every minute.
fn minutely(payload: &'static str) -> Schedule {
    Schedule::every(MINUTE, NewJob::new(payload)).expect("invariant: a minute is an interval")
}

fn with(catch_up: CatchUp) -> Schedule {
    minutely("report").with_catch_up(catch_up)
}

async fn put(fixture: &Fixture, text: &str, schedule: &Schedule) -> Result<SchedulePut> {
    put_if(fixture, text, schedule, None).await
}

async fn put_if(fixture: &Fixture, text: &str, schedule: &Schedule, expected: Option<u64>) -> Result<SchedulePut> {
    let (schedules, queue) = (fixture.state.schedules(), fixture.queue("queue"));
    Ok(schedules.put(&queue, &name(text), schedule, expected, Durability::Accepted).await?.value)
}

async fn get(fixture: &Fixture, text: &str) -> Result<Option<ScheduleInfo>> {
    fixture.state.schedules().get(&fixture.queue("queue"), &name(text)).await
}

async fn due(fixture: &Fixture) -> Result<DueSchedules> {
    fixture.state.schedules().due(&fixture.queue("queue"), 50).await
}

async fn advance(fixture: &Fixture, advance: &Advance) -> Result<Advanced> {
    Ok(fixture.state.schedules().advance(&fixture.queue("queue"), advance, Durability::Accepted).await?.value)
}

/// What a process does: it fires everything that is due. Returns the jobs.
async fn tick(fixture: &Fixture) -> Result<Vec<JobId>> {
    let (due, mut fired) = (due(fixture).await?, Vec::new());
    for info in &due.schedules {
        if let Advanced::Done { jobs } = advance(fixture, &info.plan(due.now)).await? {
            fired.extend(jobs);
        }
    }
    Ok(fired)
}

/// Moves the clock, then fires what is due. Returns how many seconds after the begin of the case each job was due.
async fn after(fixture: &Fixture, seconds: u64) -> Result<Vec<u64>> {
    let start = 1_800_000_000;
    fixture.advance(secs(seconds));
    let jobs = tick(fixture).await?;
    Ok(jobs.iter().filter_map(Schedule::time_of).map(|time| time.as_millis() / 1000 - start).collect())
}

/// The payloads of the ready jobs.
async fn ready(fixture: &Fixture) -> Result<Vec<JobId>> {
    ready_in(fixture, &fixture.queue("queue")).await
}

async fn ready_in(fixture: &Fixture, queue: &QueueName) -> Result<Vec<JobId>> {
    let page = fixture.state.list(queue, JobState::Ready, PageRequest::first(1000)).await?;
    Ok(page.items.into_iter().map(|job| job.id).collect())
}

/// A schedule that was put and whose first time has been computed.
async fn watched(fixture: &Fixture, text: &str, schedule: &Schedule) -> Verdict {
    put(fixture, text, schedule).await?;
    tick(fixture).await?;
    Ok(())
}
