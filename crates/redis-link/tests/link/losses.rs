//! What failovers may have lost of the acknowledged writes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis_link::{Link, LinkConfig, LossReports, Script, args};
use store_core::{Durability, JobId, LossReport, Op};
use testkit::{DEADLINE, RedisServer, Sentinels};

use crate::sentinel::url_of;
use crate::{config, eventually};

/// A write that a repetition repeats without harm, and which is retried through a failover.
const WRITES: Op = Op::QueuePush;

static SET: Script = Script::adds("test/set", &["redis.call('SET', KEYS[1], ARGV[2])\nreturn {'set'}"]);

fn settings(sentinels: &Sentinels) -> LinkConfig {
    let config = config(&url_of(&sentinels.addresses(), sentinels.name()));
    config.with_command_timeout(Duration::from_secs(1)).with_loss_reports(true)
}

/// Writes a key, named like the job that the receipt names. Returns whether it was acknowledged.
async fn write(link: &Link, key: &str, durability: Durability) -> bool {
    let Ok((answer, _)) = link.call_durable(WRITES, &SET, &[key], args!["1"], durability).await else { return false };
    let mut reply = answer.reader(WRITES);
    assert_eq!(reply.next_word().unwrap().as_ref(), b"set");
    reply.record("test", [JobId::new(key).unwrap()]);
    true
}

/// Writes keys that begin with `prefix`, for longer than the link leaves positions unread. Those that were acknowledged.
async fn write_some(link: &Link, prefix: &str, durability: Durability) -> BTreeSet<String> {
    let mut acknowledged = BTreeSet::new();
    let begun = Instant::now();
    for number in 0.. {
        if begun.elapsed() > PERIODS {
            break;
        }
        let key = format!("{prefix}-{number}");
        if write(link, &key, durability).await {
            acknowledged.insert(key);
        }
    }
    acknowledged
}

async fn next(reports: &mut LossReports) -> Arc<LossReport> {
    let report = tokio::time::timeout(DEADLINE, reports.next()).await;
    report.expect("a report in time").expect("the link is open")
}

fn named<'a>(writes: impl IntoIterator<Item = &'a store_core::AcknowledgedWrite>) -> BTreeSet<String> {
    writes.into_iter().flat_map(|write| &write.jobs).map(|job| job.as_str().to_owned()).collect()
}

/// The keys that a server does not have.
async fn missing(server: &RedisServer, keys: &BTreeSet<String>) -> BTreeSet<String> {
    let mut missing = BTreeSet::new();
    for key in keys {
        if server.command(&["EXISTS", key]).await.unwrap().as_integer() == Some(0) {
            missing.insert(key.clone());
        }
    }
    missing
}

/// Several times the period in which positions are read.
const PERIODS: Duration = Duration::from_millis(700);
/// What is older than this when a fault begins is not reported.
const EARLY: Duration = Duration::from_secs(1);

#[tokio::test]
async fn each_lost_write_is_reported_and_none_from_long_before() {
    let sentinels = Sentinels::builder().through_proxies().start().await.unwrap();
    let link = Link::connect(settings(&sentinels)).await.unwrap();
    let mut reports = link.loss_reports();
    let old = sentinels.primary().await;
    let before = write_some(&link, "before", Durability::Accepted).await;
    tokio::time::sleep(EARLY).await;
    let fault = Instant::now();
    sentinels.proxy(old).hold_replication();
    let held = write_some(&link, "held", Durability::Accepted).await;
    old.kill().await;
    let new = sentinels.wait_for_failover(old).await;
    let report = next(&mut reports).await;
    let (lost, reported) = (missing(new, &(&before | &held)).await, named(&report.may_be_lost));
    println!("{} lost, {} reported, {} survived", lost.len(), reported.len(), report.survived);
    assert!(lost == held && held.len() > 10, "the fault loses writes");
    assert!(reported.is_superset(&lost), "{:?}", lost.difference(&reported));
    let early = report.may_be_lost.iter().filter(|write| write.at + EARLY < fault);
    assert_eq!(early.count(), 0);
    assert!(report.survived >= before.len() && report.unknown.is_empty() && !report.has_older, "{report:?}");
    assert_eq!(report.survived + report.may_be_lost.len(), before.len() + held.len());
    eventually("calls reach the new primary", async || write(&link, "after", Durability::Accepted).await).await;
}
