//! Idempotency keys. Both roles share this code; only the spelling of the key differs.

use std::time::Duration;

use bytes::Bytes;
use store_core::metric::IdempotencyBegins;
use store_core::{Begun, Durability, Error, Finished, IdempotentRequest, Op, Result, Timestamp, Ttl, millis_ceil};

use crate::layout::{self, Aggregate};
use crate::{Link, Script, SharedScript, SizeSeen, args};

static BEGIN: Script =
    Script::adds("idempotency/begin", &[layout::PIECE, include_str!("../lua/idempotency/begin.lua")]);
static PROLONG: Script =
    Script::frees("idempotency/prolong", &[layout::PIECE, include_str!("../lua/idempotency/prolong.lua")]);
static FINISH: Script =
    Script::frees("idempotency/finish", &[layout::PIECE, include_str!("../lua/idempotency/finish.lua")]);
static ABANDON: Script =
    Script::frees("idempotency/abandon", &[layout::PIECE, include_str!("../lua/idempotency/abandon.lua")]);

#[cfg(test)]
pub(crate) static SCRIPTS: [&Script; 4] = [&BEGIN, &PROLONG, &FINISH, &ABANDON];

/// The entries of idempotent requests on one server. Concurrent calls of `begin`, `prolong` and `finish` are coalesced.
#[derive(Debug)]
pub struct Entries {
    link: Link,
    begin: SharedScript,
    prolong: SharedScript,
    finish: SharedScript,
    /// The sizes of the responses that `begin` returned.
    responses: SizeSeen,
    begins: IdempotencyBegins,
    durability: Durability,
}

impl Entries {
    /// The entries on the server of `link`.
    pub fn new(link: &Link) -> Self {
        let layouts = link.layouts().argument(Aggregate::Idempotency);
        let shared = |op, script| SharedScript::new(link, op, script, vec![layouts.clone()]);
        Self {
            begin: shared(Op::IdempotencyBegin, &BEGIN),
            prolong: shared(Op::IdempotencyProlong, &PROLONG),
            finish: shared(Op::IdempotencyFinish, &FINISH),
            link: link.clone(),
            responses: SizeSeen::default(),
            begins: IdempotencyBegins::new(link.role_label()),
            durability: Durability::Accepted,
        }
    }

    /// Sets the durability that `begin`, `prolong` and `finish` request for what they write. Default [`Durability::Accepted`].
    #[must_use]
    pub fn with_durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// [`Idempotency::begin`](store_core::Idempotency::begin) of the entry under `key`. One script, one round trip.
    ///
    /// # Errors
    /// Those of [`SharedScript::call`].
    pub async fn begin(&self, key: String, request: &IdempotentRequest, in_progress_for: Ttl) -> Result<Begun> {
        let args = args![
            &request.request.as_bytes()[..],
            &request.fingerprint.as_bytes()[..],
            in_progress_for.as_millis(),
            millis_ceil(in_progress_for.as_duration() + self.link.collection_margin()),
        ];
        let begun = self.begin.call_durable(vec![key], args, self.responses.expected(), self.durability).await;
        let (mut reply, reached) = begun.inspect_err(|_| self.responses.forget())?;
        let begun = match reply.next_word()?.as_ref() {
            b"started" => {
                reply.record(request.key.as_str(), []);
                Begun::Started
            }
            b"in_progress" => Begun::InProgress {
                since: Timestamp::from_millis(reply.next_u64()?),
                retry_after: Duration::from_millis(reply.next_u64()?),
            },
            b"finished" => Begun::Finished(reply.next_bytes()?),
            b"mismatch" => Begun::Mismatch,
            _ => return Err(reply.unknown_word()),
        };
        self.responses.note(if let Begun::Finished(response) = &begun { response.len() } else { 0 });
        if matches!(begun, Begun::Started) {
            reached?;
        }
        self.begins.count(&begun);
        Ok(begun)
    }

    /// [`Idempotency::prolong`](store_core::Idempotency::prolong) of the entry under `key`. One script, one round trip.
    /// It also works if the server's memory is full.
    ///
    /// # Errors
    /// Those of [`SharedScript::call`].
    pub async fn prolong(&self, key: String, request: &IdempotentRequest, in_progress_for: Ttl) -> Result<bool> {
        let args = args![
            &request.request.as_bytes()[..],
            in_progress_for.as_millis(),
            millis_ceil(in_progress_for.as_duration() + self.link.collection_margin()),
        ];
        let (mut reply, reached) = self.prolong.call_durable(vec![key], args, 0, self.durability).await?;
        match reply.next_word()?.as_ref() {
            b"prolonged" => {
                reply.record(request.key.as_str(), []);
                reached.map(|_| true)
            }
            b"lost" => Ok(false),
            _ => Err(reply.unknown_word()),
        }
    }

    /// [`Idempotency::finish`](store_core::Idempotency::finish) of the entry under `key`. One script, one round trip.
    /// It also works if the server's memory is full.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a response above [`IdempotentRequest::MAX_RESPONSE_BYTES`]; those of [`SharedScript::call`].
    pub async fn finish(
        &self,
        key: String,
        request: &IdempotentRequest,
        response: &Bytes,
        keep: Ttl,
    ) -> Result<Finished> {
        if response.len() > IdempotentRequest::MAX_RESPONSE_BYTES {
            let detail = format!(
                "a response of {} bytes; at most {most} are kept",
                response.len(),
                most = IdempotentRequest::MAX_RESPONSE_BYTES
            );
            return Err(Error::invalid_argument(Op::IdempotencyFinish, detail));
        }
        let args = args![
            &request.request.as_bytes()[..],
            &request.fingerprint.as_bytes()[..],
            keep.as_millis(),
            millis_ceil(keep.as_duration() + self.link.collection_margin()),
            response,
        ];
        let (mut reply, reached) = self.finish.call_durable(vec![key], args, response.len(), self.durability).await?;
        match reply.next_word()?.as_ref() {
            b"stored" => {
                reply.record(request.key.as_str(), []);
                reached.map(|_| Finished::Stored)
            }
            b"lost" => Ok(Finished::Lost),
            _ => Err(reply.unknown_word()),
        }
    }

    /// [`Idempotency::abandon`](store_core::Idempotency::abandon) of the entry under `key`. One script, one round trip.
    ///
    /// # Errors
    /// Those of [`Link::call`].
    ///
    /// A repetition after a lost reply returns `false`: a free key has no record of its last request.
    pub async fn abandon(&self, key: &str, request: &IdempotentRequest) -> Result<bool> {
        let op = Op::IdempotencyAbandon;
        let args = args![self.link.layouts().argument(Aggregate::Idempotency), &request.request.as_bytes()[..]];
        let mut reply = self.link.call(op, &ABANDON, &[key], args).await?.reader(op);
        match reply.next_word()?.as_ref() {
            b"abandoned" => {
                reply.record(request.key.as_str(), []);
                Ok(true)
            }
            b"lost" => Ok(false),
            _ => Err(reply.unknown_word()),
        }
    }
}
