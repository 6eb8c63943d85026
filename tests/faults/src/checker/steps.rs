//! The rules for steps of runs whose attempts are fences of a lease.

use std::collections::{BTreeMap, HashMap};

use super::fences::{self, Accepted};
use super::{Findings, Rule};
use crate::history::{Answer, Call, Effect, History, Micros, Operation};

#[derive(Default)]
struct Run<'a> {
    /// The answers that show that an attempt has begun.
    proofs: Vec<(u64, &'a Operation)>,
    accepted: Vec<Accepted<'a>>,
    /// When the first copy of an end was sent, by step and fence, and whether it is a failure.
    ends: HashMap<(&'a str, u64, bool), Micros>,
    steps: BTreeMap<&'a str, Step<'a>>,
}

#[derive(Default)]
struct Step<'a> {
    started: Vec<&'a Operation>,
    /// The begins that returned an output.
    outputs: Vec<(&'a Operation, &'a str)>,
    finishes: Vec<(&'a Operation, &'a str)>,
}

pub(super) fn check(history: &History, found: &mut Findings) {
    for (name, run) in collect(history) {
        fences::check(Rule::StepFence, name, &run.proofs, &run.accepted, found);
        for (step, calls) in &run.steps {
            check_step(&format!("{step} of {name}"), calls, found);
        }
    }
}

fn collect(history: &History) -> BTreeMap<&str, Run<'_>> {
    let mut runs: BTreeMap<&str, Run<'_>> = BTreeMap::new();
    for operation in &history.operations {
        match &operation.call {
            Call::BeginStep { run, step, fence } => runs.entry(run).or_default().begin(operation, step, *fence),
            Call::FinishStep { run, step, fence, output } => {
                let run = runs.entry(run).or_default();
                run.end(operation, step, *fence, false);
                run.steps.entry(step).or_default().finishes.push((operation, output));
            }
            Call::FailStep { run, step, fence } => runs.entry(run).or_default().end(operation, step, *fence, true),
            _ => {}
        }
    }
    runs
}

impl<'a> Run<'a> {
    fn begin(&mut self, operation: &'a Operation, step: &'a str, fence: u64) {
        let calls = self.steps.entry(step).or_default();
        match operation.answer() {
            Some(Answer::Started) => {
                calls.started.push(operation);
                self.proofs.push((fence, operation));
                self.accepted.push(Accepted { fence, start: operation.start, operation });
            }
            Some(Answer::Finished(output)) => calls.outputs.push((operation, output)),
            Some(Answer::Superseded(by)) => self.proofs.push((*by, operation)),
            _ => {}
        }
    }

    /// A repetition gets the answer of the first copy, also after a later attempt has begun. Operations come in the order in which they
    /// were sent.
    fn end(&mut self, operation: &'a Operation, step: &'a str, fence: u64, is_failure: bool) {
        if operation.effect == Effect::None {
            return;
        }
        let start = *self.ends.entry((step, fence, is_failure)).or_insert(operation.start);
        if operation.answer() == Some(&Answer::One(true)) {
            self.accepted.push(Accepted { fence, start, operation });
        }
    }
}

fn check_step(subject: &str, step: &Step<'_>, found: &mut Findings) {
    let recorded = step.finishes.iter().filter(|(finish, _)| finish.answer() == Some(&Answer::One(true)));
    if let Some((first, output)) = recorded.clone().min_by_key(|(finish, _)| finish.end) {
        if let Some(again) = step.started.iter().find(|begin| begin.start > first.end) {
            found.add(Rule::StepRepeated, subject, [*first, *again]);
        }
        let other = step.outputs.iter().chain(recorded).find(|(_, other)| other != output);
        if let Some((other, _)) = other {
            found.add(Rule::OutputChanged, subject, [*first, *other]);
        }
    }
    for (begin, output) in &step.outputs {
        let may_be = |(finish, text): &&(&Operation, &str)| {
            text == output
                && finish.effect != Effect::None
                && finish.answer() != Some(&Answer::One(false))
                && finish.start < begin.end
        };
        if step.finishes.iter().find(may_be).is_none() {
            found.add(Rule::OutputUnknown, subject, [*begin]);
        }
    }
}
