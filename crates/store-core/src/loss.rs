//! The writes that a failover or a restart of the server may have lost.

use std::sync::Arc;
use std::time::Instant;

use crate::{JobId, Op};

/// A write that a server acknowledged to this process.
///
/// ```
/// use twinstore::Op;
/// use twinstore::durability::AcknowledgedWrite;
/// use twinstore::queue::JobId;
///
/// /// The jobs to push again, with the same ids.
/// fn lost_jobs(write: &AcknowledgedWrite) -> &[JobId] {
///     if write.op == Op::QueuePush && &*write.name == "mails" { &write.jobs } else { &[] }
/// }
/// # let write = AcknowledgedWrite::new(Op::QueuePush, "mails", [JobId::new("a")?], std::time::Instant::now());
/// # assert_eq!(lost_jobs(&write).len(), 1);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AcknowledgedWrite {
    /// The operation.
    pub op: Op,
    /// The name of what it changed: the queue, the lease, the pool, the resume token's stream, the agent's run, the session, the topic;
    /// for a step the text of its [`WorkflowRun`](crate::WorkflowRun), such as `n:import-7`; the key of an idempotent request or of a
    /// retried operation. For a commit in a home, and for schedules, the queue.
    pub name: Arc<str>,
    /// What it changed of that: the step, the member of the pool, the schedule, the partition of the topic, or the
    /// topic's group if one was moved or removed. `None` for other operations.
    pub part: Option<Arc<str>>,
    /// The number that identifies the write. The fence: for a step, a lease, an attempt at an operation, a take-over of a
    /// resume token, and a read, an acknowledgement or a release of a topic. The version that the write made: for a save of a
    /// resume token, a run, a session or a schedule. For a firing of a schedule, the time up to which it has fired, in
    /// milliseconds. For an append, the number of the last event.
    /// `None` for other operations.
    pub number: Option<u64>,
    /// The jobs that it changed, if it is an operation of a queue; for a commit in a home the job that it settled.
    pub jobs: Box<[JobId]>,
    /// When the reply arrived.
    pub at: Instant,
}

impl AcknowledgedWrite {
    /// A write whose reply arrived at this time.
    pub fn new(op: Op, name: impl Into<Arc<str>>, jobs: impl IntoIterator<Item = JobId>, at: Instant) -> Self {
        Self { op, name: name.into(), part: None, number: None, jobs: jobs.into_iter().collect(), at }
    }

    /// The same, of this part.
    pub fn with_part(self, part: impl Into<Arc<str>>) -> Self {
        Self { part: Some(part.into()), ..self }
    }

    /// The same, with this number.
    pub fn with_number(self, number: u64) -> Self {
        Self { number: Some(number), ..self }
    }
}

/// What became of the writes that a server acknowledged to this process, after another server replaced it or after it restarted.
///
/// The link compares the replication offset of each write with the offset up to which the new primary received the stream of the
/// old one (`master_replid2` and `second_repl_offset`). The offset of a write is an upper bound, so a write in
/// [`may_be_lost`](Self::may_be_lost) may have survived; no lost write is counted as survived.
///
/// ```
/// use twinstore::durability::LossReport;
///
/// let report = LossReport::default();
/// assert!(report.is_clean()); // all recent writes survived
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LossReport {
    /// The number of recent writes that the new primary has.
    pub survived: usize,
    /// The recent writes that the new primary may not have, the oldest first.
    pub may_be_lost: Vec<AcknowledgedWrite>,
    /// The recent writes for which it is unknown whether the new primary has them, the oldest first. The reason: the old server
    /// restarted, there was a second change of the primary or of a slot before this process noticed the first, an earlier primary
    /// became the primary again, or the server does not report its replication, and all connections to it were lost.
    pub unknown: Vec<AcknowledgedWrite>,
    /// Whether older writes, of which this process has no record, may be lost, too. It records each write for 60 s, and at most
    /// the last 100,000 jobs and other writes for each server.
    pub has_older: bool,
}

impl LossReport {
    /// Whether all writes survived.
    pub fn is_clean(&self) -> bool {
        self.may_be_lost.is_empty() && self.unknown.is_empty() && !self.has_older
    }
}
