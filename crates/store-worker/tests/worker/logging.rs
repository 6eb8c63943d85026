//! The events and spans of a worker. On one thread, because the subscriber is that of the thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use store_core::{Backoff, JobId, NewJob, Op, RetryPolicy, TraceContext};
use store_worker::{Done, Job, JobError};
use tracing::Level;

use crate::captured::{Captured, Fields};
use crate::fixture::{ALL, Fault, Fixture, Running, Turnstile, eventually};

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn trace() -> TraceContext {
    TraceContext::new(&format!("00-{TRACE_ID}-00f067aa0ba902b7-01")).unwrap().with_tracestate("rojo=1")
}

/// The events of one job: level, outcome, attempt of how many, reason.
fn of_job(captured: &Captured, id: &JobId) -> Vec<(Level, String, String, String)> {
    let of_job = |fields: &Fields| fields.get("id") == Some(id.as_str());
    let text = |fields: &Fields, name: &str| fields.get(name).unwrap_or_default().to_owned();
    let events = captured.deliveries().into_iter().filter(|(_, fields)| of_job(fields));
    events
        .map(|(level, fields)| {
            let attempt = format!("{} of {}", text(&fields, "attempt"), text(&fields, "max_attempts"));
            (level, text(&fields, "outcome"), attempt, text(&fields, "reason"))
        })
        .collect()
}

#[tokio::test]
async fn each_delivery_that_fails_is_one_event_and_one_that_makes_the_job_dead_is_an_error() {
    static SNOOZED: AtomicBool = AtomicBool::new(false);
    let (captured, _guard) = Captured::begin();
    let fixture = Fixture::new();
    let handler = async |job: Job| match (&job.payload()[..], job.attempt()) {
        (b"canary-panic", 1) => panic!("no ink"),
        (b"canary-slow", 1) => std::future::pending().await,
        (b"canary-error", _) => Err(JobError::retry("no paper")),
        (b"canary-dead", _) => Err(JobError::dead("no printer")),
        (b"canary-snooze", _) if !SNOOZED.swap(true, Ordering::SeqCst) => Err(JobError::snooze(Duration::ZERO)),
        (b"canary-cancelled", _) => Err(JobError::cancelled()),
        _ => Ok(Done::discard()),
    };
    let policy = RetryPolicy::new(2, Backoff::Fixed(Duration::ZERO));
    let push = async |payload: &'static str| fixture.push(NewJob::new(payload).with_retry(policy)).await;
    let (panic, slow, error) = (push("canary-panic").await, push("canary-slow").await, push("canary-error").await);
    let dead = fixture.push(NewJob::new("canary-dead").with_retry(policy).with_trace(trace())).await;
    let quiet = [push("canary-done").await, push("canary-snooze").await, push("canary-cancelled").await];
    let builder = fixture.worker().with_handler_timeout(Duration::from_millis(500));
    let worker = Running::start(builder.with_queue("email", handler));
    fixture.until("ended", |counts| counts.pending() == 0).await;
    worker.shutdown().await;

    let warn = |outcome: &str, attempt: &str, reason: &str| {
        (Level::WARN, outcome.to_owned(), attempt.to_owned(), reason.to_owned())
    };
    let error_of = |outcome: &str, attempt: &str, reason: &str| {
        (Level::ERROR, outcome.to_owned(), attempt.to_owned(), reason.to_owned())
    };
    assert_eq!(of_job(&captured, &panic), [warn("panicked", "1 of 2", "panicked: no ink")]);
    assert_eq!(of_job(&captured, &slow), [warn("timed_out", "1 of 2", "timed out after 500ms")]);
    let both = [warn("failed", "1 of 2", "no paper"), error_of("failed", "2 of 2", "no paper")];
    assert_eq!(of_job(&captured, &error), both);
    assert_eq!(of_job(&captured, &dead), [error_of("failed", "1 of 2", "no printer")]);
    for id in &quiet {
        assert_eq!(of_job(&captured, id), []);
    }
    let events = captured.deliveries();
    assert_eq!(events.len(), 5);
    let of_dead = events.iter().find(|(_, fields)| fields.get("id") == Some(dead.as_str())).unwrap();
    assert_eq!((of_dead.1.get("trace_id"), of_dead.1.get("queue")), (Some(TRACE_ID), Some("email")));
    assert!(!format!("{events:?}").contains("canary"), "no payload is logged");
}

#[tokio::test]
async fn a_lost_job_is_one_event() {
    let (captured, _guard) = Captured::begin();
    let fixture = Fixture::new();
    let turnstile = Turnstile::new();
    let id = fixture.push(NewJob::new("").with_trace(trace())).await;
    let gate = turnstile.clone();
    let handler = move |_: Job| {
        let gate = gate.clone();
        async move {
            let _inside = gate.pass().await;
            Ok(Done::discard())
        }
    };
    let worker = Running::start(fixture.worker().with_lease(Duration::from_millis(300)).with_queue("email", handler));
    turnstile.until_inside(1).await;
    fixture.clock.advance(Duration::from_secs(60));
    eventually("lost", async || worker.handle.stats().lost == 1).await;
    turnstile.open();
    fixture.until("ended", |counts| counts.pending() == 0).await;
    worker.shutdown().await;
    let lost = (Level::WARN, "lost".to_owned(), "1 of 10".to_owned(), "the lease was lost".to_owned());
    assert_eq!(of_job(&captured, &id), [lost]);
    let span = captured.spans().into_iter().find(|span| span.fields.get("twinstore.job.attempt") == Some("1"));
    assert_eq!(span.unwrap().fields.get("error.type"), Some("lost"));
}

#[tokio::test]
async fn jobs_that_a_worker_cannot_give_back_are_one_event_each() {
    let (captured, _guard) = Captured::begin();
    let fixture = Fixture::new();
    let turnstile = Turnstile::new();
    let ids = [fixture.push(NewJob::new("")).await, fixture.push(NewJob::new("")).await];
    let gate = turnstile.clone();
    let handler = move |_: Job| {
        let gate = gate.clone();
        async move {
            let _inside = gate.pass().await;
            Ok(Done::discard())
        }
    };
    let worker = Running::start(fixture.worker().with_queue("email", handler));
    turnstile.until_inside(2).await;
    fixture.store.fail(&ALL, Fault::Away);
    worker.handle.shutdown_now();
    assert_eq!(worker.report().await.stats.lost, 2);
    let reason = "the job could not be given back before the worker ended".to_owned();
    let lost = (Level::WARN, "lost".to_owned(), "1 of 10".to_owned(), reason);
    for id in &ids {
        assert_eq!(of_job(&captured, id), std::slice::from_ref(&lost));
    }
}

#[tokio::test]
async fn a_settlement_under_way_when_the_worker_gives_up_is_one_event() {
    let (captured, _guard) = Captured::begin();
    let fixture = Fixture::new();
    let id = fixture.push(NewJob::new("")).await;
    fixture.store.hold(Op::QueueSettle);
    let worker = Running::start(fixture.worker().with_queue("email", async |_: Job| Ok(Done::discard())));
    eventually("settling", async || fixture.store.count(Op::QueueSettle) == 1).await;
    worker.handle.shutdown_now();
    assert_eq!(worker.report().await.stats.unknown, 1, "it may still be executed");
    let reason = "the worker ended before its settlement was answered".to_owned();
    assert_eq!(of_job(&captured, &id), [(Level::WARN, "unknown".to_owned(), "1 of 10".to_owned(), reason)]);
}

#[tokio::test]
async fn every_handler_runs_in_a_span_with_the_names_of_opentelemetry_and_the_trace_of_the_push() {
    let (captured, _guard) = Captured::begin();
    let fixture = Fixture::new();
    let handler = async |job: Job| {
        let is_inside = tracing::Span::current().metadata().is_some_and(|span| span.name() == "job");
        match &job.payload()[..] {
            _ if !is_inside => Err(JobError::dead("not in its span")),
            b"fails" => Err(JobError::dead("no")),
            _ => Ok(Done::discard()),
        }
    };
    let traced = fixture.push(NewJob::new("").with_trace(trace())).await;
    let plain = fixture.push(NewJob::new("fails")).await;
    let worker = Running::start(fixture.worker().with_queue("email", handler));
    fixture.until("ended", |counts| counts.pending() == 0).await;
    let stats = worker.shutdown().await.stats;
    assert_eq!((stats.completed, stats.dead), (1, 1));

    let spans = captured.spans();
    assert_eq!(spans.len(), 2);
    let of_job = |id: &JobId| spans.iter().find(|span| span.fields.get("messaging.message.id") == Some(id.as_str()));
    let (traced, plain) = (of_job(&traced).unwrap(), of_job(&plain).unwrap());
    for span in [traced, plain] {
        assert!(span.is_root && span.name == "job");
        for (name, value) in [
            ("otel.name", "process email"),
            ("otel.kind", "consumer"),
            ("messaging.system", "twinstore"),
            ("messaging.operation.name", "process"),
            ("messaging.operation.type", "process"),
            ("messaging.destination.name", "email"),
            ("twinstore.job.attempt", "1"),
            ("twinstore.job.max_attempts", "10"),
        ] {
            assert_eq!(span.fields.get(name), Some(value), "{name}");
        }
        assert!(span.fields.get("messaging.client.id").is_some_and(|name| name.starts_with("worker")));
    }
    let parent = [("trace_id", TRACE_ID), ("parent_span_id", "00f067aa0ba902b7"), ("tracestate", "rojo=1")];
    for (name, value) in parent {
        assert_eq!((traced.fields.get(name), plain.fields.get(name)), (Some(value), None), "{name}");
    }
    assert!(!traced.fields.names().contains(&"error.type"));
    assert_eq!(plain.fields.get("error.type"), Some("failed"));
    assert_eq!(plain.fields.get("otel.status_code"), Some("ERROR"));
}

#[tokio::test]
async fn a_span_hook_gets_each_job_and_its_span_before_the_handler_starts() {
    let (captured, _guard) = Captured::begin();
    let fixture = Fixture::new();
    fixture.push(NewJob::new("a")).await;
    fixture.push(NewJob::new("b").with_trace(trace())).await;
    let builder = fixture.worker().with_span_hook(|job, span| match job.trace() {
        Some(trace) => drop(span.record("error.type", format!("linked to {}", trace.parent_id()))),
        None => panic!("a hook that panics"),
    });
    let worker = Running::start(builder.with_queue("email", async |_: Job| Ok(Done::discard())));
    fixture.until("ended", |counts| counts.pending() == 0).await;
    assert_eq!(worker.shutdown().await.stats.completed, 2, "a panic of the hook does not end the worker");
    let linked =
        |span: &crate::captured::CapturedSpan| span.fields.get("error.type") == Some("linked to 00f067aa0ba902b7");
    assert_eq!(captured.spans().iter().filter(|span| linked(span)).count(), 1);
}
