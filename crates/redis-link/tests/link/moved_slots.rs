//! Writes whose slot moves to another primary, which then fails.

use std::collections::BTreeSet;

use redis_link::Link;
use store_core::{Durability, LossReport};
use testkit::{Cluster, CommandError};

use crate::losses::{EARLY, PERIODS, missing, named, next, write_some};
use crate::{config, passed};

/// What was written before the slot moved, which of it was lost when the new primary had died, and the report of that.
struct Moved {
    written: BTreeSet<String>,
    lost: BTreeSet<String>,
    report: LossReport,
}

/// `is_held`: whether the replica of the new primary receives nothing. `is_used`: whether the link writes to the slot again. `None` if the
/// servers do not move a slot to such a primary.
async fn moved(is_held: bool, is_used: bool) -> Option<Moved> {
    let cluster = Cluster::builder().through_proxies().start().await.unwrap();
    let settings = config(&crate::cluster::url_of(&cluster.addresses()));
    let link = Link::connect(settings.with_loss_reports(true)).await.unwrap();
    let mut reports = link.loss_reports();
    let slot = cluster.slot("{moving}").await.unwrap();
    let source = cluster.owner(slot).await;
    let target = cluster.nodes()[..3].iter().find(|node| node.port() != source.port()).unwrap();
    let written = write_some(&link, "moving.before", Durability::Accepted).await;
    passed(EARLY).await;
    if is_held {
        cluster.proxy(target).hold_replication();
    }
    let finished = match cluster.begin_migration(slot, target).await {
        Ok(migration) => migration.finish().await,
        Err(refused) => Err(refused),
    };
    match finished {
        Err(CommandError::Refused(error)) if is_held && error.starts_with("NOREPLICAS") => return None,
        finished => finished.unwrap(),
    }
    if is_used {
        write_some(&link, "moving.after", Durability::Accepted).await;
        passed(PERIODS).await;
    }
    target.kill().await;
    let new = cluster.wait_for_failover(slot, target).await;
    let report = next(&mut reports).await.as_ref().clone();
    let lost = missing(new, &written).await;
    Some(Moved { written, lost, report })
}

const REFUSED: &str = "the servers move a slot only after a replica of its new primary has confirmed that";

#[tokio::test]
async fn writes_that_moved_to_a_primary_which_lost_them_are_reported() {
    let Some(Moved { written, lost, report }) = moved(true, true).await else { return testkit::skipped(REFUSED) };
    assert!(lost == written && lost.len() > 10, "the fault loses writes");
    assert!(named(&report.may_be_lost).is_superset(&lost));
}

/// The link learns of both changes at the same time.
#[tokio::test]
async fn writes_that_moved_unnoticed_to_a_primary_which_lost_them_are_reported() {
    let Some(Moved { written, lost, report }) = moved(true, false).await else { return testkit::skipped(REFUSED) };
    assert!(lost == written && lost.len() > 10, "the fault loses writes");
    assert!(named(report.may_be_lost.iter().chain(&report.unknown)).is_superset(&lost));
}

#[tokio::test]
async fn writes_that_moved_and_that_the_replica_has_are_not_reported() {
    let Moved { written, lost, report } = moved(false, true).await.unwrap();
    assert!(lost.is_empty() && report.survived >= written.len(), "{} survived", report.survived);
    assert!(named(report.may_be_lost.iter().chain(&report.unknown)).is_disjoint(&written));
}
