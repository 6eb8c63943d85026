//! Writes that are acknowledged when replicas or the disk have them.

mod disk;

use std::time::{Duration, Instant};

use store_core::{Durability, Error, Op, Reached, Result, millis_ceil};

use super::exclusive::Held;
use super::loss;
use super::routes::Hop;
use super::sending::MAX_LOADS;
use super::{Inner, Link};
use crate::wire::{Copies, Failure, Request, Wire};
use crate::{Answer, Arg, Reply, Script};
pub(crate) use disk::Proof;

impl Link {
    /// As [`Link::call_durable`], but returns `NotDurable` beside the answer: the caller can record the write.
    ///
    /// # Errors
    /// As [`Link::call_durable`].
    pub async fn call_reaching<K: AsRef<[u8]>>(
        &self,
        op: Op,
        script: &Script,
        keys: &[K],
        args: Vec<Arg>,
        durability: Durability,
    ) -> Result<(Answer, Result<Reached>)> {
        self.reach(op, script, (keys, args), self.copies(durability), durability).await
    }

    /// As [`Link::call_reaching`], for a call that the caller repeats under one lease after the other: all copies carry the mark of a
    /// repetition, so that the script looks for what an earlier call has stored, and none is executed after `end`, when the
    /// present lease ends.
    ///
    /// # Errors
    /// As [`Link::call_durable`]. `Unavailable` only means that this repetition was not executed.
    pub async fn call_until<K: AsRef<[u8]>>(
        &self,
        op: Op,
        script: &Script,
        keys: &[K],
        args: Vec<Arg>,
        durability: Durability,
        end: Instant,
    ) -> Result<(Answer, Result<Reached>)> {
        self.reach(op, script, (keys, args), self.copies(durability).again().until(end), durability).await
    }

    async fn reach<K: AsRef<[u8]>>(
        &self,
        op: Op,
        script: &Script,
        (keys, args): (&[K], Vec<Arg>),
        copies: Copies,
        durability: Durability,
    ) -> Result<(Answer, Result<Reached>)> {
        self.inner.check_pressure(op, script, &args)?;
        if durability == Durability::Accepted {
            return Ok((self.call_request(op, script, keys, args, copies).await?, Ok(Reached::default())));
        }
        check(op, durability)?;
        self.check_capable(op, durability)?;
        let slot = self.inner.routes.slot(op, keys)?;
        let request = Request::script(script, keys, args, &self.clock);
        let send = || Box::pin(call(&self.inner, slot, script, (&request, &copies), durability));
        let ((reply, reached), attempts) = self.attempts(op, script.name(), &copies, send).await?;
        let answer = Answer::new(reply, attempts).acknowledged(copies.acknowledged(slot));
        Ok((answer, at_least(op, durability, reached)))
    }
}

/// Refuses levels without a meaning.
pub(super) fn check(op: Op, durability: Durability) -> Result<()> {
    match durability {
        Durability::Replicated { replicas: 0, .. } => Err(Error::invalid_argument(
            op,
            "replicated to zero replicas has no meaning; request at least one, or accepted",
        )),
        _ => Ok(()),
    }
}

/// The error if a write has not reached a level.
pub(super) fn at_least(op: Op, wanted: Durability, reached: Reached) -> Result<Reached> {
    if reached.satisfies(wanted) { Ok(reached) } else { Err(Error::NotDurable { op, wanted, reached }) }
}

/// One attempt: the script and the wait in one pipeline, on a connection that no other call uses meanwhile.
pub(super) async fn call(
    inner: &Inner,
    slot: Option<u16>,
    script: &Script,
    sent: (&Request<'_>, &Copies),
    durability: Durability,
) -> Result<(Reply, Reached), Failure> {
    inner.check_open()?;
    let mut hop = inner.routes.first(slot)?;
    loop {
        let result = try_at(inner, &hop, script, sent, durability).await;
        match inner.routes.next(&hop, &result) {
            Some(next) => hop = next,
            None => return result,
        }
    }
}

/// Tries a script at a node to which its slot is on the way.
pub(super) async fn try_behind_asking(
    inner: &Inner,
    hop: &Hop,
    script: &Script,
    sent: (&Request<'_>, &Copies),
) -> Result<Reply, Failure> {
    try_at(inner, hop, script, sent, Durability::Accepted).await.map(|(reply, _)| reply)
}

async fn try_at(
    inner: &Inner,
    hop: &Hop,
    script: &Script,
    (request, copies): (&Request<'_>, &Copies),
    durability: Durability,
) -> Result<(Reply, Reached), Failure> {
    let _permit = inner.enter()?;
    let patience = inner.config.command_timeout;
    let mut held = hop.node.durables.take(patience).await?;
    let left = held.left();
    let mut call = async || on_connection(&mut held, patience, script, (request, copies, hop), durability).await;
    let answered = async {
        match call().await {
            // Only this connection has measured the server's clock.
            Err(Failure::Late) => call().await,
            result => result,
        }
    };
    // Dropping the call leaves its connection in doubt: it is closed.
    let result = tokio::select! {
        result = answered => result,
        () = left => Err(Failure::LOST),
    };
    held.settle(&result);
    result
}

async fn on_connection(
    held: &mut Held,
    patience: Duration,
    script: &Script,
    (request, copies, hop): (&Request<'_>, &Copies, &Hop),
    durability: Durability,
) -> Result<(Reply, Reached), Failure> {
    let copy = || hop.before().chain([copies.next(request)]);
    for _ in 0..MAX_LOADS {
        let (written, reached) = match durability {
            Durability::Replicated { replicas, within } => {
                replicated(held.wire(), patience, (copy().collect(), copies), replicas, within).await?
            }
            Durability::Fsynced { within } => fsynced(held, patience, &copy, within).await?,
            _ => (held.wire().send_last(copy().collect(), patience).await, Reached::default()),
        };
        copies.note(&written);
        if written.as_ref().is_err_and(Failure::is_unknown_script) {
            held.wire().send(Request::load(script), patience).await.map_err(Failure::before_the_call)?;
            continue;
        }
        return Ok((written?, reached));
    }
    Err(Failure::NotSent("the server keeps forgetting the script".into()))
}

async fn replicated(
    wire: &Wire,
    patience: Duration,
    (mut requests, copies): (Vec<Request<'_>>, &Copies),
    replicas: u32,
    within: Duration,
) -> Result<(Result<Reply, Failure>, Reached), Failure> {
    let before = requests.len() - 1;
    let is_recorded = wire.run().is_some();
    requests.extend(is_recorded.then(|| Request::new("INFO", [Arg::fixed("replication")])));
    requests.push(Request::new("WAIT", [Arg::from(replicas), milliseconds(within)]));
    let mut replies = wire.pipeline(requests, patience.saturating_add(within)).await?.into_iter().skip(before);
    let written = replies.next().unwrap_or(Err(Failure::LOST));
    if is_recorded {
        let position = replies.next().and_then(Result::ok);
        copies.note_position(position.as_ref().and_then(loss::position));
    }
    Ok((written, replies.next().and_then(Result::ok).map_or_else(Reached::default, |reply| reached(&reply))))
}

/// Nothing is written unless the settings that were read last prove that a reply means "on disk". They are read again
/// with each write: if they no longer prove it, the write counts as not on disk, and the settings are read before the
/// next write.
async fn fsynced<'a, C: Iterator<Item = Request<'a>>>(
    held: &mut Held,
    patience: Duration,
    copy: &impl Fn() -> C,
    within: Duration,
) -> Result<(Result<Reply, Failure>, Reached), Failure> {
    let proof = match held.proof.take() {
        Some(proof) => proof,
        None => Proof::ask(held.wire(), patience).await.map_err(Failure::before_the_call)?,
    };
    let mut requests = proof.before();
    let first = requests.len();
    requests.extend(copy());
    let before = requests.len() - first - 1;
    let waiting = proof.behind(within);
    let (waits, patience_of_all) = (!waiting.is_empty(), patience.saturating_add(within));
    requests.extend(waiting);
    let mut replies = held.wire().pipeline(requests, patience_of_all).await?.into_iter();
    let held_before = proof.holds(&mut replies);
    replies.by_ref().take(before).for_each(drop);
    let written = replies.next().unwrap_or(Err(Failure::LOST));
    let (reached, holds) = if waits {
        let reached = replies.next().and_then(Result::ok).map_or_else(Reached::default, |reply| reached(&reply));
        (reached, held_before && proof.holds(&mut replies))
    } else {
        let holds = held_before && written.is_ok() && proof.holds_after(held.wire(), patience).await;
        (Reached::new(0, true), holds)
    };
    // a script that has to be loaded did not run, so the proof still holds
    held.proof = (holds || held_before && written.is_err()).then_some(proof);
    Ok((written, Reached::new(reached.replicas, reached.on_disk && holds)))
}

/// Zero means for ever. Servers refuse a time whose end is no number of 64 bits.
fn milliseconds(within: Duration) -> Arg {
    Arg::from(millis_ceil(within).clamp(1, i64::MAX as u64 / 2))
}

/// `WAIT` returns the number of replicas; `WAITAOF` whether the write is on this disk, and on how many replicas' disks.
fn reached(reply: &Reply) -> Reached {
    let count = |reply: &Reply| reply.as_int().and_then(|count| u32::try_from(count).ok()).unwrap_or(0);
    match reply {
        Reply::List(counts) => Reached::new(counts.get(1).map_or(0, count), counts.first().map_or(0, count) > 0),
        single => Reached::new(count(single), false),
    }
}
