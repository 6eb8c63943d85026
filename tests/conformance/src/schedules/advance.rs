//! Firing schedules.

use store_core::{Advanced, CatchUp, ClaimRequest, Error, JobId, NewJob, Op, Outcome, Priority, Schedule, Settlement};

use super::{advance, after, due, get, minutely, put, ready, tick, watched, with};
use crate::case::cases;
use crate::fixture::{Fixture, holder, ms, secs};
use crate::verdict::{Verdict, check, check_eq, check_matches};

cases! { Op::ScheduleAdvance;
    of_many_processes_one_fires,
    a_process_that_slept_fires_nothing_again,
    the_same_request_is_recognised,
    a_firing_that_was_planned_before_a_change_is_refused,
    a_time_in_the_future_does_not_fire,
    a_firing_wakes_a_waiting_worker,
    a_firing_pushes_the_job_as_it_was_put,
    a_job_that_starts_too_late_is_dead,
    jobs_of_a_firing_are_in_the_order_of_their_times,
    a_paused_queue_takes_firings,
}

async fn of_many_processes_one_fires(fixture: Fixture) -> Verdict {
    for number in 0..5 {
        watched(&fixture, &format!("report-{number}"), &minutely("report")).await?;
    }
    for round in 1..=3 {
        fixture.advance(secs(60));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let shared = fixture.share();
            tasks.spawn(async move { tick(&shared).await });
        }
        let mut fired = Vec::new();
        while let Some(ticked) = tasks.join_next().await {
            fired.extend(ticked.map_err(crate::BrokenPromise::from)??);
        }
        check_eq!(fired.len(), 5);
        let mut waiting = ready(&fixture).await?;
        check_eq!(waiting.len(), 5 * round);
        waiting.retain(|job| fired.contains(job));
        check_eq!(waiting.len(), 5);
    }
    Ok(())
}

async fn a_process_that_slept_fires_nothing_again(fixture: Fixture) -> Verdict {
    let queue = fixture.queue("queue");
    watched(&fixture, "report", &minutely("report")).await?;
    fixture.advance(secs(60));
    let read = due(&fixture).await?;
    let slow = read.schedules[0].plan(read.now);
    check_eq!(tick(&fixture).await?.len(), 1);
    // The job is done, and nothing of it is left.
    let claim = fixture.state.claim(&ClaimRequest::new(queue.clone(), holder("worker"), 1, secs(60))).await?;
    let done = Settlement::new(claim.jobs[0].lease.clone(), Outcome::Complete(None));
    let settled = fixture.state.settle(&queue, &[done], store_core::Durability::Accepted).await?.value;
    check_eq!(settled, [store_core::Settled::Done]);
    check_eq!(fixture.state.get(&queue, claim.jobs[0].id()).await?, None);
    check_eq!(advance(&fixture, &slow).await?, Advanced::Superseded);
    fixture.advance(secs(60));
    check_eq!(advance(&fixture, &slow).await?, Advanced::Superseded);
    check_eq!(ready(&fixture).await?, []);
    check_eq!(tick(&fixture).await?.len(), 1);
    Ok(())
}

async fn the_same_request_is_recognised(fixture: Fixture) -> Verdict {
    watched(&fixture, "report", &with(CatchUp::All(3))).await?;
    fixture.advance(secs(180));
    let read = due(&fixture).await?;
    let plan = read.schedules[0].plan(read.now);
    for _ in 0..3 {
        check_eq!(advance(&fixture, &plan).await?, Advanced::Done { jobs: plan.jobs.clone() });
        check_eq!(ready(&fixture).await?, plan.jobs);
    }
    check_eq!(due(&fixture).await?.next_in, Some(secs(60)));
    Ok(())
}

async fn a_firing_that_was_planned_before_a_change_is_refused(fixture: Fixture) -> Verdict {
    watched(&fixture, "report", &minutely("a")).await?;
    fixture.advance(secs(60));
    let read = due(&fixture).await?;
    put(&fixture, "report", &minutely("b")).await?;
    check_eq!(advance(&fixture, &read.schedules[0].plan(read.now)).await?, Advanced::Superseded);
    check_eq!(ready(&fixture).await?, []);
    check_eq!(after(&fixture, 0).await?, [60]);
    Ok(())
}

async fn a_time_in_the_future_does_not_fire(fixture: Fixture) -> Verdict {
    watched(&fixture, "report", &minutely("report")).await?;
    let info = get(&fixture, "report").await?.unwrap_or_else(|| unreachable!("it was put"));
    fixture.advance(secs(60) - ms(1));
    let early = info.plan(fixture.now().after(ms(1)));
    check_eq!(early.due.len(), 1);
    check_matches!(advance(&fixture, &early).await, Err(Error::InvalidArgument { op: Op::ScheduleAdvance, .. }));
    let mut backwards = early.clone();
    (backwards.since, backwards.until) = (early.until, early.since);
    check_matches!(advance(&fixture, &backwards).await, Err(Error::InvalidArgument { op: Op::ScheduleAdvance, .. }));
    check_eq!(ready(&fixture).await?, []);
    fixture.advance(ms(1));
    check_eq!(advance(&fixture, &early).await?, Advanced::Done { jobs: early.jobs.clone() });
    Ok(())
}

async fn a_firing_wakes_a_waiting_worker(fixture: Fixture) -> Verdict {
    let (queue, waiter) = (fixture.queue("queue"), fixture.state.waiter());
    watched(&fixture, "report", &minutely("report")).await?;
    let request = ClaimRequest::new(queue.clone(), holder("worker"), 1, secs(60));
    fixture.advance(secs(59));
    check!(waiter.claim(&request, 1).await?.jobs.is_empty());
    fixture.advance(secs(1));
    let fired = tick(&fixture).await?;
    check_eq!(fired.len(), 1);
    loop {
        let jobs = match waiter.next(secs(30)).await? {
            Some(store_core::Wakeup::Claimed { claim, .. }) => claim.jobs,
            Some(_) => waiter.claim(&request, 1).await?.jobs,
            None => return Err(crate::BrokenPromise::new("the firing has not woken the waiter")),
        };
        if let Some(job) = jobs.first() {
            check_eq!(job.id(), &fired[0]);
            return Ok(());
        }
    }
}

async fn a_firing_pushes_the_job_as_it_was_put(fixture: Fixture) -> Verdict {
    let queue = fixture.queue("queue");
    let job = NewJob::new("report").with_priority(Priority::High).with_schema(7);
    watched(&fixture, "report", &Schedule::every(secs(60), job.clone())?).await?;
    fixture.advance(secs(60));
    let ids = tick(&fixture).await?;
    let claim = fixture.state.claim(&ClaimRequest::new(queue.clone(), holder("worker"), 5, secs(60))).await?;
    let [claimed] = &claim.jobs[..] else { return Err(crate::BrokenPromise::new("one job was pushed")) };
    check_eq!((claimed.id(), &claimed.payload, claimed.schema), (&ids[0], &job.payload, 7));
    check_eq!(Schedule::time_of(claimed.id()), Some(fixture.now()));
    let info = fixture.state.get(&queue, &ids[0]).await?.unwrap_or_else(|| unreachable!("it runs"));
    check_eq!((info.priority, info.pushed_at), (Priority::High, fixture.now()));
    Ok(())
}

async fn a_job_that_starts_too_late_is_dead(fixture: Fixture) -> Verdict {
    let queue = fixture.queue("queue");
    let job = NewJob::new("report").with_start_within(secs(10));
    watched(&fixture, "report", &Schedule::every(secs(60), job)?).await?;
    check_eq!(after(&fixture, 60).await?, [60]);
    fixture.advance(secs(11));
    let claim = fixture.state.claim(&ClaimRequest::new(queue.clone(), holder("worker"), 5, secs(60))).await?;
    check!(claim.jobs.is_empty());
    check_eq!(fixture.state.counts(&queue).await?.dead, 1);
    Ok(())
}

async fn jobs_of_a_firing_are_in_the_order_of_their_times(fixture: Fixture) -> Verdict {
    watched(&fixture, "report", &with(CatchUp::All(100))).await?;
    check_eq!(after(&fixture, 7200).await?, (21..=120).map(|minute| minute * 60).collect::<Vec<_>>());
    let times: Vec<_> = ready(&fixture).await?.iter().filter_map(Schedule::time_of).collect();
    check!(times.len() == 100 && times.is_sorted(), "{times:?}");
    check_eq!(fixture.state.counts(&fixture.queue("queue")).await?.ready, 100);
    let queue = fixture.queue("queue");
    let mut claimed: Vec<JobId> = Vec::new();
    while claimed.len() < 100 {
        let request = ClaimRequest::new(queue.clone(), holder("worker"), 100, secs(60));
        let claim = fixture.state.claim(&request).await?;
        check!(!claim.jobs.is_empty());
        claimed.extend(claim.jobs.iter().map(|job| job.id().clone()));
    }
    check!(claimed.iter().filter_map(Schedule::time_of).is_sorted());
    Ok(())
}

async fn a_paused_queue_takes_firings(fixture: Fixture) -> Verdict {
    let queue = fixture.queue("queue");
    watched(&fixture, "report", &minutely("report")).await?;
    fixture.state.pause(&queue).await?;
    check_eq!(after(&fixture, 60).await?, [60]);
    check_eq!(fixture.state.counts(&queue).await?.ready, 1);
    Ok(())
}
