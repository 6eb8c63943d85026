//! The operations of `Queue`, `QueueInspect` and `QueueControl`.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use store_core::{
    Cancelled, ClaimRequest, Deleted, Durability, Extended, Extension, HolderName, JobId, JobLease, JobState, NewJob,
    Op, Outcome, PageRequest, QueueExt, QueueName, Replayed, Settled, Settlement, StateRole,
};

use super::{Call, Prepare, calls_for, expect};
use crate::Result;
use crate::environment::{Stores, queue};

/// Jobs of the queue that is listed and counted.
const PAGE: u32 = 100;
const LEASE: Duration = Duration::from_secs(60);
/// Jobs of one push: as many as a service may push together, so that the jobs are in batches.
const BATCH: usize = 50;
const LATER: Duration = Duration::from_secs(3600);

pub(super) fn all() -> Vec<(Op, Arc<dyn Prepare>)> {
    let ops = [
        Op::QueuePush,
        Op::QueueClaim,
        Op::QueueExtend,
        Op::QueueSettle,
        Op::QueueCounts,
        Op::QueueGet,
        Op::QueueList,
        Op::QueueExplain,
        Op::QueueCancel,
        Op::QueueReplay,
        Op::QueueDelete,
        Op::QueuePromote,
        Op::QueuePause,
        Op::QueueResume,
    ];
    ops.map(|op| (op, Arc::new(Calls(op)) as Arc<dyn Prepare>)).into()
}

struct Calls(Op);

#[async_trait]
impl Prepare for Calls {
    async fn calls(&self, stores: &Stores, numbers: Range<usize>) -> Result<Vec<Call>> {
        let fixture =
            Fixture { op: self.0, state: Arc::clone(&stores.state), queue: queue("each")?, count: numbers.len() };
        match self.0 {
            Op::QueuePush | Op::QueueClaim | Op::QueueExtend | Op::QueueSettle => fixture.working().await,
            Op::QueueCounts | Op::QueueGet | Op::QueueList | Op::QueueExplain => fixture.inspecting().await,
            _ => fixture.controlling().await,
        }
    }
}

/// A queue before its calls.
struct Fixture {
    op: Op,
    state: Arc<dyn StateRole>,
    queue: QueueName,
    count: usize,
}

impl Fixture {
    fn job() -> NewJob {
        NewJob::new(Bytes::from_static(&[b'x'; 200]))
    }

    /// Pushes the jobs of this round.
    async fn pushed(&self, delay: Duration) -> Result<Vec<JobId>> {
        let jobs: Vec<NewJob> = (0..self.count).map(|_| Self::job().with_delay(delay)).collect();
        let mut ids = Vec::with_capacity(self.count);
        for some in jobs.chunks(BATCH) {
            let pushed = self.state.push(&self.queue, some, Durability::Accepted).await?.value;
            ids.extend(pushed.iter().filter_map(|pushed| pushed.id().cloned()));
        }
        expect(ids.len() == self.count, self.op)?;
        Ok(ids)
    }

    /// Pushes and claims them.
    async fn claimed(&self) -> Result<Vec<JobLease>> {
        self.pushed(Duration::ZERO).await?;
        let mut leases = Vec::new();
        while leases.len() < self.count {
            let max = 100.min(self.count - leases.len());
            let claim = self.state.claim(&self.claim_request(max)?).await?;
            expect(!claim.jobs.is_empty(), self.op)?;
            leases.extend(claim.jobs.into_iter().map(|job| job.lease));
        }
        Ok(leases)
    }

    fn claim_request(&self, max: usize) -> Result<ClaimRequest> {
        Ok(ClaimRequest::new(self.queue.clone(), HolderName::new("bench")?, max, LEASE))
    }

    async fn working(self) -> Result<Vec<Call>> {
        let (op, queue, state) = (self.op, self.queue.clone(), &self.state);
        Ok(match op {
            Op::QueuePush => calls_for(state, (0..self.count).map(|_| Self::job()), move |state, job| {
                let queue = queue.clone();
                async move { Ok(state.push_one(&queue, job).await.map(drop)?) }
            }),
            Op::QueueClaim => {
                self.pushed(Duration::ZERO).await?;
                let requests = (0..self.count).map(|_| self.claim_request(1)).collect::<Result<Vec<_>>>()?;
                calls_for(state, requests, move |state, request| async move {
                    expect(state.claim(&request).await?.jobs.len() == 1, op)
                })
            }
            Op::QueueExtend => calls_for(state, self.claimed().await?, move |state, lease| {
                let queue = queue.clone();
                async move {
                    let extended = state.extend(&queue, &[Extension::new(lease)], LEASE).await?;
                    expect(matches!(extended.as_slice(), [Extended::Until(_)]), op)
                }
            }),
            _ => calls_for(state, self.claimed().await?, move |state, lease| {
                let queue = queue.clone();
                async move {
                    let settled = state.settle_one(&queue, lease, Outcome::Complete(None)).await?;
                    expect(settled == Settled::Done, op)
                }
            }),
        })
    }

    async fn inspecting(self) -> Result<Vec<Call>> {
        let (op, queue) = (self.op, self.queue.clone());
        let jobs = self.pushed(Duration::ZERO).await?;
        Ok(calls_for(&self.state, jobs, move |state, job| {
            let queue = queue.clone();
            async move {
                let found = match op {
                    Op::QueueCounts => state.counts(&queue).await?.ready > 0,
                    Op::QueueGet => state.get(&queue, &job).await?.is_some(),
                    Op::QueueExplain => {
                        state.explain(&queue, &job).await?;
                        true
                    }
                    _ => {
                        let page = state.list(&queue, JobState::Ready, PageRequest::first(PAGE)).await?;
                        !page.items.is_empty()
                    }
                };
                expect(found, op)
            }
        }))
    }

    async fn controlling(self) -> Result<Vec<Call>> {
        let (op, queue) = (self.op, self.queue.clone());
        let jobs = match op {
            Op::QueueReplay | Op::QueueDelete => self.dead().await?,
            Op::QueuePromote => self.pushed(LATER).await?,
            _ => self.pushed(Duration::ZERO).await?,
        };
        Ok(calls_for(&self.state, jobs, move |state, job| {
            let queue = queue.clone();
            async move {
                let jobs = std::slice::from_ref(&job);
                let done = match op {
                    Op::QueueCancel => state.cancel(&queue, &job).await? == Cancelled::Removed,
                    Op::QueueReplay => state.replay(&queue, jobs).await? == [Replayed::Replayed],
                    Op::QueueDelete => state.delete(&queue, jobs).await? == [Deleted::Deleted],
                    Op::QueuePromote => state.promote(&queue, jobs).await? == [true],
                    Op::QueuePause => state.pause(&queue).await.map(|()| true)?,
                    _ => state.resume(&queue).await.map(|()| true)?,
                };
                expect(done, op)
            }
        }))
    }

    async fn dead(&self) -> Result<Vec<JobId>> {
        let leases = self.claimed().await?;
        let jobs = leases.iter().map(|lease| lease.job.clone()).collect();
        let dead = |lease| Settlement::new(lease, Outcome::Dead { reason: "no use".to_owned() });
        let settlements: Vec<Settlement> = leases.into_iter().map(dead).collect();
        for some in settlements.chunks(1000) {
            let _ = self.state.settle(&self.queue, some, Durability::Accepted).await?;
        }
        Ok(jobs)
    }
}
