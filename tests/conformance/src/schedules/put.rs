//! Creating and changing schedules.

use store_core::{
    Backoff, CatchUp, Error, JobId, NewJob, Op, Priority, RetryPolicy, Schedule, SchedulePut, TraceContext,
};

use super::{MINUTE, after, get, minutely, put, put_if, ready, tick, watched};
use crate::case::cases;
use crate::fixture::{Fixture, ms, secs};
use crate::verdict::{Verdict, check, check_eq, check_matches};

cases! { Op::SchedulePut;
    a_schedule_comes_back_as_it_was_put,
    the_same_schedule_changes_nothing,
    an_expected_version_is_compared,
    other_times_begin_with_the_change,
    another_job_keeps_the_last_firing,
    a_changed_schedule_stays_paused,
    queues_have_their_own_schedules,
    a_job_that_cannot_be_repeated_is_refused,
    a_payload_has_at_most_64_kib,
    it_lasts_when_the_store_is_opened_again: Reopen,
}

fn stored(version: u64) -> SchedulePut {
    SchedulePut::Stored { version }
}

async fn a_schedule_comes_back_as_it_was_put(fixture: Fixture) -> Verdict {
    let trace = TraceContext::new("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")?;
    let job = NewJob::new("\0\u{7f}{}")
        .with_priority(Priority::Critical)
        .with_retry(RetryPolicy::new(3, Backoff::Fixed(secs(5))))
        .with_start_within(MINUTE)
        .with_schema(7)
        .with_trace(trace);
    let cron = Schedule::cron("*/5 3 * * MON-FRI", "Australia/Lord_Howe", job)?;
    for (name, schedule) in [("cron", cron.with_catch_up(CatchUp::All(9)).with_grace(ms(7))), ("every", minutely(""))] {
        check_eq!(put(&fixture, name, &schedule).await?, stored(1));
        let info = get(&fixture, name).await?;
        let expected = Some((schedule, 1, false, fixture.now(), None));
        check_eq!(info.map(|info| (info.schedule, info.version, info.paused, info.since, info.last)), expected);
    }
    check_eq!(get(&fixture, "other").await?, None);
    Ok(())
}

async fn the_same_schedule_changes_nothing(fixture: Fixture) -> Verdict {
    watched(&fixture, "report", &minutely("report")).await?;
    check_eq!(after(&fixture, 60).await?.len(), 1);
    let before = get(&fixture, "report").await?;
    for expected in [None, Some(0), Some(1), Some(7)] {
        check_eq!(put_if(&fixture, "report", &minutely("report"), expected).await?, stored(1));
    }
    check_eq!(get(&fixture, "report").await?, before);
    check_eq!(tick(&fixture).await?, []);
    Ok(())
}

async fn an_expected_version_is_compared(fixture: Fixture) -> Verdict {
    let put = async |payload, expected| put_if(&fixture, "report", &minutely(payload), expected).await;
    check_eq!(put("a", Some(1)).await?, SchedulePut::Conflict { version: 0 });
    check_eq!(get(&fixture, "report").await?, None);
    check_eq!(put("a", Some(0)).await?, stored(1));
    check_eq!(put("b", Some(0)).await?, SchedulePut::Conflict { version: 1 });
    check_eq!(put("b", Some(1)).await?, stored(2));
    check_eq!(put("c", Some(1)).await?, SchedulePut::Conflict { version: 2 });
    check_eq!(put("c", None).await?, stored(3));
    let info = get(&fixture, "report").await?;
    check_eq!(info.map(|info| info.schedule.job().payload.clone()), Some("c".into()));
    Ok(())
}

async fn other_times_begin_with_the_change(fixture: Fixture) -> Verdict {
    watched(&fixture, "report", &minutely("report")).await?;
    fixture.advance(secs(90)); // the first time is missed
    let changed = Schedule::every(secs(40), NewJob::new("report"))?.with_catch_up(CatchUp::All(100));
    put(&fixture, "report", &changed).await?;
    check_eq!(get(&fixture, "report").await?.map(|info| info.since), Some(fixture.now()));
    check_eq!(after(&fixture, 75).await?, [120, 160]);
    Ok(())
}

async fn another_job_keeps_the_last_firing(fixture: Fixture) -> Verdict {
    watched(&fixture, "report", &minutely("a")).await?;
    check_eq!(after(&fixture, 60).await?, [60]);
    fixture.advance(secs(120)); // two times are missed
    let last = get(&fixture, "report").await?.and_then(|info| info.last);
    check!(last.is_some());
    put(&fixture, "report", &minutely("b").with_catch_up(CatchUp::All(9))).await?;
    check_eq!(get(&fixture, "report").await?.and_then(|info| info.last), last);
    check_eq!(after(&fixture, 0).await?, [120, 180]);
    let jobs = ready(&fixture).await?;
    let mut payloads = Vec::new();
    for job in jobs {
        payloads.extend(fixture.state.get(&fixture.queue("queue"), &job).await?.map(|job| job.payload));
    }
    check_eq!(payloads, ["a", "b", "b"]);
    Ok(())
}

async fn a_changed_schedule_stays_paused(fixture: Fixture) -> Verdict {
    put(&fixture, "report", &minutely("a")).await?;
    fixture.state.schedules().pause(&fixture.queue("queue"), &super::name("report")).await?;
    put(&fixture, "report", &minutely("b")).await?;
    check_eq!(after(&fixture, 600).await?, [0_u64; 0]);
    check!(get(&fixture, "report").await?.is_some_and(|info| info.paused && info.version == 2));
    Ok(())
}

async fn queues_have_their_own_schedules(fixture: Fixture) -> Verdict {
    put(&fixture, "report", &minutely("report")).await?;
    let (schedules, other) = (fixture.state.schedules(), fixture.queue("other"));
    check_eq!(schedules.get(&other, &super::name("report")).await?, None);
    let due = schedules.due(&other, 10).await?;
    check_eq!((due.now, due.schedules, due.next_in), (fixture.now(), vec![], None));
    Ok(())
}

async fn a_job_that_cannot_be_repeated_is_refused(fixture: Fixture) -> Verdict {
    let unique = store_core::Unique::new(crate::fixture::unique_key("key"), store_core::UniqueUntil::Claimed);
    let jobs = [
        NewJob::new("").with_id(JobId::new("id")?),
        NewJob::new("").with_delay(secs(1)),
        NewJob::new("").with_unique(unique),
        NewJob::new("").with_retry(RetryPolicy::new(0, Backoff::Fixed(secs(1)))),
    ];
    for job in jobs {
        let refused = Schedule::every(MINUTE, job);
        check_matches!(refused, Err(Error::InvalidArgument { op: Op::SchedulePut, .. }));
    }
    check_eq!(get(&fixture, "report").await?, None);
    Ok(())
}

async fn a_payload_has_at_most_64_kib(fixture: Fixture) -> Verdict {
    let of = |len| Schedule::every(MINUTE, NewJob::new(vec![b'x'; len]));
    check_matches!(of(Schedule::MAX_PAYLOAD_BYTES + 1), Err(Error::InvalidArgument { op: Op::SchedulePut, .. }));
    let largest = of(Schedule::MAX_PAYLOAD_BYTES)?.with_catch_up(CatchUp::All(100));
    watched(&fixture, "report", &largest).await?;
    check_eq!(after(&fixture, 6000).await?.len(), 100);
    check_eq!(get(&fixture, "report").await?.map(|info| info.schedule), Some(largest));
    Ok(())
}

async fn it_lasts_when_the_store_is_opened_again(fixture: Fixture) -> Verdict {
    watched(&fixture, "report", &minutely("report")).await?;
    let before = get(&fixture, "report").await?;
    let fixture = fixture.reopen().await?;
    check_eq!(get(&fixture, "report").await?, before);
    check_eq!(after(&fixture, 60).await?, [60]);
    Ok(())
}
