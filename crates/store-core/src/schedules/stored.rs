//! The stored form of a schedule, the same in all engines.
//!
//! ```text
//! 2 length, times; 2 length, options as JSON; payload
//! ```

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use serde::{Deserialize, Serialize};

use super::timing::Timing;
use super::{CatchUp, Schedule};
use crate::{Backoff, NewJob, Priority, RetryPolicy, TraceContext, millis_ceil};

/// Everything but the times and the payload. Fields that are absent have their default.
#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct Options {
    /// 0: skip; `None`: one; n: all up to n.
    #[serde(skip_serializing_if = "Option::is_none")]
    catch_up: Option<u16>,
    grace_ms: u64,
    priority: Priority,
    max_attempts: u16,
    /// Kind, first time, second time: 0 fixed, 1 linear, 2 exponential.
    backoff: (u8, u64, u64),
    #[serde(skip_serializing_if = "Option::is_none")]
    start_within_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracestate: Option<String>,
}

impl Schedule {
    /// Its stored form. Equal schedules have equal bytes, and equal times the same first part.
    #[doc(hidden)]
    pub fn encode(&self) -> Vec<u8> {
        let times = self.timing.to_string();
        let options = serde_json::to_vec(&self.options()).unwrap_or_default();
        let payload = &self.job.payload;
        let mut bytes = Vec::with_capacity(4 + times.len() + options.len() + payload.len());
        for part in [times.as_bytes(), &options] {
            // Far less than 64 KiB each.
            bytes.put_u16(part.len() as u16);
            bytes.put_slice(part);
        }
        bytes.put_slice(payload);
        bytes
    }

    /// Reads the stored form; `None` if the bytes are none that this version has written.
    #[doc(hidden)]
    pub fn decode(mut bytes: Bytes) -> Option<Self> {
        let mut part = || {
            let len = usize::from(bytes.try_get_u16().ok()?);
            (len <= bytes.len()).then(|| bytes.split_to(len))
        };
        let (times, options) = (part()?, part()?);
        let timing = Timing::parse(std::str::from_utf8(&times).ok()?)?;
        let options: Options = serde_json::from_slice(&options).ok()?;
        let mut job = NewJob::new(bytes);
        (job.request, job.priority) = (0, options.priority);
        job.schema = options.schema.unwrap_or_default();
        job.start_within = options.start_within_ms.map(Duration::from_millis);
        let [first, second] = [options.backoff.1, options.backoff.2].map(Duration::from_millis);
        let backoff = match options.backoff.0 {
            0 => Backoff::Fixed(first),
            1 => Backoff::Linear { step: first, max: second },
            _ => Backoff::Exponential { first, max: second },
        };
        job.retry = RetryPolicy::new(options.max_attempts, backoff);
        job.trace = TraceContext::from_headers(options.traceparent.as_deref(), options.tracestate.as_deref());
        let catch_up = match options.catch_up {
            None => CatchUp::One,
            Some(0) => CatchUp::Skip,
            Some(most) => CatchUp::All(most),
        };
        Some(Self { timing, job, catch_up, grace: Duration::from_millis(options.grace_ms) })
    }

    fn options(&self) -> Options {
        let job = &self.job;
        let backoff = match job.retry.backoff {
            Backoff::Fixed(time) => (0, millis_ceil(time), 0),
            Backoff::Linear { step, max } => (1, millis_ceil(step), millis_ceil(max)),
            Backoff::Exponential { first, max } => (2, millis_ceil(first), millis_ceil(max)),
        };
        Options {
            catch_up: match self.catch_up {
                CatchUp::One => None,
                CatchUp::Skip => Some(0),
                CatchUp::All(most) => Some(most),
            },
            grace_ms: millis_ceil(self.grace),
            priority: job.priority,
            max_attempts: job.retry.max_attempts,
            backoff,
            start_within_ms: job.start_within.map(millis_ceil),
            schema: (job.schema != 0).then_some(job.schema),
            traceparent: job.trace.as_ref().map(|trace| trace.traceparent().to_owned()),
            tracestate: job.trace.as_ref().and_then(|trace| trace.tracestate().map(str::to_owned)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;

    #[test]
    fn a_schedule_comes_back_as_it_was() {
        let minute = Duration::from_secs(60);
        let trace = TraceContext::new("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
        let plain = NewJob::new("");
        let full = NewJob::new("\0\u{1f}{}")
            .with_priority(Priority::Critical)
            .with_retry(RetryPolicy::new(3, Backoff::Linear { step: minute, max: 5 * minute }))
            .with_start_within(minute)
            .with_schema(7)
            .with_trace(trace.with_tracestate("a=1"));
        for job in [plain, full] {
            for catch_up in [CatchUp::Skip, CatchUp::One, CatchUp::All(7)] {
                let cron = Schedule::cron("0 5 * * *", "Asia/Kolkata", job.clone()).unwrap();
                let every = Schedule::every(minute, job.clone()).unwrap().with_anchor(Timestamp::from_millis(5));
                for schedule in [cron, every] {
                    let schedule = schedule.with_catch_up(catch_up).with_grace(Duration::from_millis(5));
                    let bytes = Bytes::from(schedule.encode());
                    assert_eq!(Schedule::decode(bytes.clone()), Some(schedule));
                    assert_eq!(Schedule::decode(bytes.slice(..10)), None);
                }
            }
        }
    }
}
