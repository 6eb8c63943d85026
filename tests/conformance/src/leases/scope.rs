//! The scope of a lease: one service, or all services.

use std::sync::Arc;

use store_core::{Acquired, Durability, Lease, LeaseName, Op, StateRole};

use super::{LASTING, request};
use crate::case::cases;
use crate::fixture::Fixture;
use crate::verdict::{BrokenPromise, Verdict, check, check_eq};

cases! { Op::LeaseAcquire;
    two_services_hold_a_lease_of_one_name,
    a_lease_of_one_service_is_nothing_to_another,
    a_shared_lease_is_one_for_all_services,
}

/// Acquires a lease that must be free in the store.
async fn taken(store: &Arc<dyn StateRole>, name: &LeaseName, who: &str) -> Result<Lease, BrokenPromise> {
    match store.acquire(&request(name, who), Durability::Accepted).await?.value {
        Acquired::Yes(lease) => Ok(lease),
        other => Err(BrokenPromise::new(format!("the lease is not free: {other:?}"))),
    }
}

async fn two_services_hold_a_lease_of_one_name(fixture: Fixture) -> Verdict {
    let name = fixture.lease("leader");
    for (store, who) in [(&fixture.state, "ours"), (&fixture.other_state, "theirs"), (&fixture.shared_state, "shared")]
    {
        taken(store, &name, who).await?;
        let held = store.inspect(&name).await?.map(|lease| lease.holder.to_string());
        check_eq!(held.as_deref(), Some(who));
    }
    Ok(())
}

async fn a_lease_of_one_service_is_nothing_to_another(fixture: Fixture) -> Verdict {
    let name = fixture.lease("leader");
    let ours = taken(&fixture.state, &name, "ours").await?;
    for store in [&fixture.other_state, &fixture.shared_state] {
        check_eq!(store.inspect(&name).await?, None);
        check_eq!(store.renew(&ours, LASTING).await?, None);
        check!(!store.release(&ours).await?, "another scope gave a lease back");
    }
    check_eq!(fixture.state.inspect(&name).await?, Some(ours.info()));
    Ok(())
}

async fn a_shared_lease_is_one_for_all_services(fixture: Fixture) -> Verdict {
    let name = fixture.lease("leader");
    let lease = taken(&fixture.shared_state, &name, "ours").await?;
    let again = fixture.shared_state.acquire(&request(&name, "theirs"), Durability::Accepted).await?.value;
    check_eq!(again, Acquired::Taken(lease.info()));
    Ok(())
}
