//! A loss report names the jobs and the lease that a failover may have lost.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use testkit::{DEADLINE, RedisServer, Sentinels, wait_until};
use twinstore::Op;
use twinstore::config::StoresOptions;
use twinstore::durability::AcknowledgedWrite;
use twinstore::lease::{AcquireRequest, LeaseName};
use twinstore::name::HolderName;
use twinstore::prelude::*;
use twinstore::queue::Pushed;

/// Several times the period in which positions are read.
const PERIODS: Duration = Duration::from_millis(700);
/// Writes that are older than this when a fault begins must not be reported.
const EARLY: Duration = Duration::from_secs(1);

async fn opened(sentinels: &Sentinels, replicas: &str) -> Stores {
    let hosts: Vec<_> = sentinels.addresses().iter().map(ToString::to_string).collect();
    let state = format!("redis-sentinel://{}/{}", hosts.join(","), sentinels.name());
    let environment = Environment::from_variables([
        ("SERVICE_NAME", "billing"),
        ("REDIS_CONN_BASE_URL", "embedded:"),
        ("REDIS_WORKERCACHE_CONN_URL", &state),
        ("REDIS_STATE_MIN_REPLICAS", replicas),
    ]);
    let options = StoresOptions::new().with_kept_push_bytes(64 << 20);
    Stores::open_with(&environment, options).await.unwrap()
}

/// Pushes jobs in small batches, for longer than positions remain unread. Returns the ids of the acknowledged ones.
async fn push(state: &State, queue: &QueueName) -> BTreeSet<JobId> {
    let mut ids = BTreeSet::new();
    let begun = Instant::now();
    while begun.elapsed() < PERIODS {
        let jobs: Vec<_> = (0..3).map(|_| NewJob::new("hello")).collect();
        let Ok(receipt) = state.queue().push(queue, &jobs, state.durability()).await else { continue };
        ids.extend(receipt.value.into_iter().filter_map(|pushed| match pushed {
            Pushed::Created { id } => Some(id),
            _ => None,
        }));
    }
    ids
}

/// The jobs that the store does not have.
async fn missing(state: &State, queue: &QueueName, ids: &BTreeSet<JobId>) -> BTreeSet<JobId> {
    let mut missing = BTreeSet::new();
    for id in ids {
        let mut found = Ok(None);
        wait_until("the store answers", DEADLINE, async || {
            found = state.inspect().get(queue, id).await;
            found.is_ok()
        })
        .await;
        if found.unwrap().is_none() {
            missing.insert(id.clone());
        }
    }
    missing
}

fn jobs<'a>(writes: impl IntoIterator<Item = &'a AcknowledgedWrite>) -> BTreeSet<JobId> {
    writes.into_iter().flat_map(|write| write.jobs.iter().cloned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_reports_each_lost_job_and_lease() {
    let sentinels = Sentinels::builder().data(RedisServer::state()).through_proxies().start().await.unwrap();
    let stores = opened(&sentinels, "0").await;
    let (state, mails) = (stores.state(), QueueName::new("mails").unwrap());
    let mut reports = state.loss_reports();
    let old = sentinels.primary().await;
    let before = push(state, &mails).await;
    let begun = Instant::now();
    wait_until("the first jobs were pushed long before the fault", DEADLINE, async || begun.elapsed() > EARLY).await;
    let fault = Instant::now();
    sentinels.proxy(old).hold_replication();
    let held = push(state, &mails).await;
    let holder = HolderName::new("billing-1").unwrap();
    let request = AcquireRequest::new(LeaseName::new("night-report").unwrap(), holder, Duration::from_secs(60));
    let _lease = state.leases().acquire(&request, state.durability()).await.unwrap();
    old.kill().await;
    sentinels.wait_for_failover(old).await;

    let report = tokio::time::timeout(DEADLINE, reports.next()).await.unwrap().unwrap();
    let (lost, named) = (missing(state, &mails, &(&before | &held)).await, jobs(&report.may_be_lost));
    println!("{} lost, {} named, {} writes survived", lost.len(), named.len(), report.survived);
    assert!(lost == held && held.len() > 10, "the fault loses jobs");
    assert!(named.is_superset(&lost), "{:?}", lost.difference(&named));
    assert!(report.may_be_lost.iter().all(|write| write.at + EARLY >= fault), "{report:?}");
    assert!(report.may_be_lost.iter().any(|write| write.op == Op::LeaseAcquire && &*write.name == "night-report"));
    assert!(report.unknown.is_empty() && !report.has_older);

    // The report also names jobs that survived: the store recognises these by their ids.
    let mut all = report.as_ref().clone();
    all.may_be_lost.push(AcknowledgedWrite::new(Op::QueuePush, "mails", before.clone(), Instant::now()));
    assert_eq!(state.push_again(&all).await.unwrap(), []);
    assert_eq!(missing(state, &mails, &(&before | &held)).await, BTreeSet::new());
    let counts = state.inspect().counts(&mails).await.unwrap();
    assert_eq!(counts.ready, (before.len() + held.len()) as u64, "no job is there twice");
    let unknown = JobId::generate();
    all.may_be_lost.push(AcknowledgedWrite::new(Op::QueuePush, "mails", [unknown.clone()], Instant::now()));
    assert_eq!(state.push_again(&all).await.unwrap(), [unknown]);
    stores.close().await;
}
