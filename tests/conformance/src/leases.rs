//! Leases: one file per operation.

mod acquire;
mod inspect;
mod leading;
mod release;
mod renew;
mod scope;

use std::time::Duration;

use store_core::{AcquireRequest, Acquired, Durability, Lease, LeaseName, Result};

use crate::case::Case;
use crate::fixture::{Fixture, holder, secs};
use crate::verdict::BrokenPromise;

/// The cases of every operation on leases.
pub(crate) const CASES: &[&[Case]] =
    &[acquire::CASES, renew::CASES, release::CASES, inspect::CASES, scope::CASES, leading::CASES];

/// How long the leases of the cases last.
const LASTING: Duration = secs(10);

fn request(name: &LeaseName, who: &str) -> AcquireRequest {
    AcquireRequest::new(name.clone(), holder(who), LASTING)
}

async fn acquire(fixture: &Fixture, request: &AcquireRequest) -> Result<Acquired> {
    Ok(fixture.state.acquire(request, Durability::Accepted).await?.value)
}

/// Acquires a lease that must be free.
async fn taken_by(fixture: &Fixture, name: &LeaseName, who: &str) -> Result<Lease, BrokenPromise> {
    match acquire(fixture, &request(name, who)).await? {
        Acquired::Yes(lease) => Ok(lease),
        other => Err(BrokenPromise::new(format!("the lease is not free: {other:?}"))),
    }
}
