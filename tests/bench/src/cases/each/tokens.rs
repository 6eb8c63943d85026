//! The operations of `ResumeTokens`.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use store_core::{Durability, Fence, Op, SaveRequest, StateRole, StreamName, TokenVersion};

use super::{Call, Prepare, calls_for, expect};
use crate::Result;
use crate::environment::Stores;

const FENCE: Fence = Fence::new(1);
/// The size of a token: about that of a change stream of MongoDB.
const BYTES: usize = 200;
/// Streams that are listed.
const LISTED: usize = 100;

pub(super) fn all() -> Vec<(Op, Arc<dyn Prepare>)> {
    let ops = [
        Op::ResumeTokenSave,
        Op::ResumeTokenTakeOver,
        Op::ResumeTokenLoad,
        Op::ResumeTokenClear,
        Op::ResumeTokenTokens,
    ];
    ops.map(|op| (op, Arc::new(Calls(op)) as Arc<dyn Prepare>)).into()
}

struct Calls(Op);

#[async_trait]
impl Prepare for Calls {
    async fn calls(&self, stores: &Stores, numbers: Range<usize>) -> Result<Vec<Call>> {
        let (op, state) = (self.0, &stores.state);
        let listed = if op == Op::ResumeTokenTokens { LISTED } else { usize::MAX };
        let mut streams = Vec::with_capacity(numbers.len());
        for number in numbers.clone().take(listed) {
            let stream = StreamName::new(format!("each-{number}"))?;
            // a round may find the token of the round before
            let last = state.load(&stream).await?.map(|token| token.info.version);
            streams.push((saved(state.as_ref(), &stream, last).await?, stream));
        }
        if op == Op::ResumeTokenTokens {
            return Ok(calls_for(state, numbers, move |state, _| async move {
                expect(!state.tokens(None, None).await?.items.is_empty(), op)
            }));
        }
        Ok(calls_for(state, streams, move |state, (version, stream)| async move {
            let is_done = match op {
                Op::ResumeTokenSave => saved(state.as_ref(), &stream, Some(version)).await.is_ok(),
                Op::ResumeTokenTakeOver => state.take_over(&stream, FENCE).await?.done().is_some(),
                Op::ResumeTokenClear => state.clear(&stream, version, Some(FENCE)).await?.done().is_some(),
                _ => state.load(&stream).await?.is_some(),
            };
            expect(is_done, op)
        }))
    }
}

async fn saved(state: &dyn StateRole, stream: &StreamName, expected: Option<TokenVersion>) -> Result<TokenVersion> {
    let save = SaveRequest::new(stream.clone(), vec![b't'; BYTES], FENCE, expected);
    let saved = state.save(&save, Durability::Accepted).await?.value.done();
    Ok(saved.ok_or("the save was refused")?.version)
}
