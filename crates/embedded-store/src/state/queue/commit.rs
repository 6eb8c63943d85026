//! Committing: a settlement and what belongs to it, in one transaction.

use store_core::{
    Commit, CommitParts, Committed, Durability, Error, JobLease, NewJob, Op, Pushed, QueueName, Receipt, Result,
    RunOutcome, Settled, TokenOutcome,
};

use super::homes::OpenHome;
use super::open_queue::OpenQueue;
use super::settings::Settings;
use crate::EmbeddedState;
use crate::database::Operation;
use crate::encoding::Encoder;
use crate::expiring::{self, Usage};
use crate::fault::Fault;
use crate::moment::Moment;
use crate::rows::Change;
use crate::state::resume_tokens::{self, TokenRows};
use crate::state::runs;
use crate::state::steps::{self, Ending};

const OP: Op = Op::HomeCommit;

/// For how long a commit is remembered, in ms. No reply is lost here, but a caller may repeat a call that it has dropped.
const REMEMBERED_MS: u64 = 60_000;

impl EmbeddedState {
    pub(super) async fn commit_at(
        &self,
        queue: &QueueName,
        commit: &Commit,
        durability: Durability,
    ) -> Result<Receipt<Committed>> {
        let reached = self.database.reach(OP, durability)?;
        // All partitions are one here.
        if commit.settlement.lease.partition != 0 {
            return Err(Error::invalid_argument(OP, "the job is in another partition of the queue than the home"));
        }
        let adds = !commit.jobs.is_empty()
            || !commit.deliveries.is_empty()
            || commit.run.as_ref().is_some_and(|write| !runs::ends(write));
        let (operation, records) = (Operation { op: OP, adds }, !commit.deliveries.is_empty());
        let commit = commit.prepared(queue, 0)?;
        let call = Call {
            home: self.at_home(OP),
            settings: Settings::new(OP, queue, &self.options),
            queue: queue.clone(),
            entries: commit.entries(0)?,
            step: commit.step.as_ref().map(|(attempt, _)| self.run(&self.at_home(OP), &attempt.run)),
            commit,
        };
        let apply = move |change: &mut Change<'_>| {
            let committed = call.apply(change)?;
            if matches!(committed, Committed::Refused(_)) {
                change.undo();
            }
            Ok(committed)
        };
        let committed = self.database.write(operation, apply).await;
        if records && !matches!(&committed, Ok(Committed::Refused(_))) {
            self.outboxes.of(queue).notify_one();
        }
        Ok(Receipt::new(committed?, reached))
    }
}

/// One commit.
struct Call {
    home: OpenHome,
    settings: Settings,
    queue: QueueName,
    /// Prepared.
    commit: Commit,
    /// What it records in the outbox.
    entries: Vec<NewJob>,
    /// The rows of the run of its step.
    step: Option<steps::Run>,
}

impl Call {
    /// Writes all parts. The caller undoes a refused commit.
    fn apply(&self, change: &mut Change<'_>) -> Result<Committed, Fault> {
        self.home.enter(change)?;
        let (now, commit) = (self.settings.now(), &self.commit);
        let key = remembered(&self.queue, commit);
        if expiring::get(change, &key, now, |_, _| Ok(()))?.is_some() {
            return self.again(change, now).map(Committed::Done);
        }
        let mut queue = OpenQueue::open(change, &self.queue, &self.settings)?;
        // First, so that its key is free.
        let settled = queue.settle_held(&commit.settlement)?;
        let own = Some(&commit.settlement.lease.job).filter(|_| !settled.is_lost());
        let push_other = |job: &NewJob| match &job.id {
            Some(id) if Some(id) == own => Ok(Pushed::Duplicate),
            _ => push(&mut queue, job),
        };
        let pushed: Result<Vec<Pushed>, Fault> = commit.jobs.iter().map(push_other).collect();
        let mut parts = CommitParts::new(settled, pushed?);
        queue.close()?;
        if !self.entries.is_empty() {
            let outbox = self.queue.outbox();
            let mut outbox = OpenQueue::open(change, &outbox, &self.settings)?;
            self.entries.iter().try_for_each(|entry| push(&mut outbox, entry).map(drop))?;
            outbox.close()?;
        }
        if let (Some((attempt, output)), Some(run)) = (&commit.step, &self.step) {
            parts.step = Some(steps::end(change, now, run, attempt, &Ending::Output(output.clone()))?);
        }
        if let Some(write) = &commit.run {
            parts.run = Some(runs::write(change, &self.home.runs(), write, now)?);
        }
        if let Some(save) = &commit.token {
            parts.token = Some(resume_tokens::save(change, &self.tokens(), save, now)?);
        }
        expiring::put(change, &key, now.millis().saturating_add(REMEMBERED_MS), &[])?;
        expiring::tidy(change, now, Usage::UNBOUNDED)?;
        Ok(parts.into_committed())
    }

    fn tokens(&self) -> TokenRows {
        self.home.tokens()
    }

    /// The answer to a commit that was done.
    fn again(&self, change: &mut Change<'_>, now: Moment) -> Result<CommitParts, Fault> {
        let commit = &self.commit;
        let created = |job: &NewJob| job.id.clone().map(|id| Pushed::Created { id });
        let mut parts = CommitParts::new(Settled::Done, commit.jobs.iter().filter_map(created).collect());
        parts.step = commit.step.as_ref().map(|_| true);
        if let Some(write) = &commit.run {
            let run = runs::found(change, &self.home.runs(), &write.run, now)?;
            parts.run = Some(run.map_or(RunOutcome::Absent, RunOutcome::Done));
        }
        if let Some(save) = &commit.token {
            let token = resume_tokens::described(change, &self.tokens(), &save.stream, now)?;
            parts.token = Some(token.map_or(TokenOutcome::Conflict(None), TokenOutcome::Done));
        }
        Ok(parts)
    }
}

/// Pushes a job of a prepared commit, which has an id.
fn push(queue: &mut OpenQueue<'_, '_>, job: &NewJob) -> Result<Pushed, Fault> {
    let id = job.id.as_ref().ok_or(Fault::Corrupt("a job of the commit has no id"))?;
    queue.push(id, job)
}

/// The key of the entry of a commit that was done.
fn remembered(queue: &QueueName, commit: &Commit) -> Vec<u8> {
    let JobLease { fence, job, .. } = &commit.settlement.lease;
    let key = Encoder::default().u8(b'c').tail(queue.as_str().as_bytes()).u8(0).tail(commit.request.as_bytes());
    key.u64(fence.get()).tail(job.as_str().as_bytes()).finish()
}
