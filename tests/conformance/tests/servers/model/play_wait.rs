//! Waiting on the queue of one engine. It is not defined which of the jobs that are ready are handed over: the embedded engine hands
//! over whenever jobs become ready, a server in a push, and partitions share the reserve. So each step that may hand jobs over
//! claims the others. Then all are leased, in either way.

use std::time::Duration;

use store_core::{ClaimRequest, ClaimedJob, Error, Op, Result, Wakeup};
use testkit::DEADLINE;

use super::play::{World, holder};
use super::step::Step;

/// The leases of a waiter and of the claims beside it.
const LEASE: Duration = Duration::from_secs(5);

impl World {
    pub(super) async fn play_wait(&mut self, step: &Step) -> Result<String> {
        let (is_stopped, reserve) = match step {
            Step::Wait(reserve) => (false, *reserve),
            _ => (true, 0),
        };
        if is_stopped && self.waiting.is_none() {
            return Ok(String::new());
        }
        self.has_waited = true;
        let waiter = self.waiting.get_or_insert_with(|| self.stores.state.waiter()).clone();
        let mut claim = self.claim_all(8, LEASE).await?;
        if !matches!(step, Step::StopWaiting { is_dropped: true }) {
            let request = ClaimRequest::new(self.queue.clone(), holder(0), reserve.max(1), LEASE);
            claim.jobs.extend(waiter.claim(&request, reserve).await?.jobs);
        }
        claim.jobs.extend(self.received(0).await?);
        if is_stopped {
            self.waiting = None;
        }
        let jobs = self.claimed(&mut claim.jobs, true);
        Ok(format!("{jobs} {}", claim.paused))
    }

    /// How many jobs are leased before a push.
    pub(super) async fn running_before(&self, step: &Step) -> Result<u64> {
        let is_push = matches!(step, Step::Push(_) | Step::PushNew(_) | Step::Commit(_));
        Ok(match is_push && self.waiting.is_some() {
            true => self.stores.state.counts(&self.queue).await?.running,
            false => u64::MAX,
        })
    }

    /// Receives what the step has handed over, and claims the rest. `running`: how many jobs were leased before a push.
    pub(super) async fn handed_over(&mut self, running: u64) -> Result<String> {
        // A push changes no other lease, and the messages of a server arrive later.
        let expected = self.stores.state.counts(&self.queue).await?.running.saturating_sub(running) as usize;
        let mut jobs = self.received(expected).await?;
        jobs.extend(self.claim_all(8, LEASE).await?.jobs);
        // A claim that left some may have handed these over.
        jobs.extend(self.received(0).await?);
        Ok(self.claimed(&mut jobs, true))
    }

    /// What was handed over: at least `expected` jobs.
    async fn received(&mut self, expected: usize) -> Result<Vec<ClaimedJob>> {
        let (mut jobs, waiter) = (Vec::new(), self.waiting.clone());
        while let Some(waiter) = &waiter {
            let up_to = if jobs.len() < expected { DEADLINE } else { Duration::ZERO };
            match waiter.next(up_to).await? {
                Some(Wakeup::Claimed { claim, .. }) => jobs.extend(claim.jobs),
                Some(_) => {}
                None if jobs.len() < expected => {
                    return Err(Error::unavailable(Op::QueueWait, "a job that was handed over does not arrive"));
                }
                None => break,
            }
        }
        self.handed_over += jobs.len();
        Ok(jobs)
    }
}
