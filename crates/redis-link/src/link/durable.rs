//! Writes that are acknowledged when replicas or the disk have them.

use std::time::Duration;

use store_core::{Durability, Error, Op, Reached, Result, millis_ceil};

use super::copies::Copies;
use super::{Inner, MAX_LOADS};
use crate::wire::{Failure, Request, Wire};
use crate::{Arg, Reply, Script};

/// The first version that has `WAITAOF`.
const WAITAOF: (u64, u64) = (7, 2);

/// Refuses levels that mean nothing.
pub(super) fn check(op: Op, durability: Durability) -> Result<()> {
    match durability {
        Durability::Replicated { replicas: 0, .. } => {
            Err(Error::rejected(op, "replicated to no replica means nothing; ask for at least one, or for accepted"))
        }
        _ => Ok(()),
    }
}

/// One attempt: the script and the wait in one pipeline, on a connection that nobody else uses meanwhile.
pub(super) async fn call(
    inner: &Inner,
    script: &Script,
    request: &Request,
    copies: &Copies,
    durability: Durability,
) -> Result<(Reply, Reached), Failure> {
    inner.check_open()?;
    let _permit = inner.enter()?;
    let patience = inner.config.command_timeout;
    let held = inner.durables.take(patience).await?;
    let result = on_wire(held.wire(), patience, script, || copies.next(request), durability).await;
    held.settle(&result);
    result
}

async fn on_wire(
    wire: &Wire,
    patience: Duration,
    script: &Script,
    copy: impl Fn() -> Request,
    durability: Durability,
) -> Result<(Reply, Reached), Failure> {
    let wait = wait(wire, patience, durability).await.map_err(Failure::before_the_call)?;
    let within = patience + wait.as_ref().map_or(Duration::ZERO, |(_, within)| *within);
    for _ in 0..MAX_LOADS {
        let (written, reached) = match &wait {
            Some((wait, _)) => {
                let replies = wire.pipeline(vec![copy(), wait.clone()], within).await?;
                let mut replies = replies.into_iter();
                let written = replies.next().unwrap_or(Err(Failure::Lost("the replies do not match")));
                (written, replies.next().and_then(Result::ok).map_or_else(Reached::default, |reply| reached(&reply)))
            }
            // The server is proved to flush before it replies.
            None => (wire.send(copy(), within).await, Reached::new(0, true)),
        };
        if written.as_ref().is_err_and(Failure::is_unknown_script) {
            wire.send(Request::load(script), patience).await.map_err(Failure::before_the_call)?;
            continue;
        }
        return Ok((written?, reached));
    }
    Err(Failure::NotSent("the server keeps forgetting the script"))
}

/// What to wait with and for how long; nothing where the server's settings grant the level with the reply itself.
async fn wait(wire: &Wire, patience: Duration, durability: Durability) -> Result<Option<(Request, Duration)>, Failure> {
    match durability {
        Durability::Replicated { replicas, within } => {
            let request = Request::new("WAIT", [Arg::from(replicas), milliseconds(within)]);
            Ok(Some((request, within)))
        }
        Durability::Fsynced { within } if wire.server_version().is_some_and(|version| version >= WAITAOF) => {
            if !is_set(wire, patience, "appendonly", "yes").await? {
                return Err(UNPROVED);
            }
            let request = Request::new("WAITAOF", [Arg::from(1), Arg::from(0), milliseconds(within)]);
            Ok(Some((request, within)))
        }
        Durability::Fsynced { .. } => {
            let is_proved = is_set(wire, patience, "appendonly", "yes").await?
                && is_set(wire, patience, "appendfsync", "always").await?;
            if is_proved { Ok(None) } else { Err(UNPROVED) }
        }
        _ => Ok(None),
    }
}

const UNPROVED: Failure = Failure::Unsupported(
    "this server is not known to write to disk before it answers; it needs appendonly yes and, before Redis 7.2, \
     appendfsync always, both readable by CONFIG GET",
);

/// Zero would mean for ever.
fn milliseconds(within: Duration) -> Arg {
    Arg::from(millis_ceil(within).max(1))
}

async fn is_set(wire: &Wire, patience: Duration, name: &'static str, value: &str) -> Result<bool, Failure> {
    match wire.send(Request::new("CONFIG GET", [Arg::fixed(name)]), patience).await {
        Ok(Reply::List(pair)) => Ok(pair.get(1).and_then(Reply::as_str) == Some(value)),
        Ok(_) => Ok(false),
        Err(failure) if failure.is_forbidden() => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// `WAIT` answers the number of replicas, `WAITAOF` whether it is on this disk and on how many replicas'.
fn reached(reply: &Reply) -> Reached {
    let count = |reply: &Reply| reply.as_int().and_then(|count| u32::try_from(count).ok()).unwrap_or(0);
    match reply {
        Reply::List(counts) => Reached::new(counts.get(1).map_or(0, count), counts.first().map_or(0, count) > 0),
        single => Reached::new(count(single), false),
    }
}
