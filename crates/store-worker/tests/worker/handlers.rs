use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use store_core::{Backoff, JobState, NewJob, QueueInspect, RetryPolicy};
use store_worker::{Done, Handler, HandlerResult, Job, JobError, QueueOptions, ServiceHandler};

use crate::fixture::{Fixture, Running, Turnstile};

const KEPT: Duration = Duration::from_secs(60);

fn at_once(max_attempts: u16) -> NewJob {
    NewJob::new("").with_retry(RetryPolicy::new(max_attempts, Backoff::Fixed(Duration::ZERO)))
}

/// Runs one job to its end in a queue of its own. The fixture, and how often the handler was called.
async fn run(job: NewJob, handler: impl Handler) -> (Fixture, store_core::JobId) {
    let fixture = Fixture::new();
    let id = fixture.push(job).await;
    let worker = Running::start(fixture.worker().with_queue("email", handler));
    fixture.until("the job has ended", |counts| counts.pending() == 0).await;
    worker.shutdown().await;
    (fixture, id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_is_kept_with_its_job() {
    let handler = async |job: Job| {
        let number: u32 = job.json()?;
        Ok(Done::keep(format!("{}", number + 1), KEPT))
    };
    let (fixture, id) = run(NewJob::new("41"), handler).await;
    let info = fixture.state.get(&fixture.queue, &id).await.unwrap().unwrap();
    assert_eq!(info.state, JobState::Completed);
    assert_eq!(info.result.as_deref(), Some(&b"42"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_returns_nothing_is_done() {
    let (fixture, id) = run(NewJob::new(""), async |_: Job| Ok(())).await;
    assert_eq!(fixture.state.get(&fixture.queue, &id).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_without_a_result_to_keep_is_forgotten() {
    let (fixture, id) = run(NewJob::new(""), async |_: Job| Ok(Done::discard())).await;
    assert_eq!(fixture.state.get(&fixture.queue, &id).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_is_retried_until_the_last_attempt_and_dead_then() {
    let calls = Arc::new(AtomicUsize::new(0));
    let seen = calls.clone();
    let handler = move |job: Job| {
        let call = seen.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            assert_eq!(job.attempt() as usize, call);
            assert_eq!(job.last_error(), (call > 1).then_some("smtp said no"));
            assert_eq!(job.is_last_attempt(), call == 3);
            let done: Done = Err(std::io::Error::other("smtp said no"))?;
            Ok(done)
        }
    };
    let (fixture, id) = run(at_once(3), handler).await;
    let info = fixture.state.get(&fixture.queue, &id).await.unwrap().unwrap();
    assert_eq!((info.state, info.attempts), (JobState::Dead, 3));
    assert_eq!(info.last_error.as_deref(), Some("smtp said no"));
    assert_eq!(calls.load(Ordering::SeqCst), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_a_failed_attempt_and_the_worker_lives() {
    let handler = async |job: Job| -> HandlerResult {
        match job.attempt() {
            1 => panic!("attempt {}", job.attempt()),
            _ => Err(JobError::dead(job.last_error().unwrap_or_default())),
        }
    };
    let (fixture, id) = run(at_once(5), handler).await;
    let info = fixture.state.get(&fixture.queue, &id).await.unwrap().unwrap();
    assert_eq!(info.last_error.as_deref(), Some("panicked: attempt 1"));
}

struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        panic!("in drop");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_before_the_first_await_or_in_a_drop_is_one_too() {
    let at_call = |job: Job| {
        assert!(job.attempt() > 1, "at the call");
        async { Ok(Done::discard()) }
    };
    run(at_once(2), at_call).await;
    let in_drop = async |job: Job| {
        let _bomb = (job.attempt() == 1).then_some(PanicsWhenDropped);
        Ok(Done::discard())
    };
    run(at_once(2), in_drop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_takes_too_long_is_dropped_and_has_failed() {
    let fixture = Fixture::new();
    let turnstile = Turnstile::new();
    let handler = {
        let turnstile = turnstile.clone();
        move |_: Job| {
            let turnstile = turnstile.clone();
            async move {
                let _inside = turnstile.pass().await;
                Ok(Done::discard())
            }
        }
    };
    let id = fixture.push(at_once(2)).await;
    let options = QueueOptions::new().with_handler_timeout(Duration::from_millis(20));
    let worker = Running::start(fixture.worker().with_queue_options("email", options, handler));
    fixture.until("dead", |counts| counts.dead == 1).await;
    assert_eq!((turnstile.entered(), turnstile.inside()), (2, 0));
    let info = fixture.state.get(&fixture.queue, &id).await.unwrap().unwrap();
    assert_eq!(info.last_error.as_deref(), Some("timed out after 20ms"));
    let stats = worker.shutdown().await.stats;
    assert_eq!((stats.timed_out, stats.dead, stats.retried()), (2, 1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snooze_uses_no_attempt() {
    let calls = Arc::new(AtomicUsize::new(0));
    let seen = calls.clone();
    let handler = move |job: Job| {
        assert_eq!(job.attempt(), 1);
        let call = seen.fetch_add(1, Ordering::SeqCst);
        async move { if call < 3 { Err(JobError::snooze(Duration::ZERO)) } else { Ok(Done::discard()) } }
    };
    let (_, _) = run(at_once(1), handler).await;
    assert_eq!(calls.load(Ordering::SeqCst), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_given_up_is_dead_whatever_attempts_are_left() {
    let (fixture, id) =
        run(at_once(9), async |_: Job| -> HandlerResult { Err(JobError::dead("no such address")) }).await;
    let info = fixture.state.get(&fixture.queue, &id).await.unwrap().unwrap();
    assert_eq!((info.state, info.attempts), (JobState::Dead, 1));
    assert_eq!(info.last_error.as_deref(), Some("no such address"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_waits_as_long_as_the_handler_says() {
    let fixture = Fixture::new();
    let handler = async |job: Job| match job.attempt() {
        1 => Err(JobError::retry_after("busy", Duration::from_secs(30))),
        _ => Ok(Done::discard()),
    };
    let id = fixture.push(at_once(2)).await;
    let worker = Running::start(fixture.worker().with_queue("email", handler));
    fixture.until("scheduled", |counts| counts.scheduled == 1).await;
    let info = fixture.state.get(&fixture.queue, &id).await.unwrap().unwrap();
    assert_eq!(info.at, Some(fixture.clock.now().after(Duration::from_secs(30))));
    worker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_too_large_to_keep_makes_the_job_dead_and_spares_its_neighbours() {
    let large = async |_: Job| Ok(Done::keep(vec![0; store_core::JobInfo::MAX_RESULT_BYTES + 1], KEPT));
    let (fixture, id) = run(at_once(9), large).await;
    let info = fixture.state.get(&fixture.queue, &id).await.unwrap().unwrap();
    assert_eq!((info.state, info.attempts), (JobState::Dead, 1));
    assert!(info.last_error.unwrap().contains("65537 bytes"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_of_another_form_is_told_without_its_text() {
    let handler = async |job: Job| {
        job.json::<u32>()?;
        Ok(Done::discard())
    };
    let (fixture, id) = run(NewJob::new("\"canary\"").with_retry(RetryPolicy::never()), handler).await;
    let error = fixture.state.get(&fixture.queue, &id).await.unwrap().unwrap().last_error.unwrap();
    assert!(error.contains("line 1") && !error.contains("canary"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tower_service_is_a_handler() {
    let service = tower::service_fn(async |job: Job| match job.attempt() {
        1 => Err(std::io::Error::other("first")),
        _ => Ok(()),
    });
    let (fixture, id) = run(at_once(2), ServiceHandler::new(service)).await;
    assert_eq!(fixture.state.get(&fixture.queue, &id).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_queues_have_their_own_handlers() {
    let fixture = Fixture::new();
    let other = store_core::QueueName::new("sms").unwrap();
    let handler = |name: &'static str| {
        move |job: Job| async move {
            assert_eq!(job.queue().as_str(), name);
            Ok(Done::discard())
        }
    };
    fixture.push_many(3).await;
    store_core::QueueExt::push_one(&fixture.state, &other, NewJob::new("")).await.unwrap();
    let worker =
        Running::start(fixture.worker().with_queue("email", handler("email")).with_queue("sms", handler("sms")));
    crate::fixture::eventually("all done", async || worker.handle.stats().completed == 4).await;
    assert!(worker.shutdown().await.clean);
}
