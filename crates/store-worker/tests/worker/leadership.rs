use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use embedded_store::{EmbeddedState, StateOptions};
use store_core::{
    AcquireRequest, Acquired, Durability, Error, HolderName, Lease, LeaseInfo, LeaseName, Leases, Op, Receipt, Result,
    ServiceName, Timestamp,
};
use store_worker::{Candidate, Leadership, Standing};
use tokio::sync::watch;

use crate::fixture::eventually;

/// Leases of a store that can go away.
#[derive(Debug)]
pub(crate) struct Away {
    inner: EmbeddedState,
    away: AtomicBool,
    panics: AtomicBool,
    loses_replies: AtomicBool,
    late: watch::Sender<bool>,
}

impl Away {
    pub(crate) fn new() -> Arc<Self> {
        Self::of(EmbeddedState::in_memory(ServiceName::new("mailer").unwrap(), StateOptions::default()))
    }

    fn of(inner: EmbeddedState) -> Arc<Self> {
        Arc::new(Self {
            inner,
            away: AtomicBool::new(false),
            panics: AtomicBool::new(false),
            loses_replies: AtomicBool::new(false),
            late: watch::Sender::new(false),
        })
    }

    /// The same leases, which go away separately.
    pub(crate) fn share(&self) -> Arc<Self> {
        Self::of(self.inner.clone())
    }

    pub(crate) fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    pub(crate) fn panic(&self) {
        self.panics.store(true, Ordering::SeqCst);
    }

    async fn meet<T>(&self, op: Op, call: impl Future<Output = Result<T>>) -> Result<T> {
        if self.away.load(Ordering::SeqCst) {
            return Err(Error::unavailable(op, "away"));
        }
        assert!(!self.panics.load(Ordering::SeqCst), "a store that panics");
        let answer = call.await?;
        self.late.subscribe().wait_for(|late| !late).await.unwrap();
        if self.loses_replies.load(Ordering::SeqCst) {
            return Err(Error::indeterminate(op, "cut"));
        }
        Ok(answer)
    }
}

#[async_trait]
impl Leases for Away {
    async fn acquire(&self, request: &AcquireRequest, durability: Durability) -> Result<Receipt<Acquired>> {
        self.meet(Op::LeaseAcquire, self.inner.acquire(request, durability)).await
    }

    async fn renew(&self, lease: &Lease, lasting: Duration) -> Result<Option<Timestamp>> {
        self.meet(Op::LeaseRenew, self.inner.renew(lease, lasting)).await
    }

    async fn release(&self, lease: &Lease) -> Result<bool> {
        self.meet(Op::LeaseRelease, self.inner.release(lease)).await
    }

    async fn inspect(&self, name: &LeaseName) -> Result<Option<LeaseInfo>> {
        self.meet(Op::LeaseInspect, self.inner.inspect(name)).await
    }
}

pub(crate) fn name() -> LeaseName {
    LeaseName::new("scheduler").unwrap()
}

pub(crate) fn campaign(leases: &Arc<Away>, holder: &str, lasting: Duration) -> Leadership {
    let candidate = Candidate::new(leases.clone(), name(), HolderName::new(holder).unwrap());
    candidate.with_lease(lasting).campaign().unwrap()
}

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(600);

#[tokio::test(flavor = "multi_thread")]
async fn one_leads_and_the_next_follows_when_it_resigns() {
    let leases = Away::new();
    let first = campaign(&leases, "a", LONG);
    let fence = first.elected().await;
    assert_eq!(first.fence(), Some(fence));
    let second = campaign(&leases, "b", SHORT);
    assert!(!second.is_leader());
    first.resign().await;
    assert!(second.elected().await > fence, "the token rises");
    assert_eq!(leases.inspect(&name()).await.unwrap().unwrap().holder.as_str(), "b");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_keeps_its_lease() {
    let leases = Away::new();
    let leadership = campaign(&leases, "a", Duration::from_secs(3));
    let fence = leadership.elected().await;
    let mut changes = leadership.changes();
    for _ in 0..4 {
        changes.changed().await.unwrap();
        assert!(matches!(*changes.borrow_and_update(), Standing::Leader { fence: now, .. } if now == fence));
    }
    leadership.resign().await;
    assert_eq!(leases.inspect(&name()).await.unwrap(), None);
    assert_eq!(*changes.borrow_and_update(), Standing::Follower);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_steps_down_before_a_lease_that_it_cannot_renew_can_have_run_out() {
    let leases = Away::new();
    let leadership = campaign(&leases, "a", SHORT);
    let fence = leadership.elected().await;
    leases.away.store(true, Ordering::SeqCst);
    let mut changes = leadership.changes();
    changes.wait_for(|standing| *standing == Standing::Follower).await.unwrap();
    assert!(!leadership.is_leader() && leadership.fence().is_none());
    leases.away.store(false, Ordering::SeqCst);
    assert!(leadership.elected().await > fence, "it leads again, under a new number");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_finds_its_lease_lost_runs_again() {
    let leases = Away::new();
    let leadership = campaign(&leases, "a", Duration::from_secs(3));
    let fence = leadership.elected().await;
    let held = leases.inspect(&name()).await.unwrap().unwrap();
    let held = Lease::new(held.name, held.holder, held.fence, held.until);
    leases.release(&held).await.unwrap();
    eventually("it leads under a new number", async || leadership.fence().is_some_and(|now| now > fence)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_was_lost_does_not_delay_the_election_by_a_lease() {
    let leases = Away::new();
    leases.loses_replies.store(true, Ordering::SeqCst);
    let leadership = campaign(&leases, "a", Duration::from_secs(3));
    eventually("taken", async || leases.inner.inspect(&name()).await.unwrap().is_some()).await;
    let taken = leases.inner.inspect(&name()).await.unwrap().unwrap();
    leases.loses_replies.store(false, Ordering::SeqCst);
    assert_eq!(leadership.elected().await, taken.fence, "the same request found the same lease");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_out_of_range_is_refused() {
    let candidate = Candidate::new(Away::new(), name(), HolderName::new("a").unwrap());
    assert!(candidate.with_lease(Duration::from_millis(1)).campaign().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_resigns_while_it_asks_keeps_nothing() {
    let leases = Away::new();
    leases.late.send_replace(true);
    let leadership = campaign(&leases, "a", LONG);
    eventually("taken", async || leases.inner.inspect(&name()).await.unwrap().is_some()).await;
    let resigning = tokio::spawn(leadership.resign());
    leases.late.send_replace(false);
    resigning.await.unwrap();
    assert_eq!(leases.inner.inspect(&name()).await.unwrap(), None);
}
