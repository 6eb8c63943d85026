//! Homes: steps, runs and resume tokens beside the jobs of a queue, and commits.

mod commit;
mod deliver;
mod partitions;
mod parts;
mod refused;
mod scope;

use std::sync::Arc;

use store_core::{
    Commit, CommitParts, Committed, Counts, Durability, Fence, Home, JobLease, NewJob, NewRun, Outcome, QueueName,
    Result, ResumeToken, RunEvent, RunId, RunInfo, RunState, RunWrite, SaveRequest, StepAttempt, StepInfo, StepName,
    StreamName, Ttl, Unique, UniqueUntil, WorkflowRun,
};

use crate::case::Case;
use crate::fixture::{Fixture, unique_key};
use crate::queue::queue_fixture::QueueFixture;
use crate::verdict::BrokenPromise;

/// The cases of commits, and of the other operations at a home.
pub(crate) const CASES: &[&[Case]] = &[
    commit::CASES,
    deliver::CASES,
    deliver::refused::CASES,
    partitions::CASES,
    parts::CASES,
    refused::CASES,
    scope::CASES,
];

const ACCEPTED: Durability = Durability::Accepted;
const KEY: &str = "shop";
const TTL: Ttl = Ttl::from_secs(600);
/// The attempt at the step.
const ATTEMPT: Fence = Fence::new(7);

/// A job that is claimed, and in its home a step that has begun and a run.
struct AtHome {
    queue: QueueFixture,
    home: Arc<dyn Home>,
    lease: JobLease,
    run: RunInfo,
}

/// What a commit may change.
#[derive(Debug, Clone, PartialEq)]
struct Stored {
    step: Option<StepInfo>,
    run: Option<RunInfo>,
    token: Option<ResumeToken>,
    counts: Counts,
}

impl AtHome {
    async fn new(fixture: Fixture) -> Result<Self, BrokenPromise> {
        Self::with(fixture, keyed("1")).await
    }

    /// `job`: the job that is claimed.
    async fn with(fixture: Fixture, job: NewJob) -> Result<Self, BrokenPromise> {
        let queue = QueueFixture::from(fixture);
        let home = queue.fixture.state.home(&queue.name, &unique_key(KEY));
        queue.push_one(job).await?;
        let lease = queue.claim_one().await?.lease;
        let new = NewRun::new(run_id(), "importer".try_into()?).with_ttl(TTL);
        let run = home.runs().create(&new, ACCEPTED).await?.value.done();
        let run = run.ok_or_else(|| BrokenPromise::new("the home already has the run"))?;
        let _ = home.steps().begin(&charge(), ACCEPTED).await?;
        Ok(Self { queue, home, lease, run })
    }

    /// A commit that only completes the job.
    fn bare(&self) -> Commit {
        self.ending(Outcome::Complete(None))
    }

    fn ending(&self, outcome: Outcome) -> Commit {
        Commit::new(self.lease.clone(), outcome)
    }

    /// A commit of all five parts.
    fn whole(&self) -> Commit {
        self.bare().with_job(keyed("2")).with_step(charge(), "paid").with_run(self.write()).with_token(token(1))
    }

    fn write(&self) -> RunWrite {
        let write = RunWrite::new(self.run.run.clone()).to(RunState::InProgress, self.run.version);
        write.with_event(RunEvent::new("page", "1"))
    }

    async fn commit(&self, commit: &Commit) -> Result<Committed> {
        Ok(self.home.commit(commit, ACCEPTED).await?.value)
    }

    /// A commit that must be done.
    async fn done(&self, commit: &Commit) -> Result<CommitParts, BrokenPromise> {
        match self.commit(commit).await? {
            Committed::Done(parts) => Ok(parts),
            other => Err(BrokenPromise::new(format!("the commit was refused: {other:?}"))),
        }
    }

    /// A commit that must be refused.
    async fn refused(&self, commit: &Commit) -> Result<CommitParts, BrokenPromise> {
        match self.commit(commit).await? {
            Committed::Refused(parts) => Ok(parts),
            other => Err(BrokenPromise::new(format!("the commit was not refused: {other:?}"))),
        }
    }

    async fn stored(&self) -> Result<Stored> {
        let home = &self.home;
        Ok(Stored {
            step: home.steps().get(&workflow(), &charge().step).await?,
            run: home.runs().get(&self.run.run).await?,
            token: home.resume_tokens().load(&stream()).await?,
            counts: self.queue.counts().await?,
        })
    }

    /// The kinds of the events of the run.
    async fn events(&self) -> Result<Vec<String>> {
        let events = self.home.runs().events(&self.run.run, 0, 100).await?;
        Ok(events.map_or_else(Vec::new, |read| read.events.into_iter().map(|event| event.kind).collect()))
    }

    fn other_queue(&self) -> QueueName {
        self.queue.fixture.queue("other")
    }
}

/// A job that holds the key of the home until it has finished.
fn keyed(payload: &'static str) -> NewJob {
    NewJob::new(payload).with_unique(Unique::new(unique_key(KEY), UniqueUntil::Finished))
}

fn run_id() -> RunId {
    RunId::new("run").expect("invariant: cases use short plain names")
}

fn stream() -> StreamName {
    StreamName::new("orders").expect("invariant: cases use short plain names")
}

fn workflow() -> WorkflowRun {
    WorkflowRun::named("import").expect("invariant: cases use short plain names")
}

fn charge() -> StepAttempt {
    let step = StepName::new("charge").expect("invariant: cases use short plain names");
    StepAttempt::new(workflow(), step, ATTEMPT).with_ttl(TTL)
}

/// The first save of the stream, under this fence.
fn token(fence: u64) -> SaveRequest {
    SaveRequest::new(stream(), "page 1", Fence::new(fence), None)
}
