//! The record of a job: what was pushed, as it is stored and never changed. `docs/layout.md` has the same form.
//!
//! ```text
//! 1 layout, 1 flags, 1 priority, 2 max attempts, 4 request,
//! [6 deadline in ms] [1 length, unique key, [6 ms]] [1 kind, 6 ms, 6 ms: back-off] [2 schema]
//! [25 trace, [2 length, tracestate]], payload, 6 pushed at in ms
//! ```
//! Numbers are big-endian; times are rounded up to a millisecond.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use store_core::{
    Backoff, NewJob, Priority, RetryPolicy, Timestamp, TraceContext, Unique, UniqueKey, UniqueUntil, millis_ceil,
};

const LAYOUT: u8 = 1;

/// The bits of the flags; the two lowest determine until when a unique key is held.
const UNIQUE: u8 = 3;
const DEADLINE: u8 = 4;
const DELAYED: u8 = 8;
const TRACE: u8 = 16;
const BACKOFF: u8 = 32;
const SCHEMA: u8 = 64;
const TRACESTATE: u8 = 128;

/// Bytes of the fixed part at the beginning.
const HEAD: usize = 9;
/// Bytes of a time.
pub(super) const MILLIS: usize = 6;
/// The most bytes around a payload, without its `tracestate`.
pub(super) const MAX_OVERHEAD: usize = HEAD + MILLIS + 1 + UniqueKey::MAX_BYTES + MILLIS + 13 + 2 + 25 + 2 + MILLIS;

/// A record, read.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) priority: Priority,
    pub(super) unique: Option<Unique>,
    pub(super) retry: RetryPolicy,
    pub(super) schema: u16,
    pub(super) trace: Option<TraceContext>,
    pub(super) payload: Bytes,
    pub(super) pushed_at: Timestamp,
}

/// The parts of a record that listings show.
#[derive(Debug)]
pub(super) struct Outline {
    pub(super) priority: Priority,
    pub(super) max_attempts: u16,
    pub(super) pushed_at: Timestamp,
}

/// Appends the record of a job, without the time of its push, which the server adds.
pub(super) fn encode(job: &NewJob, buffer: &mut BytesMut) {
    buffer.put_u8(LAYOUT);
    buffer.put_u8(flags(job));
    buffer.put_u8(job.priority.index());
    buffer.put_u16(job.retry.max_attempts);
    buffer.put_u32(job.request);
    if let Some(deadline) = job.start_within {
        put_millis(buffer, deadline);
    }
    if let Some(unique) = &job.unique {
        let key = unique.key.as_str().as_bytes();
        // At most 250 bytes.
        buffer.put_u8(key.len() as u8);
        buffer.put_slice(key);
        if let UniqueUntil::Elapsed(time) = unique.until {
            put_millis(buffer, time);
        }
    }
    if job.retry.backoff != RetryPolicy::default().backoff {
        let (kind, first, second) = match job.retry.backoff {
            Backoff::Fixed(time) => (0, time, Duration::ZERO),
            Backoff::Linear { step, max } => (1, step, max),
            Backoff::Exponential { first, max } => (2, first, max),
        };
        buffer.put_u8(kind);
        put_millis(buffer, first);
        put_millis(buffer, second);
    }
    if job.schema != 0 {
        buffer.put_u16(job.schema);
    }
    if let Some(trace) = &job.trace {
        put_trace(buffer, trace);
    }
    buffer.put_slice(&job.payload);
}

impl Record {
    /// Reads a record with the time of its push behind it; `None` if the bytes are no record. The payload shares the reply's memory.
    pub(super) fn decode(mut bytes: Bytes) -> Option<Self> {
        let mut time = bytes.split_off(bytes.len().checked_sub(MILLIS)?);
        Self::decode_pushed_at(bytes, Timestamp::from_millis(time.get_uint(MILLIS)))
    }

    /// Reads a record that was pushed at this time.
    pub(super) fn decode_pushed_at(mut bytes: Bytes, pushed_at: Timestamp) -> Option<Self> {
        if bytes.len() < HEAD || bytes[0] != LAYOUT {
            return None;
        }
        let (flags, priority, max_attempts) =
            (bytes[1], Priority::from_index(bytes[2])?, u16::from_be_bytes([bytes[3], bytes[4]]));
        bytes.advance(HEAD);
        if flags & DEADLINE != 0 {
            take_millis(&mut bytes)?;
        }
        let unique = match flags & UNIQUE {
            0 => None,
            kind => Some(take_unique(&mut bytes, kind)?),
        };
        let backoff = match flags & BACKOFF {
            0 => RetryPolicy::default().backoff,
            _ => take_backoff(&mut bytes)?,
        };
        let schema = if flags & SCHEMA == 0 { 0 } else { bytes.try_get_u16().ok()? };
        let trace = match flags & (TRACE | TRACESTATE) {
            0 => None,
            TRACE => Some(take_trace(&mut bytes)?),
            _ => Some(take_trace(&mut bytes)?.with_tracestate(&take_tracestate(&mut bytes)?)),
        };
        Some(Self {
            priority,
            unique,
            retry: RetryPolicy::new(max_attempts, backoff),
            schema,
            trace,
            payload: bytes,
            pushed_at,
        })
    }
}

impl Outline {
    /// Reads the ends of a record, whatever is between them; `None` if the bytes are no record.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < HEAD + MILLIS || bytes[0] != LAYOUT {
            return None;
        }
        let mut trailer = &bytes[bytes.len() - MILLIS..];
        Some(Self {
            priority: Priority::from_index(bytes[2])?,
            max_attempts: u16::from_be_bytes([bytes[3], bytes[4]]),
            pushed_at: Timestamp::from_millis(trailer.get_uint(MILLIS)),
        })
    }
}

fn flags(job: &NewJob) -> u8 {
    let unique = match job.unique.as_ref().map(|unique| unique.until) {
        None => 0,
        Some(UniqueUntil::Claimed) => 1,
        Some(UniqueUntil::Finished) => 2,
        Some(UniqueUntil::Elapsed(_)) => 3,
    };
    let flag = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
    unique
        | flag(job.start_within.is_some(), DEADLINE)
        | flag(!job.delay.is_zero(), DELAYED)
        | flag(job.trace.is_some(), TRACE)
        | flag(job.trace.as_ref().is_some_and(|trace| trace.tracestate().is_some()), TRACESTATE)
        | flag(job.retry.backoff != RetryPolicy::default().backoff, BACKOFF)
        | flag(job.schema != 0, SCHEMA)
}

fn put_millis(buffer: &mut BytesMut, duration: Duration) {
    buffer.put_uint(millis_ceil(duration).min((1 << (8 * MILLIS)) - 1), MILLIS);
}

fn take_millis(bytes: &mut Bytes) -> Option<Duration> {
    bytes.try_get_uint(MILLIS).ok().map(Duration::from_millis)
}

fn take_unique(bytes: &mut Bytes, kind: u8) -> Option<Unique> {
    let len = usize::from(bytes.try_get_u8().ok()?);
    if bytes.len() < len {
        return None;
    }
    let key = UniqueKey::new(std::str::from_utf8(&bytes.split_to(len)).ok()?).ok()?;
    let until = match kind {
        1 => UniqueUntil::Claimed,
        2 => UniqueUntil::Finished,
        _ => UniqueUntil::Elapsed(take_millis(bytes)?),
    };
    Some(Unique::new(key, until))
}

fn take_backoff(bytes: &mut Bytes) -> Option<Backoff> {
    let (kind, first, max) = (bytes.try_get_u8().ok()?, take_millis(bytes)?, take_millis(bytes)?);
    match kind {
        0 => Some(Backoff::Fixed(first)),
        1 => Some(Backoff::Linear { step: first, max }),
        2 => Some(Backoff::Exponential { first, max }),
        _ => None,
    }
}

/// The three parts of a `traceparent` after its version, in bytes; then its `tracestate`.
fn put_trace(buffer: &mut BytesMut, trace: &TraceContext) {
    let digits = trace.traceparent().bytes().skip(3).filter(|&character| character != b'-');
    let mut high = None;
    for character in digits {
        let digit = if character.is_ascii_digit() { character - b'0' } else { character - b'a' + 10 };
        match high.take() {
            None => high = Some(digit),
            Some(high) => buffer.put_u8(high << 4 | digit),
        }
    }
    if let Some(tracestate) = trace.tracestate() {
        // At most 512 bytes.
        buffer.put_u16(tracestate.len() as u16);
        buffer.put_slice(tracestate.as_bytes());
    }
}

fn take_tracestate(bytes: &mut Bytes) -> Option<String> {
    let len = usize::from(bytes.try_get_u16().ok()?);
    if bytes.len() < len {
        return None;
    }
    String::from_utf8(bytes.split_to(len).into()).ok()
}

fn take_trace(bytes: &mut Bytes) -> Option<TraceContext> {
    let trace = bytes.try_get_u128().ok()?;
    let parent = bytes.try_get_u64().ok()?;
    let flags = bytes.try_get_u8().ok()?;
    TraceContext::new(&format!("00-{trace:032x}-{parent:016x}-{flags:02x}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use store_core::JobId;

    fn stored(job: &NewJob) -> Bytes {
        let mut buffer = BytesMut::new();
        encode(job, &mut buffer);
        buffer.put_uint(1_700_000_000_123, MILLIS);
        let tracestate = job.trace.as_ref().and_then(TraceContext::tracestate).map_or(0, str::len);
        assert!(buffer.len() <= job.payload.len() + tracestate + MAX_OVERHEAD);
        buffer.freeze()
    }

    /// Jobs with and without each part, in all combinations.
    fn jobs() -> impl Iterator<Item = NewJob> {
        let longest = UniqueKey::new("ü".repeat(UniqueKey::MAX_BYTES / 2)).unwrap();
        let trace = TraceContext::new("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
        let longest_state = format!("a={},b={}", "x".repeat(253), "y".repeat(254));
        assert_eq!(longest_state.len(), TraceContext::MAX_TRACESTATE_BYTES);
        let max = Duration::from_secs(366 * 24 * 3600);
        let uniques = [UniqueUntil::Claimed, UniqueUntil::Finished, UniqueUntil::Elapsed(max)].map(Some);
        let backoffs = [
            Backoff::Fixed(Duration::ZERO),
            Backoff::Linear { step: Duration::from_millis(1), max },
            Backoff::Exponential { first: max, max },
        ];
        (0..2_usize.pow(5)).flat_map(move |bits| {
            let (longest, trace, longest_state) = (longest.clone(), trace.clone(), longest_state.clone());
            uniques.into_iter().chain([None]).zip(backoffs.into_iter().cycle()).map(move |(unique, backoff)| {
                let mut job = NewJob::new(if bits & 1 == 0 { &b""[..] } else { b"\x00\xff payload" });
                job.unique = unique.map(|until| Unique::new(longest.clone(), until));
                job.priority = Priority::ALL[bits % 4];
                job.start_within = (bits & 2 != 0).then_some(Duration::from_millis(77));
                job.schema = if bits & 4 == 0 { 0 } else { u16::MAX };
                job.trace = (bits & 8 != 0).then(|| trace.clone());
                if let Some(trace) = job.trace.take_if(|_| bits & 16 != 0) {
                    job.trace = Some(trace.with_tracestate(&longest_state));
                }
                job.retry = RetryPolicy::new(u16::MAX, backoff);
                job
            })
        })
    }

    #[test]
    fn every_record_comes_back_as_it_was() {
        for job in jobs() {
            let record = Record::decode(stored(&job)).unwrap();
            assert_eq!((record.priority, record.schema, record.retry), (job.priority, job.schema, job.retry));
            assert_eq!((record.unique, record.trace), (job.unique, job.trace));
            assert_eq!((record.payload, record.pushed_at.as_millis()), (job.payload, 1_700_000_000_123));
        }
    }

    #[test]
    fn a_plain_job_carries_15_bytes() {
        let job = NewJob::new("payload").with_id(JobId::new("x").unwrap());
        assert_eq!(stored(&job).len(), 15 + job.payload.len());
    }

    #[test]
    fn bytes_that_are_no_record_are_refused() {
        for job in jobs() {
            let whole = stored(&job);
            let payload = job.payload.len();
            for len in 0..whole.len() - payload - MILLIS {
                // The end of what is cut becomes the time of the push; nothing is read twice.
                let cut = Record::decode(whole.slice(..len));
                assert!(cut.is_none_or(|record| record.payload.is_empty()));
            }
        }
        assert!(
            Record::decode(Bytes::from_static(b"\x02\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
                .is_none()
        );
        assert!(
            Record::decode(Bytes::from_static(b"\x01\x00\x09\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
                .is_none()
        );
    }

    #[test]
    fn times_are_rounded_up_to_a_millisecond() {
        let policy = RetryPolicy::new(1, Backoff::Fixed(Duration::from_micros(1)));
        let record = Record::decode(stored(&NewJob::new("").with_retry(policy))).unwrap();
        assert_eq!(record.retry.backoff, Backoff::Fixed(Duration::from_millis(1)));
    }
}
