//! Retries of operations: one string per operation.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::try_join_all;
use redis_link::layout::{self, Aggregate};
use redis_link::{Arg, Link, ReplyReader, Script, SharedScript, args, keys};
use store_core::{
    Cursor, Durability, Error, Fence, Key, Op, Page, Receipt, Result, Retries, RetryAttempt, RetryBegun, RetryDecision,
    RetryFailed, RetryInfo, RetryRequest, RetryState, Timestamp, cut_reason, millis_ceil,
};

use crate::StateStore;
use crate::leases::FENCE_KEPT_FOR;

const RECORD: &str = include_str!("../lua/retry/record.lua");
const WRITES: &str = include_str!("../lua/retry/writes.lua");

static BEGIN: Script =
    Script::adds("retry/begin", &[layout::PIECE, RECORD, WRITES, include_str!("../lua/retry/begin.lua")]);
static FAIL: Script =
    Script::frees("retry/fail", &[layout::PIECE, RECORD, WRITES, include_str!("../lua/retry/fail.lua")]);
static SUCCEED: Script =
    Script::frees("retry/succeed", &[layout::PIECE, RECORD, WRITES, include_str!("../lua/retry/succeed.lua")]);
static CLEAR: Script = Script::frees("retry/clear", &[layout::PIECE, RECORD, include_str!("../lua/retry/clear.lua")]);
static GET: Script = Script::reads("retry/get", &[layout::PIECE, RECORD, include_str!("../lua/retry/get.lua")]);
static LIST: Script = Script::reads("retry/list", &[layout::PIECE, RECORD, include_str!("../lua/retry/list.lua")]);

#[cfg(test)]
pub(crate) static SCRIPTS: [&Script; 6] = [&BEGIN, &FAIL, &SUCCEED, &CLEAR, &GET, &LIST];

/// The calls of all tasks.
pub(crate) struct RetryCalls {
    begin: SharedScript,
    fail: SharedScript,
    succeed: SharedScript,
    clear: SharedScript,
    list: SharedScript,
}

impl RetryCalls {
    pub(crate) fn new(link: &Link) -> Self {
        let layouts = link.layouts().argument(Aggregate::Retry);
        let margin = millis_ceil(link.collection_margin());
        let remembered = millis_ceil(link.remembered_for(Durability::Accepted));
        let shared = |op, script, head| SharedScript::new(link, op, script, head);
        Self {
            begin: shared(Op::RetryBegin, &BEGIN, args![layouts.clone(), margin, RetryInfo::TIMED_OUT]),
            fail: shared(Op::RetryFail, &FAIL, args![layouts.clone(), margin]),
            succeed: shared(Op::RetrySucceed, &SUCCEED, args![layouts.clone(), margin]),
            clear: shared(Op::RetryClear, &CLEAR, args![layouts.clone(), millis_ceil(FENCE_KEPT_FOR), remembered]),
            list: shared(Op::RetryList, &LIST, args![layouts]),
        }
    }
}

/// Each call is one script in one round trip. All but `begin` also work if the server's memory is full. Concurrent calls of one
/// operation with the same durability are coalesced, except `get`. `list` is one `SCAN`, and one script for the records that it
/// finds, or one for each slot of a cluster.
#[async_trait]
impl Retries for StateStore {
    async fn begin(&self, request: &RetryRequest, durability: Durability) -> Result<Receipt<RetryBegun>> {
        request.validate()?;
        let args = args![
            &request.request.as_bytes()[..],
            u32::from(request.policy.max_attempts),
            millis_ceil(request.lasting),
            request.ttl.as_millis()
        ];
        let keys = self.operation_keys(&request.operation);
        let (mut reply, reached) = self.calls.retries.begin.call_durable(keys, args, 0, durability).await?;
        let begun = match reply.next_word()?.as_ref() {
            b"started" => {
                let number = u32::try_from(reply.next_u64()?).unwrap_or(u32::MAX);
                let fence = Fence::new(reply.next_u64()?);
                reply.record_write(request.operation.as_str(), |write| write.with_number(fence.get()));
                RetryBegun::Started(request.attempt(number, fence))
            }
            b"succeeded" => {
                reply.record(request.operation.as_str(), []);
                RetryBegun::Succeeded
            }
            // Nothing depends on what was written, so `NotDurable` would be wrong.
            word => return Ok(Receipt::new(not_begun(word, &mut reply)?, reached.unwrap_or_default())),
        };
        Ok(Receipt::new(begun, reached?))
    }

    async fn fail(
        &self,
        attempt: &RetryAttempt,
        error: &str,
        decision: RetryDecision,
        durability: Durability,
    ) -> Result<Receipt<RetryFailed>> {
        let wait = decision.wait(attempt)?;
        let word = match (decision, wait) {
            (_, None) => "x",
            (RetryDecision::Snooze(_), _) => "s",
            _ => "r",
        };
        let error = Bytes::copy_from_slice(cut_reason(error).as_bytes());
        let args = args![
            digits(attempt.fence),
            word,
            millis_ceil(wait.unwrap_or_default()),
            u32::from(attempt.policy.max_attempts),
            attempt.ttl.as_millis(),
            &error
        ];
        let keys = self.operation_keys(&attempt.operation);
        let (mut reply, reached) = self.calls.retries.fail.call_durable(keys, args, error.len(), durability).await?;
        let failed = match reply.next_word()?.as_ref() {
            b"again" => RetryFailed::Again { at: Timestamp::from_millis(reply.next_u64()?) },
            b"exhausted" => RetryFailed::Exhausted,
            b"superseded" => return Ok(Receipt::new(RetryFailed::Superseded, reached.unwrap_or_default())),
            _ => return Err(reply.unknown_word()),
        };
        reply.record_write(attempt.operation.as_str(), |write| write.with_number(attempt.fence.get()));
        Ok(Receipt::new(failed, reached?))
    }

    async fn succeed(&self, attempt: &RetryAttempt, durability: Durability) -> Result<Receipt<bool>> {
        let args = args![digits(attempt.fence), attempt.ttl.as_millis()];
        let keys = self.operation_keys(&attempt.operation);
        let (mut reply, reached) = self.calls.retries.succeed.call_durable(keys, args, 0, durability).await?;
        match reply.next_word()?.as_ref() {
            b"recorded" => {
                reply.record_write(attempt.operation.as_str(), |write| write.with_number(attempt.fence.get()));
                Ok(Receipt::new(true, reached?))
            }
            b"superseded" => Ok(Receipt::new(false, reached.unwrap_or_default())),
            _ => Err(reply.unknown_word()),
        }
    }

    async fn get(&self, operation: &Key) -> Result<Option<RetryInfo>> {
        let (op, args) = (Op::RetryGet, args![self.link.layouts().argument(Aggregate::Retry)]);
        let mut reply = self.link.call(op, &GET, &self.operation_keys(operation), args).await?.reader(op);
        described(op, operation, &mut reply)
    }

    async fn clear(&self, operation: &Key) -> Result<bool> {
        let mut keys = self.operation_keys(operation);
        keys.push(keys::clearing(&self.namespace, &self.scope, operation, fastrand::u64(..)));
        let mut reply = self.calls.retries.clear.call(keys, Vec::new(), 0).await?;
        match reply.next_word()?.as_ref() {
            b"cleared" => {
                reply.record(operation.as_str(), []);
                Ok(true)
            }
            b"absent" => Ok(false),
            _ => Err(reply.unknown_word()),
        }
    }

    async fn list(&self, after: Option<Cursor>) -> Result<Page<RetryInfo>> {
        let (op, namespace, scope) = (Op::RetryList, &self.namespace, &self.scope);
        let pattern = keys::operations(namespace, scope);
        let page = self.scan(op, pattern, after, |key| keys::operation_of(namespace, scope, key)).await?;
        let describe = async |operation: Key| {
            let keys = self.operation_keys(&operation);
            let mut reply = self.calls.retries.list.call(keys, Vec::new(), 0).await?;
            described(op, &operation, &mut reply)
        };
        let found = try_join_all(page.items.into_iter().map(describe)).await?;
        Ok(Page::new(found.into_iter().flatten().collect(), page.next))
    }
}

impl StateStore {
    fn operation_keys(&self, operation: &Key) -> Vec<String> {
        vec![keys::retries(&self.namespace, &self.scope, operation)]
    }
}

/// The form in which the scripts store and compare it.
fn digits(fence: Fence) -> Arg {
    Arg::from(format!("{:016}", fence.get()))
}

fn not_begun(word: &[u8], reply: &mut ReplyReader) -> Result<RetryBegun> {
    match word {
        b"wait" => {
            let until = Timestamp::from_millis(reply.next_u64()?);
            Ok(RetryBegun::Wait { until, remaining: Duration::from_millis(reply.next_u64()?) })
        }
        b"exhausted" => {
            let attempts = u32::try_from(reply.next_u64()?).unwrap_or(u32::MAX);
            Ok(RetryBegun::Exhausted { attempts, last_error: Some(reply.next_text()?).filter(|text| !text.is_empty()) })
        }
        _ => Err(reply.unknown_word()),
    }
}

fn described(op: Op, operation: &Key, reply: &mut ReplyReader) -> Result<Option<RetryInfo>> {
    match reply.next_word()?.as_ref() {
        b"operation" => {
            let info = parse(operation, &reply.next_bytes()?);
            info.map(Some).ok_or_else(|| Error::corrupt(op, "the entry is not one of a retried operation"))
        }
        b"absent" => Ok(None),
        _ => Err(reply.unknown_word()),
    }
}

/// A record as `record.lua` writes it: layout, state, fence (16 digits), attempts (6), four times (15 each), a request (16 bytes),
/// last error.
fn parse(operation: &Key, record: &[u8]) -> Option<RetryInfo> {
    let head = std::str::from_utf8(record.get(..84)?).ok()?;
    let number = |from: usize, to: usize| head.get(from..to)?.parse::<u64>().ok();
    let time = |from| number(from, from + 15).map(Timestamp::from_millis);
    let state = match head.as_bytes()[1] {
        b'r' => RetryState::Running,
        b'w' => RetryState::Waiting,
        b'x' => RetryState::Exhausted,
        b'd' => RetryState::Succeeded,
        _ => return None,
    };
    let attempts = u32::try_from(number(18, 24)?).ok()?;
    let mut info = RetryInfo::new(operation.clone(), state, attempts, Fence::new(number(2, 18)?));
    (info.first_began, info.began, info.until) = (time(24)?, time(39)?, time(69)?);
    info.next = Some(time(54)?).filter(|next| next.as_millis() > 0);
    let error = std::str::from_utf8(record.get(100..)?).ok()?;
    info.last_error = Some(error.to_owned()).filter(|error| !error.is_empty());
    Some(info)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_its_layout_its_state_numbers_a_request_and_an_error() {
        let operation = Key::new("invoice/7").unwrap();
        let head = "1w0000000000000007000002000000000000001000000000000002000000000000003000000000000004";
        let record = [head.as_bytes(), &[0xff; 16], "größer".as_bytes()].concat();
        let info = parse(&operation, &record).unwrap();
        let times = [info.first_began, info.began, info.next.unwrap(), info.until].map(Timestamp::as_millis);
        assert_eq!((info.state, info.fence.get(), info.attempts, times), (RetryState::Waiting, 7, 2, [1, 2, 3, 4]));
        assert_eq!(info.last_error.as_deref(), Some("größer"));
        let unknown = [head.replace("1w", "1y").as_bytes(), &[0; 16]].concat();
        for broken in [&b""[..], &record[..99], &[0xff; 120], &unknown] {
            assert!(parse(&operation, broken).is_none());
        }
    }
}
