//! Retries of operations: one file per operation.

mod begin;
mod clear;
mod fail;
mod get;
mod list;
mod succeed;

use store_core::{
    Backoff, Durability, Key, Result, RetryAttempt, RetryBegun, RetryDecision, RetryFailed, RetryInfo, RetryPolicy,
    RetryRequest, Ttl,
};

use crate::case::Case;
use crate::fixture::{Fixture, secs};
use crate::verdict::BrokenPromise;

/// The cases of every operation on retries.
pub(crate) const CASES: &[&[Case]] =
    &[begin::CASES, fail::CASES, succeed::CASES, get::CASES, clear::CASES, list::CASES];

/// How long the records of the cases last.
const TTL: Ttl = Ttl::from_secs(600);

/// How long the policy of the cases waits, and how long an attempt may take.
const WAIT: std::time::Duration = secs(10);
const LASTING: std::time::Duration = secs(30);

/// A request for an attempt at an operation that may have three.
fn request(operation: &Key) -> RetryRequest {
    let policy = RetryPolicy::new(3, Backoff::Fixed(WAIT));
    RetryRequest::new(operation.clone(), policy).with_lasting(LASTING).with_ttl(TTL)
}

async fn begin(fixture: &Fixture, request: &RetryRequest) -> Result<RetryBegun> {
    Ok(fixture.state.retries().begin(request, Durability::Accepted).await?.value)
}

async fn fail(fixture: &Fixture, attempt: &RetryAttempt, error: &str, decision: RetryDecision) -> Result<RetryFailed> {
    Ok(fixture.state.retries().fail(attempt, error, decision, Durability::Accepted).await?.value)
}

async fn succeed(fixture: &Fixture, attempt: &RetryAttempt) -> Result<bool> {
    Ok(fixture.state.retries().succeed(attempt, Durability::Accepted).await?.value)
}

/// Begins an attempt, which must be possible.
async fn started(fixture: &Fixture, operation: &Key) -> Result<RetryAttempt, BrokenPromise> {
    match begin(fixture, &request(operation)).await? {
        RetryBegun::Started(attempt) => Ok(attempt),
        other => Err(BrokenPromise::new(format!("no attempt has begun: {other:?}"))),
    }
}

/// What is recorded of an operation, which must exist.
async fn info(fixture: &Fixture, operation: &Key) -> Result<RetryInfo, BrokenPromise> {
    let info = fixture.state.retries().get(operation).await?;
    info.ok_or_else(|| BrokenPromise::new("nothing is recorded of the operation"))
}
