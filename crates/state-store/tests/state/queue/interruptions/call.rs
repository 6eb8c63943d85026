//! The calls that are interrupted.

use std::collections::BTreeSet;

use store_core::{
    Claim, ClaimRequest, Durability, Extension, JobId, NewJob, Outcome, Pushed, Queue, QueueControl, Result, Settlement,
};

use super::name_of;
use super::scenario::Scenario;
use crate::queue::LEASE;

/// One call.
#[derive(Debug, Clone)]
pub(super) enum Call {
    Push(Vec<NewJob>),
    /// By a worker, or by the waiter with this index, which reserves so many jobs.
    Claim(ClaimRequest, Option<(usize, usize)>),
    Settle(Vec<Settlement>),
    Extend(Vec<Extension>),
    Cancel(JobId),
    Delete(Vec<JobId>),
    Promote(Vec<JobId>),
    Replay(Vec<JobId>),
}

impl Call {
    pub(super) fn script(&self) -> &'static str {
        match self {
            Self::Push(_) => "queue/push",
            Self::Claim(..) => "queue/claim",
            Self::Settle(_) => "queue/settle",
            Self::Extend(_) => "queue/extend",
            Self::Cancel(_) | Self::Delete(_) | Self::Promote(_) | Self::Replay(_) => "queue/change",
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Cancel(_) => "cancel",
            Self::Delete(_) => "delete",
            Self::Promote(_) => "promote",
            Self::Replay(_) => "replay",
            _ => self.script().trim_start_matches("queue/"),
        }
    }
}

impl Scenario<'_> {
    /// Makes a call. Returns its answer, as far as a repetition has to give the same one.
    pub(super) async fn run(&self, call: &Call) -> Result<String> {
        let (store, queue) = (&self.environment.fixture.store, &self.queue);
        Ok(match call {
            Call::Push(jobs) => {
                let pushed = store.push(queue, jobs, Durability::Accepted).await?.value;
                format!("{:?}", pushed.iter().map(Pushed::is_new).collect::<Vec<_>>())
            }
            Call::Claim(request, by) => {
                self.claim(request, *by).await?;
                String::new()
            }
            Call::Settle(settlements) if settlements.is_empty() => String::new(),
            Call::Settle(settlements) => {
                format!("{:?}", store.settle(queue, settlements, Durability::Accepted).await?.value)
            }
            Call::Extend(extensions) if extensions.is_empty() => String::new(),
            Call::Extend(extensions) => format!("{:?}", store.extend(queue, extensions, LEASE * 2).await?),
            Call::Cancel(id) => {
                store.cancel(queue, id).await?;
                String::new()
            }
            Call::Delete(ids) | Call::Promote(ids) | Call::Replay(ids) if ids.is_empty() => String::new(),
            Call::Delete(ids) => store.delete(queue, ids).await.map(|_| String::new())?,
            Call::Promote(ids) => store.promote(queue, ids).await.map(|_| String::new())?,
            Call::Replay(ids) => store.replay(queue, ids).await.map(|_| String::new())?,
        })
    }

    pub(super) async fn claim(&self, request: &ClaimRequest, by: Option<(usize, usize)>) -> Result<Claim> {
        match by {
            Some((waiter, reserve)) => self.environment.waiters[waiter].claim(request, reserve).await,
            None => self.environment.fixture.store.claim(request).await,
        }
    }

    /// The jobs that a call names.
    pub(super) fn named(&self, call: &Call) -> BTreeSet<String> {
        let ids: Vec<&JobId> = match call {
            Call::Settle(settlements) => settlements.iter().map(|settlement| &settlement.lease.job).collect(),
            Call::Extend(extensions) => extensions.iter().map(|extension| &extension.lease.job).collect(),
            // One more delivery of a batch is unheard, if the first copy has leased some of its jobs.
            Call::Claim(..) => Vec::new(),
            _ => return self.names.values().cloned().collect(),
        };
        ids.into_iter().filter_map(|id| self.names.get(id).cloned()).collect()
    }

    /// The jobs that a call may remove, or not, if it is given up.
    pub(super) fn may_end(&self, call: &Call) -> BTreeSet<String> {
        let name = |id: &JobId| self.names.get(id).cloned().unwrap_or_default();
        match call {
            Call::Push(jobs) => jobs.iter().map(name_of).collect(),
            Call::Settle(settlements) => {
                let ends = settlements.iter().filter(|settlement| {
                    matches!(settlement.outcome, Outcome::Complete(_) | Outcome::Cancelled | Outcome::Dead { .. })
                });
                ends.map(|settlement| name(&settlement.lease.job)).collect()
            }
            Call::Cancel(id) => [name(id)].into(),
            Call::Delete(ids) => ids.iter().map(name).collect(),
            _ => BTreeSet::new(),
        }
    }
}
