//! Resume tokens: one file per operation.

mod clear;
mod load;
mod save;
mod take_over;
mod tokens;

use bytes::Bytes;
use store_core::{
    Durability, Fence, Result, ResumeToken, ResumeTokenInfo, SaveRequest, StreamName, TokenOutcome, TokenVersion,
};

use crate::case::Case;
use crate::fixture::Fixture;
use crate::verdict::BrokenPromise;

/// The cases of every operation on resume tokens.
pub(crate) const CASES: &[&[Case]] = &[save::CASES, take_over::CASES, load::CASES, clear::CASES, tokens::CASES];

/// The fences of two leases, one after the other.
const EARLIER: Fence = Fence::new(1_700_000_000_000_001);
const LATER: Fence = Fence::new(1_700_000_000_000_002);

fn request(stream: &StreamName, token: &str, fence: Fence, expected: Option<TokenVersion>) -> SaveRequest {
    SaveRequest::new(stream.clone(), Bytes::copy_from_slice(token.as_bytes()), fence, expected)
}

async fn save(fixture: &Fixture, request: &SaveRequest) -> Result<TokenOutcome<ResumeTokenInfo>> {
    Ok(fixture.state.save(request, Durability::Accepted).await?.value)
}

/// Saves a token that must be accepted.
async fn saved(fixture: &Fixture, request: &SaveRequest) -> Result<ResumeTokenInfo, BrokenPromise> {
    match save(fixture, request).await? {
        TokenOutcome::Done(info) => Ok(info),
        other => Err(BrokenPromise::new(format!("the save was refused: {other:?}"))),
    }
}

/// The token of a stream that must have one.
async fn stored(fixture: &Fixture, stream: &StreamName) -> Result<ResumeToken, BrokenPromise> {
    let token = fixture.state.load(stream).await?;
    token.ok_or_else(|| BrokenPromise::new("the stream has no token"))
}
