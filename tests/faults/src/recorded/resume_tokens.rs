//! Recorded resume tokens.

use std::time::Duration;

use async_trait::async_trait;
use twinstore::durability::{Durability, Receipt};
use twinstore::lease::Fence;
use twinstore::page::{Cursor, Page};
use twinstore::resume_token::{
    ResumeToken, ResumeTokenInfo, ResumeTokens, SaveRequest, StreamName, TokenOutcome, TokenVersion,
};
use twinstore::{Error, Op, Result};

use super::{Recorded, hex, record};
use crate::history::{Answer, Call, SavedToken};

#[async_trait]
impl ResumeTokens for Recorded<dyn ResumeTokens> {
    async fn save(
        &self,
        request: &SaveRequest,
        durability: Durability,
    ) -> Result<Receipt<TokenOutcome<ResumeTokenInfo>>> {
        let invocation = self.recorder.invoke(Call::Save {
            stream: request.stream.to_string(),
            token: String::from_utf8_lossy(&request.token).into_owned(),
            fence: request.fence.get(),
            expected: request.expected.map(TokenVersion::get),
            request: hex(request.request.as_bytes()),
        });
        let result = self.inner.save(request, durability).await;
        record(invocation, result, |receipt| match &receipt.value {
            TokenOutcome::Done(info) => Answer::Saved(info.version.get()),
            TokenOutcome::Conflict(token) => Answer::Conflict(token.as_ref().map(saved)),
            other => refused(other),
        })
    }

    async fn take_over(&self, stream: &StreamName, fence: Fence) -> Result<TokenOutcome<Option<ResumeToken>>> {
        let invocation = self.recorder.invoke(Call::TakeOver { stream: stream.to_string(), fence: fence.get() });
        let result = self.inner.take_over(stream, fence).await;
        record(invocation, result, |outcome| match outcome {
            TokenOutcome::Done(token) => Answer::Token(token.as_ref().map(saved)),
            other => refused(other),
        })
    }

    async fn load(&self, stream: &StreamName) -> Result<Option<ResumeToken>> {
        let invocation = self.recorder.invoke(Call::Load { stream: stream.to_string() });
        record(invocation, self.inner.load(stream).await, |token| Answer::Token(token.as_ref().map(saved)))
    }

    /// Refused: the workload deletes no token, and the checker has no rule for it.
    async fn clear(&self, _: &StreamName, _: TokenVersion, _: Option<Fence>) -> Result<TokenOutcome<()>> {
        Err(Error::unsupported(Op::ResumeTokenClear, "the history has no such call"))
    }

    /// Refused: the workload lists no tokens, and the checker has no rule for it.
    async fn tokens(&self, _: Option<Duration>, _: Option<Cursor>) -> Result<Page<ResumeTokenInfo>> {
        Err(Error::unsupported(Op::ResumeTokenTokens, "the history has no such call"))
    }
}

fn saved(token: &ResumeToken) -> SavedToken {
    let text = String::from_utf8_lossy(&token.token).into_owned();
    SavedToken { token: text, version: token.info.version.get() }
}

fn refused<T: std::fmt::Debug>(outcome: &TokenOutcome<T>) -> Answer {
    match outcome {
        TokenOutcome::Superseded(later) => Answer::Superseded(later.get()),
        other => panic!("the history has no answer {other:?}"),
    }
}
