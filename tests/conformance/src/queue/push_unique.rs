//! Unique keys of pushes: which job holds a key, and when it is released.

use store_core::{NewJob, Op, Outcome, Pushed, Settled, Unique, UniqueUntil};

use super::queue_fixture::{LEASE, QueueFixture, attempts, created, dead, job, job_id, kept, retry};
use crate::case::cases;
use crate::fixture::{ms, secs, unique_key};
use crate::verdict::{Verdict, check, check_eq};

cases! { Op::QueuePush;
    one_job_holds_a_unique_key,
    a_unique_key_repeated_in_a_batch_is_held_by_the_first,
    two_queues_do_not_share_unique_keys,
    a_unique_key_is_held_while_its_job_runs,
    a_unique_key_is_held_while_its_job_waits_for_a_retry,
    a_unique_key_is_given_back_by_completion,
    a_unique_key_is_given_back_by_completion_with_a_result,
    a_unique_key_is_given_back_by_death,
    a_unique_key_is_given_back_by_the_failure_of_the_last_attempt,
    a_unique_key_is_given_back_when_the_last_lease_runs_out,
    a_unique_key_is_given_back_when_the_deadline_passes,
    a_unique_key_is_given_back_by_cancelling_a_waiting_job,
    a_unique_key_is_given_back_by_stopping_a_running_job,
    a_unique_key_is_given_back_by_deletion,
    a_unique_key_until_the_claim_is_given_back_by_it,
    a_unique_key_until_the_claim_is_given_back_by_cancellation,
    a_unique_key_until_the_claim_is_not_taken_again_by_a_retry,
    a_unique_key_of_another_job_is_left_alone,
    a_unique_key_for_a_time_outlives_its_job,
    a_unique_key_for_a_time_is_free_at_its_end,
    the_same_push_again_is_created_again_though_another_job_holds_the_key,
    an_unused_unique_key_of_a_duplicate_stays_free,
    an_id_of_a_job_without_a_unique_key_is_a_duplicate_with_one: OneOrder,
    an_id_whose_result_is_over_is_free_though_a_job_with_it_is_refused_beside,
}

fn unique(id: &str, until: UniqueUntil) -> NewJob {
    job(id).with_unique(Unique::new(unique_key("key"), until))
}

fn until_finished(id: &str) -> NewJob {
    unique(id, UniqueUntil::Finished)
}

/// Whether the key is free: tries to push a job that would hold it for a moment.
async fn is_free(queue: &QueueFixture) -> Result<bool, crate::BrokenPromise> {
    match queue.push_one(until_finished("probe")).await? {
        Pushed::Created { .. } => {
            queue.cancel("probe").await?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// Pushes a job that holds the key until it is finished, claims it, and settles it with this outcome.
async fn settled(queue: &QueueFixture, outcome: Outcome) -> Verdict {
    queue.push_one(until_finished("a").with_retry(attempts(1))).await?;
    let claimed = queue.claim_one().await?;
    check_eq!(is_free(queue).await?, false);
    check_eq!(queue.settle(&claimed.lease, outcome).await?, Settled::Done);
    check_eq!(is_free(queue).await?, true);
    Ok(())
}

async fn one_job_holds_a_unique_key(queue: QueueFixture) -> Verdict {
    check!(queue.push_one(until_finished("a")).await?.is_new());
    check_eq!(queue.push_one(until_finished("b")).await?, Pushed::Held { by: job_id("a") });
    check_eq!(queue.claim_ids(10).await?, ["a"]);
    Ok(())
}

async fn a_unique_key_repeated_in_a_batch_is_held_by_the_first(queue: QueueFixture) -> Verdict {
    let pushed = queue.push(&[until_finished("a"), unique("b", UniqueUntil::Claimed), job("c")]).await?;
    check_eq!(pushed, [created("a"), Pushed::Held { by: job_id("a") }, created("c")]);
    check_eq!(queue.claim_sorted(10).await?, ["a", "c"]);
    Ok(())
}

async fn two_queues_do_not_share_unique_keys(queue: QueueFixture) -> Verdict {
    queue.push_one(until_finished("a")).await?;
    let other = QueueFixture { name: queue.fixture.queue("other"), fixture: queue.fixture };
    check!(other.push_one(until_finished("b")).await?.is_new());
    Ok(())
}

async fn a_unique_key_is_held_while_its_job_runs(queue: QueueFixture) -> Verdict {
    queue.push_one(until_finished("a")).await?;
    queue.claim_one().await?;
    check_eq!(queue.push_one(until_finished("b")).await?, Pushed::Held { by: job_id("a") });
    Ok(())
}

async fn a_unique_key_is_held_while_its_job_waits_for_a_retry(queue: QueueFixture) -> Verdict {
    queue.push_one(until_finished("a")).await?;
    let claimed = queue.claim_one().await?;
    queue.settle(&claimed.lease, retry(secs(5))).await?;
    check_eq!(queue.push_one(until_finished("b")).await?, Pushed::Held { by: job_id("a") });
    queue.fixture.advance(secs(5));
    let again = queue.claim_one().await?;
    check_eq!(is_free(&queue).await?, false);
    queue.settle(&again.lease, Outcome::Complete(None)).await?;
    check_eq!(is_free(&queue).await?, true);
    Ok(())
}

async fn a_unique_key_is_given_back_by_completion(queue: QueueFixture) -> Verdict {
    settled(&queue, Outcome::Complete(None)).await
}

async fn a_unique_key_is_given_back_by_completion_with_a_result(queue: QueueFixture) -> Verdict {
    settled(&queue, kept("result", secs(60))).await
}

async fn a_unique_key_is_given_back_by_death(queue: QueueFixture) -> Verdict {
    settled(&queue, dead("broken")).await
}

async fn a_unique_key_is_given_back_by_the_failure_of_the_last_attempt(queue: QueueFixture) -> Verdict {
    settled(&queue, retry(secs(1))).await
}

async fn a_unique_key_is_given_back_when_the_last_lease_runs_out(queue: QueueFixture) -> Verdict {
    queue.push_one(until_finished("a").with_retry(attempts(1))).await?;
    queue.claim_heard().await?;
    queue.fixture.advance(LEASE);
    check_eq!(is_free(&queue).await?, false);
    check_eq!(queue.claim_ids(1).await?, [""; 0]);
    check_eq!(is_free(&queue).await?, true);
    Ok(())
}

async fn a_unique_key_is_given_back_when_the_deadline_passes(queue: QueueFixture) -> Verdict {
    queue.push_one(until_finished("a").with_start_within(secs(1))).await?;
    queue.fixture.advance(secs(1));
    check_eq!(queue.claim_ids(1).await?, [""; 0]);
    check_eq!(is_free(&queue).await?, true);
    Ok(())
}

async fn a_unique_key_is_given_back_by_cancelling_a_waiting_job(queue: QueueFixture) -> Verdict {
    queue.push_one(until_finished("a")).await?;
    queue.cancel("a").await?;
    check_eq!(is_free(&queue).await?, true);
    queue.push_one(until_finished("b").with_delay(secs(1))).await?;
    queue.cancel("b").await?;
    check_eq!(is_free(&queue).await?, true);
    Ok(())
}

async fn a_unique_key_is_given_back_by_stopping_a_running_job(queue: QueueFixture) -> Verdict {
    queue.push_one(until_finished("a")).await?;
    let claimed = queue.claim_one().await?;
    queue.cancel("a").await?;
    check_eq!(is_free(&queue).await?, false);
    queue.settle(&claimed.lease, Outcome::Cancelled).await?;
    check_eq!(is_free(&queue).await?, true);
    Ok(())
}

async fn a_unique_key_is_given_back_by_deletion(queue: QueueFixture) -> Verdict {
    queue.push_one(until_finished("a")).await?;
    queue.delete("a").await?;
    check_eq!(is_free(&queue).await?, true);
    queue.push_one(unique("b", UniqueUntil::Claimed)).await?;
    queue.delete("b").await?;
    check_eq!(is_free(&queue).await?, true);
    Ok(())
}

async fn a_unique_key_until_the_claim_is_given_back_by_it(queue: QueueFixture) -> Verdict {
    queue.push_one(unique("a", UniqueUntil::Claimed)).await?;
    check_eq!(queue.push_one(unique("b", UniqueUntil::Claimed)).await?, Pushed::Held { by: job_id("a") });
    queue.claim_one().await?;
    check!(queue.push_one(unique("b", UniqueUntil::Claimed)).await?.is_new());
    Ok(())
}

async fn a_unique_key_until_the_claim_is_given_back_by_cancellation(queue: QueueFixture) -> Verdict {
    queue.push_one(unique("a", UniqueUntil::Claimed)).await?;
    queue.cancel("a").await?;
    check_eq!(is_free(&queue).await?, true);
    Ok(())
}

async fn a_unique_key_until_the_claim_is_not_taken_again_by_a_retry(queue: QueueFixture) -> Verdict {
    queue.push_one(unique("a", UniqueUntil::Claimed)).await?;
    let claimed = queue.claim_one().await?;
    queue.settle(&claimed.lease, retry(ms(0))).await?;
    check!(queue.push_one(until_finished("b")).await?.is_new());
    let again = queue.claim_one().await?;
    check_eq!(again.id().as_str(), "a");
    check_eq!(queue.push_one(until_finished("c")).await?, Pushed::Held { by: job_id("b") });
    queue.settle(&again.lease, Outcome::Complete(None)).await?;
    check_eq!(queue.push_one(until_finished("c")).await?, Pushed::Held { by: job_id("b") });
    Ok(())
}

async fn a_unique_key_of_another_job_is_left_alone(queue: QueueFixture) -> Verdict {
    queue.push_one(unique("a", UniqueUntil::Claimed)).await?;
    let first = queue.claim_one().await?;
    queue.push_one(until_finished("b")).await?;
    queue.settle(&first.lease, dead("broken")).await?;
    queue.delete("a").await?;
    check_eq!(queue.push_one(until_finished("c")).await?, Pushed::Held { by: job_id("b") });
    Ok(())
}

async fn a_unique_key_for_a_time_outlives_its_job(queue: QueueFixture) -> Verdict {
    queue.push_one(unique("a", UniqueUntil::Elapsed(secs(60)))).await?;
    let claimed = queue.claim_one().await?;
    queue.settle(&claimed.lease, Outcome::Complete(None)).await?;
    check_eq!(queue.push_one(until_finished("b")).await?, Pushed::Held { by: job_id("a") });
    queue.push_one(job("c").with_unique(Unique::new(unique_key("other"), UniqueUntil::Elapsed(secs(60))))).await?;
    queue.cancel("c").await?;
    let other = job("d").with_unique(Unique::new(unique_key("other"), UniqueUntil::Finished));
    check_eq!(queue.push_one(other).await?, Pushed::Held { by: job_id("c") });
    Ok(())
}

async fn a_unique_key_for_a_time_is_free_at_its_end(queue: QueueFixture) -> Verdict {
    queue.push_one(unique("a", UniqueUntil::Elapsed(secs(60)))).await?;
    queue.fixture.advance(secs(60) - ms(1));
    check_eq!(queue.push_one(until_finished("b")).await?, Pushed::Held { by: job_id("a") });
    queue.fixture.advance(ms(1));
    check!(queue.push_one(until_finished("b")).await?.is_new());
    check_eq!(queue.push_one(until_finished("c")).await?, Pushed::Held { by: job_id("b") });
    check_eq!(queue.claim_ids(10).await?, ["a", "b"]);
    Ok(())
}

async fn the_same_push_again_is_created_again_though_another_job_holds_the_key(queue: QueueFixture) -> Verdict {
    let pushed = unique("a", UniqueUntil::Claimed);
    queue.push(std::slice::from_ref(&pushed)).await?;
    queue.claim_one().await?;
    queue.push_one(until_finished("b")).await?;
    check!(queue.push_one(pushed).await?.is_new());
    check_eq!(queue.push_one(until_finished("c")).await?, Pushed::Held { by: job_id("b") });
    Ok(())
}

async fn an_unused_unique_key_of_a_duplicate_stays_free(queue: QueueFixture) -> Verdict {
    queue.push_one(unique("a", UniqueUntil::Claimed)).await?;
    queue.claim_one().await?;
    check_eq!(queue.push_one(until_finished("a")).await?, Pushed::Duplicate);
    check!(queue.push_one(until_finished("b")).await?.is_new());
    Ok(())
}

async fn an_id_of_a_job_without_a_unique_key_is_a_duplicate_with_one(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    check_eq!(queue.push_one(until_finished("a")).await?, Pushed::Duplicate);
    check!(queue.push_one(until_finished("b")).await?.is_new());
    Ok(())
}

async fn an_id_whose_result_is_over_is_free_though_a_job_with_it_is_refused_beside(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["x"]).await?;
    let claimed = queue.claim_one().await?;
    check_eq!(queue.settle(&claimed.lease, kept("done", secs(1))).await?, Settled::Done);
    queue.push_one(until_finished("holder")).await?;
    queue.fixture.advance(secs(2));
    let pushed = queue.push(&[until_finished("x"), job("x")]).await?;
    check_eq!(pushed, [Pushed::Held { by: job_id("holder") }, created("x")]);
    check_eq!(queue.claim_sorted(10).await?, ["holder", "x"]);
    Ok(())
}
