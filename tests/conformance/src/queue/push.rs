//! The jobs that a push stores.

use store_core::{
    Backoff, Counts, Explanation, JobId, JobState, NewJob, Op, Outcome, Priority, Pushed, RetryPolicy, Settled,
    TraceContext,
};

use super::queue_fixture::{QueueFixture, created, dead, job, job_id, kept};
use crate::case::cases;
use crate::fixture::{ms, secs};
use crate::verdict::{Verdict, check, check_eq, check_matches};

cases! { Op::QueuePush;
    a_pushed_job_is_ready,
    a_batch_is_answered_job_by_job,
    the_same_push_again_is_created_again,
    the_same_push_again_while_the_job_runs_changes_nothing,
    the_same_push_again_after_the_job_died_is_created_again,
    another_push_with_the_id_is_a_duplicate,
    an_id_repeated_in_a_batch_sees_the_earlier_one,
    a_dead_job_keeps_its_id,
    an_id_is_free_when_its_job_is_forgotten,
    an_id_is_taken_while_its_result_is_kept,
    an_id_is_free_when_its_result_is_no_longer_kept,
    a_delayed_job_waits_for_its_time,
    the_shortest_delay_is_a_millisecond,
    two_queues_do_not_share_ids,
    a_job_is_delivered_as_it_was_pushed,
    a_trace_is_delivered_with_its_state,
    every_retry_policy_is_delivered_as_it_was_pushed,
    any_bytes_are_a_payload,
    the_largest_payload_is_accepted,
    every_form_of_id_comes_back_as_it_was,
    ids_that_differ_in_their_letters_only_are_two_jobs,
    the_largest_batch_is_accepted,
    a_batch_with_a_bad_job_is_refused_whole,
    batches_outside_their_bounds_are_refused,
}

async fn a_pushed_job_is_ready(queue: QueueFixture) -> Verdict {
    check!(queue.push_one(job("a")).await?.is_new());
    let info = queue.info("a").await?;
    check_eq!((info.state, info.attempts, info.max_attempts), (JobState::Ready, 0, 10));
    check_eq!((info.pushed_at, info.at), (queue.fixture.now(), None));
    Ok(())
}

async fn a_batch_is_answered_job_by_job(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["b"]).await?;
    let pushed = queue.push(&[job("a"), job("b"), job("c")]).await?;
    check_eq!(pushed, [created("a"), Pushed::Duplicate, created("c")]);
    check_eq!(queue.claim_sorted(10).await?, ["a", "b", "c"]);
    Ok(())
}

async fn the_same_push_again_is_created_again(queue: QueueFixture) -> Verdict {
    let batch = [job("a"), job("b")];
    check_eq!(queue.push(&batch).await?, [created("a"), created("b")]);
    check_eq!(queue.push(&batch).await?, [created("a"), created("b")]);
    check_eq!(queue.counts().await?, Counts::new(2, 0, 0, 0, 0));
    check_eq!(queue.claim_sorted(10).await?, ["a", "b"]);
    Ok(())
}

async fn the_same_push_again_while_the_job_runs_changes_nothing(queue: QueueFixture) -> Verdict {
    let pushed = job("a");
    queue.push(std::slice::from_ref(&pushed)).await?;
    let claimed = queue.claim_one().await?;
    check!(queue.push_one(pushed).await?.is_new());
    check_eq!(queue.counts().await?, Counts::new(0, 0, 1, 0, 0));
    check_eq!(queue.settle(&claimed.lease, Outcome::Complete(None)).await?, Settled::Done);
    Ok(())
}

async fn the_same_push_again_after_the_job_died_is_created_again(queue: QueueFixture) -> Verdict {
    let pushed = job("a");
    queue.push(std::slice::from_ref(&pushed)).await?;
    let claimed = queue.claim_one().await?;
    queue.settle(&claimed.lease, dead("broken")).await?;
    check!(queue.push_one(pushed).await?.is_new());
    check_eq!(queue.counts().await?, Counts::new(0, 0, 0, 0, 1));
    Ok(())
}

async fn another_push_with_the_id_is_a_duplicate(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    check_eq!(queue.push_one(NewJob::new("other").with_id(job_id("a"))).await?, Pushed::Duplicate);
    check_eq!(queue.claim_one().await?.payload, "a");
    check_eq!(queue.push_one(job("a")).await?, Pushed::Duplicate);
    Ok(())
}

async fn an_id_repeated_in_a_batch_sees_the_earlier_one(queue: QueueFixture) -> Verdict {
    let one = job("a");
    let pushed = queue.push(&[one.clone(), job("a"), one]).await?;
    check_eq!(pushed, [created("a"), Pushed::Duplicate, created("a")]);
    check_eq!(queue.counts().await?, Counts::new(1, 0, 0, 0, 0));
    Ok(())
}

async fn a_dead_job_keeps_its_id(queue: QueueFixture) -> Verdict {
    queue.bury("a").await?;
    check_eq!(queue.push_one(job("a")).await?, Pushed::Duplicate);
    Ok(())
}

async fn an_id_is_free_when_its_job_is_forgotten(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let claimed = queue.claim_one().await?;
    queue.settle(&claimed.lease, Outcome::Complete(None)).await?;
    check!(queue.push_one(job("a")).await?.is_new());
    let again = queue.claim_one().await?;
    check_eq!(again.attempt, 1);
    check!(again.lease.fence > claimed.lease.fence);
    Ok(())
}

async fn an_id_is_taken_while_its_result_is_kept(queue: QueueFixture) -> Verdict {
    queue.finish("a").await?;
    queue.fixture.advance(secs(60) - ms(1));
    check_eq!(queue.push_one(job("a")).await?, Pushed::Duplicate);
    Ok(())
}

async fn an_id_is_free_when_its_result_is_no_longer_kept(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let claimed = queue.claim_one().await?;
    queue.settle(&claimed.lease, kept("result", secs(60))).await?;
    queue.fixture.advance(secs(60));
    check!(queue.push_one(job("a")).await?.is_new());
    check_eq!(queue.counts().await?, Counts::new(1, 0, 0, 0, 0));
    let again = queue.claim_one().await?;
    check_eq!((again.attempt, again.last_error), (1, None));
    check_eq!(queue.info("a").await?.result, None);
    Ok(())
}

async fn a_delayed_job_waits_for_its_time(queue: QueueFixture) -> Verdict {
    queue.push_one(job("a").with_delay(secs(5))).await?;
    let info = queue.info("a").await?;
    check_eq!((info.state, info.at), (JobState::Scheduled, Some(queue.fixture.now().after(secs(5)))));
    check_eq!(info.pushed_at, queue.fixture.now());
    check_eq!(queue.counts().await?, Counts::new(0, 1, 0, 0, 0));
    Ok(())
}

async fn the_shortest_delay_is_a_millisecond(queue: QueueFixture) -> Verdict {
    queue.push_one(job("a").with_delay(std::time::Duration::from_nanos(1))).await?;
    check_eq!(queue.info("a").await?.at, Some(queue.fixture.now().after(ms(1))));
    check_eq!(queue.claim_ids(1).await?, [""; 0]);
    queue.fixture.advance(ms(1));
    check_eq!(queue.claim_ids(1).await?, ["a"]);
    Ok(())
}

async fn two_queues_do_not_share_ids(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let other = QueueFixture { name: queue.fixture.queue("other"), fixture: queue.fixture };
    check!(other.push_one(job("a")).await?.is_new());
    check_eq!(other.claim_ids(10).await?, ["a"]);
    Ok(())
}

async fn a_job_is_delivered_as_it_was_pushed(queue: QueueFixture) -> Verdict {
    let trace = TraceContext::new("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")?;
    let pushed = job("a").with_priority(Priority::Low).with_schema(7).with_trace(trace.clone());
    queue.push_one(pushed).await?;
    let pushed_at = queue.fixture.now();
    queue.fixture.advance(secs(3));
    let claimed = queue.claim_one().await?;
    check_eq!(claimed.payload, "a");
    check_eq!((claimed.priority, claimed.schema, claimed.trace), (Priority::Low, 7, Some(trace)));
    check_eq!((claimed.unique, claimed.retry, claimed.last_error), (None, RetryPolicy::default(), None));
    check_eq!((claimed.pushed_at, claimed.claimed_at), (pushed_at, queue.fixture.now()));
    Ok(())
}

async fn a_trace_is_delivered_with_its_state(queue: QueueFixture) -> Verdict {
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let later = TraceContext::new("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more")?;
    let longest = format!("a={},b={}", "x".repeat(253), "y".repeat(254));
    let traces = [
        TraceContext::new(traceparent)?.with_tracestate("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
        later.with_tracestate(&longest),
        TraceContext::new(traceparent)?.with_tracestate("malformed"),
    ];
    let job = |(number, trace): (usize, &TraceContext)| NewJob::new(number.to_string()).with_trace(trace.clone());
    queue.push(&traces.iter().enumerate().map(job).collect::<Vec<_>>()).await?;
    queue.push_one(job((3, &traces[1])).with_delay(secs(1)).with_schema(7)).await?;
    queue.fixture.advance(secs(1));
    let mut claimed = queue.claim(10).await?.jobs;
    claimed.sort_by(|one, other| one.payload.cmp(&other.payload));
    check_eq!(
        claimed.iter().map(|job| job.trace.clone()).collect::<Vec<_>>(),
        [0, 1, 2, 1].map(|i| Some(traces[i].clone()))
    );
    check_eq!(claimed.iter().map(|job| job.payload.clone()).collect::<Vec<_>>(), ["0", "1", "2", "3"]);
    let carried = claimed.iter().filter_map(|job| job.trace.as_ref());
    let carried: Vec<_> = carried.map(|trace| (trace.traceparent(), trace.tracestate())).collect();
    check_eq!(carried[1..3], [(traceparent, Some(&*longest)), (traceparent, None)]);
    Ok(())
}

async fn every_retry_policy_is_delivered_as_it_was_pushed(queue: QueueFixture) -> Verdict {
    let policies = [
        RetryPolicy::never(),
        RetryPolicy::new(u16::MAX, Backoff::Fixed(ms(250))),
        RetryPolicy::new(3, Backoff::Linear { step: secs(1), max: secs(3600) }),
        RetryPolicy::new(256, Backoff::Exponential { first: ms(1), max: secs(24 * 3600) }),
    ];
    let jobs: Vec<NewJob> = policies.iter().map(|policy| NewJob::new("").with_retry(*policy)).collect();
    let pushed = queue.push(&jobs).await?;
    let delivered: Vec<RetryPolicy> = queue.claim(10).await?.jobs.iter().map(|job| job.retry).collect();
    check_eq!(delivered, policies);
    let id = pushed[1].id().map_or("", JobId::as_str);
    check_eq!(queue.info(id).await?.max_attempts, 65535);
    Ok(())
}

async fn any_bytes_are_a_payload(queue: QueueFixture) -> Verdict {
    let payloads: [Vec<u8>; 3] = [Vec::new(), (0..=255).collect(), b"\r\n$3\r\n\0*-1".to_vec()];
    queue.push(&payloads.clone().map(NewJob::new)).await?;
    let delivered: Vec<Vec<u8>> = queue.claim(10).await?.jobs.iter().map(|job| job.payload.to_vec()).collect();
    check_eq!(delivered, payloads);
    Ok(())
}

async fn the_largest_payload_is_accepted(queue: QueueFixture) -> Verdict {
    queue.push_one(NewJob::new(vec![7; NewJob::MAX_PAYLOAD_BYTES])).await?;
    let claimed = queue.claim_one().await?;
    check!(claimed.payload == vec![7; NewJob::MAX_PAYLOAD_BYTES], "another payload was delivered");
    Ok(())
}

async fn every_form_of_id_comes_back_as_it_was(queue: QueueFixture) -> Verdict {
    let longest = "x".repeat(256);
    let mut ids = [
        "1",
        "0192f0c1-2b3c-7d4e-8f50-1a2b3c4d5e6f",
        "0192F0C1-2B3C-7D4E-8F50-1A2B3C4D5E6F",
        "0192f0c12b3c7d4e8f501a2b3c4d5e6f",
        "größe / 42 ✓",
        " a:b,c*?[] ",
        &longest,
    ];
    queue.push_ids(&ids).await?;
    ids.sort_unstable();
    let mut listed = queue.listed(JobState::Ready).await?;
    listed.sort_unstable();
    check_eq!(listed, ids);
    check_eq!(queue.claim_sorted(10).await?, ids);
    for id in ids {
        check_matches!(queue.explain(id).await?, Explanation::Running { .. });
    }
    Ok(())
}

async fn ids_that_differ_in_their_letters_only_are_two_jobs(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a", "A"]).await?;
    check_eq!(queue.claim_sorted(10).await?, ["A", "a"]);
    Ok(())
}

async fn the_largest_batch_is_accepted(queue: QueueFixture) -> Verdict {
    let ids: Vec<String> = (0..NewJob::MAX_BATCH).map(|number| format!("{number:03}")).collect();
    let jobs: Vec<NewJob> = ids.iter().map(|id| job(id)).collect();
    check_eq!(queue.push(&jobs).await?, ids.iter().map(|id| created(id)).collect::<Vec<_>>());
    check_eq!(queue.claim_sorted(NewJob::MAX_BATCH).await?, ids);
    Ok(())
}

async fn a_batch_with_a_bad_job_is_refused_whole(queue: QueueFixture) -> Verdict {
    let too_large = NewJob::new(vec![0; NewJob::MAX_PAYLOAD_BYTES + 1]);
    let without_attempts = job("b").with_retry(RetryPolicy::new(0, Backoff::Fixed(ms(1))));
    for bad in [too_large, without_attempts, job("b").with_start_within(ms(0)), job("b").with_delay(secs(400 * 86400))]
    {
        let refused = queue.push(&[job("a"), bad]).await;
        check_matches!(refused, Err(store_core::Error::InvalidArgument { op: Op::QueuePush, .. }));
    }
    check_eq!(queue.counts().await?, Counts::default());
    Ok(())
}

async fn batches_outside_their_bounds_are_refused(queue: QueueFixture) -> Verdict {
    check_matches!(queue.push(&[]).await, Err(store_core::Error::InvalidArgument { .. }));
    let too_many: Vec<NewJob> = (0..=NewJob::MAX_BATCH).map(|_| NewJob::new("")).collect();
    check_matches!(queue.push(&too_many).await, Err(store_core::Error::InvalidArgument { .. }));
    let too_large: Vec<NewJob> = (0..=NewJob::MAX_BATCH_BYTES / NewJob::MAX_PAYLOAD_BYTES)
        .map(|_| NewJob::new(vec![0; NewJob::MAX_PAYLOAD_BYTES]))
        .collect();
    check_matches!(queue.push(&too_large).await, Err(store_core::Error::InvalidArgument { .. }));
    check_eq!(queue.counts().await?, Counts::default());
    Ok(())
}
