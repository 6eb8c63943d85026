//! Leadership: candidates for a lease, by the clock of the store.

use std::time::Duration;

use store_core::{LeaseInfo, LeaseName, Op};
use twinstore::lease::{Candidate, Leadership};

use crate::case::cases;
use crate::fixture::{Fixture, holder, secs};
use crate::verdict::{BrokenPromise, Verdict, check, check_eq};

cases! { Op::LeaseAcquire;
    one_candidate_leads_and_the_next_one_when_it_resigns,
    the_next_candidate_leads_when_the_lease_of_a_dead_leader_has_expired,
    a_leader_keeps_its_lease_under_one_fence,
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
