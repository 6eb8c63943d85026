//! What was pushed, as it is stored: written once, and never changed while the job lives.

use std::time::Duration;

use store_core::{Backoff, NewJob, Priority, RetryPolicy, Timestamp, TraceContext, Unique, UniqueUntil};

use super::life::Place;
use crate::encoding::{Decoder, Encoder, name};
use crate::fault::Fault;
use crate::moment::Moment;

/// Everything that was pushed but the payload, which follows it in its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// Where the push put it.
    pub(super) place: Place,
    pub(super) request: u32,
    pub(super) pushed_at: Timestamp,
    pub(super) priority: Priority,
    pub(super) retry: RetryPolicy,
    pub(super) unique: Option<Unique>,
    /// When it is too late to be claimed for the first time.
    pub(super) start_by: Option<u64>,
    pub(super) schema: u16,
    pub(super) trace: Option<TraceContext>,
}

impl Record {
    pub(super) fn new(job: &NewJob, place: Place, now: Moment) -> Self {
        Self {
            place,
            request: job.request,
            pushed_at: Timestamp::from_millis(now.millis_up()),
            priority: job.priority,
            retry: job.retry,
            unique: job.unique.clone(),
            start_by: job.start_within.map(|time| now.after(time)),
            schema: job.schema,
            trace: job.trace.clone(),
        }
    }

    pub(super) fn encode(&self, payload: &[u8]) -> Vec<u8> {
        let row = self
            .place
            .encode(Encoder::with_capacity(64 + payload.len()))
            .u32(self.request)
            .u64(self.pushed_at.as_millis())
            .u8(self.priority.index())
            .u16(self.retry.max_attempts)
            .u16(self.schema)
            .option(self.start_by, Encoder::u64)
            .option(self.unique.as_ref(), encode_unique)
            .option(self.trace.as_ref(), encode_trace);
        encode_backoff(row, self.retry.backoff).tail(payload).finish()
    }

    /// The record and the payload behind it.
    pub(super) fn decode(row: &[u8]) -> Result<(Self, &[u8]), Fault> {
        let mut row = Decoder::new(row);
        let place = Place::decode(&mut row)?;
        let request = row.u32()?;
        let pushed_at = Timestamp::from_millis(row.u64()?);
        let priority = priority(row.u8()?)?;
        let max_attempts = row.u16()?;
        let schema = row.u16()?;
        let start_by = row.option(Decoder::u64)?;
        let unique = row.option(decode_unique)?;
        let trace = row.option(decode_trace)?;
        let backoff = decode_backoff(&mut row)?;
        let retry = RetryPolicy::new(max_attempts, backoff);
        let record = Self { place, request, pushed_at, priority, retry, unique, start_by, schema, trace };
        Ok((record, row.tail()))
    }
}

pub(super) fn priority(index: u8) -> Result<Priority, Fault> {
    Priority::from_index(index).ok_or(Fault::Corrupt("a job has an unknown priority"))
}

fn encode_unique(row: Encoder, unique: &Unique) -> Encoder {
    let row = match unique.until {
        UniqueUntil::Claimed => row.u8(0),
        UniqueUntil::Finished => row.u8(1),
        UniqueUntil::Elapsed(time) => row.u8(2).u64(nanos(time)),
    };
    row.bytes(unique.key.as_str().as_bytes())
}

fn decode_unique(row: &mut Decoder<'_>) -> Result<Unique, Fault> {
    let until = match row.u8()? {
        0 => UniqueUntil::Claimed,
        1 => UniqueUntil::Finished,
        2 => UniqueUntil::Elapsed(Duration::from_nanos(row.u64()?)),
        _ => return Err(Fault::Corrupt("a unique key is held in an unknown way")),
    };
    Ok(Unique::new(name(row.bytes()?)?, until))
}

fn encode_trace(row: Encoder, trace: &TraceContext) -> Encoder {
    let row = row.bytes(trace.traceparent().as_bytes());
    row.option(trace.tracestate(), |row, tracestate| row.bytes(tracestate.as_bytes()))
}

fn decode_trace(row: &mut Decoder<'_>) -> Result<TraceContext, Fault> {
    let trace = TraceContext::new(row.text()?).map_err(|_| Fault::Corrupt("a trace context is not valid"))?;
    Ok(match row.option(Decoder::text)? {
        Some(tracestate) => trace.with_tracestate(tracestate),
        None => trace,
    })
}

fn encode_backoff(row: Encoder, backoff: Backoff) -> Encoder {
    match backoff {
        Backoff::Fixed(time) => row.u8(0).u64(nanos(time)),
        Backoff::Linear { step, max } => row.u8(1).u64(nanos(step)).u64(nanos(max)),
        Backoff::Exponential { first, max } => row.u8(2).u64(nanos(first)).u64(nanos(max)),
    }
}

fn decode_backoff(row: &mut Decoder<'_>) -> Result<Backoff, Fault> {
    let kind = row.u8()?;
    let mut time = || row.u64().map(Duration::from_nanos);
    match kind {
        0 => Ok(Backoff::Fixed(time()?)),
        1 => Ok(Backoff::Linear { step: time()?, max: time()? }),
        2 => Ok(Backoff::Exponential { first: time()?, max: time()? }),
        _ => Err(Fault::Corrupt("a back-off has an unknown form")),
    }
}

/// A duration in nanoseconds; one of more than 584 years becomes that.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use store_core::{Clock, JobId, ManualClock, UniqueKey};

    fn round_trip(job: &NewJob) {
        let now = Moment::now(&Clock::Manual(ManualClock::new(Timestamp::from_millis(1_700_000_000_123))));
        let record = Record::new(job, Place::Scheduled(7), now);
        let row = record.encode(&job.payload);
        assert_eq!(Record::decode(&row).unwrap(), (record, &job.payload[..]));
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        round_trip(&NewJob::new(""));
        let unique = |until| Unique::new(UniqueKey::new("größe / 42").unwrap(), until);
        let second = Duration::from_secs(1);
        for (until, backoff) in [
            (UniqueUntil::Claimed, Backoff::Fixed(Duration::from_nanos(1))),
            (UniqueUntil::Finished, Backoff::Linear { step: second, max: Duration::MAX.min(second * 60) }),
            (
                UniqueUntil::Elapsed(Duration::from_nanos(1_000_001)),
                Backoff::Exponential { first: second, max: second },
            ),
        ] {
            let trace = TraceContext::new("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
            let trace = if until == UniqueUntil::Claimed { trace } else { trace.with_tracestate("a=1,b=2") };
            let job = NewJob::new(vec![0, 1, 255])
                .with_id(JobId::new("a").unwrap())
                .with_priority(Priority::Low)
                .with_unique(unique(until))
                .with_retry(RetryPolicy::new(u16::MAX, backoff))
                .with_start_within(second)
                .with_schema(7)
                .with_trace(trace);
            round_trip(&job);
        }
    }

    #[test]
    fn a_row_that_was_cut_is_corrupt() {
        let now = Moment::now(&Clock::Server);
        let row = Record::new(&NewJob::new(""), Place::Dead(1), now).encode(b"");
        for len in 0..row.len() {
            assert!(matches!(Record::decode(&row[..len]), Err(Fault::Corrupt(_))), "cut at {len}");
        }
    }
}
