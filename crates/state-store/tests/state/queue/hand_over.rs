//! Pushes that hand jobs over to waiters. The server's own clock counts here, unless a test moves it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis_link::{Link, LinkConfig, ServerUrl};
use state_store::{StateOptions, StateStore};
use store_core::{
    Claim, ClaimRequest, Durability, HolderName, NewJob, Outcome, Priority, Queue, QueueControl, QueueInspect,
    QueueName, Settled, Waiter, Wakeup,
};
use testkit::{DEADLINE, FaultProxy, RedisServer, wait_until};

use super::{LEASE, claim, job, push, queue, settle};
use crate::{fixture, namespace, open, open_to_lose, service};

pub(super) async fn real() -> (RedisServer, StateStore) {
    let server = RedisServer::state().start().await.unwrap();
    let store = another(&server).await;
    (server, store)
}

/// The store as another process has it, with a channel of its own.
pub(super) async fn another(server: &RedisServer) -> StateStore {
    open(&server.url(None), StateOptions::default()).await.unwrap()
}

fn request_from(queue: QueueName, max: usize, lease: Duration) -> ClaimRequest {
    ClaimRequest::new(queue, HolderName::new("waiter").unwrap(), max, lease)
}

/// A waiter that has found nothing, and reserves so many jobs.
pub(super) async fn registered(store: &StateStore, reserve: usize) -> Arc<dyn Waiter> {
    registered_for(store, reserve, LEASE).await
}

async fn registered_for(store: &StateStore, reserve: usize, lease: Duration) -> Arc<dyn Waiter> {
    let waiter = store.waiter();
    let found = waiter.claim(&request_from(queue(), reserve.max(1), lease), reserve).await.unwrap();
    assert!(found.jobs.is_empty());
    waiter
}

async fn next(waiter: &Arc<dyn Waiter>) -> Wakeup {
    waiter.next(DEADLINE).await.unwrap().expect("a wake-up")
}

/// The jobs that are handed over next.
pub(super) async fn handed(waiter: &Arc<dyn Waiter>) -> Claim {
    match next(waiter).await {
        Wakeup::Claimed { queue: of, claim, .. } => {
            assert_eq!(of, queue());
            claim
        }
        other => panic!("{other:?}"),
    }
}

pub(super) fn plain(count: usize) -> Vec<NewJob> {
    (0..count).map(|n| NewJob::new(n.to_string())).collect()
}

async fn waiters(server: &RedisServer) -> Option<i64> {
    server.command(&["HLEN", "test:{q.mail.0}:waiters"]).await.unwrap().as_integer()
}

async fn counts(store: &StateStore) -> (u64, u64) {
    let counts = store.counts(&queue()).await.unwrap();
    (counts.ready, counts.running)
}

#[tokio::test]
async fn a_push_leases_its_jobs_to_a_waiter_until_its_reservation_is_used_up() {
    let (server, store) = real().await;
    let producer = another(&server).await;
    let waiter = registered(&store, 5).await;
    push(&producer, &[vec![job("single")], plain(3)].concat()).await;
    let mut claim = handed(&waiter).await;
    assert_eq!((claim.jobs.len(), counts(&store).await, waiters(&server).await), (4, (0, 4), Some(1)));
    // It waits for one more.
    push(&producer, &plain(2)).await;
    claim.jobs.extend(handed(&waiter).await.jobs);
    assert_eq!((claim.jobs.len(), counts(&store).await, waiters(&server).await), (5, (1, 5), Some(0)));
    assert!(claim.jobs.iter().all(|job| job.attempt == 1));
    push(&producer, &[NewJob::new("later")]).await;
    assert_eq!(counts(&store).await, (2, 5));
    assert_eq!(waiter.next(Duration::from_millis(20)).await.unwrap(), None);
    for job in &claim.jobs {
        assert_eq!(settle(&store, job, Outcome::Complete(None)).await, Settled::Done);
    }
    assert_eq!(counts(&store).await, (2, 0));
}

#[tokio::test]
async fn a_registration_ends_after_10_s() {
    let fixture = fixture().await;
    let _waiter = registered(&fixture.store, 5).await;
    fixture.clock.advance(Duration::from_secs(10));
    push(&fixture.store, &plain(1)).await;
    assert_eq!((counts(&fixture.store).await, waiters(&fixture.server).await), ((1, 0), Some(0)));
    assert_eq!(claim(&fixture.store, 1).await.jobs.len(), 1);
    // The server forgets registrations that nobody visits.
    let _waiter = registered(&fixture.store, 5).await;
    let left = fixture.server.command(&["PTTL", "test:{q.mail.0}:waiters"]).await.unwrap().as_integer().unwrap();
    assert!((1..=20_000).contains(&left), "{left} ms");
}

/// Ten waiters with registrations that reserve a job each, whose process has lost its connections.
pub(super) async fn ten_gone(server: &RedisServer) -> Vec<Arc<dyn Waiter>> {
    let config = LinkConfig::new(ServerUrl::parse(&server.url(None)).unwrap(), "tests:state");
    let link = Link::connect(config).await.unwrap();
    let dead = StateStore::open(link.clone(), namespace(), service(), StateOptions::default()).await.unwrap();
    let mut gone = Vec::new();
    for _ in 0..10 {
        gone.push(registered(&dead, 1).await);
    }
    link.close().await;
    wait_until("the server has noticed", DEADLINE, async || {
        let clients = server.command(&["CLIENT", "LIST", "TYPE", "pubsub"]).await.unwrap();
        clients.as_bytes().is_some_and(<[u8]>::is_empty)
    })
    .await;
    gone
}

#[tokio::test]
async fn waiters_without_a_receiver_are_passed_over() {
    let (server, store) = real().await;
    let _gone = ten_gone(&server).await;
    server.command(&["COPY", "test:{q.mail.0}:waiters", "kept"]).await.unwrap();
    push(&another(&server).await, &plain(1)).await;
    assert_eq!((counts(&store).await, waiters(&server).await), ((1, 0), Some(0)));
    let job = claim(&store, 1).await.jobs.remove(0);
    assert_eq!((job.attempt, settle(&store, &job, Outcome::Complete(None)).await), (1, Settled::Done));
    server.command(&["COPY", "kept", "test:{q.mail.0}:waiters"]).await.unwrap();
    let waiter = registered(&store, 1).await;
    push(&another(&server).await, &plain(1)).await;
    let jobs = handed(&waiter).await.jobs;
    assert_eq!((jobs.len(), jobs[0].attempt, counts(&store).await), (1, 1, (0, 1)));
}

#[tokio::test]
async fn a_message_has_at_most_64_kib_and_larger_jobs_are_notified() {
    let (server, store) = real().await;
    let producer = another(&server).await;
    let mut observer = server.connect().await.unwrap();
    observer.command(&["PSUBSCRIBE", "test:wake:*"]).await.unwrap();
    let waiter = registered(&store, 60).await;
    push(&producer, &[NewJob::new(vec![7; 100 << 10])]).await;
    assert_eq!(next(&waiter).await, Wakeup::Notified { queue: queue() });
    assert_eq!(claim(&store, 1).await.jobs.len(), 1);
    for bytes in [1, 1000, 4000, 20_000, 59_000, 63_000] {
        server.command(&["DEL", "test:{q.mail.0}:waiters"]).await.unwrap();
        let waiter = registered(&store, 60).await;
        let jobs = (0..50).map(|_| NewJob::new(vec![7; bytes]));
        push(&producer, &jobs.collect::<Vec<_>>()).await;
        let most = match next(&waiter).await {
            Wakeup::Claimed { claim, .. } => claim.jobs.len(),
            _ => 0,
        };
        assert_eq!(most == 50, bytes <= 1000, "{bytes}: {most} jobs");
        assert!(most > 0 || bytes > 50_000, "{bytes}");
        while !claim(&store, 60).await.jobs.is_empty() {}
        let message = observer.receive().await.unwrap();
        let length = message.as_array().and_then(|parts| parts.last()).and_then(|text| text.as_bytes()).unwrap().len();
        assert!(length <= 64 << 10, "{length} bytes");
    }
}

#[tokio::test]
async fn at_most_16_registrations_of_a_process_reserve_jobs() {
    let (server, store) = real().await;
    let (producer, waiter) = (another(&server).await, store.waiter());
    let queues: Vec<_> = (0..20).map(|n| QueueName::new(format!("q{n}")).unwrap()).collect();
    for queue in &queues {
        assert!(waiter.claim(&request_from(queue.clone(), 1, LEASE), 1).await.unwrap().jobs.is_empty());
    }
    for queue in &queues {
        let _receipt = producer.push(queue, &plain(1), store_core::Durability::Accepted).await.unwrap();
    }
    let mut reserved = 0;
    for _ in &queues {
        match next(&waiter).await {
            Wakeup::Claimed { .. } => reserved += 1,
            other => assert!(matches!(other, Wakeup::Notified { .. })),
        }
    }
    assert_eq!(reserved, 16);
}

#[tokio::test]
async fn the_most_urgent_job_is_handed_over_first() {
    let (server, store) = real().await;
    let waiter = registered(&store, 1).await;
    let of = |priority| NewJob::new(format!("{priority:?}")).with_priority(priority);
    push(&another(&server).await, &[of(Priority::Low), of(Priority::Critical), of(Priority::High)]).await;
    let claim = handed(&waiter).await;
    assert_eq!((&claim.jobs[0].payload[..], claim.jobs.len()), (&b"Critical"[..], 1));
    let rest = super::claim(&store, 9).await.jobs;
    assert_eq!(rest.iter().map(|job| job.priority).collect::<Vec<_>>(), [Priority::High, Priority::Low]);
}

#[tokio::test]
async fn a_paused_queue_hands_nothing_over() {
    let (server, store) = real().await;
    store.pause(&queue()).await.unwrap();
    let waiter = registered(&store, 1).await;
    push(&another(&server).await, &plain(1)).await;
    assert_eq!((counts(&store).await, waiter.next(Duration::from_millis(20)).await.unwrap()), ((1, 0), None));
    store.resume(&queue()).await.unwrap();
    assert_eq!(next(&waiter).await, Wakeup::Notified { queue: queue() });
}

#[tokio::test]
async fn a_burst_wakes_as_many_workers_as_it_needs() {
    let (server, store) = real().await;
    let producer = another(&server).await;
    let reserving = [registered(&store, 2).await, registered(&store, 2).await, registered(&store, 2).await];
    push(&producer, &plain(5)).await;
    let mut sizes = Vec::new();
    for waiter in &reserving {
        sizes.push(handed(waiter).await.jobs.len());
    }
    sizes.sort_unstable();
    assert_eq!(sizes, [1, 2, 2]);
    // One of them still has room.
    push(&producer, &plain(1)).await;
    assert_eq!(producer.counts(&queue()).await.unwrap().running, 6);

    // Those that reserve nothing wake each other. One of the others is still registered.
    server.command(&["DEL", "test:{q.mail.0}:waiters"]).await.unwrap();
    let mut notified = vec![registered(&store, 0).await, registered(&store, 0).await, registered(&store, 0).await];
    push(&producer, &plain(3)).await;
    for _ in 0..3 {
        let mut woken = None;
        wait_until("one is notified", DEADLINE, async || {
            for (index, waiter) in notified.iter().enumerate() {
                if waiter.next(Duration::from_millis(1)).await.unwrap().is_some() {
                    woken = Some(index);
                }
            }
            woken.is_some()
        })
        .await;
        let waiter = notified.remove(woken.unwrap());
        assert_eq!(waiter.claim(&request_from(queue(), 1, LEASE), 0).await.unwrap().jobs.len(), 1);
    }
}

/// The right may be taken away while the producer runs. Its jobs are ready at once, and no registration ends.
#[tokio::test]
async fn a_producer_that_loses_the_right_to_publish_pushes_ready_jobs() {
    let (server, store) = real().await;
    let user = async |rights: &str| {
        server.command(&["ACL", "SETUSER", "producer", "on", ">secret", "~*", "+@all", rights]).await.unwrap();
    };
    user("allchannels").await;
    let url = server.url(None).replace("redis://", "redis://producer:secret@");
    let producer = open(&url, StateOptions::default()).await.unwrap();
    let waiter = registered_for(&store, 9, Duration::from_secs(3600)).await;
    push(&producer, &plain(1)).await;
    assert_eq!(handed(&waiter).await.jobs.len(), 1);
    user("resetchannels").await;
    for jobs in [plain(1), plain(2), vec![job("single")], [vec![job("other")], plain(3)].concat()] {
        push(&producer, &jobs).await;
        assert_eq!((counts(&store).await, waiters(&server).await), ((jobs.len() as u64, 1), Some(1)));
        let claimed = claim(&store, 9).await.jobs;
        assert!(claimed.len() == jobs.len() && claimed.iter().all(|job| job.attempt == 1), "{claimed:?}");
        for job in claimed {
            assert_eq!(settle(&producer, &job, Outcome::Complete(None)).await, Settled::Done);
        }
    }
    assert_eq!(waiter.next(Duration::ZERO).await.unwrap(), None);
    user("allchannels").await;
    push(&producer, &plain(1)).await;
    assert_eq!(handed(&waiter).await.jobs.len(), 1);
}

#[tokio::test]
async fn a_waiter_whose_connection_ends_before_the_push_claims_after_the_next_one() {
    let (server, store) = real().await;
    let waiter = registered(&store, 1).await;
    server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).await.unwrap();
    push(&another(&server).await, &plain(1)).await;
    let mut jobs = Vec::new();
    while jobs.is_empty() {
        match next(&waiter).await {
            Wakeup::Claimed { claim, .. } => jobs = claim.jobs,
            _ => jobs = waiter.claim(&request_from(queue(), 1, LEASE), 1).await.unwrap().jobs,
        }
    }
    assert_eq!(jobs.len(), 1);
}

/// The server has sent the message; the connection ends before it arrives.
#[tokio::test]
async fn a_job_whose_message_is_lost_is_ready_after_its_lease() {
    let server = RedisServer::state().start().await.unwrap();
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let store = open_to_lose(&server.url_through(&proxy, None), StateOptions::default()).await;
    let producer = another(&server).await;
    let waiter = registered_for(&store, 1, Duration::from_millis(200)).await;
    proxy.one_way().await;
    push(&producer, &plain(1)).await;
    assert_eq!(counts(&producer).await, (0, 1), "the push has leased it to the waiter");
    proxy.cut_connections().await;
    proxy.pass().await;
    assert_eq!(next(&waiter).await, Wakeup::Missed);
    let mut jobs = Vec::new();
    wait_until("the lease ends", DEADLINE, async || {
        jobs = waiter.claim(&request_from(queue(), 1, LEASE), 0).await.unwrap().jobs;
        !jobs.is_empty()
    })
    .await;
    assert_eq!(jobs[0].attempt, 1);
}

/// A repeated claim returns when the leases of its first copy began, not when it was executed.
#[tokio::test]
async fn a_repeated_claim_does_not_make_a_lease_look_younger() {
    let server = RedisServer::state().start().await.unwrap();
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let store = open(&server.url_through(&proxy, None), StateOptions::default()).await.unwrap();
    let (producer, other) = (another(&server).await, QueueName::new("other").unwrap());
    let waiter = registered(&store, 1).await;
    let _ = producer.push(&other, &plain(1), Durability::Accepted).await.unwrap();
    let request = request_from(other, 1, LEASE);
    let first = waiter.claim(&request, 0).await.unwrap();
    assert!(proxy.hold_connection(proxy.connections() - 1), "the channel is the last connection");
    push(&producer, &plain(1)).await;
    let pushed = Instant::now();
    assert_eq!(waiter.claim(&request.repeated(), 0).await.unwrap().jobs, first.jobs);
    assert_eq!(waiter.next(Duration::ZERO).await.unwrap(), None, "the message is held");
    proxy.pass().await;
    let Wakeup::Claimed { since, .. } = next(&waiter).await else { panic!("no job is handed over") };
    assert!(since < pushed, "the lease began {:?} before it", since - pushed);
}

#[tokio::test]
async fn jobs_that_were_handed_to_a_dropped_waiter_are_given_back() {
    let (server, store) = real().await;
    let producer = another(&server).await;
    for is_dropped_first in [false, true] {
        let waiter = registered_for(&store, 3, Duration::from_secs(3600)).await;
        if is_dropped_first {
            drop(waiter);
            push(&producer, &plain(3)).await;
        } else {
            push(&producer, &plain(3)).await;
            // Another waiter of the same connection is notified after the message has arrived.
            let other = registered(&store, 0).await;
            push(&producer, &plain(1)).await;
            assert_eq!(next(&other).await, Wakeup::Notified { queue: queue() });
            assert_eq!(claim(&store, 1).await.jobs.len(), 1);
            drop(waiter);
        }
        let mut jobs = Vec::new();
        wait_until("they are ready again", DEADLINE, async || {
            jobs.extend(claim(&store, 3).await.jobs);
            jobs.len() == 3
        })
        .await;
        assert!(jobs.iter().all(|job| job.attempt == 1), "dropped before the push: {is_dropped_first}");
    }
}

/// The message of the hand-over is on its way when the claim is executed.
#[tokio::test]
async fn a_claim_that_crosses_a_hand_over_leaves_the_places_to_its_jobs() {
    let server = RedisServer::state().start().await.unwrap();
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let store = open(&server.url_through(&proxy, None), StateOptions::default()).await.unwrap();
    let producer = another(&server).await;
    let waiter = registered(&store, 1).await;
    assert_eq!(waiter.reserved(&queue()), 1);
    assert!(proxy.hold_connection(proxy.connections() - 1), "the channel is the last connection");
    push(&producer, &plain(2)).await;
    assert_eq!(counts(&producer).await, (1, 1));
    let found = waiter.claim(&request_from(queue(), 1, LEASE), 0).await.unwrap();
    assert_eq!((found.jobs, counts(&producer).await, waiter.reserved(&queue())), (vec![], (1, 1), 1));
    proxy.pass().await;
    assert_eq!(handed(&waiter).await.jobs.len(), 1);
    assert_eq!(waiter.reserved(&queue()), 0);
    assert_eq!(waiter.claim(&request_from(queue(), 1, LEASE), 0).await.unwrap().jobs.len(), 1);
}
