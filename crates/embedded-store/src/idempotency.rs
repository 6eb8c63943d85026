//! Idempotency keys, of both roles.

use std::time::Duration;

use bytes::Bytes;
use store_core::{Begun, Clock, Error, Finished, IdempotentRequest, Op, RequestId, Result, Timestamp, Ttl};

use crate::database::{Database, Operation};
use crate::encoding::{Decoder, Encoder};
use crate::expiring::{self, Usage};
use crate::fault::Fault;
use crate::moment::Moment;
use crate::rows::Change;

/// The tables of the entries of one store, and their bounds.
pub(crate) struct Entries<'a> {
    pub(crate) database: &'a Database,
    pub(crate) clock: &'a Clock,
    pub(crate) bounds: Usage,
    pub(crate) key: Vec<u8>,
}

/// A row: request, fingerprint, time of the beginning, and the response once there is one.
struct Stored {
    request: RequestId,
    fingerprint: [u8; 32],
    since: u64,
    response: Option<Bytes>,
    end: u64,
}

impl Stored {
    fn encode(&self) -> Vec<u8> {
        Encoder::default()
            .tail(self.request.as_bytes())
            .tail(&self.fingerprint)
            .u64(self.since)
            .option(self.response.as_ref(), |row, response| row.bytes(response))
            .finish()
    }

    fn decode(end: u64, row: &[u8]) -> Result<Self, Fault> {
        let mut row = Decoder::new(row);
        Ok(Self {
            request: RequestId::from_bytes(row.array()?),
            fingerprint: row.array()?,
            since: row.u64()?,
            response: row.option(|row| row.bytes().map(Bytes::copy_from_slice))?,
            end,
        })
    }
}

impl Entries<'_> {
    pub(crate) async fn begin(self, request: &IdempotentRequest, in_progress_for: Ttl) -> Result<Begun> {
        let (key, clock, bounds, request) = (self.key, self.clock.clone(), self.bounds, request.clone());
        let apply = move |change: &mut Change<'_>| {
            let now = Moment::now(&clock);
            let Some(stored) = expiring::get(change, &key, now, Stored::decode)? else {
                let begun = Stored {
                    request: request.request,
                    fingerprint: *request.fingerprint.as_bytes(),
                    since: now.millis(),
                    response: None,
                    end: now.after(in_progress_for.as_duration()),
                };
                expiring::put(change, &key, begun.end, &begun.encode())?;
                expiring::tidy(change, now, bounds)?;
                return Ok(Begun::Started);
            };
            Ok(match stored {
                stored if stored.fingerprint != *request.fingerprint.as_bytes() => Begun::Mismatch,
                Stored { response: Some(response), .. } => Begun::Finished(response),
                stored if stored.request == request.request => Begun::Started,
                Stored { since, end, .. } => Begun::InProgress {
                    since: Timestamp::from_millis(since),
                    retry_after: Duration::from_millis(end.saturating_sub(now.millis_up())),
                },
            })
        };
        let begun = self.database.write(Operation::adding(Op::IdempotencyBegin), apply).await?;
        self.database.begins().count(&begun);
        Ok(begun)
    }

    pub(crate) async fn prolong(self, request: &IdempotentRequest, in_progress_for: Ttl) -> Result<bool> {
        let (key, clock, request) = (self.key, self.clock.clone(), request.request);
        let apply = move |change: &mut Change<'_>| {
            let now = Moment::now(&clock);
            let stored = expiring::get(change, &key, now, Stored::decode)?;
            let mine = stored.filter(|stored| stored.request == request && stored.response.is_none());
            let Some(mut mine) = mine else { return Ok(false) };
            mine.end = now.after(in_progress_for.as_duration());
            expiring::put(change, &key, mine.end, &mine.encode())?;
            Ok(true)
        };
        self.database.write(Op::IdempotencyProlong, apply).await
    }

    pub(crate) async fn finish(self, request: &IdempotentRequest, response: &Bytes, keep: Ttl) -> Result<Finished> {
        if response.len() > IdempotentRequest::MAX_RESPONSE_BYTES {
            let detail = format!(
                "the response has {} bytes; at most {most}",
                response.len(),
                most = IdempotentRequest::MAX_RESPONSE_BYTES
            );
            return Err(Error::invalid_argument(Op::IdempotencyFinish, detail));
        }
        let (key, clock, bounds) = (self.key, self.clock.clone(), self.bounds);
        let (request, response) = (request.clone(), response.clone());
        let apply = move |change: &mut Change<'_>| {
            let now = Moment::now(&clock);
            let since = match expiring::get(change, &key, now, Stored::decode)? {
                Some(stored) if stored.request != request.request => return Ok(Finished::Lost),
                Some(Stored { response: Some(_), .. }) => return Ok(Finished::Stored),
                Some(stored) => stored.since,
                None => now.millis(),
            };
            let finished = Stored {
                request: request.request,
                fingerprint: *request.fingerprint.as_bytes(),
                since,
                response: Some(response.clone()),
                end: now.after(keep.as_duration()),
            };
            expiring::put(change, &key, finished.end, &finished.encode())?;
            expiring::tidy(change, now, bounds)?;
            Ok(Finished::Stored)
        };
        self.database.write(Op::IdempotencyFinish, apply).await
    }

    pub(crate) async fn abandon(self, request: &IdempotentRequest) -> Result<bool> {
        let (key, request) = (self.key, request.request);
        // Also after its time is over: until another request has begun, the key still belongs to this one.
        let apply = move |change: &mut Change<'_>| match expiring::get(change, &key, Moment::BEGINNING, Stored::decode)?
        {
            Some(stored) if stored.request == request && stored.response.is_none() => {
                expiring::remove(change, &key, Moment::BEGINNING)
            }
            _ => Ok(false),
        };
        self.database.write(Op::IdempotencyAbandon, apply).await
    }
}
