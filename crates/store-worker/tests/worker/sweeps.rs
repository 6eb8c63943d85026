//! Workers sweep the listings of the namespace, and those of the homes of their queues.

use std::sync::Arc;
use std::time::Duration;

use redis_link::{Link, LinkConfig, ServerUrl};
use state_store::{StateOptions, StateStore};
use store_core::{
    AcquireRequest, AgentName, Clock, Durability, Homes, LeaseName, Leases, ManualClock, Namespace, NewRun, QueueName,
    RunId, Runs, ServiceName, SessionId, SessionSave, Sessions, Timestamp, Ttl, UniqueKey,
};
use store_worker::{Worker, WorkerBuilder};
use testkit::{DEADLINE, RedisServer, wait_until};

const ACCEPTED: Durability = Durability::Accepted;
const PARTITIONS: u16 = 3;

fn queue() -> QueueName {
    QueueName::new("orders").unwrap()
}

/// A store with a run and a session in the namespace and runs in the homes of all partitions. All of them have expired.
async fn expired() -> (RedisServer, Arc<StateStore>) {
    let server = RedisServer::state().start().await.unwrap();
    let clock = ManualClock::new(Timestamp::from_millis(1_700_000_000_000));
    let config = LinkConfig::new(ServerUrl::parse(&server.url(None)).unwrap(), "tests:sweeps");
    let options = StateOptions::default().with_clock(Clock::Manual(clock.clone())).with_partitions(queue(), PARTITIONS);
    let (namespace, service) = (Namespace::new("test").unwrap(), ServiceName::new("orders").unwrap());
    let store = StateStore::open(Link::connect(config).await.unwrap(), namespace, service, options).await.unwrap();

    let (agent, ttl) = (AgentName::new("planner").unwrap(), Ttl::from_secs(60));
    let run = |id: &str| NewRun::new(RunId::new(id).unwrap(), agent.clone()).with_ttl(ttl);
    let _ = Runs::create(&store, &run("7"), ACCEPTED).await.unwrap();
    let session = SessionSave::new(SessionId::new("ann").unwrap(), agent.clone(), "Hello").with_ttl(ttl);
    let _ = store.save(&session, ACCEPTED).await.unwrap();
    for number in 0..40 {
        let key = UniqueKey::new(format!("shop {number}")).unwrap();
        let _ = store.home(&queue(), &key).runs().create(&run(&number.to_string()), ACCEPTED).await.unwrap();
    }
    assert_eq!(listings(&server, "x.").await, 3 * 2);
    assert_eq!(listings(&server, "q.").await, 3 * usize::from(PARTITIONS));
    clock.advance(Duration::from_secs(3600));
    (server, Arc::new(store))
}

/// How many keys of listings there are under these tags.
async fn listings(server: &RedisServer, tag: &str) -> usize {
    let mut count = 0;
    for part in ["ends", "all", "agent:*"] {
        let keys = server.command(&["KEYS", &format!("test:{{{tag}*}}*:{part}")]).await.unwrap();
        count += keys.as_strings().unwrap().len();
    }
    count
}

fn worker(store: &Arc<StateStore>) -> WorkerBuilder {
    let shared = Arc::new(store.shared());
    Worker::new(store.clone()).with_sweeps(shared, Duration::from_secs(60)).with_queue(queue(), async |_| Ok(()))
}

#[tokio::test]
async fn expired_runs_and_sessions_leave_the_listings_though_nobody_calls_sweep() {
    let (server, store) = expired().await;
    let running = tokio::spawn(worker(&store).build().unwrap().run());
    let are_swept = async || listings(&server, "x.").await + listings(&server, "q.").await == 0;
    wait_until("no listing has an entry", DEADLINE, are_swept).await;
    running.abort();
}

#[tokio::test]
async fn workers_do_not_sweep_what_another_one_has_swept() {
    let (server, store) = expired().await;
    let name = LeaseName::new("twinstore/sweep").unwrap();
    let other = AcquireRequest::new(name, "other".try_into().unwrap(), Duration::from_secs(60));
    assert!(!store.shared().acquire(&other, ACCEPTED).await.unwrap().value.is_taken());
    let running = tokio::spawn(worker(&store).build().unwrap().run());
    // The sweep of the queue comes after that of the namespace.
    wait_until("the homes are swept", DEADLINE, async || listings(&server, "q.").await == 0).await;
    assert_ne!(listings(&server, "x.").await, 0);
    running.abort();
}

#[tokio::test]
async fn an_interval_of_sweeps_has_a_range() {
    let (_server, store) = expired().await;
    let error = worker(&store).with_sweeps(store.clone(), Duration::ZERO).build().unwrap_err();
    assert!(error.problems[0].contains("interval of sweeps"), "{error}");
}
