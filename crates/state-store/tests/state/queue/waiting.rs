//! Waking those who wait for work. The server's own clock counts here.

use std::collections::BTreeSet;
use std::time::Duration;

use state_store::{StateOptions, StateStore};
use store_core::{
    ClaimRequest, HolderName, JobId, MAX_MOVES, NewJob, Outcome, Queue, QueueControl, QueueExt, QueueName, Replayed,
    Settled,
};
use testkit::{DEADLINE, RedisServer, wait_until};
use tokio::task::JoinHandle;

use super::{claim, claim_one, id, job, push, queue, settle};
use crate::{fixture, open};

async fn real() -> (RedisServer, StateStore) {
    let server = RedisServer::state().start().await.unwrap();
    let store = open(&server.url(None), StateOptions::default()).await.unwrap();
    (server, store)
}

fn waiter(store: &StateStore, queues: &[QueueName]) -> JoinHandle<Option<QueueName>> {
    let (store, queues) = (store.clone(), queues.to_vec());
    tokio::spawn(async move { store.wait(&queues, DEADLINE).await.unwrap() })
}

async fn blocked(server: &RedisServer, count: usize) {
    let waiting = async || server.info("clients").await.unwrap()["blocked_clients"] == count.to_string();
    wait_until("waiters block on the server", DEADLINE, waiting).await;
}

/// The id of the one connection that blocks.
async fn blocked_connection(server: &RedisServer) -> String {
    let clients = server.command(&["CLIENT", "LIST"]).await.unwrap();
    let clients = String::from_utf8(clients.as_bytes().unwrap().to_vec()).unwrap();
    let blocked = clients.lines().find(|line| line.contains("flags=b")).unwrap();
    blocked.split(' ').next().unwrap().to_owned()
}

#[tokio::test]
async fn each_news_wakes_one_who_waits() {
    let (server, store) = real().await;
    let other = QueueName::new("other").unwrap();
    let news: [(&str, &dyn Fn() -> NewJob); 2] =
        [("ready", &|| job("a")), ("due before all others", &|| job("b").with_delay(Duration::from_secs(3600)))];
    for (what, job) in news {
        let waiter = waiter(&store, &[other.clone(), queue()]);
        blocked(&server, 1).await;
        push(&store, &[job()]).await;
        assert_eq!(waiter.await.unwrap(), Some(queue()), "{what}");
    }
    // Less urgent than what is known: no news.
    push(&store, &[job("c").with_delay(Duration::from_secs(7200))]).await;
    assert_eq!(store.wait(&[queue()], Duration::from_millis(50)).await.unwrap(), None);

    let a = claim_one(&store).await;
    let waiter = waiter(&store, &[queue()]);
    blocked(&server, 1).await;
    assert_eq!(settle(&store, &a, Outcome::Release).await, Settled::Done);
    assert_eq!(waiter.await.unwrap(), Some(queue()), "released");
    for what in ["promote", "resume", "replay"] {
        let waiter = self::waiter(&store, &[queue()]);
        blocked(&server, 1).await;
        match what {
            "promote" => assert_eq!(store.promote(&queue(), &[id("b")]).await.unwrap(), [true]),
            "resume" => store.resume(&queue()).await.unwrap(),
            _ => {
                let a = claim_one(&store).await;
                let dead = Outcome::Dead { reason: "no".into() };
                settle(&store, &a, dead).await;
                // The claim has passed the notification on, since another job was left.
                assert_eq!(waiter.await.unwrap(), Some(queue()));
                let waiter = self::waiter(&store, &[queue()]);
                blocked(&server, 1).await;
                assert_eq!(store.replay(&queue(), &[id("a")]).await.unwrap(), [Replayed::Replayed]);
                assert_eq!(waiter.await.unwrap(), Some(queue()), "replay");
                return;
            }
        }
        assert_eq!(waiter.await.unwrap(), Some(queue()), "{what}");
    }
}

#[tokio::test]
async fn two_who_wait_are_both_woken_while_jobs_are_left() {
    let (server, store) = real().await;
    let waiters = [waiter(&store, &[queue()]), waiter(&store, &[queue()])];
    blocked(&server, 2).await;
    push(&store, &[job("a"), job("b")]).await;
    // One is woken by the push, and wakes the other by claiming less than there is.
    blocked(&server, 1).await;
    assert_eq!(claim(&store, 1).await.jobs.len(), 1);
    for waiter in waiters {
        assert_eq!(waiter.await.unwrap(), Some(queue()));
    }
}

#[tokio::test]
async fn a_full_claim_that_leaves_due_jobs_behind_wakes_another() {
    let fixture = fixture().await;
    let soon = |n: usize| job(&n.to_string()).with_delay(Duration::from_secs(1));
    push(&fixture.store, &(0..=MAX_MOVES).map(soon).collect::<Vec<_>>()).await;
    assert_eq!(fixture.store.wait(&[queue()], DEADLINE).await.unwrap(), Some(queue()));
    fixture.clock.advance(Duration::from_secs(1));
    // All that one call makes ready; the last one is due and not ready yet.
    assert_eq!(claim(&fixture.store, MAX_MOVES).await.jobs.len(), MAX_MOVES);
    assert_eq!(fixture.store.wait(&[queue()], Duration::from_millis(50)).await.unwrap(), Some(queue()));
}

#[tokio::test]
async fn no_push_is_slept_through() {
    let (_server, store) = real().await;
    let count = 300;
    let workers = (0..3).map(|worker| {
        let store = store.clone();
        tokio::spawn(async move {
            let worker = HolderName::new(format!("worker-{worker}")).unwrap();
            let mut done: Vec<JobId> = Vec::new();
            loop {
                let request = ClaimRequest::new(queue(), worker.clone(), 1, Duration::from_secs(60));
                let claimed = store.claim(&request).await.unwrap().jobs;
                for job in &claimed {
                    if job.payload == "stop" {
                        store.settle_one(&queue(), job.lease.clone(), Outcome::Complete(None)).await.unwrap();
                        return done;
                    }
                    store.settle_one(&queue(), job.lease.clone(), Outcome::Complete(None)).await.unwrap();
                    done.push(job.id().clone());
                }
                if claimed.is_empty() {
                    // The only thing that wakes it is news: a push slept through would last for the deadline of the test.
                    store.wait(&[queue()], DEADLINE * 10).await.unwrap();
                }
            }
        })
    });
    let workers: Vec<_> = workers.collect();
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
    assert_eq!(tokio::time::timeout(DEADLINE, work).await.expect("all jobs are done"), count);
}

#[tokio::test]
async fn who_waits_sends_nothing() {
    let (server, store) = real().await;
    let queues: Vec<_> = (0..50).map(|number| QueueName::new(format!("q{number}")).unwrap()).collect();
    assert_eq!(store.wait(&queues, Duration::from_millis(1)).await.unwrap(), None);
    let before = server.command_calls().await.unwrap();
    assert_eq!(store.wait(&queues, Duration::from_secs(1)).await.unwrap(), None);
    let after = server.command_calls().await.unwrap();
    let calls = |calls: &std::collections::BTreeMap<String, u64>, name: &str| calls.get(name).copied().unwrap_or(0);
    assert_eq!(calls(&after, "blpop") - calls(&before, "blpop"), 1);
    assert_eq!(calls(&after, "evalsha"), calls(&before, "evalsha"));
    assert_eq!(store.wait(&[], Duration::from_millis(1)).await.unwrap(), None);
    assert_eq!(store.wait(&queues, Duration::ZERO).await.unwrap(), None);
}

#[tokio::test]
async fn a_wait_that_is_dropped_ends_on_the_server_and_leaves_its_connection_to_the_next() {
    let (server, store) = real().await;
    let mut connections = BTreeSet::new();
    for _ in 0..20 {
        let waiter = self::waiter(&store, &[queue()]);
        blocked(&server, 1).await;
        connections.insert(blocked_connection(&server).await);
        waiter.abort();
        blocked(&server, 0).await;
    }
    // The next one may be quicker than the reply that frees the last one's.
    assert!(connections.len() < 10, "{connections:?}");
    let waiter = self::waiter(&store, &[queue()]);
    blocked(&server, 1).await;
    let stops = server.command(&["KEYS", "*:stop"]).await.unwrap();
    assert_eq!(stops.as_strings(), Some(Vec::new()), "what ended it is gone");
    push(&store, &[job("a")]).await;
    assert_eq!(waiter.await.unwrap(), Some(queue()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_is_dropped_swallows_no_news() {
    let (server, store) = real().await;
    for round in 0..100 {
        let waiter = self::waiter(&store, &[queue()]);
        blocked(&server, 1).await;
        let id = round.to_string();
        let pushing = tokio::spawn({
            let (store, job) = (store.clone(), job(&id));
            async move { push(&store, &[job]).await }
        });
        if round % 2 == 0 {
            tokio::task::yield_now().await;
        }
        waiter.abort();
        pushing.await.unwrap();
        if !waiter.await.is_ok_and(|woken| woken.is_some()) {
            // It was dropped: the news are for the next who waits.
            assert_eq!(store.wait(&[queue()], DEADLINE).await.unwrap(), Some(queue()), "round {round}");
        }
        let claimed = claim_one(&store).await;
        assert_eq!(settle(&store, &claimed, Outcome::Complete(None)).await, Settled::Done);
        blocked(&server, 0).await;
    }
}
