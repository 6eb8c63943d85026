//! Recorded queues.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use store_core::{Claim, ClaimRequest, Extended, Extension, JobLease, Outcome, Settled, Settlement, Waiter, Wakeup};
use twinstore::Result;
use twinstore::durability::{Durability, Receipt};
use twinstore::queue::{JobId, NewJob, Pushed, Queue, QueueName, UniqueUntil};

use super::{Recorded, hex, record};
use crate::history::{self, Answer, Call, Leased, PushAnswer, PushedJob, Recorder, Reply, Settle, UniqueEnd};

#[async_trait]
impl Queue for Recorded<dyn Queue> {
    async fn push(&self, queue: &QueueName, jobs: &[NewJob], durability: Durability) -> Result<Receipt<Vec<Pushed>>> {
        // The history names jobs by their ids, also those of a push whose answer was lost.
        let jobs: Vec<NewJob> = jobs.iter().map(with_id).collect();
        let call = Call::Push { queue: queue.to_string(), jobs: jobs.iter().map(pushed_job).collect() };
        let invocation = self.recorder.invoke(call);
        let result = self.inner.push(queue, &jobs, durability).await;
        record(invocation, result, |receipt| Answer::Pushed(receipt.value.iter().map(push_answer).collect()))
    }

    async fn claim(&self, request: &ClaimRequest) -> Result<Claim> {
        let invocation = self.recorder.invoke(claim(request, 0));
        record(invocation, self.inner.claim(request).await, claimed)
    }

    async fn extend(&self, queue: &QueueName, jobs: &[Extension], lasting: Duration) -> Result<Vec<Extended>> {
        let leases = jobs.iter().map(|job| leased(&job.lease)).collect();
        let invocation =
            self.recorder.invoke(Call::Extend { queue: queue.to_string(), leases, lasting_ms: millis(lasting) });
        let result = self.inner.extend(queue, jobs, lasting).await;
        record(invocation, result, |answers| Answer::Each(answers.iter().map(|answer| !answer.is_lost()).collect()))
    }

    async fn settle(
        &self,
        queue: &QueueName,
        settlements: &[Settlement],
        durability: Durability,
    ) -> Result<Receipt<Vec<Settled>>> {
        let ends = settlements.iter().map(settle).collect();
        let invocation = self.recorder.invoke(Call::Settle { queue: queue.to_string(), settlements: ends });
        let result = self.inner.settle(queue, settlements, durability).await;
        if result.as_ref().is_ok_and(|receipt| receipt.value.contains(&Settled::Unknown)) {
            // The checker takes the answers to a call as known or as unknown.
            invocation.reply(Reply::Unknown("unknown".to_owned()));
            return result;
        }
        record(invocation, result, |receipt| {
            Answer::Each(receipt.value.iter().map(|answer| !answer.is_lost()).collect())
        })
    }

    fn waiter(&self) -> Arc<dyn Waiter> {
        Arc::new(RecordedWaiter {
            inner: self.inner.waiter(),
            recorder: self.recorder.clone(),
            leases: Mutex::default(),
        })
    }
}

/// A recorded waiter: its claims, and the hand-overs that it receives.
struct RecordedWaiter {
    inner: Arc<dyn Waiter>,
    recorder: Recorder,
    /// How long the leases of each queue last, in milliseconds, by the last claim.
    leases: Mutex<HashMap<QueueName, u64>>,
}

impl std::fmt::Debug for RecordedWaiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RecordedWaiter")
    }
}

impl RecordedWaiter {
    fn leases(&self) -> MutexGuard<'_, HashMap<QueueName, u64>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Waiter for RecordedWaiter {
    async fn claim(&self, request: &ClaimRequest, reserve: usize) -> Result<Claim> {
        self.leases().insert(request.queue.clone(), millis(request.lease));
        let invocation = self.recorder.invoke(claim(request, reserve));
        record(invocation, self.inner.claim(request, reserve).await, claimed)
    }

    async fn next(&self, up_to: Duration) -> Result<Option<Wakeup>> {
        let wakeup = self.inner.next(up_to).await;
        if let Ok(Some(Wakeup::Claimed { queue, claim, since, .. })) = &wakeup {
            let lease_ms = self.leases()[queue];
            let call = Call::HandOver { queue: queue.to_string(), lease_ms };
            self.recorder.invoke_since(*since, call).answered(claimed(claim));
        }
        wakeup
    }

    fn reserved(&self, queue: &QueueName) -> usize {
        self.inner.reserved(queue)
    }
}

fn claim(request: &ClaimRequest, reserve: usize) -> Call {
    let (queue, lease_ms) = (request.queue.to_string(), millis(request.lease));
    Call::Claim { queue, request: hex(request.request.as_bytes()), max: request.max, reserve, lease_ms }
}

fn claimed(claim: &Claim) -> Answer {
    let jobs = claim.jobs.iter().map(|job| Leased { attempt: job.attempt, ..leased(&job.lease) }).collect();
    Answer::Claimed { jobs, paused: claim.paused }
}

/// In whole milliseconds, rounded up as the stores do.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_micros().div_ceil(1000)).unwrap_or(u64::MAX)
}

fn with_id(job: &NewJob) -> NewJob {
    let id = job.id.clone().unwrap_or_else(JobId::generate);
    job.clone().with_id(id)
}

pub(super) fn pushed_job(job: &NewJob) -> PushedJob {
    let unique = job.unique.as_ref().and_then(|unique| {
        let end = match unique.until {
            UniqueUntil::Claimed => UniqueEnd::Claimed,
            UniqueUntil::Finished => UniqueEnd::Finished,
            UniqueUntil::Elapsed(_) => return None,
        };
        Some((unique.key.to_string(), end))
    });
    PushedJob {
        id: job.id.as_ref().expect("invariant: recorded jobs have ids").to_string(),
        request: job.request,
        delay_ms: millis(job.delay),
        max_attempts: job.retry.max_attempts,
        unique,
    }
}

fn push_answer(pushed: &Pushed) -> PushAnswer {
    match pushed {
        Pushed::Created { .. } => PushAnswer::Created,
        Pushed::Duplicate => PushAnswer::Duplicate,
        Pushed::Held { by } => PushAnswer::Held(by.to_string()),
        other => panic!("the history has no answer {other:?}"),
    }
}

fn leased(lease: &JobLease) -> Leased {
    Leased { job: lease.job.to_string(), fence: lease.fence.get(), attempt: 0 }
}

fn settle(settlement: &Settlement) -> Settle {
    let outcome = match &settlement.outcome {
        Outcome::Complete(None) => history::Outcome::Complete,
        Outcome::Complete(Some(_)) => history::Outcome::CompleteKept,
        Outcome::Retry { .. } => history::Outcome::Retry,
        Outcome::Snooze { .. } => history::Outcome::Snooze,
        Outcome::Dead { .. } => history::Outcome::Dead,
        Outcome::Release => history::Outcome::Release,
        Outcome::Cancelled => history::Outcome::Cancelled,
    };
    Settle { job: settlement.lease.job.to_string(), fence: settlement.lease.fence.get(), outcome }
}
