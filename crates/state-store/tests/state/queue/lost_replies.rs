//! A reply that is lost: the call is sent again, and has happened once.

use std::time::Duration;

use state_store::{StateOptions, StateStore};
use store_core::{
    Durability, Error, Extended, Extension, JobState, Kept, Outcome, Queue, QueueExt, QueueInspect, Settled,
};
use testkit::{FaultProxy, RedisServer, mentions};

use super::{LEASE, are_new, claim, claim_one, id, job, push, queue, settle};
use crate::open_to_lose;

async fn through_a_proxy() -> (RedisServer, FaultProxy, StateStore) {
    let server = RedisServer::state().start().await.unwrap();
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let store = open_to_lose(&server.url_through(&proxy, None), StateOptions::default()).await;
    // The scripts are loaded: a cut must hit their execution.
    push(&store, &[job("rehearsal")]).await;
    let rehearsal = claim_one(&store).await;
    store.extend(&queue(), &[Extension::new(rehearsal.lease.clone())], LEASE).await.unwrap();
    settle(&store, &rehearsal, Outcome::Complete(None)).await;
    (server, proxy, store)
}

#[tokio::test]
async fn a_push_a_settlement_and_an_extension_happen_once() {
    let (_server, proxy, store) = through_a_proxy().await;
    proxy.cut_after_request(mentions("payload of a"));
    let jobs = [job("a").with_delay(Duration::from_millis(1)), job("b"), job("c")];
    assert_eq!(are_new(&push(&store, &jobs).await), vec![true; 3]);
    proxy.wait_fired(1).await;
    assert_eq!(store.counts(&queue()).await.unwrap().pending(), 3);

    let b = claim_one(&store).await;
    assert_eq!(*b.id(), id("b"));
    proxy.cut_after_request(mentions("half"));
    let extension = Extension::new(b.lease.clone()).with_progress("half");
    let extended = store.extend(&queue(), &[extension], LEASE * 2).await.unwrap();
    assert!(matches!(extended[..], [Extended::Until(until)] if until > b.lease.until));
    proxy.wait_fired(2).await;

    let retry = Outcome::Retry { after: Duration::from_secs(3600), error: "the error".into() };
    let kept = Outcome::Complete(Some(Kept::new("the result", LEASE)));
    let mut running = vec![b];
    testkit::wait_until("the delayed job is due", testkit::DEADLINE, async || {
        running.extend(claim(&store, 2).await.jobs);
        running.len() == 3
    })
    .await;
    let ends = [(retry, Some(JobState::Scheduled)), (Outcome::Complete(None), None), (kept, Some(JobState::Completed))];
    for (fired, (job, (outcome, state))) in running.into_iter().zip(ends).enumerate() {
        let fence = format!("{:016}", job.lease.fence.get());
        proxy.cut_after_request(mentions(fence));
        assert_eq!(store.settle_one(&queue(), job.lease.clone(), outcome).await.unwrap(), Settled::Done);
        proxy.wait_fired(3 + fired).await;
        let info = store.get(&queue(), job.id()).await.unwrap();
        assert_eq!(info.as_ref().map(|info| info.state), state);
        assert!(info.is_none_or(|info| info.attempts == 1), "one delivery");
    }
}

#[tokio::test]
async fn a_claim_is_not_sent_again_and_its_jobs_come_back() {
    let (_server, proxy, store) = through_a_proxy().await;
    push(&store, &[job("a")]).await;
    proxy.cut_after_request(mentions("worker-1"));
    let worker = store_core::HolderName::new("worker-1").unwrap();
    let request = store_core::ClaimRequest::new(queue(), worker, 1, Duration::from_millis(50));
    let lost = store.claim(&request).await;
    assert!(matches!(&lost, Err(error @ Error::Indeterminate { .. }) if !error.is_retryable()), "{lost:?}");
    let info = store.get(&queue(), &id("a")).await.unwrap().unwrap();
    assert_eq!((info.state, info.attempts), (JobState::Running, 1));
    testkit::wait_until("its lease runs out", testkit::DEADLINE, async || {
        claim(&store, 1).await.jobs.first().is_some_and(|job| job.attempt == 1)
    })
    .await;
}

/// A server waits for the last write of a connection: a repetition that only reads its memory would be granted at once.
#[tokio::test]
async fn a_repetition_is_as_durable_as_the_first_time() {
    let server = RedisServer::state().start().await.unwrap();
    let _replica = RedisServer::state().replica_of(&server).start().await.unwrap();
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let store = open_to_lose(&server.url_through(&proxy, None), StateOptions::default()).await;
    let durability = Durability::Replicated { replicas: 1, within: testkit::DEADLINE };
    let push = async |name: &str| store.push(&queue(), &[job(name)], durability).await.unwrap();
    let settle = async |outcome: Outcome| {
        let settlement = [store_core::Settlement::new(claim_one(&store).await.lease, outcome)];
        store.settle(&queue(), &settlement, durability).await.unwrap()
    };
    let memories = async || server.command_calls().await.unwrap().get("set").copied().unwrap_or(0);
    let retry = || Outcome::Retry { after: Duration::ZERO, error: "first".into() };
    let _ = (push("a").await, settle(retry()).await);
    for call in 0..2 {
        let before = memories().await;
        proxy.cut_after_request(mentions(if call == 0 { "payload of b" } else { "the error" }));
        let reached = if call == 0 {
            let receipt = push("b").await;
            assert_eq!(are_new(&receipt.value), [true]);
            receipt.reached
        } else {
            let receipt = settle(Outcome::Dead { reason: "the error".into() }).await;
            assert_eq!(receipt.value, [Settled::Done]);
            receipt.reached
        };
        proxy.wait_fired(call + 1).await;
        // The settlement comes with a claim, which is remembered too.
        assert_eq!((reached.replicas, memories().await - before), (1, 2 + call as u64));
    }
}
