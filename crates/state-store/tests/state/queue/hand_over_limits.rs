//! Jobs that were sent to a waiter that is gone, and messages with jobs that have failed.

use std::time::Duration;

use state_store::StateOptions;
use store_core::{Clock, Durability, Outcome, Queue, REGISTRATION, Settled, Settlement};
use testkit::Value;

use super::hand_over::{another, handed, plain, real, registered, ten_gone};
use super::{claim, job, push, queue, settle};
use crate::{fixture, open};

/// The last 16 of at least 16 digits: the fence in a message that MONITOR shows. A byte before it may be shown as a digit.
fn fence_in(line: &str) -> Option<&str> {
    let bytes = line.as_bytes();
    let is_end = |end: usize| {
        end >= 16
            && bytes[end - 16..end].iter().all(u8::is_ascii_digit)
            && !bytes.get(end).is_some_and(u8::is_ascii_digit)
    };
    (16..=bytes.len()).find(|end| is_end(*end)).map(|end| &line[end - 16..end])
}

/// A subscriber that is gone for this server may still listen to a replica of it: it gets the message, too.
#[tokio::test]
async fn a_job_that_nobody_has_received_is_handed_over_under_another_fence() {
    let (server, store) = real().await;
    let _gone = ten_gone(&server).await;
    server.command(&["COPY", "test:{q.mail.0}:waiters", "kept"]).await.unwrap();
    let (producer, mut monitor) = (another(&server).await, server.connect().await.unwrap());
    monitor.command(&["MONITOR"]).await.unwrap();
    let mut sent_twice = 0;
    // The push chooses one of eleven waiters at random; one of them listens.
    for _ in 0..20 {
        server.command(&["COPY", "kept", "test:{q.mail.0}:waiters", "REPLACE"]).await.unwrap();
        let waiter = registered(&store, 1).await;
        push(&producer, &plain(1)).await;
        let claim = handed(&waiter).await;
        server.command(&["ECHO", "end of the pushes"]).await.unwrap();
        let mut fences = Vec::new();
        loop {
            let line = monitor.receive().await.unwrap();
            let line = line.as_str().unwrap().to_owned();
            if line.contains("end of the pushes") {
                break;
            }
            if line.contains("\"PUBLISH\"") {
                fences.extend(fence_in(&line).map(str::to_owned));
            }
        }
        assert_eq!(fences.last().unwrap().parse::<u64>().unwrap(), claim.jobs[0].lease.fence.get());
        assert!(fences.windows(2).all(|pair| pair[0] < pair[1]), "{fences:?}");
        sent_twice += usize::from(fences.len() > 1);
        assert_eq!(settle(&store, &claim.jobs[0], Outcome::Complete(None)).await, Settled::Done);
    }
    assert!(sent_twice > 0, "no message was sent to a waiter that is gone");
}

#[tokio::test]
async fn the_errors_of_failed_jobs_count_in_a_message() {
    let (server, store) = real().await;
    let producer = another(&server).await;
    push(&producer, &(0..100).map(|n| job(&n.to_string())).collect::<Vec<_>>()).await;
    let running = claim(&store, 100).await.jobs;
    assert_eq!(running.len(), 100);
    let _waiters = [registered(&store, 100).await, registered(&store, 100).await];
    let mut observer = server.connect().await.unwrap();
    observer.command(&["PSUBSCRIBE", "test:wake:*"]).await.unwrap();
    let retry = || Outcome::Retry { after: std::time::Duration::ZERO, error: "x".repeat(1000) };
    let settlements: Vec<_> = running.iter().map(|job| Settlement::new(job.lease.clone(), retry())).collect();
    let settled = store.settle(&queue(), &settlements, Durability::Accepted).await.unwrap().value;
    assert!(settled.iter().all(|settled| *settled == Settled::Done));
    push(&producer, &plain(1)).await;
    let mut most = 0;
    let length = |message: Value| message.as_array().unwrap().last().unwrap().as_bytes().unwrap().len();
    while most < 20_000 {
        most = most.max(length(observer.receive().await.unwrap()));
    }
    assert!(most <= 64 << 10, "{most} bytes");
}

#[tokio::test]
async fn registrations_that_have_ended_are_removed_and_hide_no_waiter() {
    let fixture = fixture().await;
    let registrations = async || {
        let count = fixture.server.command(&["HLEN", "test:{q.mail.0}:waiters"]).await.unwrap();
        count.as_integer().unwrap()
    };
    // A process reserves jobs of up to 1 MiB.
    let another = async || {
        let options = StateOptions::default().with_clock(Clock::Manual(fixture.clock.clone()));
        open(&fixture.server.url(None), options).await.unwrap()
    };
    let mut ended = Vec::new();
    for _ in 0..5 {
        let store = another().await;
        for _ in 0..10 {
            ended.push(registered(&store, 1).await);
        }
    }
    assert_eq!(registrations().await, 50);
    fixture.clock.advance(REGISTRATION + Duration::from_secs(1));
    let waiter = registered(&fixture.store, 1).await;
    assert_eq!(registrations().await, 50 - 32 + 1, "an idle queue removes them in steps");
    push(&fixture.store, &plain(1)).await;
    assert_eq!(handed(&waiter).await.jobs.len(), 1);
    fixture.clock.advance(Duration::from_secs(1));
    let _again = registered(&another().await, 1).await;
    assert_eq!(registrations().await, 1);
}
