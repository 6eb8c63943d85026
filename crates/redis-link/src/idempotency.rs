//! Idempotency keys, the same on both roles: only the spelling of the key differs.

use std::time::Duration;

use bytes::Bytes;
use store_core::{
    Begun, Clock, Error, Finished, IdempotentRequest, MAX_RESPONSE_BYTES, Op, Result, Timestamp, Ttl, millis_ceil,
};

use crate::{Link, Script, args, clock_arg, collection_margin};

static BEGIN: Script = Script::new(
    "idempotency/begin",
    concat!("#!lua\n", include_str!("../lua/clock.lua"), include_str!("../lua/idempotency/begin.lua")),
);
static FINISH: Script = Script::new(
    "idempotency/finish",
    concat!("#!lua flags=allow-oom\n", include_str!("../lua/clock.lua"), include_str!("../lua/idempotency/finish.lua")),
);
static ABANDON: Script = Script::new(
    "idempotency/abandon",
    concat!("#!lua flags=allow-oom\n", include_str!("../lua/idempotency/abandon.lua")),
);

/// [`Idempotency::begin`](store_core::Idempotency::begin) of the entry under `key`. One script, one round trip.
///
/// # Errors
/// Those of [`Link::call`].
pub async fn begin(
    link: &Link,
    clock: &Clock,
    key: &str,
    request: &IdempotentRequest,
    in_progress_for: Ttl,
) -> Result<Begun> {
    let op = Op::IdempotencyBegin;
    let args = args![
        clock_arg(clock),
        &request.request.as_bytes()[..],
        &request.fingerprint.as_bytes()[..],
        in_progress_for.as_millis(),
        millis_ceil(in_progress_for.as_duration() + collection_margin(clock)),
    ];
    let mut reply = link.call(op, &BEGIN, &[key], args).await?.reader(op);
    Ok(match reply.next_word()?.as_ref() {
        b"started" => Begun::Started,
        b"in_progress" => Begun::InProgress {
            since: Timestamp::from_millis(reply.next_u64()?),
            retry_after: Duration::from_millis(reply.next_u64()?),
        },
        b"finished" => Begun::Finished(reply.next_bytes()?),
        b"mismatch" => Begun::Mismatch,
        _ => return Err(reply.unknown_word()),
    })
}

/// [`Idempotency::finish`](store_core::Idempotency::finish) of the entry under `key`. One script, one round trip; it is
/// carried out also where the server's memory is full.
///
/// # Errors
/// [`Error::Rejected`] for a response above [`MAX_RESPONSE_BYTES`]; those of [`Link::call`].
pub async fn finish(
    link: &Link,
    clock: &Clock,
    key: &str,
    request: &IdempotentRequest,
    response: &Bytes,
    keep: Ttl,
) -> Result<Finished> {
    let op = Op::IdempotencyFinish;
    if response.len() > MAX_RESPONSE_BYTES {
        let detail = format!("a response of {} bytes; at most {MAX_RESPONSE_BYTES} are kept", response.len());
        return Err(Error::rejected(op, detail));
    }
    let args = args![
        clock_arg(clock),
        &request.request.as_bytes()[..],
        &request.fingerprint.as_bytes()[..],
        keep.as_millis(),
        millis_ceil(keep.as_duration() + collection_margin(clock)),
        response,
    ];
    let mut reply = link.call(op, &FINISH, &[key], args).await?.reader(op);
    match reply.next_word()?.as_ref() {
        b"stored" => Ok(Finished::Stored),
        b"lost" => Ok(Finished::Lost),
        _ => Err(reply.unknown_word()),
    }
}

/// [`Idempotency::abandon`](store_core::Idempotency::abandon) of the entry under `key`. One script, one round trip.
///
/// # Errors
/// Those of [`Link::call`].
///
/// Sent again after a lost reply, it answers `false`: nothing is remembered of a key that is free.
pub async fn abandon(link: &Link, key: &str, request: &IdempotentRequest) -> Result<bool> {
    let op = Op::IdempotencyAbandon;
    let args = args![&request.request.as_bytes()[..]];
    let mut reply = link.call(op, &ABANDON, &[key], args).await?.reader(op);
    match reply.next_word()?.as_ref() {
        b"abandoned" => Ok(true),
        b"lost" => Ok(false),
        _ => Err(reply.unknown_word()),
    }
}
