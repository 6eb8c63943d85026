//! Random queues.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use store_core::{
    Backoff, ClaimRequest, Durability, Extension, HolderName, JobId, JobLease, Kept, NewJob, Outcome, Priority, Queue,
    QueueName, RetryPolicy, Settlement, Unique, UniqueKey, UniqueUntil, Wakeup,
};
use testkit::random_prefix;

use super::call::Call;
use super::{Environment, keys, name_of};
use crate::queue::LEASE;
use crate::queue::hand_over_crashes::register_gone;
use crate::queue::partial_writes::Dice;

/// What a random queue is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aim {
    /// Jobs become due early.
    Promote,
    /// Jobs are dead, and begin again.
    Replay,
    /// Jobs are cancelled.
    Cancel,
    /// Jobs are deleted.
    Delete,
    Any,
}

/// A random queue.
pub(super) struct Scenario<'e> {
    pub(super) environment: &'e Environment,
    pub(super) queue: QueueName,
    pub(super) dice: Dice,
    /// The payload of each job, by its id.
    pub(super) names: HashMap<JobId, String>,
    /// The jobs with unique keys, which are named as they are. Those until they are finished: true.
    pub(super) unique: HashMap<String, bool>,
    pub(super) leases: Vec<JobLease>,
    /// Whether workers may wait for jobs: a push then leases jobs to some of them.
    pub(super) has_waiters: bool,
    aim: Aim,
}

impl<'e> Scenario<'e> {
    pub(super) fn empty(environment: &'e Environment, queue: QueueName, seed: u64) -> Self {
        let (dice, names, unique, leases) = (Dice(seed), HashMap::new(), HashMap::new(), Vec::new());
        Self { environment, queue, dice, names, unique, leases, has_waiters: false, aim: Aim::Any }
    }

    pub(super) async fn new(environment: &'e Environment, queue: QueueName, seed: u64) -> Self {
        let mut scenario = Self::empty(environment, queue, seed);
        scenario.aim = match scenario.dice.roll(30) {
            0..2 => Aim::Promote,
            2 => Aim::Replay,
            3..6 => Aim::Cancel,
            6 => Aim::Delete,
            _ => Aim::Any,
        };
        scenario.has_waiters = scenario.dice.roll(3) == 0;
        if scenario.has_waiters {
            scenario.any_waiter().await;
        }
        for _ in 0..1 + scenario.dice.roll(2) {
            let jobs = scenario.any_jobs();
            let store = &environment.fixture.store;
            let pushed = store.push(&scenario.queue, &jobs, Durability::Accepted).await.unwrap().value;
            for (job, pushed) in jobs.iter().zip(pushed) {
                scenario.names.extend(pushed.id().map(|id| (id.clone(), name_of(job))));
            }
        }
        scenario.receive().await;
        scenario.advance(&[0, 0, 2]);
        for _ in 0..scenario.dice.roll(3) {
            let request = scenario.any_claim();
            let claimed = scenario.claim(&request, None).await.unwrap().jobs;
            scenario.leases.extend(claimed.into_iter().map(|job| job.lease));
            for _ in 0..scenario.dice.roll(3) {
                let call = if scenario.dice.roll(3) == 0 { scenario.any_control() } else { scenario.any_lease_call() };
                let _ = scenario.run(&call).await.unwrap();
            }
            scenario.advance(&[0, 0, 0, 2, 40]);
        }
        for _ in 0..if scenario.has_waiters { 1 + scenario.dice.roll(2) } else { 0 } {
            scenario.any_waiter().await;
        }
        if scenario.aim == Aim::Replay {
            scenario.kill().await;
        }
        scenario
    }

    /// All jobs that are ready die.
    async fn kill(&mut self) {
        let request = ClaimRequest::new(self.queue.clone(), HolderName::new("killer").unwrap(), 100, LEASE);
        let claimed = self.claim(&request, None).await.unwrap().jobs;
        let dead = Outcome::Dead { reason: "no".into() };
        let settlements = claimed.into_iter().map(|job| Settlement::new(job.lease, dead.clone())).collect();
        self.run(&Call::Settle(settlements)).await.unwrap();
    }

    fn advance(&mut self, seconds: &[u64]) {
        self.environment.fixture.clock.advance(Duration::from_secs(seconds[self.dice.roll(seconds.len())]));
    }

    /// A waiter claims, and is registered if it finds too few jobs. Another one may no longer listen.
    async fn any_waiter(&mut self) {
        if self.dice.roll(3) == 0 {
            register_gone(&self.environment.fixture, &keys(&self.queue)[13], "test:wake:gone").await;
        }
        let (request, by) = (self.any_claim(), Some((self.dice.roll(2), self.dice.roll(5))));
        let claimed = self.claim(&request, by).await.unwrap().jobs;
        self.leases.extend(claimed.into_iter().map(|job| job.lease));
    }

    /// The leases of jobs that were handed over. A message that comes later is lost.
    async fn receive(&mut self) {
        for waiter in &self.environment.waiters {
            let up_to = Duration::from_millis(if self.has_waiters { 2 } else { 0 });
            while let Some(wakeup) = waiter.next(up_to).await.unwrap() {
                let Wakeup::Claimed { claim, .. } = wakeup else { continue };
                self.environment.handed_over.fetch_add(1, Ordering::Relaxed);
                let leases = claim.jobs.into_iter().map(|job| job.lease);
                // Earlier queues had other jobs.
                self.leases.extend(leases.filter(|lease| self.names.contains_key(&lease.job)));
            }
        }
    }

    /// Jobs of several batches, and single ones among them.
    fn any_jobs(&mut self) -> Vec<NewJob> {
        let mut jobs = Vec::new();
        for _ in 0..1 + self.dice.roll(3) {
            let (count, kind) = (1 + self.dice.roll(6), self.dice.roll(if self.aim == Aim::Promote { 2 } else { 8 }));
            let priority = Priority::ALL[self.dice.roll(2)];
            for n in 0..count {
                let name = random_prefix();
                let mut job = NewJob::new(name.clone()).with_priority(priority);
                job.retry = RetryPolicy::new(1 + self.dice.roll(3) as u16, Backoff::Fixed(Duration::ZERO));
                match kind {
                    0 => job.delay = Duration::from_secs(1 + n as u64),
                    1 => job.delay = Duration::from_secs(2),
                    2 => job = job.with_id(JobId::new(name).unwrap()),
                    3 => job = job.with_start_within(Duration::from_secs(1)),
                    4 => {
                        let elapsed = UniqueUntil::Elapsed(Duration::from_secs(5));
                        let until = [UniqueUntil::Finished, UniqueUntil::Claimed, elapsed][self.dice.roll(3)];
                        self.unique.insert(name.clone(), until == UniqueUntil::Finished);
                        job = job.with_unique(Unique::new(UniqueKey::new(name).unwrap(), until));
                    }
                    _ => {}
                }
                jobs.push(job);
            }
        }
        jobs
    }

    fn any_claim(&mut self) -> ClaimRequest {
        let worker = HolderName::new(["worker-1", "worker-2"][self.dice.roll(2)]).unwrap();
        ClaimRequest::new(self.queue.clone(), worker, 1 + self.dice.roll(9), LEASE)
    }

    fn any_lease_call(&mut self) -> Call {
        let mut leases = self.leases.clone();
        let is_all = self.dice.roll(2) == 0;
        leases.retain(|_| is_all || self.dice.roll(2) == 0);
        if self.dice.roll(3) == 0 {
            let extensions = leases.into_iter().map(|lease| match self.dice.roll(3) {
                0 => Extension::new(lease).with_progress("half"),
                _ => Extension::new(lease),
            });
            return Call::Extend(extensions.collect());
        }
        let plain = self.dice.roll(3) == 0;
        let settlements = leases.into_iter().map(|lease| {
            let outcome = if plain { Outcome::Complete(None) } else { any_outcome(&mut self.dice) };
            Settlement::new(lease, outcome)
        });
        Call::Settle(settlements.collect())
    }

    fn any_control(&mut self) -> Call {
        let mut ids: Vec<JobId> = self.names.keys().cloned().collect();
        ids.sort_unstable();
        let first = ids[self.dice.roll(ids.len())].clone();
        ids.retain(|_| self.dice.roll(3) == 0);
        match self.dice.roll(4) {
            0 => Call::Cancel(first),
            1 => Call::Delete(ids),
            2 => Call::Promote(ids),
            _ => Call::Replay(ids),
        }
    }

    pub(super) fn any_call(&mut self) -> Call {
        let mut ids: Vec<_> = self.names.keys().cloned().collect();
        ids.sort_unstable();
        match self.aim {
            Aim::Promote => return Call::Promote(ids),
            Aim::Replay => return Call::Replay(ids),
            Aim::Cancel => return Call::Cancel(ids.swap_remove(self.dice.roll(ids.len()))),
            Aim::Delete => return Call::Delete(ids),
            Aim::Any => {}
        }
        if self.has_waiters && self.dice.roll(2) == 0 {
            return Call::Push(self.any_jobs());
        }
        match self.dice.roll(7) {
            0 => Call::Push(self.any_jobs()),
            1 => Call::Claim(self.any_claim(), None),
            2 => Call::Claim(self.any_claim(), self.has_waiters.then_some((self.dice.roll(2), self.dice.roll(5)))),
            3 => self.any_control(),
            _ => self.any_lease_call(),
        }
    }
}

fn any_outcome(dice: &mut Dice) -> Outcome {
    let after = Duration::from_secs([0, 7][dice.roll(2)]);
    match dice.roll(9) {
        0..=2 => Outcome::Complete(None),
        3 => Outcome::Complete(Some(Kept::new("result", Duration::from_secs(10)))),
        4 => Outcome::Retry { after, error: "no".into() },
        5 => Outcome::Snooze { after },
        6 => Outcome::Dead { reason: "no".into() },
        7 => Outcome::Release,
        _ => Outcome::Cancelled,
    }
}
