//! One step of a sequence. Ids and names are small numbers, so that several steps use the same ones. Numbers of ids from
//! [`IDS`](super::generate::IDS) on are assigned ids, counted from the last one.

use std::collections::HashSet;
use std::time::Duration;

use store_core::{JobState, NewJob, Outcome, Rate, RunState, Unique, UniqueKey, UniqueUntil};

/// How many unique keys the jobs of a queue with several partitions have.
const KEYS: u8 = 7;

/// A step that both engines carry out.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Time passes.
    Advance(Duration),
    Push(Vec<(u8, NewJob)>),
    /// Jobs whose ids the store assigns.
    PushNew(Vec<NewJob>),
    Claim(usize, Duration),
    /// Claims all ready jobs, and waits, with a reserve of so many. From then on, a push may hand jobs over.
    Wait(usize),
    /// Ends the wait: by a claim without a reserve, or by dropping the waiter, whose registrations end while 10 s pass.
    StopWaiting {
        is_dropped: bool,
    },
    /// Extends the leases with these numbers, counted from the last one given out.
    Extend(Vec<usize>, Duration, Option<&'static str>),
    Settle(Vec<(usize, Outcome)>),
    Commit(Committing),
    Cancel(u8),
    Replay(u8),
    Delete(u8),
    Promote(u8),
    Pause,
    Resume,
    Explain(u8),
    List(JobState, u32),
    /// Counts, listings, and every job.
    LookAtAll,
    Acquire {
        name: u8,
        holder: u8,
        lasting: Duration,
        request: u8,
    },
    Renew(usize, Duration),
    Release(usize),
    Inspect(u8),
    Beat {
        member: u8,
        lasting: Duration,
    },
    Leave(u8),
    Members,
    Begin {
        key: u8,
        content: u8,
        request: u8,
        lasting: Duration,
    },
    Finish {
        key: u8,
        request: u8,
        response: &'static str,
        keep: Duration,
    },
    Prolong {
        key: u8,
        request: u8,
        lasting: Duration,
    },
    Abandon {
        key: u8,
        request: u8,
    },
    Check(Vec<(u8, Rate, u32)>),
    ResetLimit(u8),
    Set(u8, &'static str),
    SetIfAbsent(u8, &'static str, u8),
    Get(Vec<u8>),
    Unset(Vec<u8>),
    DeleteIf(u8, &'static str),
    Add(u8, i64),
    Put {
        to_other: bool,
        key: u8,
        value: &'static str,
        request: u8,
    },
    Take {
        by_other: bool,
        key: u8,
        claim: u8,
    },
}

/// A commit of a lease with this number, counted from the last one given out.
#[derive(Debug, Clone)]
pub(super) struct Committing {
    pub(super) number: usize,
    pub(super) outcome: Outcome,
    pub(super) jobs: Vec<(u8, NewJob)>,
    /// The fence of the attempt at the step.
    pub(super) step: Option<u8>,
    pub(super) run: Option<RunState>,
    /// The fence of the token.
    pub(super) token: Option<u8>,
    /// Whether the same commit is sent twice.
    pub(super) is_repeated: bool,
}

impl Step {
    /// The times after which it makes jobs due.
    pub(super) fn delays(&mut self) -> Vec<&mut Duration> {
        match self {
            Step::Push(jobs) => jobs.iter_mut().map(|(_, job)| &mut job.delay).collect(),
            Step::Settle(settlements) => settlements.iter_mut().filter_map(|(_, outcome)| delay(outcome)).collect(),
            Step::Commit(commit) => {
                commit.jobs.iter_mut().map(|(_, job)| &mut job.delay).chain(delay(&mut commit.outcome)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Whether an engine may hand jobs over to a waiter in this step. Servers do so only in a push.
    pub(super) fn may_hand_over(&self) -> bool {
        let is_of_workers = matches!(self, Step::Claim(..) | Step::Extend(..) | Step::Settle(_) | Step::Commit(_));
        let is_change = matches!(self, Step::Cancel(_) | Step::Replay(_) | Step::Delete(_) | Step::Promote(_));
        let is_control = is_change || matches!(self, Step::Pause | Step::Resume);
        matches!(self, Step::Push(_) | Step::PushNew(_)) || is_of_workers || is_control
    }

    /// Gives the jobs of an id the same unique key, or none, so that they all go to one partition.
    pub(super) fn settle_partitions(&mut self) {
        if let Step::Push(jobs) = self {
            jobs.iter_mut().for_each(|(id, job)| settle_partition(*id, job));
        }
    }

    /// Leaves out the pushes of these ids.
    pub(super) fn without_ids(&mut self, ids: &HashSet<u8>) {
        if let Step::Push(jobs) | Step::Commit(Committing { jobs, .. }) = self {
            jobs.retain(|(id, _)| !ids.contains(id));
        }
    }
}

fn settle_partition(id: u8, job: &mut NewJob) {
    let until = job.unique.take().map_or(UniqueUntil::Finished, |unique| unique.until);
    if let Some(key) = key_of(id) {
        let key = UniqueKey::new(format!("key-{key}")).unwrap();
        job.unique = Some(Unique::new(key, until));
    }
}

/// The number of the unique key of the job with this id, in a queue with several partitions.
pub(super) fn key_of(id: u8) -> Option<u8> {
    id.is_multiple_of(3).then_some(id % KEYS)
}

fn delay(outcome: &mut Outcome) -> Option<&mut Duration> {
    match outcome {
        Outcome::Retry { after, .. } | Outcome::Snooze { after } => Some(after),
        _ => None,
    }
}
