//! Which operations failovers may undo, and which jobs the loss reports must name.
//!
//! A failover may lose writes that a replica has not confirmed: they took effect and vanish with the old primary. So a
//! contradiction between an operation before a failover and one after it is no violation if the first was not confirmed. Such
//! contradictions are counted. A loss report must name each job whose acknowledged push or end vanished, and each job that is
//! pushed again must end.

mod explained;
mod others;
mod pauses;

pub use pauses::Pause;

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use super::job::{self, Job, Jobs};
use super::{Findings, Rule, Violation, jobs};
use crate::history::{History, Micros, MovedSlot, PushAnswer};
use explained::is_explained;
pub(super) use explained::is_failover;

/// Each write that a loss report names was acknowledged at most this long before the fault.
const EARLY: Micros = 1_000_000;

/// The effects of failovers.
#[derive(Debug, Clone, Default)]
pub struct LossTally {
    /// The number of contradictions that a failover explains, by rule.
    pub explained: BTreeMap<Rule, u64>,
    /// The jobs whose acknowledged push vanished.
    pub pushes: Lost,
    /// Jobs whose end was acknowledged by a settlement and undone, so that they were present again.
    pub settlements: Lost,
    /// Acknowledged writes of leases, tokens, steps, members, requests, runs, sessions, retries, schedules and topics, and claims and
    /// pauses of queues, that vanished.
    pub others: Lost,
    /// Jobs that were pushed again because a loss report named them.
    pub pushed_again: u64,
    /// For each kind of fault, how long writes were interrupted.
    pub pauses: BTreeMap<String, Pause>,
    /// The slots that have moved.
    pub slots: Vec<MovedSlot>,
}

/// Acknowledged writes of one kind, by jobs if they are of jobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lost {
    /// How many are lost.
    pub lost: u64,
    /// How many of these a loss report names.
    pub named: u64,
    /// How many loss reports name, also those that survived.
    pub reported: u64,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lost, named, reported } = self;
        write!(f, "{lost} lost, {named} of them named by loss reports, which name {reported}")
    }
}

impl fmt::Display for LossTally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "acknowledged pushes, by jobs: {}; {} jobs pushed again", self.pushes, self.pushed_again)?;
        writeln!(f, "acknowledged settlements, by jobs: {}", self.settlements)?;
        write!(f, "acknowledged writes of other capabilities, claims and pauses: {}", self.others)?;
        for (rule, count) in &self.explained {
            write!(f, "\n{count:>6} {rule} explained by a failover")?;
        }
        for (name, pause) in &self.pauses {
            write!(f, "\n{name:<22}{pause}")?;
        }
        for moved in &self.slots {
            let MovedSlot { slot, keys, jobs, is_atomic, out_us, .. } = moved;
            let how = if *is_atomic { "in one operation" } else { "with MIGRATE" };
            write!(
                f,
                "\nslot {slot} with {jobs} jobs in {keys} keys moved {how}, out for {} ms",
                out_us.div_ceil(1000)
            )?;
        }
        Ok(())
    }
}

/// The jobs of one kind of write that loss reports name, with the times of the reports.
type Reported<'a> = HashMap<(&'a str, &'a str), Vec<Micros>>;

fn reported(history: &History, is_wanted: impl Fn(&str) -> bool) -> Reported<'_> {
    let mut reported = Reported::new();
    for loss in &history.losses {
        for write in loss.lost.iter().chain(&loss.unknown).filter(|write| is_wanted(&write.op)) {
            for job in &write.jobs {
                reported.entry((&write.name, job)).or_default().push(loss.at);
            }
        }
    }
    reported
}

/// Removes the contradictions that a failover explains from the findings, and checks the loss reports.
pub(super) fn check(history: &History, found: &mut Findings) -> LossTally {
    let mut tally = LossTally { slots: history.slots.clone(), ..LossTally::default() };
    let Some(run) = history.run.as_ref().filter(|run| run.has_failovers) else { return tally };
    tally.pauses = pauses::pauses(history, run.replicas, found);
    let by_name = job::collect(history);
    let pushes = reported(history, |op| op == "queue.push");
    tally.pushes.reported = pushes.len() as u64;
    tally.pushed_again = by_name.values().filter(|job| !job.again.is_empty()).count() as u64;
    let repaired = by_name.values().filter(|job| job.again.iter().any(|again| was_lost(job, again))).count() as u64;
    tally.pushes.lost += repaired;
    tally.pushes.named += repaired;
    let subjects: HashMap<String, (&str, &str)> =
        by_name.keys().map(|(queue, id)| (format!("{id} of {queue}"), (*queue, *id))).collect();
    let (mut broken, mut explained) = (Vec::new(), Vec::new());
    found.violations.retain(|violation| {
        let job = subjects.get(&violation.subject).and_then(|name| Some((*name, by_name.get(name)?)));
        if !is_explained(history, violation, job.map(|(_, job)| job), run.is_replicated) {
            return true;
        }
        *tally.explained.entry(violation.rule).or_default() += 1;
        explained.push(others::Explained { violation: violation.clone(), job });
        // if a firing is lost, the schedule fires again
        let pushed = job.filter(|(_, job)| is_acknowledged(job) && !job.is_fired());
        if let (Rule::JobLost, Some((name, job))) = (violation.rule, pushed) {
            tally.pushes.lost += 1;
            let since = job.last_seen().map_or(0, |seen| seen.start);
            let is_named = pushes.get(&name).is_some_and(|times| times.iter().any(|at| *at >= since));
            tally.pushes.named += u64::from(is_named);
            if !is_named {
                broken.push((Rule::LossUnnamed, violation.clone()));
            } else if run.pushes_again && !job.is_unique() {
                broken.push((Rule::LossNotRepaired, violation.clone()));
            }
        }
        false
    });
    for (rule, Violation { subject, evidence, .. }) in broken {
        found.add(rule, subject, &evidence);
    }
    tally.others = others::check(history, &explained, found);
    check_settlements(history, &by_name, found, &mut tally);
    check_reports(history, found);
    tally
}

/// Counts the settlements that were undone. A loss report names each of them.
fn check_settlements(history: &History, by_name: &Jobs<'_>, found: &mut Findings, tally: &mut LossTally) {
    let settlements = reported(history, |op| matches!(op, "queue.settle" | "home.commit"));
    tally.settlements.reported = settlements.len() as u64;
    for (name, job) in by_name {
        let Some((end, shown)) = jobs::undone_settlement(job) else { continue };
        tally.settlements.lost += 1;
        if settlements.contains_key(name) {
            tally.settlements.named += 1;
        } else {
            found.add(Rule::LossUnnamed, format!("the end of {} of {}", name.1, name.0), [end, shown]);
        }
    }
}

/// A report names no write that was acknowledged long before the fault.
fn check_reports(history: &History, found: &mut Findings) {
    for loss in &history.losses {
        let before = history.faults.iter().filter(|(_, begin, _)| *begin < loss.at).map(|(_, begin, _)| *begin);
        let Some(fault) = before.max() else { continue };
        for write in loss.lost.iter().filter(|write| write.at + EARLY < fault) {
            let early = fault - write.at;
            let subject = format!("{} of {}, {early} us before the fault, to {}", write.op, write.name, loss.actor);
            found.add(Rule::LossTooOld, subject, []);
        }
    }
}

/// Whether the last push of the job was acknowledged, and nothing can have removed the job since.
fn is_acknowledged(job: &Job<'_>) -> bool {
    let created = job.pushes.iter().filter(|push| push.answer == Some(&PushAnswer::Created));
    let last = created.map(|push| push.operation.start).max();
    last.is_some_and(|last| !jobs::removals(job).any(|(_, until)| until >= last))
}

/// Whether the job was lost before it was pushed again.
fn was_lost(job: &Job<'_>, again: &job::Again<'_>) -> bool {
    let created = job.pushes.iter().filter(|push| push.answer == Some(&PushAnswer::Created));
    let before = created.map(|push| push.operation.start).filter(|start| *start < again.operation.start).max();
    let removed = |since| jobs::removals(job).any(|(start, until)| start < again.operation.start && until >= since);
    again.was_absent && before.is_some_and(|since| !removed(since))
}
