//! Listing the pools.

use std::collections::BTreeSet;

use store_core::{Beat, Cursor, Op, Scope};

use super::{listed, spelled};
use crate::case::cases;
use crate::fixture::{Fixture, holder, secs};
use crate::verdict::{BrokenPromise, Verdict, check};

cases! { Op::InventoryPools;
    the_pools_of_all_services_are_listed_with_their_scope,
    a_pool_of_lost_members_is_listed,
    a_pool_without_members_is_not_listed,
    a_foreign_cursor_is_refused,
}

listed!(pools);

async fn the_pools_of_all_services_are_listed_with_their_scope(fixture: Fixture) -> Verdict {
    let (pool, next) = (fixture.pool("workers"), fixture.pool("workers-2"));
    for state in [&fixture.state, &fixture.other_state, &fixture.shared_state] {
        for member in ["one", "two"] {
            state.beat(&Beat::new(pool.clone(), holder(member), secs(10))).await?;
        }
        state.beat(&Beat::new(next.clone(), holder("one"), secs(10))).await?;
    }
    let services = [fixture.service.clone(), fixture.other_service.clone()];
    let listed = listed(&fixture).await?;
    for scope in services.into_iter().map(Scope::Service).chain([Scope::Shared]) {
        for pool in [&pool, &next] {
            let pool = (scope.clone(), pool.clone());
            check!(listed.contains(&spelled(&pool)), "{pool:?} is not among {listed:?}");
        }
    }
    Ok(())
}

async fn a_pool_of_lost_members_is_listed(fixture: Fixture) -> Verdict {
    let pool = fixture.pool("lost");
    fixture.state.beat(&Beat::new(pool.clone(), holder("one"), secs(10))).await?;
    fixture.advance(secs(11));
    check!(listed(&fixture).await?.contains(&spelled(&(Scope::Service(fixture.service.clone()), pool))));
    Ok(())
}

async fn a_pool_without_members_is_not_listed(fixture: Fixture) -> Verdict {
    let pool = fixture.pool("left");
    fixture.state.beat(&Beat::new(pool.clone(), holder("one"), secs(10))).await?;
    fixture.state.leave(&pool, &holder("one")).await?;
    check!(!listed(&fixture).await?.contains(&spelled(&(Scope::Service(fixture.service.clone()), pool))));
    Ok(())
}

async fn a_foreign_cursor_is_refused(fixture: Fixture) -> Verdict {
    for text in ["", "-", "dead.17.61"] {
        check!(fixture.state.pools(Some(Cursor::new(text))).await.is_err(), "{text:?} was accepted");
    }
    Ok(())
}
