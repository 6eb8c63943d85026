//! Reports of the acknowledged writes that failovers may have lost.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis_link::{Link, LinkConfig, LossReports, Script, args};
use store_core::{Durability, JobId, LossReport, Op};
use testkit::{Cluster, DEADLINE, FaultProxy, RedisServer, Sentinels};

use crate::sentinel::url_of;
use crate::{config, eventually, passed};

/// An idempotent write, which is retried through a failover.
const WRITES: Op = Op::QueuePush;

static SET: Script = Script::adds("test/set", &["redis.call('SET', KEYS[1], ARGV[2])\nreturn {'set'}"]);

fn settings(sentinels: &Sentinels) -> LinkConfig {
    let config = config(&url_of(&sentinels.addresses(), sentinels.name()));
    config.with_command_timeout(Duration::from_secs(1)).with_loss_reports(true)
}

/// The key of a write. The part before a dot is its hash tag.
fn key_of(id: &str) -> String {
    id.split_once('.').map_or_else(|| id.to_owned(), |(tag, rest)| format!("{{{tag}}}{rest}"))
}

/// Writes a key. The receipt names a job with this id. Returns whether the write was acknowledged.
pub(crate) async fn write(link: &Link, id: &str, durability: Durability) -> bool {
    let written = link.call_durable(WRITES, &SET, &[key_of(id)], args!["1"], durability).await;
    let Ok((answer, _)) = written else { return false };
    let mut reply = answer.reader(WRITES);
    assert_eq!(reply.next_word().unwrap().as_ref(), b"set");
    reply.record("test", [JobId::new(id).unwrap()]);
    true
}

/// Writes keys that begin with `prefix`, for longer than the link leaves positions unread. Returns the acknowledged ones.
pub(crate) async fn write_some(link: &Link, prefix: &str, durability: Durability) -> BTreeSet<String> {
    let mut acknowledged = BTreeSet::new();
    let begun = Instant::now();
    for number in 0.. {
        if begun.elapsed() > PERIODS {
            break;
        }
        let id = format!("{prefix}-{number}");
        if write(link, &id, durability).await {
            acknowledged.insert(id);
        }
    }
    acknowledged
}

pub(crate) async fn next(reports: &mut LossReports) -> Arc<LossReport> {
    let report = tokio::time::timeout(DEADLINE, reports.next()).await;
    report.expect("a report in time").expect("the link is open")
}

pub(crate) fn named<'a>(writes: impl IntoIterator<Item = &'a store_core::AcknowledgedWrite>) -> BTreeSet<String> {
    writes.into_iter().flat_map(|write| &write.jobs).map(|job| job.as_str().to_owned()).collect()
}

/// The keys that a server does not have.
pub(crate) async fn missing(server: &RedisServer, keys: &BTreeSet<String>) -> BTreeSet<String> {
    let mut missing = BTreeSet::new();
    for keys in keys.iter().collect::<Vec<_>>().chunks(500) {
        let command: Vec<_> = std::iter::once("MGET".to_owned()).chain(keys.iter().map(|key| key_of(key))).collect();
        let values = server.command(&command).await.unwrap().into_array();
        let absent = keys.iter().zip(values).filter(|(_, value)| value.as_str().is_none());
        missing.extend(absent.map(|(key, _)| (*key).clone()));
    }
    missing
}

/// Several times the period in which positions are read.
pub(crate) const PERIODS: Duration = Duration::from_millis(700);
/// Writes that are older than this when a fault begins must not be reported.
pub(crate) const EARLY: Duration = Duration::from_secs(1);

/// The effect of a fault on writes.
struct Outcome<'a> {
    before: &'a BTreeSet<String>,
    during: &'a BTreeSet<String>,
    lost: &'a BTreeSet<String>,
    fault: Instant,
}

impl Outcome<'_> {
    /// Checks that the report names each lost write, and none from long before the fault.
    fn check(&self, report: &LossReport) {
        let reported = named(&report.may_be_lost);
        assert!(reported.is_superset(self.lost), "{:?}", self.lost.difference(&reported));
        let early = report.may_be_lost.iter().filter(|write| write.at + EARLY < self.fault);
        assert_eq!(early.count(), 0);
        assert!(report.survived >= self.before.len() && report.unknown.is_empty() && !report.has_older, "{report:?}");
        assert_eq!(report.survived + report.may_be_lost.len(), self.before.len() + self.during.len());
    }
}

#[tokio::test]
async fn each_lost_write_is_reported_and_none_from_long_before() {
    let sentinels = Sentinels::builder().through_proxies().start().await.unwrap();
    let link = Link::connect(settings(&sentinels)).await.unwrap();
    let mut reports = link.loss_reports();
    let old = sentinels.primary().await;
    let before = write_some(&link, "before", Durability::Accepted).await;
    passed(EARLY).await;
    let fault = Instant::now();
    sentinels.proxy(old).hold_replication();
    let during = write_some(&link, "held", Durability::Accepted).await;
    old.kill().await;
    let new = sentinels.wait_for_failover(old).await;
    let report = next(&mut reports).await;
    let lost = missing(new, &(&before | &during)).await;
    assert!(lost == during && lost.len() > 10, "the fault loses writes");
    Outcome { before: &before, during: &during, lost: &lost, fault }.check(&report);
    eventually("calls reach the new primary", async || write(&link, "after", Durability::Accepted).await).await;
}

/// The replica that has the writes dies with the primary.
#[tokio::test]
async fn writes_that_only_a_dead_replica_has_are_reported() {
    let sentinels = Sentinels::builder().through_proxies().start().await.unwrap();
    let link = Link::connect(settings(&sentinels)).await.unwrap();
    let mut reports = link.loss_reports();
    let [old, one, other] = sentinels.data() else { unreachable!("one primary, two replicas") };
    let durability = |replicas| Durability::Replicated { replicas, within: Duration::from_secs(1) };
    let before = write_some(&link, "before", durability(2)).await;
    passed(EARLY).await;
    let fault = Instant::now();
    hold_one_replica(&sentinels, old).await;
    let during = write_some(&link, "held", durability(1)).await;
    let has = missing(one, &during).await.is_empty();
    let (with, without) = if has { (one, other) } else { (other, one) };
    assert!(missing(with, &during).await.is_empty() && missing(without, &during).await == during);
    tokio::join!(old.kill(), with.kill());
    let new = sentinels.wait_for_failover(old).await;
    let report = next(&mut reports).await;
    let lost = missing(new, &(&before | &during)).await;
    assert!(lost == during && lost.len() > 10, "the fault loses writes");
    Outcome { before: &before, during: &during, lost: &lost, fault }.check(&report);
}

/// Holds the connection of one of two replicas.
async fn hold_one_replica(sentinels: &Sentinels, primary: &RedisServer) {
    let proxy = sentinels.proxy(primary);
    for pick in 0..proxy.connections() {
        proxy.hold_connection(pick);
        let mut connection = primary.connect().await.unwrap();
        connection.command(&["SET", "probe", &pick.to_string()]).await.unwrap();
        if connection.command(&["WAIT", "2", "300"]).await.unwrap().as_integer() == Some(1) {
            return;
        }
        proxy.pass().await;
    }
    panic!("none of the connections is that of a replica");
}

#[tokio::test]
async fn a_write_that_all_replicas_have_is_neither_lost_nor_reported() {
    let sentinels = Sentinels::builder().start().await.unwrap();
    let link = Link::connect(settings(&sentinels)).await.unwrap();
    let mut reports = link.loss_reports();
    let old = sentinels.primary().await;
    let all = Durability::Replicated { replicas: 2, within: Duration::from_secs(1) };
    let writing = async {
        let mut acknowledged = BTreeSet::new();
        while old.is_running() {
            let prefix = format!("all-{}", acknowledged.len());
            acknowledged.extend(write_some(&link, &prefix, all).await);
        }
        acknowledged
    };
    let killed = async {
        passed(PERIODS).await;
        old.kill().await;
    };
    let (acknowledged, ()) = tokio::join!(writing, killed);
    let new = sentinels.wait_for_failover(old).await;
    let report = next(&mut reports).await;
    assert!(acknowledged.len() > 10 && missing(new, &acknowledged).await.is_empty());
    assert!(report.is_clean() && report.survived == acknowledged.len(), "{report:?}");
}

/// The link learns of the failover late: it has only one sentinel, which does not answer.
#[tokio::test]
async fn what_a_stale_primary_acknowledges_is_reported() {
    let sentinels = Sentinels::builder().start().await.unwrap();
    let proxy = FaultProxy::start(sentinels.sentinels()[0].address()).await.unwrap();
    let config = config(&url_of(&[proxy.address()], sentinels.name())).with_loss_reports(true);
    let link = Link::connect(config).await.unwrap();
    let mut reports = link.loss_reports();
    let before = write_some(&link, "before", Durability::Accepted).await;
    passed(EARLY).await;
    proxy.blackhole().await;
    let old = sentinels.primary().await;
    old.pause().unwrap();
    let fault = Instant::now();
    let new = sentinels.wait_for_failover(old).await;
    sentinels.sentinels().iter().for_each(|sentinel| sentinel.pause().unwrap());
    old.resume().unwrap();
    let during = write_some(&link, "stale", Durability::Accepted).await;
    assert!(during.len() > 10 && missing(old, &during).await.is_empty(), "the old primary acknowledges writes");
    sentinels.sentinels().iter().for_each(|sentinel| sentinel.resume().unwrap());
    proxy.pass().await;
    let report = next(&mut reports).await;
    let lost = missing(new, &(&before | &during)).await;
    assert_eq!(lost, during, "the old primary is not the primary");
    Outcome { before: &before, during: &during, lost: &lost, fault }.check(&report);
}

#[tokio::test]
async fn the_writes_before_a_restart_are_unknown() {
    let server = RedisServer::builder().start().await.unwrap();
    let link = Link::connect(config(&server.url(None)).with_loss_reports(true)).await.unwrap();
    let mut reports = link.loss_reports();
    let written = write_some(&link, "key", Durability::Accepted).await;
    server.disconnect_clients().await.unwrap();
    eventually("the link is back", async || write(&link, "again", Durability::Accepted).await).await;
    server.kill().await;
    server.start_again().await.unwrap();
    let report = next(&mut reports).await;
    assert_eq!(named(&report.unknown), &written | &BTreeSet::from(["again".to_owned()]));
    assert!(report.may_be_lost.is_empty() && report.survived == 0);
    link.close().await;
    assert!(reports.next().await.is_none() && link.loss_reports().next().await.is_none());
}

/// Each primary of a cluster has a stream of its own.
#[tokio::test]
async fn a_failover_in_a_cluster_reports_the_writes_to_its_slots() {
    let cluster = Cluster::builder().through_proxies().start().await.unwrap();
    let settings = config(&crate::cluster::url_of(&cluster.addresses())).with_command_timeout(Duration::from_secs(1));
    let link = Link::connect(settings.with_loss_reports(true)).await.unwrap();
    let mut reports = link.loss_reports();
    let slot = cluster.slot("{failing}").await.unwrap();
    let old = cluster.owner(slot).await;
    let elsewhere = (0..).map(|number| format!("other{number}."));
    let mut other = String::new();
    for tag in elsewhere {
        other = tag;
        if cluster.owner(cluster.slot(&key_of(&other)).await.unwrap()).await.port() != old.port() {
            break;
        }
    }
    let before = write_some(&link, "failing.before", Durability::Accepted).await;
    passed(EARLY).await;
    let fault = Instant::now();
    cluster.proxy(old).hold_replication();
    let (during, unaffected) = tokio::join!(
        write_some(&link, "failing.held", Durability::Accepted),
        write_some(&link, &other, Durability::Accepted)
    );
    old.kill().await;
    let new = cluster.wait_for_failover(slot, old).await;
    let report = next(&mut reports).await;
    let lost = missing(new, &(&before | &during)).await;
    assert!(lost == during && lost.len() > 10 && unaffected.len() > 10, "the fault loses writes");
    Outcome { before: &before, during: &during, lost: &lost, fault }.check(&report);
}

/// The link closes connections that do not answer, opens others, and reads positions on these.
#[tokio::test]
async fn positions_are_read_after_connections_were_given_up() {
    let cluster = Cluster::builder().through_proxies().start().await.unwrap();
    let settings = config(&crate::cluster::url_of(&cluster.addresses()));
    let settings = settings.with_command_timeout(Duration::from_millis(500)).with_pool_size(4).with_loss_reports(true);
    let link = Link::connect(settings).await.unwrap();
    let (mut reports, mut reopened) = (link.loss_reports(), link.reopened());
    let slot = cluster.slot("{failing}").await.unwrap();
    let old = cluster.owner(slot).await;
    let mut before = BTreeSet::new();
    for round in 0..3 {
        let silence = async {
            cluster.proxy(old).blackhole().await;
            passed(Duration::from_millis(1500)).await;
            cluster.proxy(old).pass().await;
        };
        // calls on all four connections
        let ids = [0, 1, 2, 3].map(|number| format!("failing.silence{round}{number}"));
        let some = ids.each_ref().map(|id| write_some(&link, id, Durability::Accepted));
        let [one, two, three, four] = some;
        let (one, two, three, four, ()) = tokio::join!(one, two, three, four, silence);
        before.extend([one, two, three, four].into_iter().flatten());
        tokio::time::timeout(DEADLINE, reopened.changed()).await.unwrap().unwrap();
        reopened.borrow_and_update();
    }
    before.extend(write_some(&link, "failing.before", Durability::Accepted).await);
    passed(EARLY).await;
    let fault = Instant::now();
    cluster.proxy(old).hold_replication();
    let during = write_some(&link, "failing.held", Durability::Accepted).await;
    old.kill().await;
    let new = cluster.wait_for_failover(slot, old).await;
    let report = next(&mut reports).await;
    let lost = missing(new, &(&before | &during)).await;
    assert!(lost == during && lost.len() > 10, "the fault loses writes");
    Outcome { before: &before, during: &during, lost: &lost, fault }.check(&report);
}

/// The server refuses the user's question, and another connection would not change that.
#[tokio::test]
async fn a_server_that_does_not_report_its_position_is_asked_once() {
    let server = RedisServer::builder().acl_user("app", "secret", "~* &* +@all -info").start().await.unwrap();
    let config = config(&server.user_url("app", "secret")).with_pool_size(1).with_loss_reports(true);
    let link = Link::connect(config).await.unwrap();
    let refused = async || {
        let stats = server.info("commandstats").await.unwrap();
        let calls = stats["cmdstat_info"].rsplit_once("rejected_calls=").unwrap().1;
        calls.split(',').next().unwrap().parse::<u32>().unwrap()
    };
    let identified = refused().await;
    assert!(write(&link, "one", Durability::Accepted).await);
    eventually("the position is asked for", async || refused().await > identified).await;
    passed(PERIODS).await;
    assert_eq!(refused().await, identified + 1);
    assert!(write(&link, "two", Durability::Accepted).await);
    passed(PERIODS).await;
    assert_eq!(refused().await, identified + 1);
    // A new connection may lead to a server that reports it.
    server.disconnect_clients().await.unwrap();
    eventually("the link is back", async || write(&link, "three", Durability::Accepted).await).await;
    eventually("the server is asked again", async || refused().await >= 2 * (identified + 1)).await;
}

/// The user may not send `INFO`. So the link recognises neither a restart nor another server behind the same address.
#[tokio::test]
async fn without_replication_info_the_writes_before_all_connections_were_lost_are_unknown() {
    let server = RedisServer::builder().acl_user("app", "secret", "~* &* +@all -info").start().await.unwrap();
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let settings =
        config(&server.user_url("app", "secret").replace(&server.port().to_string(), &proxy.port().to_string()));
    let settings = settings.with_pool_size(3).with_command_timeout(Duration::from_secs(1)).with_loss_reports(true);
    let link = Link::connect(settings).await.unwrap();
    let (mut reports, mut reopened) = (link.loss_reports(), link.reopened());
    let mut written = write_some(&link, "before", Durability::Accepted).await;

    let clients = server.command(&["CLIENT", "LIST"]).await.unwrap();
    let of_link = clients.as_str().unwrap().lines().find(|client| client.contains("user=app")).unwrap();
    let id = of_link.split(' ').next().unwrap().strip_prefix("id=").unwrap();
    server.command(&["CLIENT", "KILL", "ID", id]).await.unwrap();
    tokio::time::timeout(DEADLINE, reopened.changed()).await.unwrap().unwrap();
    written.extend(write_some(&link, "after", Durability::Accepted).await);
    assert!(tokio::time::timeout(PERIODS, reports.next()).await.is_err(), "the others were not lost");

    // Nothing closes the connections, as behind a virtual address that has moved.
    proxy.half_open();
    eventually("the link is back", async || write(&link, "moved", Durability::Accepted).await).await;
    let report = next(&mut reports).await;
    assert_eq!((named(&report.unknown), report.may_be_lost.len(), report.survived), (written, 0, 0));

    server.kill().await;
    server.start_again().await.unwrap();
    eventually("the link is back", async || write(&link, "restarted", Durability::Accepted).await).await;
    assert_eq!(named(&next(&mut reports).await.unknown), BTreeSet::from(["moved".to_owned()]));
}
