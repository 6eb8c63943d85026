//! Retries of operations: one entry per operation. An expired one is invisible immediately; later writes remove it.

use std::ops::ControlFlow;
use std::time::Duration;

use async_trait::async_trait;
use store_core::{
    Cursor, Durability, Error, Fence, Key, Op, Page, Receipt, RequestId, Result, Retries, RetryAttempt, RetryBegun,
    RetryDecision, RetryFailed, RetryInfo, RetryRequest, RetryState, Timestamp, Ttl, cut_reason,
};

use super::EmbeddedState;
use crate::database::Operation;
use crate::encoding::{Decoder, Encoder, name, text};
use crate::expiring;
use crate::expiring::Usage;
use crate::fault::Fault;
use crate::moment::Moment;
use crate::rows::{Change, Rows, Table, View, behind};

/// The kind of the entries.
const KIND: u8 = b'o';

/// How many rows one step of a listing looks at.
const STEP: usize = 1000;

/// The largest number of attempts that is counted.
const MOST_ATTEMPTS: u32 = 999_999;

/// How long the fence of a cleared operation is kept.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// What is stored of an operation.
struct Stored {
    info: RetryInfo,
    request: [u8; 16],
    /// Nothing but the fence counts.
    is_cleared: bool,
}

impl Stored {
    fn read(rows: &mut impl Rows, row: &[u8], operation: &Key, now: Moment) -> Result<Option<Self>, Fault> {
        Ok(Self::read_any(rows, row, operation, now)?.filter(|stored| !stored.is_cleared))
    }

    /// Reads it even if it was cleared.
    fn read_any(rows: &mut impl Rows, row: &[u8], operation: &Key, now: Moment) -> Result<Option<Self>, Fault> {
        expiring::get(rows, row, now, |end, row| Self::decode(operation, end, row))
    }

    fn decode(operation: &Key, end: u64, row: &[u8]) -> Result<Self, Fault> {
        let mut row = Decoder::new(row);
        let letter = row.u8()?;
        let state = match letter {
            b'r' | b'n' => RetryState::Running,
            b'w' => RetryState::Waiting,
            b'x' => RetryState::Exhausted,
            b'd' => RetryState::Succeeded,
            _ => return Err(Fault::Corrupt("the state of an operation is unknown")),
        };
        let (fence, attempts) = (Fence::new(row.u64()?), row.u32()?);
        let mut info = RetryInfo::new(operation.clone(), state, attempts, fence);
        let mut time = || row.u64().map(Timestamp::from_millis);
        (info.first_began, info.began) = (time()?, time()?);
        info.next = Some(time()?).filter(|next| next.as_millis() > 0);
        info.until = Timestamp::from_millis(end);
        let request = row.array()?;
        info.last_error = Some(text(row.tail())?).filter(|error| !error.is_empty()).map(str::to_owned);
        Ok(Self { info, request, is_cleared: letter == b'n' })
    }

    /// Writes the entry, which lasts at least until `lasts`.
    fn write(&self, change: &mut Change<'_>, row: &[u8], lasts: u64) -> Result<(), Fault> {
        let info = &self.info;
        let state = match info.state {
            _ if self.is_cleared => b'n',
            RetryState::Waiting => b'w',
            RetryState::Exhausted => b'x',
            RetryState::Succeeded => b'd',
            _ => b'r',
        };
        let value = Encoder::with_capacity(64)
            .u8(state)
            .u64(info.fence.get())
            .u32(info.attempts)
            .u64(info.first_began.as_millis())
            .u64(info.began.as_millis())
            .u64(info.next.unwrap_or_default().as_millis())
            .tail(&self.request)
            .tail(info.last_error.as_deref().unwrap_or_default().as_bytes())
            .finish();
        expiring::put(change, row, lasts.max(info.until.as_millis()), &value)
    }

    fn exhausted(self) -> RetryBegun {
        RetryBegun::Exhausted { attempts: self.info.attempts, last_error: self.info.last_error }
    }
}

/// The end of a record that lasts this long after `from`, or after now.
fn end(now: Moment, from: Option<Timestamp>, ttl: Ttl) -> u64 {
    now.millis_up().max(from.unwrap_or_default().as_millis()).saturating_add(ttl.as_millis())
}

fn begin(change: &mut Change<'_>, row: &[u8], request: &RetryRequest, now: Moment) -> Result<RetryBegun, Fault> {
    let stored = Stored::read_any(change, row, &request.operation, now)?;
    let last = stored.as_ref().map(|stored| stored.info.fence);
    let mut stored = stored.filter(|stored| !stored.is_cleared);
    if let Some(stored) = &mut stored {
        let info = &mut stored.info;
        let is_open = matches!(info.state, RetryState::Running | RetryState::Waiting);
        let is_running = info.state == RetryState::Running;
        if RequestId::from_bytes(stored.request) == request.request {
            match info.state {
                RetryState::Running => return Ok(RetryBegun::Started(request.attempt(info.attempts, info.fence))),
                RetryState::Succeeded => return Ok(RetryBegun::Succeeded),
                _ => {}
            }
        }
        let until = info.next.unwrap_or_default();
        let remaining = until.since(now.timestamp());
        if is_open && !remaining.is_zero() {
            return Ok(RetryBegun::Wait { until, remaining });
        }
        if is_running {
            info.last_error = Some(RetryInfo::TIMED_OUT.to_owned());
        }
        if is_open && info.attempts >= request.policy.max_attempts.into() {
            (info.state, info.next) = (RetryState::Exhausted, None);
            stored.write(change, row, end(now, None, request.ttl))?;
        }
    }
    let stored = match stored {
        Some(stored) if stored.info.state == RetryState::Exhausted => return Ok(stored.exhausted()),
        other => other,
    };
    // The record never ends earlier than before.
    let until = stored.as_ref().map_or(Timestamp::default(), |stored| stored.info.until);
    let fence = Fence::following(last, now.micros());
    let mut info = match stored.filter(|stored| stored.info.state != RetryState::Succeeded) {
        Some(stored) => stored.info,
        None => {
            let mut info = RetryInfo::new(request.operation.clone(), RetryState::Running, 0, fence);
            (info.first_began, info.until) = (now.timestamp(), until);
            info
        }
    };
    info.attempts = MOST_ATTEMPTS.min(info.attempts + 1);
    (info.state, info.fence, info.began) = (RetryState::Running, fence, now.timestamp());
    info.next = Some(Timestamp::from_millis(now.after(request.lasting)));
    let begun = RetryBegun::Started(request.attempt(info.attempts, fence));
    let lasts = end(now, info.next, request.ttl);
    Stored { info, request: *request.request.as_bytes(), is_cleared: false }.write(change, row, lasts)?;
    expiring::tidy(change, now, Usage::UNBOUNDED)?;
    Ok(begun)
}

/// What follows a failed attempt.
struct Failure {
    error: String,
    decision: RetryDecision,
    wait: Option<Duration>,
}

fn fail(
    change: &mut Change<'_>,
    row: &[u8],
    attempt: &RetryAttempt,
    failure: &Failure,
    now: Moment,
) -> Result<RetryFailed, Fault> {
    let stored = Stored::read(change, row, &attempt.operation, now)?;
    let is_it = |stored: &Stored| stored.info.fence == attempt.fence && stored.info.state != RetryState::Succeeded;
    let Some(mut stored) = stored.filter(is_it) else { return Ok(RetryFailed::Superseded) };
    let info = &mut stored.info;
    if info.state == RetryState::Running {
        let is_snoozed = matches!(failure.decision, RetryDecision::Snooze(_));
        info.attempts -= u32::from(is_snoozed);
        info.last_error = Some(failure.error.clone()).filter(|error| !error.is_empty());
        let is_allowed = is_snoozed || info.attempts < attempt.policy.max_attempts.into();
        info.next = failure.wait.filter(|_| is_allowed).map(|wait| Timestamp::from_millis(now.after(wait)));
        info.state = if info.next.is_some() { RetryState::Waiting } else { RetryState::Exhausted };
    }
    let failed = info.next.map_or(RetryFailed::Exhausted, |at| RetryFailed::Again { at });
    let lasts = end(now, info.next, attempt.ttl);
    stored.write(change, row, lasts)?;
    Ok(failed)
}

fn succeed(change: &mut Change<'_>, row: &[u8], attempt: &RetryAttempt, now: Moment) -> Result<bool, Fault> {
    let stored = Stored::read(change, row, &attempt.operation, now)?;
    let is_it = |stored: &Stored| {
        let state = stored.info.state;
        stored.info.fence == attempt.fence && matches!(state, RetryState::Running | RetryState::Succeeded)
    };
    let Some(mut stored) = stored.filter(is_it) else { return Ok(false) };
    (stored.info.state, stored.info.next, stored.info.last_error) = (RetryState::Succeeded, None, None);
    stored.write(change, row, end(now, None, attempt.ttl))?;
    Ok(true)
}

fn clear(change: &mut Change<'_>, row: &[u8], operation: &Key, now: Moment) -> Result<bool, Fault> {
    let Some(mut stored) = Stored::read(change, row, operation, now)? else { return Ok(false) };
    (stored.is_cleared, stored.info.last_error) = (true, None);
    stored.info.until = Timestamp::default();
    stored.write(change, row, now.after(REMEMBERED))?;
    Ok(true)
}

/// `begin`, `fail`, `succeed` and `clear` are one transaction that writes, `get` one that reads, and `list` one over at most
/// 1,000 rows.
#[async_trait]
impl Retries for EmbeddedState {
    async fn begin(&self, request: &RetryRequest, durability: Durability) -> Result<Receipt<RetryBegun>> {
        request.validate()?;
        let (op, row) = (Op::RetryBegin, self.operation_row(&request.operation));
        let reached = self.database.reach(op, durability)?;
        let (clock, request) = (self.options.clock.clone(), request.clone());
        let apply = move |change: &mut Change<'_>| begin(change, &row, &request, Moment::now(&clock));
        Ok(Receipt::new(self.database.write(Operation::adding(op), apply).await?, reached))
    }

    async fn fail(
        &self,
        attempt: &RetryAttempt,
        error: &str,
        decision: RetryDecision,
        durability: Durability,
    ) -> Result<Receipt<RetryFailed>> {
        let failure = Failure { error: cut_reason(error).to_owned(), decision, wait: decision.wait(attempt)? };
        let (op, row) = (Op::RetryFail, self.operation_row(&attempt.operation));
        let reached = self.database.reach(op, durability)?;
        let (clock, attempt) = (self.options.clock.clone(), attempt.clone());
        let apply = move |change: &mut Change<'_>| fail(change, &row, &attempt, &failure, Moment::now(&clock));
        Ok(Receipt::new(self.database.write(op, apply).await?, reached))
    }

    async fn succeed(&self, attempt: &RetryAttempt, durability: Durability) -> Result<Receipt<bool>> {
        let (op, row) = (Op::RetrySucceed, self.operation_row(&attempt.operation));
        let reached = self.database.reach(op, durability)?;
        let (clock, attempt) = (self.options.clock.clone(), attempt.clone());
        let apply = move |change: &mut Change<'_>| succeed(change, &row, &attempt, Moment::now(&clock));
        Ok(Receipt::new(self.database.write(op, apply).await?, reached))
    }

    async fn get(&self, operation: &Key) -> Result<Option<RetryInfo>> {
        let (clock, row, operation) = (self.options.clock.clone(), self.operation_row(operation), operation.clone());
        let look = move |view: &mut View<'_>| {
            let stored = Stored::read(view, &row, &operation, Moment::now(&clock))?;
            Ok(stored.map(|stored| stored.info))
        };
        self.database.read(Op::RetryGet, look).await
    }

    async fn clear(&self, operation: &Key) -> Result<bool> {
        let (clock, row, operation) = (self.options.clock.clone(), self.operation_row(operation), operation.clone());
        let apply = move |change: &mut Change<'_>| clear(change, &row, &operation, Moment::now(&clock));
        self.database.write(Op::RetryClear, apply).await
    }

    async fn list(&self, after: Option<Cursor>) -> Result<Page<RetryInfo>> {
        let (op, rows, clock) = (Op::RetryList, self.entry(KIND, ""), self.options.clock.clone());
        let from = match &after {
            None => rows.clone(),
            // A cursor is a blank and the last operation of the page before.
            Some(cursor) => match cursor.as_str().strip_prefix(' ') {
                Some(last) => [&rows, last.as_bytes(), &[0]].concat(),
                None => return Err(Error::invalid_argument(op, "the cursor is not one of this listing")),
            },
        };
        let look = move |view: &mut View<'_>| {
            let (now, mut steps, mut items, mut last) = (Moment::now(&clock), 0, Vec::new(), None);
            let behind = behind(&rows);
            view.scan(Table::Entries, &from[..]..&behind[..], |key, row| {
                let operation: Key = name(key.get(rows.len()..).unwrap_or_default())?;
                let mut row = Decoder::new(row?);
                let (end, value) = (row.u64()?, row.tail());
                if end > now.millis() {
                    let stored = Some(Stored::decode(&operation, end, value)?).filter(|stored| !stored.is_cleared);
                    items.extend(stored.map(|stored| stored.info));
                }
                steps += 1;
                last = (steps == STEP).then_some(operation);
                Ok(if last.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
            Ok((items, last))
        };
        let (items, last) = self.database.read(op, look).await?;
        Ok(Page::new(items, last.map(|operation| Cursor::new(format!(" {operation}")))))
    }
}

impl EmbeddedState {
    fn operation_row(&self, operation: &Key) -> Vec<u8> {
        self.entry(KIND, operation.as_str())
    }
}
