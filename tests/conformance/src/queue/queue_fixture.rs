//! The queue of a case, and short ways to act on it.

use std::time::Duration;

use store_core::{
    Cancelled, Claim, ClaimRequest, ClaimedJob, Counts, Deleted, Durability, Explanation, Extended, Extension, JobId,
    JobInfo, JobLease, JobState, NewJob, Outcome, PageRequest, Pushed, QueueName, Replayed, Result, RetryPolicy,
    Settled, Settlement,
};

use crate::fixture::{Fixture, holder, secs};
use crate::verdict::{BrokenPromise, Verdict};

/// How long the leases of [`QueueFixture::claim`] last.
pub(crate) const LEASE: Duration = secs(10);

/// A new queue. Its methods use defaults for everything that does not matter to a case.
#[derive(Debug)]
pub(crate) struct QueueFixture {
    /// Its stores.
    pub(crate) fixture: Fixture,
    /// Its name.
    pub(crate) name: QueueName,
}

impl From<Fixture> for QueueFixture {
    fn from(fixture: Fixture) -> Self {
        let name = fixture.queue("queue");
        Self { fixture, name }
    }
}

impl QueueFixture {
    pub(crate) async fn push(&self, jobs: &[NewJob]) -> Result<Vec<Pushed>> {
        Ok(self.fixture.state.push(&self.name, jobs, Durability::Accepted).await?.value)
    }

    pub(crate) async fn push_one(&self, job: NewJob) -> Result<Pushed, BrokenPromise> {
        only(self.push(&[job]).await?)
    }

    /// Pushes plain jobs with these ids. The payload of each is its id.
    #[track_caller]
    pub(crate) fn push_ids(&self, ids: &[&str]) -> impl Future<Output = Verdict> {
        let jobs: Vec<NewJob> = ids.iter().map(|id| job(id)).collect();
        async move {
            let pushed = self.push(&jobs).await?;
            if pushed.iter().all(Pushed::is_new) {
                return Ok(());
            }
            Err(BrokenPromise::new(format!("pushing new jobs answered {pushed:?}")))
        }
    }

    pub(crate) async fn claim_for(&self, max: usize, lease: Duration) -> Result<Claim> {
        let request = ClaimRequest::new(self.name.clone(), holder("worker"), max, lease);
        self.fixture.state.claim(&request).await
    }

    pub(crate) async fn claim(&self, max: usize) -> Result<Claim> {
        self.claim_for(max, LEASE).await
    }

    pub(crate) async fn claim_one(&self) -> Result<ClaimedJob, BrokenPromise> {
        only(self.claim(1).await?.jobs)
    }

    /// Claims one job and extends its lease to the same end: now the queue knows that its worker has heard of it.
    pub(crate) async fn claim_heard(&self) -> Result<ClaimedJob, BrokenPromise> {
        let claimed = self.claim_one().await?;
        self.extend(&claimed.lease, LEASE).await?;
        Ok(claimed)
    }

    /// A new claim of up to `max` jobs.
    pub(crate) fn request(&self, max: usize) -> ClaimRequest {
        ClaimRequest::new(self.name.clone(), holder("worker"), max, LEASE)
    }

    pub(crate) async fn claim_ids(&self, max: usize) -> Result<Vec<String>> {
        Ok(self.claim(max).await?.jobs.iter().map(|job| job.id().to_string()).collect())
    }

    /// The ids of a claim, sorted: their order is not that of the case.
    pub(crate) async fn claim_sorted(&self, max: usize) -> Result<Vec<String>> {
        let mut ids = self.claim_ids(max).await?;
        ids.sort();
        Ok(ids)
    }

    /// The jobs of a claim, sorted by their ids.
    pub(crate) async fn claim_by_id(&self, max: usize) -> Result<Vec<ClaimedJob>> {
        let mut jobs = self.claim(max).await?.jobs;
        jobs.sort_by(|one, other| one.id().cmp(other.id()));
        Ok(jobs)
    }

    pub(crate) async fn extend(&self, lease: &JobLease, lasting: Duration) -> Result<Extended, BrokenPromise> {
        let extensions = [Extension::new(lease.clone())];
        only(self.fixture.state.extend(&self.name, &extensions, lasting).await?)
    }

    pub(crate) async fn report(&self, lease: &JobLease, progress: &'static str) -> Result<Extended, BrokenPromise> {
        let extensions = [Extension::new(lease.clone()).with_progress(progress)];
        only(self.fixture.state.extend(&self.name, &extensions, LEASE).await?)
    }

    pub(crate) async fn settle_all(&self, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        Ok(self.fixture.state.settle(&self.name, settlements, Durability::Accepted).await?.value)
    }

    pub(crate) async fn settle(&self, lease: &JobLease, outcome: Outcome) -> Result<Settled, BrokenPromise> {
        only(self.settle_all(&[Settlement::new(lease.clone(), outcome)]).await?)
    }

    pub(crate) async fn cancel(&self, id: &str) -> Result<Cancelled> {
        self.fixture.state.cancel(&self.name, &job_id(id)).await
    }

    pub(crate) async fn delete(&self, id: &str) -> Result<Deleted, BrokenPromise> {
        only(self.fixture.state.delete(&self.name, &[job_id(id)]).await?)
    }

    pub(crate) async fn replay(&self, id: &str) -> Result<Replayed, BrokenPromise> {
        only(self.fixture.state.replay(&self.name, &[job_id(id)]).await?)
    }

    pub(crate) async fn promote(&self, id: &str) -> Result<bool, BrokenPromise> {
        only(self.fixture.state.promote(&self.name, &[job_id(id)]).await?)
    }

    pub(crate) async fn pause(&self) -> Result<()> {
        self.fixture.state.pause(&self.name).await
    }

    pub(crate) async fn resume(&self) -> Result<()> {
        self.fixture.state.resume(&self.name).await
    }

    pub(crate) async fn counts(&self) -> Result<Counts> {
        self.fixture.state.counts(&self.name).await
    }

    pub(crate) async fn get(&self, id: &str) -> Result<Option<JobInfo>> {
        self.fixture.state.get(&self.name, &job_id(id)).await
    }

    pub(crate) async fn info(&self, id: &str) -> Result<JobInfo, BrokenPromise> {
        self.get(id).await?.ok_or_else(|| BrokenPromise::new(format!("the queue does not have job {id}")))
    }

    pub(crate) async fn explain(&self, id: &str) -> Result<Explanation> {
        self.fixture.state.explain(&self.name, &job_id(id)).await
    }

    /// The ids of the jobs in a state, in the order of the listing.
    pub(crate) async fn listed(&self, state: JobState) -> Result<Vec<String>> {
        let page = self.fixture.state.list(&self.name, state, PageRequest::first(1000)).await?;
        Ok(page.items.iter().map(|job| job.id.to_string()).collect())
    }

    /// Pushes a job, claims it, and lets it die.
    pub(crate) async fn bury(&self, id: &str) -> Verdict {
        self.push_ids(&[id]).await?;
        let claimed = self.claim_one().await?;
        self.settle(&claimed.lease, dead("broken")).await?;
        Ok(())
    }

    /// Pushes a job, claims it, and completes it with a result that is kept for a minute.
    pub(crate) async fn finish(&self, id: &str) -> Verdict {
        self.push_ids(&[id]).await?;
        let claimed = self.claim_one().await?;
        self.settle(&claimed.lease, kept("result", secs(60))).await?;
        Ok(())
    }
}

/// The only element.
#[track_caller]
pub(crate) fn only<T: std::fmt::Debug>(mut items: Vec<T>) -> Result<T, BrokenPromise> {
    match (items.pop(), items.is_empty()) {
        (Some(item), true) => Ok(item),
        (item, _) => Err(BrokenPromise::new(format!("one expected, found {items:?} and {item:?}"))),
    }
}

/// The id of a job.
pub(crate) fn job_id(id: &str) -> JobId {
    JobId::new(id).expect("invariant: cases use valid ids")
}

/// The answer to a push that has added this job.
pub(crate) fn created(id: &str) -> Pushed {
    Pushed::Created { id: job_id(id) }
}

/// A plain job whose payload is its id.
pub(crate) fn job(id: &str) -> NewJob {
    NewJob::new(id.as_bytes().to_vec()).with_id(job_id(id))
}

/// The policy of at most this many attempts.
pub(crate) fn attempts(max: u16) -> RetryPolicy {
    RetryPolicy::new(max, RetryPolicy::default().backoff)
}

/// A failure after which the job is retried with a delay.
pub(crate) fn retry(after: Duration) -> Outcome {
    Outcome::Retry { after, error: "broken".to_owned() }
}

/// A failure after which the job is dead.
pub(crate) fn dead(reason: &str) -> Outcome {
    Outcome::Dead { reason: reason.to_owned() }
}

/// A result to be kept.
pub(crate) fn kept(result: &'static str, lasting: Duration) -> Outcome {
    Outcome::Complete(Some(store_core::Kept::new(result, lasting)))
}
