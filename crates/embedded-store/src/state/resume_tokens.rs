//! Resume tokens. Their rows belong to no service. A row is kept for 30 days after its token has expired or was deleted, so
//! that its fence and its version are known.

use std::ops::ControlFlow;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use store_core::{
    Clock, Cursor, Durability, Error, Fence, Op, Page, Receipt, RequestId, Result, ResumeToken, ResumeTokenInfo,
    ResumeTokens, SaveRequest, StreamName, Timestamp, TokenOutcome, TokenVersion,
};

use super::EmbeddedState;
use crate::encoding::{Decoder, Encoder, name};
use crate::expiring;
use crate::expiring::Usage;
use crate::fault::Fault;
use crate::moment::Moment;
use crate::rows::{Change, Rows, Table, View, behind};

/// How many rows one step of a listing looks at.
const STEP: usize = 1000;

/// A row: the highest fence, the version of the last token and the request that saved it, and the token, unless there is
/// none.
#[derive(Default)]
struct Stored {
    fence: u64,
    version: u64,
    request: [u8; 16],
    saved: u64,
    until: Option<u64>,
    token: Option<Bytes>,
}

impl Stored {
    fn read(rows: &mut impl Rows, key: &[u8], now: Moment) -> Result<Option<Self>, Fault> {
        expiring::get(rows, key, now, |_, row| Self::decode(row))
    }

    fn decode(row: &[u8]) -> Result<Self, Fault> {
        let mut row = Decoder::new(row);
        let mut stored = Self {
            fence: row.u64()?,
            version: row.u64()?,
            request: row.array()?,
            saved: row.u64()?,
            ..Self::default()
        };
        stored.until = row.option(Decoder::u64)?;
        let has_token = row.u8()? == 1;
        stored.token = has_token.then(|| Bytes::copy_from_slice(row.tail()));
        Ok(stored)
    }

    fn write(&self, change: &mut Change<'_>, key: &[u8], now: Moment) -> Result<(), Fault> {
        let kept = |from: u64| Timestamp::from_millis(from).after(ResumeToken::EXPIRED_KEPT_FOR).as_millis();
        let end = match (&self.token, self.until) {
            (Some(_), None) => u64::MAX,
            (Some(_), Some(until)) => kept(until),
            (None, _) => kept(now.millis_up()),
        };
        let token = self.token.as_deref().unwrap_or_default();
        let value = Encoder::with_capacity(64 + token.len())
            .u64(self.fence)
            .u64(self.version)
            .tail(&self.request)
            .u64(self.saved)
            .option(self.until, Encoder::u64)
            .u8(u8::from(self.token.is_some()))
            .tail(token)
            .finish();
        expiring::put(change, key, end, &value)
    }

    /// The version of the token; `None` if there is none.
    fn version(&self) -> Option<TokenVersion> {
        self.token.as_ref().map(|_| TokenVersion::new(self.version))
    }

    fn info(&self, stream: &StreamName, bytes: usize, now: Moment) -> ResumeTokenInfo {
        let (version, fence) = (TokenVersion::new(self.version), Fence::new(self.fence));
        ResumeTokenInfo::new(stream.clone(), version, fence, Timestamp::from_millis(self.saved))
            .with_bytes(bytes as u64)
            .with_times(self.until.map(Timestamp::from_millis), now.timestamp())
    }

    fn token(&self, stream: &StreamName, now: Moment) -> Option<ResumeToken> {
        let token = self.token.clone()?;
        Some(ResumeToken::new(self.info(stream, token.len(), now), token))
    }
}

/// Where the keys of the rows of a home begin.
#[derive(Clone)]
pub(super) struct TokenRows(Vec<u8>);

impl TokenRows {
    /// The kind of the entry, and the home or the empty name of a service.
    pub(super) fn new(home: &[u8]) -> Self {
        Self([&b"t"[..], if home.is_empty() { &[0][..] } else { home }].concat())
    }

    fn row(&self, stream: &StreamName) -> Vec<u8> {
        [&self.0, stream.as_str().as_bytes()].concat()
    }
}

/// The token of a stream without its bytes.
pub(super) fn described(
    rows: &mut impl Rows,
    home: &TokenRows,
    stream: &StreamName,
    now: Moment,
) -> Result<Option<ResumeTokenInfo>, Fault> {
    let token = Stored::read(rows, &home.row(stream), now)?.and_then(|stored| stored.token(stream, now));
    Ok(token.map(|token| token.info))
}

pub(super) fn save(
    change: &mut Change<'_>,
    home: &TokenRows,
    request: &SaveRequest,
    now: Moment,
) -> Result<TokenOutcome<ResumeTokenInfo>, Fault> {
    let (key, stream) = (home.row(&request.stream), &request.stream);
    let stored = Stored::read(change, &key, now)?;
    if let Some(stored) = &stored {
        let done = || TokenOutcome::Done(stored.info(stream, request.token.len(), now));
        if RequestId::from_bytes(stored.request) == request.request {
            return Ok(if stored.token.is_some() { done() } else { TokenOutcome::Conflict(None) });
        }
        if request.fence.get() < stored.fence {
            return Ok(TokenOutcome::Superseded(Fence::new(stored.fence)));
        }
        if request.expected != stored.version() {
            let is_repeated = stored.fence == request.fence.get() && stored.token.as_ref() == Some(&request.token);
            return Ok(if is_repeated { done() } else { TokenOutcome::Conflict(stored.token(stream, now)) });
        }
    } else if request.expected.is_some() {
        return Ok(TokenOutcome::Conflict(None));
    }
    let last = stored.map(|stored| TokenVersion::new(stored.version));
    let saved = Stored {
        fence: request.fence.get(),
        version: TokenVersion::following(last, now.micros()).get(),
        request: *request.request.as_bytes(),
        saved: now.millis(),
        until: request.ttl.map(|ttl| now.after(ttl.as_duration())),
        token: Some(request.token.clone()),
    };
    saved.write(change, &key, now)?;
    expiring::tidy(change, now, Usage::UNBOUNDED)?;
    Ok(TokenOutcome::Done(saved.info(stream, request.token.len(), now)))
}

fn take_over(
    change: &mut Change<'_>,
    home: &TokenRows,
    stream: &StreamName,
    fence: Fence,
    now: Moment,
) -> Result<TokenOutcome<Option<ResumeToken>>, Fault> {
    let key = home.row(stream);
    let mut stored =
        Stored::read(change, &key, now)?.unwrap_or_else(|| Stored { saved: now.millis(), ..Stored::default() });
    if fence.get() < stored.fence {
        return Ok(TokenOutcome::Superseded(Fence::new(stored.fence)));
    }
    if fence.get() > stored.fence || stored.token.is_none() {
        stored.fence = fence.get();
        stored.write(change, &key, now)?;
    }
    Ok(TokenOutcome::Done(stored.token(stream, now)))
}

fn clear(
    change: &mut Change<'_>,
    home: &TokenRows,
    stream: &StreamName,
    version: TokenVersion,
    fence: Option<Fence>,
    now: Moment,
) -> Result<TokenOutcome<()>, Fault> {
    let key = home.row(stream);
    let Some(mut stored) = Stored::read(change, &key, now)? else { return Ok(TokenOutcome::Conflict(None)) };
    let fence = fence.map_or(stored.fence, Fence::get);
    if fence < stored.fence {
        return Ok(TokenOutcome::Superseded(Fence::new(stored.fence)));
    }
    if version.get() != stored.version {
        return Ok(TokenOutcome::Conflict(stored.token(stream, now)));
    }
    if stored.token.take().is_some() {
        stored.fence = fence;
        stored.write(change, &key, now)?;
    }
    Ok(TokenOutcome::Done(()))
}

/// `save`, `take_over` and `clear` are one transaction that writes, `load` one that reads, and `tokens` one over at most 1,000
/// rows.
#[async_trait]
impl ResumeTokens for EmbeddedState {
    async fn save(
        &self,
        request: &SaveRequest,
        durability: Durability,
    ) -> Result<Receipt<TokenOutcome<ResumeTokenInfo>>> {
        let op = Op::ResumeTokenSave;
        request.validate()?;
        let reached = self.database.reach(op, durability)?;
        let (clock, request, home) = (self.options.clock.clone(), request.clone(), self.at_home(op));
        let apply = move |change: &mut Change<'_>| {
            home.enter(change)?;
            save(change, &home.tokens(), &request, Moment::now(&clock))
        };
        Ok(Receipt::new(self.database.write(op, apply).await?, reached))
    }

    async fn take_over(&self, stream: &StreamName, fence: Fence) -> Result<TokenOutcome<Option<ResumeToken>>> {
        ResumeToken::validate_numbers(Op::ResumeTokenTakeOver, Some(fence), None)?;
        let op = Op::ResumeTokenTakeOver;
        let (clock, stream, home) = (self.options.clock.clone(), stream.clone(), self.at_home(op));
        let apply = move |change: &mut Change<'_>| {
            home.enter(change)?;
            take_over(change, &home.tokens(), &stream, fence, Moment::now(&clock))
        };
        Ok(match self.database.write(op, apply).await? {
            TokenOutcome::Done(token) => TokenOutcome::Done(token.map(ResumeToken::counted)),
            refused => refused,
        })
    }

    async fn load(&self, stream: &StreamName) -> Result<Option<ResumeToken>> {
        let op = Op::ResumeTokenLoad;
        let (clock, stream, home) = (self.options.clock.clone(), stream.clone(), self.at_home(op));
        let look = move |view: &mut View<'_>| {
            home.check(view)?;
            let now = Moment::now(&clock);
            let stored = Stored::read(view, &home.tokens().row(&stream), now)?;
            Ok(stored.and_then(|stored| stored.token(&stream, now)))
        };
        Ok(self.database.read(op, look).await?.map(ResumeToken::counted))
    }

    async fn clear(
        &self,
        stream: &StreamName,
        version: TokenVersion,
        fence: Option<Fence>,
    ) -> Result<TokenOutcome<()>> {
        ResumeToken::validate_numbers(Op::ResumeTokenClear, fence, Some(version))?;
        let op = Op::ResumeTokenClear;
        let (clock, stream, home) = (self.options.clock.clone(), stream.clone(), self.at_home(op));
        let apply = move |change: &mut Change<'_>| {
            home.enter(change)?;
            clear(change, &home.tokens(), &stream, version, fence, Moment::now(&clock))
        };
        self.database.write(op, apply).await
    }

    async fn tokens(&self, expiring_within: Option<Duration>, after: Option<Cursor>) -> Result<Page<ResumeTokenInfo>> {
        let op = Op::ResumeTokenTokens;
        let (home, clock, after) = (self.at_home(op), self.options.clock.clone(), last_of(op, after.as_ref())?);
        let look = move |view: &mut View<'_>| {
            home.check(view)?;
            listed(view, &home.tokens(), &after, expiring_within, &clock)
        };
        let (items, last) = self.database.read(op, look).await?;
        Ok(Page::new(items, last.map(|stream| Cursor::new(format!(" {stream}")))))
    }
}

/// Where a page begins among the rows. A cursor is a blank and the name of the last stream of the page before.
fn last_of(op: Op, after: Option<&Cursor>) -> Result<Vec<u8>> {
    let Some(after) = after else { return Ok(Vec::new()) };
    let stream = after.as_str().strip_prefix(' ');
    let stream = stream.ok_or_else(|| Error::invalid_argument(op, "the cursor is not one of this listing"))?;
    Ok([stream.as_bytes(), &[0]].concat())
}

/// The tokens in one step, and the last stream of the step if rows may follow.
fn listed(
    view: &mut View<'_>,
    home: &TokenRows,
    after: &[u8],
    expiring_within: Option<Duration>,
    clock: &Clock,
) -> Result<(Vec<ResumeTokenInfo>, Option<StreamName>), Fault> {
    let (now, mut steps, mut items, mut last) = (Moment::now(clock), 0, Vec::new(), None);
    let range = [&home.0, after].concat()..behind(&home.0);
    view.scan(Table::Entries, &range.start..&range.end, |key, row| {
        let stream: StreamName = name(key.get(home.0.len()..).unwrap_or_default())?;
        let mut row = Decoder::new(row?);
        let (end, value) = (row.u64()?, row.tail());
        let stored = Stored::decode(value)?;
        if let Some(token) = stored.token.as_ref().filter(|_| end > now.millis()) {
            let info = stored.info(&stream, token.len(), now);
            let is_listed = expiring_within.is_none_or(|within| info.left().is_some_and(|left| left <= within));
            items.extend(is_listed.then_some(info));
        }
        steps += 1;
        last = (steps == STEP).then_some(stream);
        Ok(if last.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok((items, last))
}
