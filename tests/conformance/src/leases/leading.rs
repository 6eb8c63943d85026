//! Leadership: candidates for a lease, by the clock of the store.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use store_core::{
    AcquireRequest, Acquired, Durability, Error, Lease, LeaseInfo, LeaseName, Leases, Op, Receipt, Result as Answer,
    StateRole, Timestamp,
};
use twinstore::lease::{Candidate, Leadership, Standing};

use crate::case::cases;
use crate::fixture::{Fixture, holder, secs};
use crate::verdict::{BrokenPromise, Verdict, check, check_eq, check_matches};

cases! { Op::LeaseAcquire;
    one_candidate_leads_and_the_next_one_when_it_resigns,
    the_next_candidate_leads_when_the_lease_of_a_dead_leader_has_expired,
    a_leader_keeps_its_lease_under_one_fence,
    a_leader_that_cannot_renew_steps_down_before_its_lease_can_have_expired,
    those_who_watch_see_the_election_and_the_resignation,
}

/// A candidate tries to acquire the lease every third of this time.
const LASTING: Duration = secs(2);

fn campaign(fixture: &Fixture, name: &LeaseName, who: &str) -> Result<Leadership, BrokenPromise> {
    let candidate = Candidate::new(fixture.state.clone(), name.clone(), holder(who));
    Ok(candidate.with_lease(LASTING).campaign()?)
}

async fn held(fixture: &Fixture, name: &LeaseName) -> Result<LeaseInfo, BrokenPromise> {
    fixture.state.inspect(name).await?.ok_or_else(|| BrokenPromise::new("nobody holds the lease"))
}

async fn one_candidate_leads_and_the_next_one_when_it_resigns(fixture: Fixture) -> Verdict {
    let fixture = fixture.on_server_clock().await?;
    let name = fixture.lease("leader");
    let first = campaign(&fixture, &name, "first")?;
    let fence = first.elected().await;
    let next = campaign(&fixture, &name, "next")?;
    check!(!next.is_leader());
    check_eq!(held(&fixture, &name).await?.holder, holder("first"));
    first.resign().await;
    check!(next.elected().await > fence);
    check_eq!(held(&fixture, &name).await?.holder, holder("next"));
    next.resign().await;
    check_eq!(fixture.state.inspect(&name).await?, None);
    Ok(())
}

async fn the_next_candidate_leads_when_the_lease_of_a_dead_leader_has_expired(fixture: Fixture) -> Verdict {
    let fixture = fixture.on_server_clock().await?;
    let name = fixture.lease("leader");
    let dead = campaign(&fixture, &name, "dead")?;
    let fence = dead.elected().await;
    let next = campaign(&fixture, &name, "next")?;
    drop(dead); // gives nothing back
    check!(next.elected().await > fence);
    check_eq!(held(&fixture, &name).await?.holder, holder("next"));
    next.resign().await;
    Ok(())
}

async fn a_leader_keeps_its_lease_under_one_fence(fixture: Fixture) -> Verdict {
    let fixture = fixture.on_server_clock().await?;
    let name = fixture.lease("leader");
    let leader = campaign(&fixture, &name, "leader")?;
    let fence = leader.elected().await;
    let (mut changes, first) = (leader.changes(), held(&fixture, &name).await?);
    check_eq!(first.fence, fence);
    while held(&fixture, &name).await?.until == first.until {
        changes.changed().await.map_err(|_| BrokenPromise::new("the campaign has ended"))?;
    }
    check_eq!((held(&fixture, &name).await?.fence, leader.fence()), (fence, Some(fence)));
    leader.resign().await;
    Ok(())
}

/// The leases of a store that does not answer renewals.
#[derive(Debug)]
struct WithoutRenewals(Arc<dyn StateRole>);

#[async_trait]
impl Leases for WithoutRenewals {
    async fn acquire(&self, request: &AcquireRequest, durability: Durability) -> Answer<Receipt<Acquired>> {
        self.0.acquire(request, durability).await
    }

    async fn renew(&self, _lease: &Lease, _lasting: Duration) -> Answer<Option<Timestamp>> {
        Err(Error::unavailable(Op::LeaseRenew, "the case lets no renewal through"))
    }

    async fn release(&self, lease: &Lease) -> Answer<bool> {
        self.0.release(lease).await
    }

    async fn inspect(&self, name: &LeaseName) -> Answer<Option<LeaseInfo>> {
        self.0.inspect(name).await
    }
}

/// The lease is inspected after the leader has stepped down, and a busy machine can do that too late: one round of several suffices.
/// A leader that steps down too late passes none.
async fn a_leader_that_cannot_renew_steps_down_before_its_lease_can_have_expired(fixture: Fixture) -> Verdict {
    let fixture = fixture.on_server_clock().await?;
    for round in 0..8 {
        let name = fixture.lease(&format!("leader-{round}"));
        let leases = Arc::new(WithoutRenewals(Arc::clone(&fixture.state)));
        let leader = Candidate::new(leases, name.clone(), holder("leader")).with_lease(LASTING).campaign()?;
        let (fence, mut changes) = (leader.elected().await, leader.changes());
        let stepped_down = changes.wait_for(|standing| *standing == Standing::Follower).await;
        stepped_down.map_err(|_| BrokenPromise::new("the campaign has ended"))?;
        let is_still_held = fixture.state.inspect(&name).await?.is_some_and(|held| held.fence == fence);
        drop(leader);
        if is_still_held {
            return Ok(());
        }
    }
    Err(BrokenPromise::new("in no round the lease was still held when its leader stepped down"))
}

async fn those_who_watch_see_the_election_and_the_resignation(fixture: Fixture) -> Verdict {
    let fixture = fixture.on_server_clock().await?;
    let leader = campaign(&fixture, &fixture.lease("leader"), "leader")?;
    let mut changes = leader.changes();
    let ended = |_| BrokenPromise::new("the campaign has ended");
    let elected = *changes.wait_for(|standing| *standing != Standing::Follower).await.map_err(ended)?;
    let fence = held(&fixture, &fixture.lease("leader")).await?.fence;
    check_matches!(elected, Standing::Leader { fence: shown, .. } if *shown == fence);
    leader.resign().await;
    check_eq!(*changes.borrow_and_update(), Standing::Follower);
    Ok(())
}
