//! Reading, deleting, pausing and resuming schedules.

use store_core::{CatchUp, Op, ScheduleName, Schedules};

use super::{after, due, get, minutely, name, put, ready, tick, watched, with};
use crate::case::{Case, cases};
use crate::fixture::{Fixture, holder, secs};
use crate::queue::queue_fixture::only;
use crate::verdict::{BrokenPromise, Verdict, check, check_eq};

pub(super) const GET: &[Case] = get_cases::CASES;
pub(super) const DELETE: &[Case] = delete_cases::CASES;
pub(super) const PAUSE: &[Case] = pause_cases::CASES;
pub(super) const RESUME: &[Case] = resume_cases::CASES;

fn schedules(fixture: &Fixture) -> (&dyn Schedules, store_core::QueueName, ScheduleName) {
    (fixture.state.schedules(), fixture.queue("queue"), name("report"))
}

mod get_cases {
    use store_core::{ClaimRequest, Durability, JobState, Kept, Outcome, Settled, Settlement};

    use super::{
        BrokenPromise, CatchUp, Fixture, Op, Verdict, after, cases, check_eq, get, holder, minutely, only, schedules,
        secs, tick, watched, with,
    };

    cases! { Op::ScheduleGet;
        the_next_times_and_the_last_firing_are_shown,
        the_outcome_of_the_last_firing_is_that_of_its_job,
    }

    async fn the_next_times_and_the_last_firing_are_shown(fixture: Fixture) -> Verdict {
        let start = fixture.now();
        watched(&fixture, "report", &with(CatchUp::All(2))).await?;
        fixture.advance(secs(200));
        let jobs = tick(&fixture).await?;
        let info = get(&fixture, "report").await?.unwrap_or_else(|| unreachable!("it was put"));
        let expected = [240, 300, 360].map(|seconds| start.after(secs(seconds)));
        check_eq!((info.next(), info.next_times(3)), (Some(expected[0]), expected.to_vec()));
        let last = info.last.unwrap_or_else(|| unreachable!("it has fired"));
        check_eq!((last.due, last.fired), (start.after(secs(180)), fixture.now()));
        check_eq!((last.jobs, last.missed, Some(&last.job)), (2, 1, jobs.last()));
        let job = fixture.state.get(&fixture.queue("queue"), &last.job).await?;
        check_eq!(job.map(|job| job.payload), Some("report".into()));
        Ok(())
    }

    /// A completed job is kept as long as its result.
    async fn the_outcome_of_the_last_firing_is_that_of_its_job(fixture: Fixture) -> Verdict {
        let (_, queue, _) = schedules(&fixture);
        let (state, failed) = (&fixture.state, Outcome::Dead { reason: "no such report".to_owned() });
        let kept = Outcome::Complete(Some(Kept::new("5 pages", secs(3600))));
        watched(&fixture, "report", &minutely("report")).await?;
        for outcome in [Some(kept), Some(failed), Some(Outcome::Complete(None)), None] {
            check_eq!(after(&fixture, 60).await?.len(), 1);
            let request = ClaimRequest::new(queue.clone(), holder("worker"), 1, secs(30));
            let claimed = only(state.claim(&request).await?.jobs)?;
            let last = get(&fixture, "report").await?.and_then(|info| info.last);
            let last = last.ok_or_else(|| BrokenPromise::new("it has not fired"))?;
            check_eq!(&last.job, claimed.id());
            if let Some(outcome) = &outcome {
                let settled = [Settlement::new(claimed.lease.clone(), outcome.clone())];
                check_eq!(state.settle(&queue, &settled, Durability::Accepted).await?.value, [Settled::Done]);
            }
            let found = state.get(&queue, &last.job).await?.map(|job| (job.state, job.result, job.last_error));
            check_eq!(
                found,
                match outcome {
                    None => Some((JobState::Running, None, None)),
                    Some(Outcome::Dead { reason }) => Some((JobState::Dead, None, Some(reason))),
                    Some(Outcome::Complete(Some(kept))) => Some((JobState::Completed, Some(kept.result), None)),
                    Some(_) => None,
                }
            );
        }
        Ok(())
    }
}

mod delete_cases {
    use super::{
        Fixture, Op, Verdict, after, cases, check_eq, due, get, minutely, put, ready, schedules, secs, watched,
    };

    cases! { Op::ScheduleDelete;
        a_deleted_schedule_fires_no_more,
        a_schedule_begins_anew_after_its_deletion,
    }

    async fn a_deleted_schedule_fires_no_more(fixture: Fixture) -> Verdict {
        let (schedules, queue, name) = schedules(&fixture);
        schedules.delete(&queue, &name).await?;
        watched(&fixture, "report", &minutely("report")).await?;
        check_eq!(after(&fixture, 60).await?, [60]);
        fixture.advance(secs(60));
        let read = due(&fixture).await?;
        for _ in 0..2 {
            schedules.delete(&queue, &name).await?;
            check_eq!(schedules.get(&queue, &name).await?, None);
        }
        check_eq!(
            super::super::advance(&fixture, &read.schedules[0].plan(read.now)).await?,
            store_core::Advanced::Superseded
        );
        let due = due(&fixture).await?;
        check_eq!((due.schedules, due.next_in), (vec![], None));
        check_eq!(ready(&fixture).await?.len(), 1); // its jobs stay
        Ok(())
    }

    async fn a_schedule_begins_anew_after_its_deletion(fixture: Fixture) -> Verdict {
        watched(&fixture, "report", &minutely("report")).await?;
        after(&fixture, 90).await?;
        let (schedules, queue, name) = schedules(&fixture);
        schedules.delete(&queue, &name).await?;
        put(&fixture, "report", &minutely("report")).await?;
        let info = get(&fixture, "report").await?.unwrap_or_else(|| unreachable!("it was put"));
        check_eq!((info.version, info.since, info.last), (1, fixture.now(), None));
        check_eq!(after(&fixture, 30).await?, [120]);
        Ok(())
    }
}

mod pause_cases {
    use super::{
        Fixture, Op, Verdict, after, cases, check, check_eq, due, get, minutely, put, ready, schedules, secs, watched,
    };

    cases! { Op::SchedulePause;
        a_paused_schedule_does_not_fire,
        a_firing_that_was_planned_before_a_pause_is_refused,
        an_unknown_schedule_cannot_be_paused,
    }

    async fn a_paused_schedule_does_not_fire(fixture: Fixture) -> Verdict {
        let (schedules, queue, name) = schedules(&fixture);
        watched(&fixture, "report", &minutely("report")).await?;
        for _ in 0..2 {
            check!(schedules.pause(&queue, &name).await?);
        }
        check_eq!(after(&fixture, 600).await?, [0_u64; 0]);
        check_eq!(due(&fixture).await?.next_in, None);
        let info = get(&fixture, "report").await?.unwrap_or_else(|| unreachable!("it was put"));
        check_eq!((info.paused, info.next(), info.next_times(3)), (true, None, vec![]));
        Ok(())
    }

    async fn a_firing_that_was_planned_before_a_pause_is_refused(fixture: Fixture) -> Verdict {
        let (schedules, queue, name) = schedules(&fixture);
        watched(&fixture, "report", &minutely("report")).await?;
        fixture.advance(secs(60));
        let read = due(&fixture).await?;
        schedules.pause(&queue, &name).await?;
        let advance = read.schedules[0].plan(read.now);
        check_eq!(super::super::advance(&fixture, &advance).await?, store_core::Advanced::Superseded);
        schedules.resume(&queue, &name).await?;
        check_eq!(super::super::advance(&fixture, &advance).await?, store_core::Advanced::Superseded);
        check_eq!(ready(&fixture).await?, []);
        Ok(())
    }

    async fn an_unknown_schedule_cannot_be_paused(fixture: Fixture) -> Verdict {
        let (schedules, queue, name) = schedules(&fixture);
        check!(!schedules.pause(&queue, &name).await? && !schedules.resume(&queue, &name).await?);
        put(&fixture, "other", &minutely("report")).await?;
        check!(!schedules.pause(&queue, &name).await? && !schedules.resume(&queue, &name).await?);
        check_eq!(get(&fixture, "report").await?, None);
        Ok(())
    }
}

mod resume_cases {
    use super::{CatchUp, Fixture, Op, Verdict, after, cases, check, check_eq, schedules, secs, tick, watched, with};

    cases! { Op::ScheduleResume;
        what_passed_during_a_pause_is_not_missed,
        a_schedule_that_is_not_paused_keeps_its_last_firing,
    }

    async fn what_passed_during_a_pause_is_not_missed(fixture: Fixture) -> Verdict {
        let (schedules, queue, name) = schedules(&fixture);
        watched(&fixture, "report", &with(CatchUp::All(100))).await?;
        schedules.pause(&queue, &name).await?;
        fixture.advance(secs(601));
        check!(schedules.resume(&queue, &name).await?);
        check_eq!(tick(&fixture).await?, []);
        check_eq!(after(&fixture, 59).await?, [660]);
        Ok(())
    }

    async fn a_schedule_that_is_not_paused_keeps_its_last_firing(fixture: Fixture) -> Verdict {
        let (schedules, queue, name) = schedules(&fixture);
        watched(&fixture, "report", &with(CatchUp::All(100))).await?;
        fixture.advance(secs(120));
        check!(schedules.resume(&queue, &name).await?);
        check_eq!(after(&fixture, 0).await?, [60, 120]);
        Ok(())
    }
}
