//! Receipts of writes, for the reports of what a failover or a restart may have lost.

use std::collections::BTreeSet;
use std::time::Duration;

use redis_link::{Link, LinkConfig, ServerUrl};
use state_store::{StateOptions, StateStore};
use store_core::{
    AcknowledgedWrite, AcquireRequest, Acquired, Beat, Durabilities, Durability, Error, Fence, Fingerprint, Heartbeats,
    HolderName, Idempotency, IdempotentRequest, JobId, Key, Lease, LeaseName, Leases, LossReport, NewJob, Op, PoolName,
    Queue, QueueInspect, ResumeTokens, SaveRequest, StepAttempt, StepName, Steps, StreamName, Ttl, WorkflowRun,
};
use testkit::{DEADLINE, RedisServer, wait_until};

use crate::queue::queue;
use crate::{namespace, service};

/// No replica exists.
const UNMET: Durability = Durability::Replicated { replicas: 1, within: Duration::from_millis(20) };

/// A server whose restart loses all data, and a store that reports losses.
async fn forgetful(options: StateOptions) -> (RedisServer, StateStore) {
    let server = RedisServer::builder().start().await.unwrap();
    let config = LinkConfig::new(ServerUrl::parse(&server.url(None)).unwrap(), "tests:state");
    let link = Link::connect(config.with_loss_reports(true)).await.unwrap();
    let store = StateStore::open(link, namespace(), service(), options).await.unwrap();
    (server, store)
}

/// Restarts the server, and waits for the report of what it lost.
async fn restart(server: &RedisServer, store: &StateStore) -> LossReport {
    let mut reports = store.loss_reports();
    server.kill().await;
    server.start_again().await.unwrap();
    let report = tokio::time::timeout(DEADLINE, reports.next()).await.expect("a report in time");
    report.expect("the store is open").as_ref().clone()
}

fn not_durable<T: std::fmt::Debug>(result: Result<T, Error>) {
    assert!(matches!(result, Err(Error::NotDurable { .. })), "{result:?}");
}

/// Such a write is the likeliest to be lost.
#[tokio::test]
async fn a_write_that_is_not_durable_enough_has_a_receipt() {
    let durabilities = Durabilities::default().with_heartbeats(UNMET).with_idempotency(UNMET);
    let (server, store) = forgetful(StateOptions::default().with_durabilities(durabilities)).await;
    let worker = || HolderName::new("worker-1").unwrap();
    not_durable(store.push(&queue(), &[NewJob::new("a")], UNMET).await);
    let lease = AcquireRequest::new(LeaseName::new("nightly").unwrap(), worker(), Duration::from_secs(60));
    not_durable(store.acquire(&lease, UNMET).await);
    let held = store.inspect(&lease.name).await.unwrap().unwrap();
    let held = Lease::new(held.name, held.holder, held.fence, held.until).with_durability(UNMET);
    not_durable(store.renew(&held, Duration::from_secs(60)).await);
    not_durable(store.beat(&Beat::new(PoolName::new("pool").unwrap(), worker(), Duration::from_secs(60))).await);
    let request = IdempotentRequest::new(Key::new("order 42").unwrap(), Fingerprint::of(b"body"));
    not_durable(Idempotency::begin(&store, &request, Ttl::from_secs(60)).await);
    let stream = StreamName::new("shop.orders").unwrap();
    not_durable(store.save(&SaveRequest::new(stream, "1", Fence::new(1), None), UNMET).await);
    let report = restart(&server, &store).await;
    let named: Vec<_> = report.unknown.iter().map(|write| (write.op, &*write.name)).collect();
    let all = [
        (Op::QueuePush, queue().as_str().to_owned()),
        (Op::LeaseAcquire, "nightly".to_owned()),
        (Op::LeaseRenew, "nightly".to_owned()),
        (Op::HeartbeatBeat, "pool".to_owned()),
        (Op::IdempotencyBegin, "order 42".to_owned()),
        (Op::ResumeTokenSave, "shop.orders".to_owned()),
    ];
    assert_eq!(named, all.each_ref().map(|(op, name)| (*op, name.as_str())));
}

/// What identifies each write: its operation, name, part and number.
#[tokio::test]
async fn a_receipt_has_the_run_of_a_step_and_the_member_of_a_pool() {
    let (server, store) = forgetful(StateOptions::default()).await;
    let accepted = Durability::Accepted;
    let run = WorkflowRun::named("import:7").unwrap();
    for number in [3, 5] {
        let attempt = StepAttempt::new(run.clone(), StepName::new("charge").unwrap(), Fence::new(number));
        let _ = Steps::begin(&store, &attempt, accepted).await.unwrap();
    }
    let pool = PoolName::new("pool").unwrap();
    for member in ["worker-1", "worker-2"] {
        let member = HolderName::new(member).unwrap();
        store.beat(&Beat::new(pool.clone(), member, Duration::from_secs(60))).await.unwrap();
    }
    store.leave(&pool, &HolderName::new("worker-1").unwrap()).await.unwrap();
    let lease = AcquireRequest::new(
        LeaseName::new("nightly").unwrap(),
        HolderName::new("worker-1").unwrap(),
        Duration::from_secs(60),
    );
    let Acquired::Yes(lease) = store.acquire(&lease, accepted).await.unwrap().value else { panic!("it is free") };
    let report = restart(&server, &store).await;
    let written = |write: &AcknowledgedWrite| {
        (write.op, write.name.to_string(), write.part.as_deref().unwrap_or_default().to_owned(), write.number)
    };
    let found: Vec<_> = report.unknown.iter().map(written).collect();
    let expected = [
        (Op::StepBegin, "n:import%3A7", "charge", Some(3)),
        (Op::StepBegin, "n:import%3A7", "charge", Some(5)),
        (Op::HeartbeatBeat, "pool", "worker-1", None),
        (Op::HeartbeatBeat, "pool", "worker-2", None),
        (Op::HeartbeatLeave, "pool", "worker-1", None),
        (Op::LeaseAcquire, "nightly", "", Some(lease.fence.get())),
    ];
    assert_eq!(found, expected.map(|(op, name, part, number)| (op, name.to_owned(), part.to_owned(), number)));
}

#[tokio::test]
async fn jobs_of_a_push_that_is_not_durable_enough_are_pushed_again() {
    let options = StateOptions::default().with_kept_push_bytes(1 << 20).with_partitions(queue(), 3);
    let (server, store) = forgetful(options).await;
    // In several partitions.
    let ids: BTreeSet<_> = (0..9).map(|number| JobId::new(format!("job-{number}")).unwrap()).collect();
    let jobs: Vec<_> = ids.iter().map(|id| NewJob::new("a").with_id(id.clone())).collect();
    not_durable(store.push(&queue(), &jobs, UNMET).await);
    let report = restart(&server, &store).await;
    let named: BTreeSet<_> = report.unknown.iter().flat_map(|write| write.jobs.iter().cloned()).collect();
    assert_eq!(named, ids);
    let mut missing = None;
    wait_until("the server is back", DEADLINE, async || {
        missing = store.push_again(&report, Durability::Accepted).await.ok();
        missing.is_some()
    })
    .await;
    assert_eq!(missing.unwrap(), []);
    assert_eq!(store.counts(&queue()).await.unwrap().ready, 9);
}
