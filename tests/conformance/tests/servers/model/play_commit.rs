//! Commits at a home of the queue of one engine, and what they have written there.

use std::sync::Arc;

use store_core::{
    Commit, Committed, Durability, Fence, Home, JobLease, Kept, NewJob, NewRun, Outcome, Pushed, RequestId, Result,
    RunEvent, RunId, RunInfo, RunWrite, SaveRequest, StepAttempt, StepName, StreamName, Ttl, Unique, UniqueKey,
    UniqueUntil, WorkflowRun,
};

use super::generate::{IDS, job_id};
use super::play::{World, from_end};
use super::step::{Committing, key_of};

const ACCEPTED: Durability = Durability::Accepted;
/// Longer than all steps of a sequence together.
const LONG: Ttl = Ttl::from_secs(24 * 3600);

impl World {
    /// Commits the end of a lease, and sends the same commit again if the step says so. Empty if there is no such lease.
    pub(super) async fn commit(&mut self, step: &Committing) -> Result<String> {
        let Some(lease) = from_end(&self.claimed, step.number).cloned() else { return Ok(String::new()) };
        let Some(key) = self.home_of(&lease) else { return Ok(String::new()) };
        let home = self.home(key);
        let jobs = self.jobs(key, &lease, &step.jobs);
        self.commits += 1;
        self.homes.insert(key);
        let mut commit = Commit::new(lease.clone(), step.outcome.clone());
        commit = jobs.into_iter().fold(commit, Commit::with_job);
        commit.request = RequestId::from_bytes([self.commits; 16]);
        let mut seen = String::new();
        if let Some(fence) = step.step {
            seen += &format!("{:?} ", home.steps().begin(&attempt(key, fence), ACCEPTED).await?.value);
            commit = commit.with_step(attempt(key, fence), vec![fence]);
        }
        if let Some(state) = step.run {
            let new = NewRun::new(run(key), "importer".try_into().unwrap()).with_ttl(LONG);
            let _ = home.runs().create(&new, ACCEPTED).await?;
            let version = home.runs().get(&run(key)).await?.map_or(0, |run| run.version);
            commit = commit.with_run(RunWrite::new(run(key)).to(state, version).with_event(RunEvent::new("page", "1")));
        }
        if let Some(fence) = step.token {
            let expected = home.resume_tokens().load(&stream(key)).await?.map(|token| token.info.version);
            let save = SaveRequest::new(stream(key), vec![fence], Fence::new(u64::from(fence)), expected);
            commit = commit.with_token(save);
        }
        let committed = home.commit(&commit, ACCEPTED).await?.value;
        if matches!(committed, Committed::Done(_)) {
            self.settled.push(lease.clone());
            if let Outcome::Complete(Some(Kept { lasting, .. })) = &step.outcome {
                self.results.push((lease, self.clock.now().after(*lasting)));
            }
        }
        let first = self.show_committed(&committed);
        if step.is_repeated {
            let again = home.commit(&commit, ACCEPTED).await?.value;
            assert_eq!(self.show_committed(&again), first, "a repetition of a commit gets another answer");
        }
        Ok(first + &seen)
    }

    /// What commits have written beside the queue.
    pub(super) async fn look_at_homes(&self) -> Result<String> {
        let mut seen = String::new();
        for key in self.homes.iter().copied() {
            let home = self.home(key);
            let steps = home.steps().get(&workflow(key), &attempt(key, 1).step).await?;
            let run = home.runs().get(&run(key)).await?;
            let events = home.runs().events(&self::run(key), 0, 1000).await?;
            let token = home.resume_tokens().load(&stream(key)).await?.map(|token| token.token);
            let run = run.as_ref().map(show_run);
            seen += &format!("{steps:?} {run:?} {:?} {token:?}\n", events.map(|read| read.events));
        }
        Ok(seen)
    }

    /// The number of a unique key whose home has this job. Partitions of a queue have several homes: there, only jobs with a key have
    /// one that all engines agree on.
    fn home_of(&self, lease: &JobLease) -> Option<u8> {
        if self.is_ordered {
            return Some(0);
        }
        (0..IDS).find(|id| job_id(*id) == lease.job).and_then(key_of)
    }

    fn home(&self, key: u8) -> Arc<dyn Home> {
        self.stores.state.home(&self.queue, &unique_key(key))
    }

    /// The jobs, with ids and keys that belong to this home.
    fn jobs(&self, key: u8, lease: &JobLease, jobs: &[(u8, NewJob)]) -> Vec<NewJob> {
        let belonging = |(number, job): &(u8, NewJob)| {
            let mut job = job.clone();
            if !self.is_ordered {
                let until = job.unique.take().map_or(UniqueUntil::Finished, |unique| unique.until);
                job.unique = Some(Unique::new(unique_key(key), until));
                let ids: Vec<u8> = (0..IDS).filter(|id| key_of(*id) == Some(key)).collect();
                let id = ids.get(usize::from(number % 3)).filter(|id| job_id(**id) != lease.job || number % 2 == 0);
                job.id = id.map(|id| job_id(*id));
            }
            job
        };
        jobs.iter().map(belonging).collect()
    }

    fn show_committed(&mut self, committed: &Committed) -> String {
        let (word, parts) = match committed {
            Committed::Done(parts) => ("Done", parts),
            Committed::Refused(parts) => ("Refused", parts),
        };
        for id in parts.pushed.iter().filter_map(Pushed::id).filter(|_| !self.is_ordered) {
            if (0..IDS).all(|number| job_id(number) != *id) && !self.numbers.contains_key(id.as_str()) {
                self.numbers.insert(id.to_string(), self.assigned.len());
                self.assigned.push(id.clone());
            }
        }
        let run = parts.run.clone().map(|run| run.done().as_ref().map(show_run));
        let token = parts.token.as_ref().map(|token| matches!(token, store_core::TokenOutcome::Done(_)));
        format!("{word} {:?} {:?} {:?} {run:?} {token:?} ", parts.settled, parts.pushed, parts.step)
    }
}

fn show_run(run: &RunInfo) -> String {
    format!("{:?} {} {}", run.state, run.first_event, run.next_event)
}

fn unique_key(key: u8) -> UniqueKey {
    UniqueKey::new(format!("key-{key}")).unwrap()
}

fn workflow(key: u8) -> WorkflowRun {
    WorkflowRun::named(format!("workflow-{key}")).unwrap()
}

fn attempt(key: u8, fence: u8) -> StepAttempt {
    let step = StepName::new("charge").unwrap();
    StepAttempt::new(workflow(key), step, Fence::new(u64::from(fence))).with_ttl(LONG)
}

fn run(key: u8) -> RunId {
    RunId::new(format!("run-{key}")).unwrap()
}

fn stream(key: u8) -> StreamName {
    StreamName::new(format!("stream-{key}")).unwrap()
}
