//! Listing the leases.

use std::collections::BTreeSet;
use std::sync::Arc;

use store_core::{AcquireRequest, Acquired, Cursor, Durability, Lease, LeaseName, Op, Scope, StateRole};

use super::{listed, spelled};
use crate::case::cases;
use crate::fixture::{Fixture, holder, secs};
use crate::verdict::{BrokenPromise, Verdict, check, check_eq};

cases! { Op::InventoryLeases;
    the_leases_of_all_services_are_listed_with_their_scope,
    a_released_lease_is_listed_and_not_held,
    a_lease_that_nobody_took_is_not_listed,
    a_foreign_cursor_is_refused,
}

listed!(leases);

async fn taken(state: &Arc<dyn StateRole>, name: &LeaseName) -> Result<Lease, BrokenPromise> {
    let request = AcquireRequest::new(name.clone(), holder("one"), secs(10));
    match state.acquire(&request, Durability::Accepted).await?.value {
        Acquired::Yes(lease) => Ok(lease),
        other => Err(BrokenPromise::new(format!("the lease is not free: {other:?}"))),
    }
}

async fn the_leases_of_all_services_are_listed_with_their_scope(fixture: Fixture) -> Verdict {
    let name = fixture.lease("leader");
    for state in [&fixture.state, &fixture.other_state, &fixture.shared_state] {
        taken(state, &name).await?;
    }
    let services = [fixture.service.clone(), fixture.other_service.clone()];
    let listed = listed(&fixture).await?;
    for scope in services.into_iter().map(Scope::Service).chain([Scope::Shared]) {
        let lease = (scope, name.clone());
        check!(listed.contains(&spelled(&lease)), "{lease:?} is not among {listed:?}");
    }
    Ok(())
}

async fn a_released_lease_is_listed_and_not_held(fixture: Fixture) -> Verdict {
    let name = fixture.lease("released");
    let lease = taken(&fixture.state, &name).await?;
    fixture.state.release(&lease).await?;
    check!(listed(&fixture).await?.contains(&spelled(&(Scope::Service(fixture.service.clone()), name.clone()))));
    check_eq!(fixture.state.inspect(&name).await?, None);
    Ok(())
}

async fn a_lease_that_nobody_took_is_not_listed(fixture: Fixture) -> Verdict {
    let name = fixture.lease("free");
    fixture.state.inspect(&name).await?;
    taken(&fixture.state, &fixture.lease("taken")).await?;
    check!(!listed(&fixture).await?.contains(&spelled(&(Scope::Service(fixture.service.clone()), name))));
    Ok(())
}

async fn a_foreign_cursor_is_refused(fixture: Fixture) -> Verdict {
    for text in ["", "-", "dead.17.61"] {
        check!(fixture.state.leases(Some(Cursor::new(text))).await.is_err(), "{text:?} was accepted");
    }
    Ok(())
}
