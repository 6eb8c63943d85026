//! Logs reports and counts their writes.

use std::collections::BTreeMap;

use store_core::metric::FAILOVER_WRITES;
use store_core::{AcknowledgedWrite, LossReport, Op};

/// The most writes, and the most jobs of each write, that the log names.
const LOGGED: usize = 20;

/// Counts writes with this outcome.
pub(super) fn count<'a>(outcome: &str, writes: impl Iterator<Item = &'a AcknowledgedWrite>) {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    writes.for_each(|write| *counts.entry(write.op.name()).or_default() += 1);
    counts.into_iter().for_each(|(op, count)| FAILOVER_WRITES.counter(&[op, outcome]).increment(count));
}

/// Logs a report.
pub(super) fn publish(report: &LossReport) {
    let LossReport { survived, may_be_lost, unknown, has_older, .. } = report;
    if report.is_clean() {
        tracing::info!(survived, "the server was replaced; the new one has all recent writes");
        return;
    }
    let named: Vec<_> = may_be_lost.iter().chain(unknown).take(LOGGED).map(summary).collect();
    let (may_be_lost, unknown, writes) = (may_be_lost.len(), unknown.len(), named.join("; "));
    tracing::warn!(
        survived,
        may_be_lost,
        unknown,
        has_older,
        writes,
        "the server was replaced; the new one may not have all acknowledged writes"
    );
}

/// Describes a write for the log, without an idempotency key, which may be confidential.
fn summary(write: &AcknowledgedWrite) -> String {
    let name = match write.op {
        Op::IdempotencyBegin | Op::IdempotencyProlong | Op::IdempotencyFinish | Op::IdempotencyAbandon => "a key",
        _ => &write.name,
    };
    let jobs: Vec<_> = write.jobs.iter().take(LOGGED).map(|job| job.as_str()).collect();
    let more = write.jobs.len() - jobs.len();
    let rest = if more == 0 { String::new() } else { format!(" and {more} more") };
    let part = write.part.as_ref().map_or_else(String::new, |part| format!(" {part}"));
    let number = write.number.map_or_else(String::new, |number| format!(" #{number}"));
    format!("{} {name}{part}{number} {}{rest}", write.op, jobs.join(" "))
}
