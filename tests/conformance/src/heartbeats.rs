//! Heartbeats: one file per operation.

mod alive;
mod beat;
mod leave;
mod lost;
mod scope;

use std::time::Duration;

use store_core::{Beat, Member, PageRequest, PoolName, Result, Timestamp};

use crate::case::Case;
use crate::fixture::{Fixture, holder, secs};

/// The cases of every operation on heartbeats.
pub(crate) const CASES: &[&[Case]] = &[beat::CASES, leave::CASES, alive::CASES, lost::CASES, scope::CASES];

/// How long the heartbeats of the cases last.
const LASTING: Duration = secs(10);

/// The names of the members in a listing.
fn names(members: &[Member]) -> Vec<&str> {
    members.iter().map(|member| member.name.as_str()).collect()
}

async fn beat(fixture: &Fixture, pool: &PoolName, member: &str) -> Result<()> {
    beat_for(fixture, pool, member, LASTING).await
}

async fn beat_for(fixture: &Fixture, pool: &PoolName, member: &str, lasting: Duration) -> Result<()> {
    fixture.state.beat(&Beat::new(pool.clone(), holder(member), lasting)).await
}

async fn alive(fixture: &Fixture, pool: &PoolName) -> Result<Vec<Member>> {
    Ok(fixture.state.alive(pool, PageRequest::first(1000)).await?.items)
}

async fn lost(fixture: &Fixture, pool: &PoolName) -> Result<Vec<Member>> {
    Ok(fixture.state.lost(pool, Timestamp::default(), PageRequest::first(1000)).await?.items)
}
