//! Resume tokens: one string per stream, with the highest fence and a version that rises.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::try_join_all;
use redis_link::layout::{self, Aggregate};
use redis_link::{Arg, Link, ReplyReader, Script, SharedScript, args, keys};
use store_core::{
    Cursor, Durability, Fence, Op, Page, Receipt, Result, ResumeToken, ResumeTokenInfo, ResumeTokens, SaveRequest,
    StreamName, Timestamp, TokenOutcome, TokenVersion, millis_ceil,
};

use crate::StateStore;

pub(crate) const RECORD: &str = include_str!("../lua/resume_token/record.lua");
pub(crate) const WRITES: &str = include_str!("../lua/resume_token/writes.lua");

static SAVE: Script =
    Script::frees("resume_token/save", &[layout::PIECE, RECORD, WRITES, include_str!("../lua/resume_token/save.lua")]);
static TAKE_OVER: Script = Script::frees(
    "resume_token/take_over",
    &[layout::PIECE, RECORD, WRITES, include_str!("../lua/resume_token/take_over.lua")],
);
static CLEAR: Script = Script::frees(
    "resume_token/clear",
    &[layout::PIECE, RECORD, WRITES, include_str!("../lua/resume_token/clear.lua")],
);
static LOAD: Script =
    Script::reads("resume_token/load", &[layout::PIECE, RECORD, include_str!("../lua/resume_token/load.lua")]);
static TOKENS: Script =
    Script::reads("resume_token/tokens", &[layout::PIECE, RECORD, include_str!("../lua/resume_token/tokens.lua")]);

#[cfg(test)]
pub(crate) static SCRIPTS: [&Script; 5] = [&SAVE, &TAKE_OVER, &CLEAR, &LOAD, &TOKENS];

/// The calls of all tasks.
pub(crate) struct TokenCalls {
    save: SharedScript,
    take_over: SharedScript,
    clear: SharedScript,
    tokens: SharedScript,
}

impl TokenCalls {
    pub(crate) fn new(link: &Link) -> Self {
        let layouts = link.layouts().argument(Aggregate::ResumeToken);
        let kept = Arg::from(millis_ceil(ResumeToken::EXPIRED_KEPT_FOR).to_string());
        let writes = |op, script| SharedScript::new(link, op, script, vec![layouts.clone(), kept.clone()]);
        Self {
            save: writes(Op::ResumeTokenSave, &SAVE),
            take_over: writes(Op::ResumeTokenTakeOver, &TAKE_OVER),
            clear: writes(Op::ResumeTokenClear, &CLEAR),
            tokens: SharedScript::new(link, Op::ResumeTokenTokens, &TOKENS, vec![layouts]),
        }
    }
}

/// `save`, `take_over` and `clear` are one script in one round trip, and also work if the server's memory is full. Concurrent
/// calls of one operation with the same durability are coalesced. `load` is one script that reads. `tokens` is one `SCAN`, and
/// one script for the records that it finds, or one for each slot of a cluster.
#[async_trait]
impl ResumeTokens for StateStore {
    async fn save(
        &self,
        request: &SaveRequest,
        durability: Durability,
    ) -> Result<Receipt<TokenOutcome<ResumeTokenInfo>>> {
        request.validate()?;
        let keys = self.token_key(Op::ResumeTokenSave, &request.stream).await?;
        let save = &self.calls.resume_tokens.save;
        let (mut reply, reached) = save.call_durable(keys, save_args(request), request.token.len(), durability).await?;
        let outcome = saved(&request.stream, &mut reply)?;
        if let TokenOutcome::Done(info) = &outcome {
            reply.record_write(request.stream.as_str(), |write| write.with_number(info.version.get()));
            return Ok(Receipt::new(outcome, reached?));
        }
        // Nothing was written, so `NotDurable` would be wrong.
        Ok(Receipt::new(outcome, reached.unwrap_or_default()))
    }

    async fn take_over(&self, stream: &StreamName, fence: Fence) -> Result<TokenOutcome<Option<ResumeToken>>> {
        ResumeToken::validate_numbers(Op::ResumeTokenTakeOver, Some(fence), None)?;
        let (keys, args) = (self.token_key(Op::ResumeTokenTakeOver, stream).await?, args![digits(fence.get())]);
        let mut reply = self.calls.resume_tokens.take_over.call(keys, args, ResumeToken::MAX_BYTES).await?;
        match reply.next_word()?.as_ref() {
            b"token" => {
                reply.record_write(stream.as_str(), |write| write.with_number(fence.get()));
                Ok(TokenOutcome::Done(token(stream, &mut reply)?.map(ResumeToken::counted)))
            }
            word => refused(word, stream, &mut reply),
        }
    }

    async fn load(&self, stream: &StreamName) -> Result<Option<ResumeToken>> {
        let op = Op::ResumeTokenLoad;
        let args = args![self.token_layouts()];
        let mut reply = self.link.call(op, &LOAD, &self.token_key(op, stream).await?, args).await?.reader(op);
        match reply.next_word()?.as_ref() {
            b"token" => Ok(token(stream, &mut reply)?.map(ResumeToken::counted)),
            _ => Err(reply.unknown_word()),
        }
    }

    async fn clear(
        &self,
        stream: &StreamName,
        version: TokenVersion,
        fence: Option<Fence>,
    ) -> Result<TokenOutcome<()>> {
        ResumeToken::validate_numbers(Op::ResumeTokenClear, fence, Some(version))?;
        let fence = fence.map_or_else(|| Arg::fixed(""), |fence| digits(fence.get()));
        let keys = self.token_key(Op::ResumeTokenClear, stream).await?;
        let args = args![digits(version.get()), fence];
        let mut reply = self.calls.resume_tokens.clear.call(keys, args, 0).await?;
        match reply.next_word()?.as_ref() {
            b"cleared" => {
                reply.record_write(stream.as_str(), |write| write.with_number(version.get()));
                Ok(TokenOutcome::Done(()))
            }
            word => refused(word, stream, &mut reply),
        }
    }

    async fn tokens(&self, expiring_within: Option<Duration>, after: Option<Cursor>) -> Result<Page<ResumeTokenInfo>> {
        let (op, namespace) = (Op::ResumeTokenTokens, &self.namespace);
        let page = match self.home_keys(op).await? {
            None => self.scan(op, keys::resume_tokens(namespace), after, |key| keys::stream_of(namespace, key)).await?,
            Some(home) => self.scan(op, home.resume_tokens(), after, |key| home.stream_of(key)).await?,
        };
        let found = try_join_all(page.items.into_iter().map(|stream| self.describe(stream))).await?;
        let is_listed = |info: &ResumeTokenInfo| match expiring_within {
            Some(within) => info.left().is_some_and(|left| left <= within),
            None => true,
        };
        Ok(Page::new(found.into_iter().flatten().filter(is_listed).collect(), page.next))
    }
}

impl StateStore {
    pub(crate) fn token_layouts(&self) -> Arg {
        self.link.layouts().argument(Aggregate::ResumeToken)
    }

    pub(crate) async fn token_key(&self, op: Op, stream: &StreamName) -> Result<Vec<String>> {
        let home = self.home_keys(op).await?;
        let own = || keys::resume_token(&self.namespace, stream);
        Ok(vec![home.map_or_else(own, |home| home.resume_token(stream))])
    }

    /// `None` if the stream has no token.
    async fn describe(&self, stream: StreamName) -> Result<Option<ResumeTokenInfo>> {
        let mut reply = self
            .calls
            .resume_tokens
            .tokens
            .call(self.token_key(Op::ResumeTokenTokens, &stream).await?, Vec::new(), 0)
            .await?;
        match reply.next_word()?.as_ref() {
            b"token" if reply.remaining() == 0 => Ok(None),
            b"token" => info(&stream, &mut reply).map(Some),
            _ => Err(reply.unknown_word()),
        }
    }
}

/// The arguments of a save.
pub(crate) fn save_args(request: &SaveRequest) -> Vec<Arg> {
    args![
        digits(request.fence.get()),
        request.expected.map_or_else(|| Arg::fixed(""), |version| digits(version.get())),
        &request.request.as_bytes()[..],
        request.ttl.map_or(0, |ttl| ttl.as_millis()),
        &request.token,
    ]
}

/// The answer of `save_token`: see `writes.lua`.
pub(crate) fn saved(stream: &StreamName, reply: &mut ReplyReader) -> Result<TokenOutcome<ResumeTokenInfo>> {
    match reply.next_word()?.as_ref() {
        b"saved" => info(stream, reply).map(TokenOutcome::Done),
        word => refused(word, stream, reply),
    }
}

/// The form in which the scripts store and compare it.
fn digits(number: u64) -> Arg {
    Arg::from(format!("{number:016}"))
}

/// What follows the word of an answer that shows a token.
fn info(stream: &StreamName, reply: &mut ReplyReader) -> Result<ResumeTokenInfo> {
    let (fence, version) = (Fence::new(reply.next_u64()?), TokenVersion::new(reply.next_u64()?));
    let (saved, until, now) = (reply.next_u64()?, reply.next_u64()?, reply.next_u64()?);
    let until = Some(until).filter(|until| *until > 0).map(Timestamp::from_millis);
    let info = ResumeTokenInfo::new(stream.clone(), version, fence, Timestamp::from_millis(saved));
    Ok(info.with_times(until, Timestamp::from_millis(now)).with_bytes(reply.next_u64()?))
}

/// The token that follows a word; `None` if nothing follows it.
fn token(stream: &StreamName, reply: &mut ReplyReader) -> Result<Option<ResumeToken>> {
    if reply.remaining() == 0 {
        return Ok(None);
    }
    Ok(Some(ResumeToken::new(info(stream, reply)?, reply.next_bytes()?)))
}

/// The answers of all writes that changed nothing.
fn refused<T>(word: &[u8], stream: &StreamName, reply: &mut ReplyReader) -> Result<TokenOutcome<T>> {
    match word {
        b"conflict" => token(stream, reply).map(TokenOutcome::Conflict),
        b"superseded" => Ok(TokenOutcome::Superseded(Fence::new(reply.next_u64()?))),
        _ => Err(reply.unknown_word()),
    }
}
