//! Waiters as a whole: what waiting costs, and that nothing is lost. The server's own clock counts here, unless a test moves it.

use std::time::{Duration, Instant};

use redis_link::keys::QueueKeys;
use state_store::{StateOptions, StateStore};
use store_core::{
    ClaimRequest, HolderName, JobId, MAX_MOVES, NewJob, Outcome, Queue, QueueExt, QueueInspect, QueueName, RequestId,
    Settled, Wakeup,
};
use testkit::{DEADLINE, FaultProxy, RedisServer, mentions, wait_until};

use super::{claim, job, push, queue, settle};
use crate::{fixture, namespace, open};

async fn real() -> (RedisServer, StateStore) {
    let server = RedisServer::state().start().await.unwrap();
    let store = open(&server.url(None), StateOptions::default()).await.unwrap();
    (server, store)
}

fn request(queue: QueueName, worker: usize) -> ClaimRequest {
    let worker = HolderName::new(format!("worker-{worker}")).unwrap();
    ClaimRequest::new(queue, worker, 1, Duration::from_secs(60))
}

#[tokio::test]
async fn a_full_claim_that_leaves_due_jobs_behind_notifies_another() {
    let fixture = fixture().await;
    let soon = |n: usize| job(&n.to_string()).with_delay(Duration::from_secs(1));
    push(&fixture.store, &(0..=MAX_MOVES).map(soon).collect::<Vec<_>>()).await;
    let waiter = fixture.store.waiter();
    assert!(waiter.claim(&request(queue(), 0), 0).await.unwrap().jobs.is_empty());
    fixture.clock.advance(Duration::from_secs(1));
    // All that one call makes ready; the last one is due and not ready yet.
    assert_eq!(claim(&fixture.store, MAX_MOVES).await.jobs.len(), MAX_MOVES);
    assert_eq!(waiter.next(DEADLINE).await.unwrap(), Some(Wakeup::Notified { queue: queue() }));
}

/// Until it receives the job that stops it. Returns the other jobs.
async fn work(store: StateStore, worker: usize, reserve: usize) -> Vec<JobId> {
    let waiter = store.waiter();
    let mut done = Vec::new();
    let mut jobs = Vec::new();
    loop {
        for job in std::mem::take(&mut jobs) {
            let job: store_core::ClaimedJob = job;
            store.settle_one(&queue(), job.lease.clone(), Outcome::Complete(None)).await.unwrap();
            if job.payload == "stop" {
                return done;
            }
            done.push(job.lease.job);
        }
        jobs = waiter.claim(&request(queue(), worker), reserve).await.unwrap().jobs;
        // Only a wake-up ends the wait: with a lost one, the test would not end before its deadline.
        while jobs.is_empty() {
            match waiter.next(DEADLINE * 10).await.unwrap() {
                Some(Wakeup::Claimed { claim, .. }) => jobs = claim.jobs,
                _ => jobs = waiter.claim(&request(queue(), worker), reserve).await.unwrap().jobs,
            }
        }
    }
}

#[tokio::test]
async fn no_push_is_slept_through() {
    for reserve in [0, 1] {
        let (_server, store) = real().await;
        let count = 300;
        let workers: Vec<_> = (0..3).map(|worker| tokio::spawn(work(store.clone(), worker, reserve))).collect();
        for number in 0..count {
            push(&store, &[job(&number.to_string())]).await;
        }
        for _ in 0..3 {
            push(&store, &[NewJob::new("stop")]).await;
        }
        let work = async {
            let mut done = 0;
            for worker in workers {
                done += worker.await.unwrap().len();
            }
            done
        };
        assert_eq!(tokio::time::timeout(DEADLINE, work).await.expect("all jobs are done"), count, "reserve {reserve}");
    }
}

#[tokio::test]
async fn a_registered_waiter_sends_nothing() {
    let (server, store) = real().await;
    let waiter = store.waiter();
    for number in 0..50 {
        let queue = QueueName::new(format!("q{number}")).unwrap();
        assert!(waiter.claim(&request(queue, 0), 1).await.unwrap().jobs.is_empty());
    }
    let scripts = async || server.command_calls().await.unwrap().get("evalsha").copied();
    let before = scripts().await;
    assert_eq!(waiter.next(Duration::from_secs(1)).await.unwrap(), None);
    assert_eq!(scripts().await, before);
    assert_eq!(waiter.next(Duration::ZERO).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_that_is_dropped_during_a_push_loses_no_job() {
    let (_server, store) = real().await;
    for round in 0..100 {
        let waiter = store.waiter();
        assert!(waiter.claim(&request(queue(), 0), round % 2).await.unwrap().jobs.is_empty());
        let pushing = tokio::spawn({
            let store = store.clone();
            async move { push(&store, &[NewJob::new("a")]).await }
        });
        if round % 4 < 2 {
            tokio::task::yield_now().await;
        }
        drop(waiter);
        pushing.await.unwrap();
        let mut jobs = Vec::new();
        wait_until("the job is ready", DEADLINE, async || {
            jobs = claim(&store, 1).await.jobs;
            !jobs.is_empty()
        })
        .await;
        assert_eq!(jobs[0].attempt, 1, "round {round}");
        assert_eq!(settle(&store, &jobs[0], Outcome::Complete(None)).await, Settled::Done);
    }
}

/// A claim waits for the subscription for a second. A push that finds no subscriber removes the registration.
#[tokio::test]
async fn a_subscription_that_is_confirmed_late_reports_missed_notifications() {
    let server = RedisServer::state().start().await.unwrap();
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let store = open(&server.url_through(&proxy, None), StateOptions::default()).await.unwrap();
    proxy.hold_at_request(mentions("SUBSCRIBE"));
    let waiter = store.waiter();
    assert!(waiter.claim(&request(queue(), 0), 1).await.unwrap().jobs.is_empty());
    assert_eq!((proxy.fired(), waiter.next(DEADLINE).await.unwrap()), (1, Some(Wakeup::Missed)));
    push(&store, &[NewJob::new("a")]).await;
    proxy.pass().await;
    assert_eq!(waiter.next(DEADLINE).await.unwrap(), Some(Wakeup::Missed));
    assert_eq!(waiter.claim(&request(queue(), 0), 1).await.unwrap().jobs.len(), 1);
}

/// Its registration was removed, as by a push that found no subscriber; no message can say so.
#[tokio::test]
async fn a_worker_without_the_right_to_publish_claims_after_its_registration_was_removed() {
    let rules = "~* &* +@all -publish";
    let server = RedisServer::state().acl_user("app", "p", rules).start().await.unwrap();
    let store = open(&server.user_url("app", "p"), StateOptions::default()).await.unwrap();
    let waiter = store.waiter();
    assert!(waiter.claim(&request(queue(), 0), 1).await.unwrap().jobs.is_empty());
    let waiters = QueueKeys::new(&namespace(), &queue(), 0, 1).waiters;
    assert_eq!(server.command(&["DEL", &waiters]).await.unwrap().as_integer(), Some(1));
    push(&store, &[NewJob::new("a")]).await;
    assert_eq!(waiter.claim(&request(queue(), 0), 1).await.unwrap().jobs.len(), 1);
}

/// The first claim waits for a second.
#[tokio::test]
async fn a_subscription_that_the_server_refuses_delays_one_claim_only() {
    let rules = "~* &* +@all -subscribe";
    let server = RedisServer::state().acl_user("app", "p", rules).start().await.unwrap();
    let store = open(&server.user_url("app", "p"), StateOptions::default()).await.unwrap();
    let (waiter, begun) = (store.waiter(), Instant::now());
    for number in 0..20 {
        let queue = QueueName::new(format!("q{}", number / 2)).unwrap();
        assert!(waiter.claim(&request(queue, 0), 1).await.unwrap().jobs.is_empty());
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(waiter.next(Duration::ZERO).await.unwrap(), Some(Wakeup::Missed));
    assert_eq!(waiter.next(Duration::ZERO).await.unwrap(), None);
    push(&store, &[NewJob::new("a")]).await;
    assert_eq!(waiter.claim(&request(queue(), 0), 1).await.unwrap().jobs.len(), 1);
}

/// A claim visits the partitions one after the other: the first one hands a job over, and the waiter takes it, before the third one
/// is visited.
#[tokio::test]
async fn a_job_that_is_taken_during_a_claim_has_one_of_its_places() {
    let server = RedisServer::state().start().await.unwrap();
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let options = || StateOptions::default().with_partitions(queue(), 3);
    let store = open(&server.url_through(&proxy, None), options()).await.unwrap();
    let producer = open(&server.url(None), options()).await.unwrap();
    let one_in_each_partition = async || {
        for _ in 0..3 {
            push(&producer, &[NewJob::new("")]).await;
        }
    };
    one_in_each_partition().await;
    for job in claim(&producer, 3).await.jobs {
        settle(&producer, &job, Outcome::Complete(None)).await;
    }
    let mut from_first = request(queue(), 0);
    from_first.max = 2;
    while !u16::from_be_bytes([from_first.request.as_bytes()[0], from_first.request.as_bytes()[1]]).is_multiple_of(3) {
        from_first.request = RequestId::generate();
    }
    let waiter = store.waiter();
    proxy.hold_at_request(mentions("{q.mail.1"));
    let claiming = tokio::spawn({
        let waiter = waiter.clone();
        async move { waiter.claim(&from_first, 2).await }
    });
    proxy.wait_fired(1).await;
    one_in_each_partition().await;
    let Some(Wakeup::Claimed { claim: handed, .. }) = waiter.next(DEADLINE).await.unwrap() else { panic!("no job") };
    proxy.pass().await;
    let found = claiming.await.unwrap().unwrap();
    assert_eq!((handed.jobs.len(), found.jobs.len(), found.next), (1, 1, Some(Duration::ZERO)));
    let counts = producer.counts(&queue()).await.unwrap();
    assert_eq!((counts.ready, counts.running), (1, 2), "it asked for two");
}
