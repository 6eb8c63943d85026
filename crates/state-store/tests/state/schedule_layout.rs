//! The stored form of schedules: a golden file, which is written and read.

use std::time::Duration;

use store_core::{
    Advanced, Backoff, CatchUp, Durability, JobId, NewJob, PageRequest, Priority, QueueName, RequestId, RetryPolicy,
    Schedule, ScheduleName, Schedules, Timestamp, TraceContext,
};
use testkit::golden::{dump, load};

use crate::{Fixture, fixture};

const GOLDEN: &str = include_str!("golden/schedule.1.redis");
const MINUTE: Duration = Duration::from_secs(60);
const META: &str = "test:{q.mails.0}:meta";

fn queue() -> QueueName {
    QueueName::new("mails").unwrap()
}

fn name(text: &str) -> ScheduleName {
    ScheduleName::new(text).unwrap()
}

fn job() -> JobId {
    JobId::new("018bcfe6-5260-8000-8000-000000000000").unwrap()
}

/// With everything that a schedule can have.
fn full() -> Schedule {
    let trace = TraceContext::new("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
    let job = NewJob::new("a\0b")
        .with_priority(Priority::High)
        .with_retry(RetryPolicy::new(7, Backoff::Linear { step: MINUTE, max: 60 * MINUTE }))
        .with_start_within(MINUTE)
        .with_schema(2)
        .with_trace(trace.with_tracestate("vendor=value"));
    let cron = Schedule::cron("30 2 * * MON-FRI", "Europe/Berlin", job).unwrap();
    cron.with_catch_up(CatchUp::Skip).with_grace(MINUTE * 5)
}

fn fired() -> Schedule {
    let every = Schedule::every(MINUTE, NewJob::new("report")).unwrap();
    every.with_anchor(Timestamp::from_millis(7)).with_catch_up(CatchUp::All(2))
}

async fn write(Fixture { store, clock, server }: &Fixture) {
    for (schedule, text) in [(full(), "full"), (fired(), "fired")] {
        let _ = store.put(&queue(), &name(text), &schedule, None, Durability::Accepted).await.unwrap();
    }
    assert!(store.pause(&queue(), &name("full")).await.unwrap());
    clock.advance(MINUTE);
    let due = store.due(&queue(), 1).await.unwrap();
    let mut plan = due.schedules[0].plan(due.now);
    (plan.jobs, plan.request) = (vec![job()], RequestId::from_bytes([0xa5; 16]));
    let advanced = Schedules::advance(store, &queue(), &plan, Durability::Accepted).await.unwrap().value;
    assert!(matches!(advanced, Advanced::Done { .. }));
    // Its seed is random.
    server.command(&["HSET", META, "shape", "4:1:0000000000000000"]).await.unwrap();
}

#[tokio::test]
async fn what_is_written_has_the_golden_layout() {
    let fixture = fixture().await;
    write(&fixture).await;
    let dumped = dump(&fixture.server, "test:*{*}*:*").await.unwrap();
    // Remembered calls have random ids, and last for seconds.
    let lasting = dumped.split_inclusive('\n').filter(|line| !line.contains(":call:"));
    let dumped: String = lasting.collect();
    assert_eq!(dumped, GOLDEN, "\n{dumped}");
}

#[tokio::test]
async fn the_golden_layout_is_read() {
    let Fixture { server, store, clock } = fixture().await;
    load(&server, GOLDEN).await.unwrap();
    clock.advance(MINUTE);
    let listed = Schedules::list(&store, &queue(), PageRequest::default()).await.unwrap().items;
    let shown: Vec<_> = listed.iter().map(|info| (info.name.as_str(), info.paused, info.version)).collect();
    assert_eq!(shown, [("fired", false, 1), ("full", true, 1)]);
    assert_eq!((&listed[0].schedule, &listed[1].schedule), (&fired(), &full()));
    let last = listed[0].last.as_ref().unwrap();
    assert_eq!((last.due.as_millis(), last.fired.as_millis()), (1_700_000_040_007, 1_700_000_060_000));
    assert_eq!((last.jobs, last.missed, &last.job), (1, 0, &job()));
    clock.advance(MINUTE);
    let due = store.due(&queue(), 5).await.unwrap();
    let plan = due.schedules[0].plan(due.now);
    assert_eq!(plan.due, [last.due.after(MINUTE)]);
    let advanced = Schedules::advance(&store, &queue(), &plan, Durability::Accepted).await.unwrap().value;
    assert_eq!(advanced, Advanced::Done { jobs: plan.jobs });
}
