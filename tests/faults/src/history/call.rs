//! The operations of a history and their answers.
#![expect(missing_docs, reason = "the fields of an operation carry the names of the stores' own arguments")]

use serde::{Deserialize, Serialize};

use super::{Destination, Sent};

/// A requested operation. Times in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// Push jobs.
    Push { queue: String, jobs: Vec<PushedJob> },
    /// Push the jobs again that a loss report names. The queue did not have those in `absent` directly before.
    PushAgain { queue: String, jobs: Vec<String>, absent: Vec<String> },
    /// Claim jobs. A claim without an answer is repeated with the same `request`. It registers a waiter to which up to `reserve`
    /// jobs may be handed over.
    Claim { queue: String, request: String, max: usize, reserve: usize, lease_ms: u64 },
    /// A push leased jobs to a waiter, which received them; the answer is that of a claim. It begins when the leases began, or
    /// earlier. A hand-over whose message was lost is in no history.
    HandOver { queue: String, lease_ms: u64 },
    /// Extend the leases of jobs.
    Extend { queue: String, leases: Vec<Leased>, lasting_ms: u64 },
    /// Settle jobs.
    Settle { queue: String, settlements: Vec<Settle> },
    /// Cancel a job.
    Cancel { queue: String, job: String },
    /// Delete jobs.
    Delete { queue: String, jobs: Vec<String> },
    /// Make scheduled jobs ready.
    Promote { queue: String, jobs: Vec<String> },
    /// Make dead jobs ready.
    Replay { queue: String, jobs: Vec<String> },
    /// Stop claims.
    Pause { queue: String },
    /// Allow claims.
    Resume { queue: String },
    /// A handler ran; the reply follows when it ended.
    Handle { queue: String, job: String, fence: u64 },
    /// After the drain: how many jobs are still to be done.
    Pending { queue: String },
    /// After the drain: all jobs of one state.
    List { queue: String, state: String },

    /// Take a lease.
    Acquire { name: String, holder: String, request: String, lasting_ms: u64 },
    /// Renew a lease.
    Renew { name: String, holder: String, fence: u64, lasting_ms: u64 },
    /// Give a lease back.
    Release { name: String, holder: String, fence: u64 },
    /// Ask who holds a lease.
    Inspect { name: String },
    /// Write into the test's register that belongs to a lease and compares fences.
    Write { name: String, fence: u64 },

    /// Begin an idempotent request. Its fingerprint is that of `content`.
    Begin { store: String, key: String, content: String, attempt: String, lasting_ms: u64 },
    /// Keep the response of an idempotent request.
    Finish { store: String, key: String, attempt: String, response: String, keep_ms: u64 },
    /// Free the key of an idempotent request.
    Abandon { store: String, key: String, attempt: String },

    /// Record the fence of a stream's consumer, and read the token.
    TakeOver { stream: String, fence: u64 },
    /// Save a token, which begins with its position, in place of the one of version `expected`.
    Save { stream: String, token: String, fence: u64, expected: Option<u64>, request: String },
    /// Read a token.
    Load { stream: String },

    /// Begin a step of a run.
    BeginStep { run: String, step: String, fence: u64 },
    /// Record the output of a step.
    FinishStep { run: String, step: String, fence: u64, output: String },
    /// Record that an attempt at a step has failed.
    FailStep { run: String, step: String, fence: u64 },

    /// Create a run of an agent, or the record of a session.
    CreateRun { run: String },
    /// Change a run, or append an event to it, or both; or save a session.
    WriteRun { run: String, state: Option<String>, version: Option<u64>, event: Option<String> },
    /// Read the events of a run.
    ReadRun { run: String },

    /// Begin an attempt at an operation that may have `max`.
    BeginTry { operation: String, request: String, max: u16, lasting_ms: u64 },
    /// Record that an attempt has failed.
    FailTry { operation: String, fence: u64 },
    /// Record that an attempt has succeeded.
    SucceedTry { operation: String, fence: u64 },
    /// Delete what is recorded of an operation.
    ClearTries { operation: String },

    /// Report that a member is alive.
    Beat { pool: String, member: String, lasting_ms: u64 },
    /// Leave a pool.
    Leave { pool: String, member: String },
    /// List the members that are alive.
    Alive { pool: String },

    /// Fire a schedule: push one job for each time, and record the times.
    Advance { queue: String, schedule: String, due_ms: Vec<u64>, jobs: Vec<PushedJob> },

    /// Settle a job as completed in a home; push `next`, finish a step, append an event to a run and save a token, all with the name of
    /// `next`, and send something elsewhere. A repetition has the same `next`.
    Commit { queue: String, job: String, fence: u64, next: PushedJob, sent: Vec<Sent> },
    /// Deliver an entry of an outbox, and remove it.
    Deliver { outbox: String, entry: String, fence: u64, to: Destination },
    /// After the run: whether the job, the step, the event and the token of a commit are there.
    ReadCommit { queue: String, next: String },

    /// Publish a message to all who listen. No two calls are of the same message.
    Broadcast { name: String, message: String },
    /// Listen from now on.
    Listen { name: String },
    /// The listener got a message, or, without one, the notice that it may have missed messages.
    Hear { name: String, message: Option<String> },

    /// Append events with one key to a topic. No two appends are of the same event.
    Append { topic: String, key: String, events: Vec<String> },
    /// Read a partition of a topic for a group, under a lease.
    ReadTopic { topic: String, partition: u16, group: String, consumer: String },
    /// Acknowledge all events of a partition up to a number.
    Acknowledge { topic: String, partition: u16, group: String, fence: u64, number: u64 },
    /// Give a partition back.
    ReleasePartition { topic: String, partition: u16, group: String, fence: u64 },
}

impl Call {
    /// The operation's name.
    pub fn name(&self) -> &'static str {
        match self {
            Call::Push { .. } => "queue.push",
            Call::PushAgain { .. } => "queue.push_again",
            Call::Claim { .. } => "queue.claim",
            Call::HandOver { .. } => "(hand-over)",
            Call::Extend { .. } => "queue.extend",
            Call::Settle { .. } => "queue.settle",
            Call::Cancel { .. } => "queue.cancel",
            Call::Delete { .. } => "queue.delete",
            Call::Promote { .. } => "queue.promote",
            Call::Replay { .. } => "queue.replay",
            Call::Pause { .. } => "queue.pause",
            Call::Resume { .. } => "queue.resume",
            Call::Handle { .. } => "(handler)",
            Call::Pending { .. } => "queue.counts",
            Call::List { .. } => "queue.list",
            Call::Acquire { .. } => "lease.acquire",
            Call::Renew { .. } => "lease.renew",
            Call::Release { .. } => "lease.release",
            Call::Inspect { .. } => "lease.inspect",
            Call::Write { .. } => "(register)",
            Call::Begin { .. } => "idempotency.begin",
            Call::Finish { .. } => "idempotency.finish",
            Call::Abandon { .. } => "idempotency.abandon",
            Call::TakeOver { .. } => "resume_token.take_over",
            Call::Save { .. } => "resume_token.save",
            Call::Load { .. } => "resume_token.load",
            Call::BeginStep { .. } => "step.begin",
            Call::FinishStep { .. } => "step.finish",
            Call::FailStep { .. } => "step.fail",
            Call::CreateRun { .. } => "run.create",
            Call::WriteRun { .. } => "run.write",
            Call::ReadRun { .. } => "run.events",
            Call::BeginTry { .. } => "retry.begin",
            Call::FailTry { .. } => "retry.fail",
            Call::SucceedTry { .. } => "retry.succeed",
            Call::ClearTries { .. } => "retry.clear",
            Call::Beat { .. } => "heartbeat.beat",
            Call::Leave { .. } => "heartbeat.leave",
            Call::Alive { .. } => "heartbeat.alive",
            Call::Advance { .. } => "schedule.advance",
            Call::Commit { .. } => "home.commit",
            Call::Deliver { .. } => "home.deliver",
            Call::ReadCommit { .. } => "(parts of a commit)",
            Call::Broadcast { .. } => "broadcast.publish",
            Call::Listen { .. } => "broadcast.listen",
            Call::Hear { .. } => "(message)",
            Call::Append { .. } => "topic.append",
            Call::ReadTopic { .. } => "topic.read",
            Call::Acknowledge { .. } => "topic.acknowledge",
            Call::ReleasePartition { .. } => "topic.release",
        }
    }

    /// Whether it is a request to the cache store.
    pub fn is_of_cache(&self) -> bool {
        matches!(self, Call::Begin { store, .. } | Call::Finish { store, .. } | Call::Abandon { store, .. }
            if store == "cache")
    }

    /// Whether it writes into the state store, other than a claim.
    pub fn is_write(&self) -> bool {
        let is_other = matches!(
            self,
            Call::Claim { .. }
                | Call::HandOver { .. }
                | Call::Handle { .. }
                | Call::Pending { .. }
                | Call::List { .. }
                | Call::Inspect { .. }
                | Call::Write { .. }
                | Call::Load { .. }
                | Call::Alive { .. }
                | Call::ReadTopic { .. }
                | Call::ReadCommit { .. }
                | Call::Broadcast { .. }
                | Call::Listen { .. }
                | Call::Hear { .. }
        );
        !is_other && !self.is_of_cache()
    }
}

/// A job as it was pushed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushedJob {
    /// Its id.
    pub id: String,
    /// The identity of the push.
    pub request: u32,
    /// How long it waits, in milliseconds.
    pub delay_ms: u64,
    /// After how many deliveries it is dead.
    pub max_attempts: u16,
    /// Its unique key and when the key is free again.
    pub unique: Option<(String, UniqueEnd)>,
}

/// When a unique key is free again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UniqueEnd {
    /// At the first claim.
    Claimed,
    /// At the end of the job.
    Finished,
}

/// A job under a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leased {
    /// The job.
    pub job: String,
    /// The lease's fence.
    pub fence: u64,
    /// Which delivery; 0 if it is not known.
    #[serde(default)]
    pub attempt: u32,
}

/// The end of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settle {
    /// The job.
    pub job: String,
    /// The lease's fence.
    pub fence: u64,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Done, the job is removed.
    Complete,
    /// Done, the job is kept with its result.
    CompleteKept,
    /// Failed; ready again, or dead after the last attempt.
    Retry,
    /// Not now.
    Snooze,
    /// Failed, and not tried again.
    Dead,
    /// Not started.
    Release,
    /// Stopped.
    Cancelled,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// An answer without data.
    Done,
    /// To a push: one answer per job.
    Pushed(Vec<PushAnswer>),
    /// To a claim or hand-over.
    Claimed { jobs: Vec<Leased>, paused: bool },
    /// To a settlement, replay or promotion: whether each counts. To an extension: whether each lease lasts. To a read of a commit: which
    /// parts are there.
    Each(Vec<bool>),
    /// To a renewal, release, abandon, leave, acknowledgement, firing, commit, or a write into the register: whether it counts. To finish:
    /// whether it is kept. To the end of a step: whether it is recorded. To a write of a run that does not exist: `false`.
    One(bool),
    /// To a cancellation or deletion: one word per job. To a delivery: `done`, `refused` or `lost`.
    Words(Vec<String>),
    /// To a listing; to a read of a run, the data of its events, or their kinds.
    Names(Vec<String>),
    /// To a count.
    Number(u64),
    /// To an acquisition or inspection: the holder of the lease; `None` without a holder.
    Lease { mine: bool, lease: Option<Granted> },
    /// To begin, also of a step: carry it out.
    Started,
    /// To begin: another attempt carries it out.
    InProgress,
    /// To begin: it was carried out with this response. To begin a step: its output.
    Finished(String),
    /// To begin: the key belongs to another content.
    Mismatch,
    /// To a take-over or load: the token.
    Token(Option<SavedToken>),
    /// To a save: the version of the token.
    Saved(u64),
    /// To a save: another version is stored.
    Conflict(Option<SavedToken>),
    /// To a take-over, a save, or the begin of a step: a call with this later fence came before.
    Superseded(u64),
    /// To a write of a run or a session: done.
    Run { version: u64, state: String },
    /// To a write of a run or a session: it has another version, or its state does not allow the write.
    RunRefused { version: u64, state: String },
    /// To the begin of an attempt: it has begun.
    Try { number: u32, fence: u64 },
    /// To the begin of an attempt: it is not due. To a failure: another attempt will be due.
    Waits,
    /// To the begin of an attempt or a failure: there is no other attempt.
    Exhausted,
    /// To an append: the partition, and the number of each event.
    Appended { partition: u16, numbers: Vec<u64> },
    /// To a read of a partition: the next events of the group. The lease lasts for at least this time after the request was sent.
    Events { fence: u64, lasts_ms: u64, truncated: u64, events: Vec<ReadEvent> },
    /// To a read of a partition: another consumer holds it.
    Taken,
}

/// An event as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadEvent {
    /// Its number.
    pub number: u64,
    /// Its payload.
    pub event: String,
}

/// A token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedToken {
    /// The token.
    pub token: String,
    /// Its version.
    pub version: u64,
}

/// The holder of a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// The holder.
    pub holder: String,
    /// The fence.
    pub fence: u64,
}

/// The result of a pushed job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PushAnswer {
    /// It is in the queue.
    Created,
    /// The queue has a job with this id from another push.
    Duplicate,
    /// This job holds its unique key.
    Held(String),
}
