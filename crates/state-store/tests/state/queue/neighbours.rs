//! Calls and jobs that must not harm those beside them.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use store_core::{AcquireRequest, ClaimRequest, Durability, HolderName, LeaseName, Leases, NewJob, Queue};

use super::{are_new, id, job, names, push, queue};
use crate::fixture;

/// Polls it once, as a `select!` does whose other branch is ready.
async fn begin<F: Future>(future: &mut std::pin::Pin<&mut F>) {
    poll_fn(|context| {
        assert!(future.as_mut().poll(context).is_pending());
        Poll::Ready(())
    })
    .await;
}

const PATIENCE: Duration = Duration::from_secs(10);

/// `select! { done = &mut push => …, () = tick => { push_another().await } }`
#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_is_not_polled_does_not_hold_up_others() {
    let fixture = fixture().await;
    let (mail, jobs) = (queue(), [job("a")]);
    let mut first = pin!(fixture.store.push(&mail, &jobs, Durability::Accepted));
    fixture.server.pause().unwrap();
    begin(&mut first).await;
    fixture.server.resume().unwrap();
    let others = [job("b")];
    let second = fixture.store.push(&mail, &others, Durability::Accepted);
    let pushed = tokio::time::timeout(PATIENCE, second).await.expect("held up for ever by a push that nobody polls");
    assert_eq!(are_new(&pushed.unwrap().value), [true]);
    assert_eq!(are_new(&first.await.unwrap().value), [true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_of_others_are_renewed_while_calls_are_not_polled() {
    let fixture = fixture().await;
    let request = |name: &str| {
        let (name, holder) = (LeaseName::new(name).unwrap(), HolderName::new("h").unwrap());
        AcquireRequest::new(name, holder, Duration::from_secs(30))
    };
    let requests = [request("a"), request("b"), request("c")];
    let mut a = pin!(fixture.store.acquire(&requests[0], Durability::Accepted));
    let mut b = pin!(fixture.store.acquire(&requests[1], Durability::Accepted));
    fixture.server.pause().unwrap();
    begin(&mut a).await;
    begin(&mut b).await;
    fixture.server.resume().unwrap();
    let third = fixture.store.acquire(&requests[2], Durability::Accepted);
    let _ = tokio::time::timeout(PATIENCE, third).await.expect("held up for ever by calls that nobody polls").unwrap();
    let _ = (a.await.unwrap(), b.await.unwrap());
}

/// A program that has a runtime of one thread per thread, and enters it for each call.
#[test]
fn a_runtime_that_nobody_drives_does_not_hold_up_others() {
    let main = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let fixture = main.block_on(fixture());
    let own = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mail, jobs, others) = (queue(), [job("a")], [job("b")]);
    let mut behind = pin!(fixture.store.push(&mail, &others, Durability::Accepted));
    own.block_on(async {
        let mut first = pin!(fixture.store.push(&mail, &jobs, Durability::Accepted));
        fixture.server.pause().unwrap();
        begin(&mut first).await;
        begin(&mut behind).await;
        fixture.server.resume().unwrap();
        let _ = first.await.unwrap();
    });
    let pushed = main.block_on(async { tokio::time::timeout(PATIENCE, behind).await });
    assert_eq!(are_new(&pushed.expect("held up until the other runtime is entered again").unwrap().value), [true]);
}

/// One job whose record this version cannot read (another one wrote it, or the server lost a byte) among those that it can.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_cannot_be_read_does_not_take_others_with_it() {
    let fixture = fixture().await;
    for name in ["a", "b", "c"] {
        push(&fixture.store, &[job(name)]).await;
    }
    let newer = "redis.call('HSET', KEYS[1], 'b', '\\2' .. string.sub(redis.call('HGET', KEYS[1], 'b'), 2))";
    fixture.server.command(&["EVAL", newer, "1", "test:{q.mail.0}:jobs"]).await.unwrap();
    let worker = HolderName::new("worker-1").unwrap();
    let claimed = fixture.store.claim(&ClaimRequest::new(queue(), worker, 9, Duration::from_secs(30))).await;
    let claimed = claimed.expect("jobs that can be read are claimed");
    assert_eq!(names(&claimed.jobs), ["a", "c"]);
}

/// A handler that works long on a small job does not keep the large ones that were claimed with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_small_job_keeps_no_large_one_in_memory() {
    let fixture = fixture().await;
    let mut kept = Vec::new();
    for round in 0..20 {
        // The small one is claimed with the first ones, and the last one exceeds what a claim is to carry.
        let large = |n: usize, bytes| NewJob::new(vec![7; bytes]).with_id(id(&format!("l{round}-{n}")));
        let first = (0..7).map(|n| large(n, 100 << 10));
        let jobs: Vec<_> = first.chain([job(&format!("s{round}")), large(7, 1 << 20)]).collect();
        push(&fixture.store, &jobs).await;
        let worker = HolderName::new("worker-1").unwrap();
        let mut jobs = Vec::new();
        while jobs.len() < 9 {
            let request = ClaimRequest::new(queue(), worker.clone(), 9, Duration::from_secs(30));
            jobs.extend(fixture.store.claim(&request).await.unwrap().jobs);
        }
        for job in jobs.iter().filter(|job| job.payload.len() > 100) {
            super::settle(&fixture.store, job, store_core::Outcome::Complete(None)).await;
        }
        kept.extend(jobs.into_iter().filter(|job| job.payload.len() < 100));
    }
    let lengths: usize = kept.iter().map(|job| job.payload.len()).sum();
    let buffers = kept.into_iter().map(|job| job.payload.try_into_mut().expect("a payload with a buffer of its own"));
    assert_eq!(buffers.map(|buffer| buffer.capacity()).sum::<usize>(), lengths);
}
