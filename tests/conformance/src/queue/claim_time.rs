//! Jobs that become ready or miss their deadline with time, and the waiting time that a claim returns.

use store_core::{Counts, JobState, MAX_MOVES, NewJob, Op, Outcome, Priority};

use super::queue_fixture::{LEASE, QueueFixture, attempts, job, retry};
use crate::case::cases;
use crate::fixture::{look_again, ms, secs};
use crate::verdict::{Verdict, check, check_eq};

cases! { Op::QueueClaim;
    a_scheduled_job_is_ready_when_it_is_due,
    a_scheduled_job_is_due_by_the_clock_of_the_store,
    scheduled_jobs_become_ready_in_the_order_of_their_times: OneOrder,
    what_becomes_due_goes_behind_what_is_ready: OneOrder,
    what_becomes_due_keeps_its_priority: OneOrder,
    a_job_past_its_deadline_is_dead,
    a_job_before_its_deadline_is_claimed,
    the_deadline_of_a_delayed_job_counts_from_its_push,
    a_deadline_counts_until_the_first_claim_only,
    a_deadline_does_not_count_after_a_snooze,
    a_deadline_does_not_count_after_a_release,
    jobs_past_their_deadline_do_not_count_as_claimed: OneOrder,
    it_says_when_the_next_job_is_due,
    it_says_when_the_next_lease_runs_out: OneOrder,
    it_says_what_comes_first: OneOrder,
    nothing_is_next_when_nothing_waits,
    a_bounded_number_becomes_ready_at_once: OneOrder,
    a_bounded_number_of_leases_runs_out_at_once: OneOrder,
}

const NOBODY: [&str; 0] = [];

async fn a_scheduled_job_is_ready_when_it_is_due(queue: QueueFixture) -> Verdict {
    queue.push_one(job("a").with_delay(secs(5))).await?;
    queue.fixture.advance(secs(5) - ms(1));
    check_eq!(queue.claim_ids(1).await?, NOBODY);
    queue.fixture.advance(ms(1));
    let claimed = queue.claim_one().await?;
    check_eq!((claimed.attempt, claimed.payload.as_ref()), (1, b"a".as_slice()));
    Ok(())
}

async fn scheduled_jobs_become_ready_in_the_order_of_their_times(queue: QueueFixture) -> Verdict {
    for (id, delay) in [("c", 3), ("a", 1), ("b", 2)] {
        queue.push_one(job(id).with_delay(secs(delay))).await?;
    }
    queue.fixture.advance(secs(9));
    check_eq!(queue.claim_ids(10).await?, ["a", "b", "c"]);
    Ok(())
}

async fn what_becomes_due_goes_behind_what_is_ready(queue: QueueFixture) -> Verdict {
    queue.push_one(job("due").with_delay(secs(1))).await?;
    queue.fixture.advance(secs(2));
    queue.push_ids(&["ready"]).await?;
    check_eq!(queue.claim_ids(10).await?, ["ready", "due"]);
    Ok(())
}

async fn what_becomes_due_keeps_its_priority(queue: QueueFixture) -> Verdict {
    queue.push_one(job("low").with_delay(secs(1)).with_priority(Priority::Low)).await?;
    queue.push_one(job("high").with_delay(secs(2)).with_priority(Priority::High)).await?;
    queue.push_ids(&["normal"]).await?;
    queue.fixture.advance(secs(2));
    check_eq!(queue.claim_ids(10).await?, ["high", "normal", "low"]);
    Ok(())
}

async fn a_job_past_its_deadline_is_dead(queue: QueueFixture) -> Verdict {
    queue.push_one(job("a").with_start_within(secs(5))).await?;
    queue.fixture.advance(secs(5));
    check_eq!(queue.claim_ids(1).await?, NOBODY);
    let info = queue.info("a").await?;
    check_eq!((info.state, info.attempts, info.at), (JobState::Dead, 0, Some(queue.fixture.now())));
    check_eq!(info.last_error.as_deref(), Some("deadline"));
    Ok(())
}

async fn a_job_before_its_deadline_is_claimed(queue: QueueFixture) -> Verdict {
    queue.push_one(job("a").with_start_within(secs(5))).await?;
    queue.fixture.advance(secs(5) - ms(1));
    check_eq!(queue.claim_ids(1).await?, ["a"]);
    Ok(())
}

async fn the_deadline_of_a_delayed_job_counts_from_its_push(queue: QueueFixture) -> Verdict {
    queue.push_one(job("late").with_delay(secs(5)).with_start_within(secs(5))).await?;
    queue.push_one(job("in-time").with_delay(secs(5)).with_start_within(secs(6))).await?;
    queue.fixture.advance(secs(5));
    check_eq!(queue.claim_ids(10).await?, ["in-time"]);
    check_eq!(queue.info("late").await?.state, JobState::Dead);
    Ok(())
}

async fn a_deadline_counts_until_the_first_claim_only(queue: QueueFixture) -> Verdict {
    queue.push_one(job("a").with_start_within(secs(5))).await?;
    let claimed = queue.claim_one().await?;
    queue.settle(&claimed.lease, retry(secs(60))).await?;
    queue.fixture.advance(secs(60));
    check_eq!(queue.claim_heard().await?.attempt, 2);
    queue.fixture.advance(LEASE);
    check_eq!(queue.claim_one().await?.attempt, 3);
    Ok(())
}

async fn a_deadline_does_not_count_after_a_snooze(queue: QueueFixture) -> Verdict {
    queue.push_one(job("a").with_start_within(secs(5))).await?;
    let claimed = queue.claim_one().await?;
    queue.settle(&claimed.lease, Outcome::Snooze { after: secs(60) }).await?;
    queue.fixture.advance(secs(60));
    check_eq!(queue.claim_one().await?.attempt, 1);
    Ok(())
}

async fn a_deadline_does_not_count_after_a_release(queue: QueueFixture) -> Verdict {
    queue.push_one(job("a").with_start_within(secs(5))).await?;
    let claimed = queue.claim_one().await?;
    queue.settle(&claimed.lease, Outcome::Release).await?;
    queue.fixture.advance(secs(60));
    check_eq!(queue.claim_one().await?.attempt, 1);
    Ok(())
}

async fn jobs_past_their_deadline_do_not_count_as_claimed(queue: QueueFixture) -> Verdict {
    queue.push(&["a", "b", "c"].map(|id| job(id).with_start_within(secs(1)))).await?;
    queue.fixture.advance(secs(1));
    queue.push_ids(&["d", "e"]).await?;
    check_eq!(queue.claim_ids(1).await?, ["d"]);
    check_eq!(queue.counts().await?, Counts::new(1, 0, 1, 0, 3));
    Ok(())
}

async fn it_says_when_the_next_job_is_due(queue: QueueFixture) -> Verdict {
    queue.push_one(job("b").with_delay(secs(9))).await?;
    queue.push_one(job("a").with_delay(secs(5))).await?;
    queue.fixture.advance(secs(2));
    check_eq!(queue.claim(1).await?.next, Some(secs(3)));
    Ok(())
}

async fn it_says_when_the_next_lease_runs_out(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    check_eq!(queue.claim(1).await?.next, Some(LEASE));
    queue.fixture.advance(ms(1));
    check_eq!(queue.claim(1).await?.next, Some(LEASE - ms(1)));
    Ok(())
}

async fn it_says_what_comes_first(queue: QueueFixture) -> Verdict {
    queue.push_one(job("later").with_delay(LEASE + secs(1))).await?;
    queue.push_ids(&["a"]).await?;
    check_eq!(queue.claim(1).await?.next, Some(LEASE));
    queue.push_one(job("sooner").with_delay(secs(1))).await?;
    check_eq!(queue.claim(1).await?.next, Some(secs(1)));
    Ok(())
}

async fn nothing_is_next_when_nothing_waits(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let claimed = queue.claim_one().await?;
    queue.settle(&claimed.lease, Outcome::Complete(None)).await?;
    queue.bury("b").await?;
    queue.finish("c").await?;
    check_eq!(queue.claim(1).await?.next, None);
    Ok(())
}

async fn a_bounded_number_becomes_ready_at_once(queue: QueueFixture) -> Verdict {
    let number = MAX_MOVES + 44;
    let jobs: Vec<NewJob> = (1..=number).map(|delay| job(&delay.to_string()).with_delay(ms(delay as u64))).collect();
    queue.push(&jobs).await?;
    queue.fixture.advance(secs(60));
    let claim = queue.claim(10).await?;
    let ids: Vec<String> = claim.jobs.iter().map(|job| job.id().to_string()).collect();
    check_eq!(ids, (1..=10).map(|delay| delay.to_string()).collect::<Vec<_>>());
    check_eq!(claim.next, Some(ms(0)));
    check_eq!(queue.counts().await?, Counts::new(MAX_MOVES as u64 - 10, 44, 10, 0, 0));
    check_eq!(queue.claim(10).await?.next, Some(LEASE));
    check_eq!(queue.counts().await?.scheduled, 0);
    Ok(())
}

async fn a_bounded_number_of_leases_runs_out_at_once(queue: QueueFixture) -> Verdict {
    let number = MAX_MOVES + 44;
    let jobs: Vec<NewJob> = (0..number).map(|id| job(&id.to_string()).with_retry(attempts(2))).collect();
    queue.push(&jobs).await?;
    check_eq!(queue.claim(number).await?.jobs.len(), number);
    queue.fixture.advance(LEASE);
    let claim = queue.claim(1).await?;
    check_eq!((claim.jobs.len(), claim.next), (1, Some(ms(0))));
    let counts = queue.counts().await?;
    check_eq!((counts.ready, counts.running), (MAX_MOVES as u64 - 1, 45));
    check!(queue.claim(1).await?.next > Some(ms(0)));
    Ok(())
}

async fn a_scheduled_job_is_due_by_the_clock_of_the_store(queue: QueueFixture) -> Verdict {
    let queue = QueueFixture::from(queue.fixture.on_server_clock().await?);
    queue.push(&[job("late").with_delay(secs(600)), job("soon").with_delay(ms(30))]).await?;
    let due = queue.info("soon").await?.at;
    let claimed = loop {
        if let Some(job) = queue.claim(1).await?.jobs.pop() {
            break job;
        }
        look_again().await;
    };
    check_eq!(claimed.id().as_str(), "soon");
    check!(Some(claimed.claimed_at) >= due && claimed.pushed_at < claimed.claimed_at);
    Ok(())
}
