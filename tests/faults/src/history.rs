//! The history of a run: requests, answers and faults, with their times.
//!
//! A history is a file of JSON lines. Each line is one [`Event`]. An operation is two events, its invocation and its reply,
//! with one number; an invocation without a reply belongs to a process that was killed or a future that was dropped. The
//! types are plain numbers and texts, so that the checker does not depend on the stores.

mod call;
mod operation;
mod recorder;
mod sent;

pub use call::{
    Answer, Call, Granted, Leased, Outcome, PushAnswer, PushedJob, ReadEvent, SavedToken, Settle, UniqueEnd,
};
pub use operation::{Effect, History, HistoryError, Operation};
pub use recorder::{Invocation, Recorder};
pub(crate) use recorder::{micros_of, now};
pub use sent::{Destination, Sent};

use serde::{Deserialize, Serialize};

/// A time of the machine's monotonic clock in microseconds: comparable between all processes of one run.
pub type Micros = u64;

/// One line of a history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The first line.
    Run(RunInfo),
    /// An operation was requested.
    Invoke {
        /// When, before anything was sent.
        at: Micros,
        /// The operation's number, unique in the run.
        id: u64,
        /// The actor.
        actor: String,
        /// The request.
        call: Call,
    },
    /// The operation was answered.
    Reply {
        /// When, after the answer was received.
        at: Micros,
        /// The operation's number.
        id: u64,
        /// The reply.
        reply: Reply,
    },
    /// A fault began or ended.
    Fault {
        /// When: before it was made, or after it was undone.
        at: Micros,
        /// Which: `kill state`, `blackhole workers`.
        name: String,
        /// Whether it ended; a fault without duration ends where it begins.
        ended: bool,
    },
    /// The store reported the writes that a failover may have lost.
    Loss(Loss),
    /// An independent client wrote to the server of a queue.
    Probe {
        /// When the last replica had confirmed it.
        at: Micros,
        /// The queue.
        queue: String,
        /// How many replicas have confirmed it.
        replicas: u32,
    },
    /// A slot has moved to another node.
    Slot(MovedSlot),
}

/// A slot that has moved to another node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedSlot {
    /// When the new node had it.
    pub at: Micros,
    /// The slot.
    pub slot: u16,
    /// How many keys it had.
    pub keys: u64,
    /// How many jobs its partition had.
    pub jobs: u64,
    /// Whether the servers moved it in one operation.
    pub is_atomic: bool,
    /// The longest time between two successes of a script of an independent client that names a key that exists and one that
    /// does not.
    pub out_us: Micros,
}

/// A loss report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// When it was received.
    pub at: Micros,
    /// The group of actors whose stores made the writes.
    pub actor: String,
    /// How many recent writes survived.
    pub survived: usize,
    /// The writes that may be lost.
    pub lost: Vec<LostWrite>,
    /// The writes that the report lists as unknown.
    pub unknown: Vec<LostWrite>,
    /// Whether older writes may be lost.
    pub has_older: bool,
}

/// A write that a loss report names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostWrite {
    /// When its reply arrived.
    pub at: Micros,
    /// Whether the write is a push.
    pub is_push: bool,
    /// The operation.
    pub op: String,
    /// The queue, the lease, the pool, the run or the key.
    pub name: String,
    /// The step, the member, the schedule or the partition.
    #[serde(default)]
    pub part: Option<String>,
    /// The fence or the version.
    #[serde(default)]
    pub number: Option<u64>,
    /// The jobs.
    pub jobs: Vec<String>,
}

/// The settings of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunInfo {
    /// The seed of the plan of operations and faults.
    pub seed: u64,
    /// How long load and faults lasted, in milliseconds.
    pub duration_ms: u64,
    /// How long after its reply a request that was answered `indeterminate` may still be executed, in milliseconds; `None`:
    /// for ever.
    pub late_ms: Option<u64>,
    /// Whether failovers are among the faults.
    #[serde(default)]
    pub has_failovers: bool,
    /// Whether pushes, settlements, leases, heartbeats and idempotent requests are acknowledged when every replica has them.
    #[serde(default)]
    pub is_replicated: bool,
    /// How many replicas an acknowledged write has.
    #[serde(default)]
    pub replicas: u32,
    /// Whether the jobs of pushes that loss reports name are pushed again.
    #[serde(default)]
    pub pushes_again: bool,
    /// After which time results are removed, in milliseconds; `None`: not before the end.
    #[serde(default)]
    pub kept_ms: Option<u64>,
    /// Whether slots that move are the only fault.
    #[serde(default)]
    pub only_moves_slots: bool,
    /// The queues with several partitions, each of which has its own fences.
    #[serde(default)]
    pub partitioned: Vec<String>,
}

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// An answer.
    Ok(Answer),
    /// An error of this kind that states that nothing was executed.
    NotExecuted(String),
    /// An error of this kind that does not state whether it was executed.
    Unknown(String),
}
