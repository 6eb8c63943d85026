//! All that a history contains about one job.

use std::collections::BTreeMap;

use super::deliveries;
use crate::history::{
    Answer, Call, Destination, Effect, History, Micros, Operation, Outcome, PushAnswer, PushedJob, Settle,
};

/// The operations on one job.
#[derive(Default)]
pub(super) struct Job<'a> {
    pub(super) pushes: Vec<Push<'a>>,
    pub(super) claims: Vec<Claim<'a>>,
    pub(super) extensions: Vec<Extension<'a>>,
    pub(super) settlements: Vec<Settlement<'a>>,
    pub(super) cancels: Vec<Control<'a>>,
    pub(super) deletes: Vec<Control<'a>>,
    pub(super) replays: Vec<Replay<'a>>,
    /// Pushes of what a loss report names.
    pub(super) again: Vec<Again<'a>>,
    /// Deliveries of the entry of an outbox that pushes it.
    pub(super) deliveries: Vec<&'a Operation>,
    /// Whether a failover has undone the removal of that entry: then it is pushed again.
    pub(super) arrives_again: bool,
    /// Begins of handlers, with their fences.
    pub(super) handlers: Vec<(u64, &'a Operation)>,
    /// After which time its result may have been removed.
    pub(super) kept: Option<Micros>,
    /// In which listings it was after the drain.
    pub(super) listed: Vec<(&'a str, &'a Operation)>,
}

pub(super) struct Push<'a> {
    pub(super) operation: &'a Operation,
    pub(super) job: &'a PushedJob,
    pub(super) answer: Option<&'a PushAnswer>,
}

pub(super) struct Claim<'a> {
    pub(super) operation: &'a Operation,
    pub(super) fence: u64,
    pub(super) attempt: u32,
    pub(super) lease: Micros,
}

pub(super) struct Extension<'a> {
    pub(super) operation: &'a Operation,
    pub(super) fence: u64,
    pub(super) lasting: Micros,
    pub(super) counts: Option<bool>,
}

pub(super) struct Settlement<'a> {
    pub(super) operation: &'a Operation,
    pub(super) fence: u64,
    pub(super) outcome: Outcome,
    pub(super) counts: Option<bool>,
}

pub(super) struct Control<'a> {
    pub(super) operation: &'a Operation,
    pub(super) word: Option<&'a str>,
}

pub(super) struct Again<'a> {
    pub(super) operation: &'a Operation,
    /// Whether the queue had the job before.
    pub(super) was_absent: bool,
    /// Whether the store still had the job to push it.
    pub(super) was_kept: bool,
}

pub(super) struct Replay<'a> {
    pub(super) operation: &'a Operation,
    pub(super) counts: Option<bool>,
}

/// Jobs by queue and id.
pub(super) type Jobs<'a> = BTreeMap<(&'a str, &'a str), Job<'a>>;

/// Collects the operations of each job that may have been executed, and all pushes.
pub(super) fn collect(history: &History) -> Jobs<'_> {
    let mut jobs = Jobs::new();
    let kept = history.run.as_ref().and_then(|run| run.kept_ms).map(|kept| kept * 1000);
    for operation in &history.operations {
        match &operation.call {
            Call::Push { queue, jobs: pushed } => {
                let answers = match operation.answer() {
                    Some(Answer::Pushed(answers)) => answers.as_slice(),
                    _ => &[],
                };
                for (index, job) in pushed.iter().enumerate() {
                    let push = Push { operation, job, answer: answers.get(index) };
                    jobs.entry((queue, job.id.as_str())).or_default().pushes.push(push);
                }
            }
            Call::Advance { queue, jobs: pushed, .. } => {
                // of a firing that was superseded, an earlier copy may have pushed the jobs
                let is_done = operation.answer() == Some(&Answer::One(true));
                let answer = is_done.then_some(&PushAnswer::Created);
                for job in pushed {
                    let push = Push { operation, job, answer };
                    jobs.entry((queue, job.id.as_str())).or_default().pushes.push(push);
                }
            }
            Call::Commit { queue, next, sent, .. } if deliveries::may_be_done(history, operation) => {
                let is_done = operation.answer() == Some(&Answer::One(true));
                let answer = is_done.then_some(&PushAnswer::Created);
                let pushed = sent.iter().flat_map(deliveries::jobs).chain([(queue.as_str(), next)]);
                for (queue, job) in pushed {
                    let push = Push { operation, job, answer };
                    jobs.entry((queue, job.id.as_str())).or_default().pushes.push(push);
                }
                if operation.answer() != Some(&Answer::One(false)) {
                    collect_executed(operation, &mut jobs);
                }
            }
            Call::List { queue, state } => {
                let Some(Answer::Names(names)) = operation.answer() else { continue };
                for name in names {
                    jobs.entry((queue, name.as_str())).or_default().listed.push((state, operation));
                }
            }
            Call::Handle { queue, job, fence } => {
                jobs.entry((queue, job)).or_default().handlers.push((*fence, operation));
            }
            _ if operation.effect == Effect::None => {}
            _ => collect_executed(operation, &mut jobs),
        }
    }
    for job in jobs.values_mut() {
        job.kept = kept;
        deliveries::admit_removals_by_others(job);
    }
    for sent in deliveries::arriving_again(history, &jobs) {
        for name in deliveries::jobs(sent).map(|(queue, job)| (queue, job.id.as_str())) {
            jobs.entry(name).or_default().arrives_again = name.0 != sent.outbox;
        }
    }
    jobs
}

fn collect_executed<'a>(operation: &'a Operation, jobs: &mut Jobs<'a>) {
    let each = |index: usize| match operation.answer() {
        Some(Answer::Each(answers)) => answers.get(index).copied(),
        _ => None,
    };
    let word = |index: usize| match operation.answer() {
        Some(Answer::Words(words)) => words.get(index).map(String::as_str),
        _ => None,
    };
    match &operation.call {
        Call::Claim { queue, lease_ms, .. } | Call::HandOver { queue, lease_ms } => {
            let Some(Answer::Claimed { jobs: claimed, .. }) = operation.answer() else { return };
            for job in claimed {
                let (fence, attempt) = (job.fence, job.attempt);
                let claim = Claim { operation, fence, attempt, lease: lease_ms * 1000 };
                jobs.entry((queue, &job.job)).or_default().claims.push(claim);
            }
        }
        Call::Extend { queue, leases, lasting_ms } => {
            for (index, lease) in leases.iter().enumerate() {
                let (fence, lasting) = (lease.fence, lasting_ms * 1000);
                let extension = Extension { operation, fence, lasting, counts: each(index) };
                jobs.entry((queue, &lease.job)).or_default().extensions.push(extension);
            }
        }
        Call::Settle { queue, settlements } => {
            for (index, Settle { job, fence, outcome }) in settlements.iter().enumerate() {
                let settlement = Settlement { operation, fence: *fence, outcome: *outcome, counts: each(index) };
                jobs.entry((queue, job)).or_default().settlements.push(settlement);
            }
        }
        Call::Commit { queue, job, fence, .. } if operation.effect != Effect::None => {
            let counts = match operation.answer() {
                Some(Answer::One(counts)) => Some(*counts),
                _ => None,
            };
            let settlement = Settlement { operation, fence: *fence, outcome: Outcome::Complete, counts };
            jobs.entry((queue, job)).or_default().settlements.push(settlement);
        }
        Call::Deliver { outbox, entry, fence, to } => {
            let (outcome, counts) = match word(0) {
                Some("done") => (Outcome::Complete, Some(true)),
                Some("refused") => (Outcome::Dead, Some(true)),
                Some(_) => (Outcome::Complete, Some(false)),
                None => (Outcome::Complete, None),
            };
            let settlement = Settlement { operation, fence: *fence, outcome, counts };
            jobs.entry((outbox, entry)).or_default().settlements.push(settlement);
            if let Destination::Job { queue, job } = to {
                jobs.entry((queue, &job.id)).or_default().deliveries.push(operation);
            }
        }
        Call::PushAgain { queue, jobs: pushed, absent } => {
            let missing = match operation.answer() {
                Some(Answer::Names(missing)) => missing.as_slice(),
                _ => &[],
            };
            for job in pushed {
                let (was_absent, was_kept) = (absent.contains(job), !missing.contains(job));
                jobs.entry((queue, job)).or_default().again.push(Again { operation, was_absent, was_kept });
            }
        }
        Call::Cancel { queue, job } => {
            jobs.entry((queue, job)).or_default().cancels.push(Control { operation, word: word(0) });
        }
        Call::Delete { queue, jobs: deleted } => {
            for (index, job) in deleted.iter().enumerate() {
                jobs.entry((queue, job)).or_default().deletes.push(Control { operation, word: word(index) });
            }
        }
        Call::Replay { queue, jobs: replayed } => {
            for (index, job) in replayed.iter().enumerate() {
                jobs.entry((queue, job)).or_default().replays.push(Replay { operation, counts: each(index) });
            }
        }
        _ => {}
    }
}

impl<'a> Job<'a> {
    /// The last operation whose answer shows that the job was present when it was executed.
    pub(super) fn last_seen(&self) -> Option<&'a Operation> {
        let created = self.pushes.iter().filter(|push| push.answer == Some(&PushAnswer::Created));
        let claimed = self.claims.iter().map(|claim| claim.operation);
        let replayed = self.replays.iter().filter(|replay| replay.counts == Some(true)).map(|replay| replay.operation);
        let again =
            self.again.iter().filter(|again| again.was_kept && !self.is_unique() && again.operation.answer().is_some());
        let seen = created.map(|push| push.operation).chain(claimed).chain(replayed);
        seen.chain(again.map(|again| again.operation)).max_by_key(|operation| operation.start)
    }
}

impl Job<'_> {
    /// Whether it has a unique key: if it was lost, another job may hold the key when it is pushed again.
    pub(super) fn is_unique(&self) -> bool {
        self.pushes.iter().any(|push| push.job.unique.is_some())
    }

    /// Whether a firing or a commit has pushed it. A failover that loses it loses that, too, and it is repeated.
    pub(super) fn is_fired(&self) -> bool {
        self.pushes.iter().any(|push| matches!(push.operation.call, Call::Advance { .. } | Call::Commit { .. }))
    }

    /// After how many deliveries it is dead.
    pub(super) fn max_attempts(&self) -> u32 {
        self.pushes.iter().map(|push| u32::from(push.job.max_attempts)).max().unwrap_or(u32::MAX)
    }

    /// Whether this settlement ends the job if it counts: a retry does after the last attempt.
    pub(super) fn is_end(&self, settlement: &Settlement<'_>) -> bool {
        match settlement.outcome {
            Outcome::Complete | Outcome::CompleteKept | Outcome::Dead | Outcome::Cancelled => true,
            Outcome::Retry => {
                let claim = self.claims.iter().find(|claim| claim.fence == settlement.fence);
                claim.is_some_and(|claim| claim.attempt >= self.max_attempts())
            }
            Outcome::Snooze | Outcome::Release => false,
        }
    }

    /// Until when the lease with this fence can have lasted; `None` if no claim of it was answered.
    pub(super) fn lease_over(&self, fence: u64) -> Option<Micros> {
        let claim = self.claims.iter().find(|claim| claim.fence == fence)?;
        let extended = self.extensions.iter().filter(|extension| extension.fence == fence);
        let ends = extended.map(|extension| extension.operation.latest().saturating_add(extension.lasting));
        ends.chain([claim.operation.end.saturating_add(claim.lease)]).max()
    }

    /// Until when the lease of this claim certainly lasted.
    pub(super) fn lease_lasted(&self, claim: &Claim<'_>) -> Micros {
        let mut until = claim.operation.start + claim.lease;
        let mut shortest = Micros::MAX;
        for extension in self.extensions.iter().filter(|extension| extension.fence == claim.fence) {
            let start = extension.operation.start;
            shortest = shortest.min(if extension.counts.is_none() { extension.lasting } else { Micros::MAX });
            match extension.counts {
                Some(true) => until = start + extension.lasting.min(shortest),
                Some(false) => until = until.min(start),
                None => until = until.min(start + extension.lasting),
            }
        }
        let settled = self.settlements.iter().filter(|settlement| settlement.fence == claim.fence);
        settled.map(|settlement| settlement.operation.start).fold(until, Micros::min)
    }

    /// Whether a push, or a replay if the job may have been dead, may have added the job again after `after` and before
    /// `before`. A job that a commit has sent is pushed once, between the begin of the commit and the end of its delivery.
    pub(super) fn may_be_made_anew(&self, after: Micros, before: Micros, replayable: bool) -> bool {
        let overlaps = |operation: &Operation| operation.start < before && operation.latest() > after;
        let pushed = |push: &&Push<'_>| !matches!(push.answer, Some(PushAnswer::Duplicate | PushAnswer::Held(_)));
        self.pushes.iter().filter(pushed).any(|push| overlaps(push.operation))
            || self.arrives_again
            || self.again.iter().any(|again| overlaps(again.operation))
            || replayable && self.replays.iter().any(|replay| overlaps(replay.operation))
    }
}
