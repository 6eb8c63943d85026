//! Leases: one string per name, with a fence that rises.

use std::time::Duration;

use async_trait::async_trait;
use redis_link::layout::{self, Aggregate};
use redis_link::{Arg, Link, ReplyReader, Script, SharedScript, args, keys};
use store_core::{
    AcquireRequest, Acquired, Durability, Error, Fence, HolderName, Lease, LeaseInfo, LeaseName, Leases, Op, Receipt,
    Result, Timestamp, millis_ceil, next_sequence,
};

use crate::StateStore;

static ACQUIRE: Script = Script::frees("lease/acquire", &[layout::PIECE, include_str!("../lua/lease/acquire.lua")]);
static RENEW: Script = Script::frees("lease/renew", &[layout::PIECE, include_str!("../lua/lease/renew.lua")]);
static RELEASE: Script = Script::frees("lease/release", &[layout::PIECE, include_str!("../lua/lease/release.lua")]);
static INSPECT: Script = Script::reads("lease/inspect", &[layout::PIECE, include_str!("../lua/lease/inspect.lua")]);

#[cfg(test)]
pub(crate) static SCRIPTS: [&Script; 4] = [&ACQUIRE, &RENEW, &RELEASE, &INSPECT];

/// How long a fence is kept after its lease; later the clock alone makes the next one larger.
pub(crate) const FENCE_KEPT_FOR: Duration = Duration::from_secs(24 * 3600);

/// The calls of all tasks.
pub(crate) struct LeaseCalls {
    acquire: SharedScript,
    renew: SharedScript,
    release: SharedScript,
}

impl LeaseCalls {
    pub(crate) fn new(link: &Link) -> Self {
        let layouts = link.layouts().argument(Aggregate::Lease);
        let shared = |op, script| SharedScript::new(link, op, script, vec![layouts.clone()]);
        Self {
            acquire: shared(Op::LeaseAcquire, &ACQUIRE),
            renew: shared(Op::LeaseRenew, &RENEW),
            release: shared(Op::LeaseRelease, &RELEASE),
        }
    }
}

/// Each call is one script in one round trip, O(1), and also works if the server's memory is full. Concurrent calls
/// with the same durability are coalesced.
#[async_trait]
impl Leases for StateStore {
    async fn acquire(&self, request: &AcquireRequest, durability: Durability) -> Result<Receipt<Acquired>> {
        let op = Op::LeaseAcquire;
        check_lasting(op, request.lasting)?;
        let args = args![
            &request.request.as_bytes()[..],
            request.holder.as_str(),
            millis_ceil(request.lasting),
            millis_ceil(request.lasting + FENCE_KEPT_FOR),
        ];
        let keys = vec![self.lease_key(&request.name)];
        let acquire = &self.calls.leases.acquire;
        let (mut reply, reached) = acquire.call_durable(keys, args, 0, durability).await?;
        let word = reply.next_word()?;
        let (fence, until) = (Fence::new(reply.next_u64()?), Timestamp::from_millis(reply.next_u64()?));
        let name = request.name.clone();
        match word.as_ref() {
            b"yes" => {
                reply.record_write(name.as_str(), |write| write.with_number(fence.get()));
                let lease = Lease::new(name, request.holder.clone(), fence, until);
                Ok(Receipt::new(Acquired::Yes(lease.with_durability(durability)), reached?))
            }
            // Nothing was written, so `NotDurable` would be wrong.
            b"taken" => {
                let taken = Acquired::Taken(LeaseInfo::new(name, holder(op, &mut reply)?, fence, until));
                Ok(Receipt::new(taken, reached.unwrap_or_default()))
            }
            _ => Err(reply.unknown_word()),
        }
    }

    async fn renew(&self, lease: &Lease, lasting: Duration) -> Result<Option<Timestamp>> {
        let op = Op::LeaseRenew;
        check_lasting(op, lasting)?;
        let sequence = digits(next_sequence());
        let args =
            args![digits(lease.fence.get()), sequence, millis_ceil(lasting), millis_ceil(lasting + FENCE_KEPT_FOR)];
        let keys = vec![self.lease_key(&lease.name)];
        let renew = self.calls.leases.renew.for_lease(lasting);
        let (mut reply, reached) = renew.call_durable(keys, args, 0, lease.durability).await?;
        match reply.next_word()?.as_ref() {
            b"renewed" => {
                reply.record_write(lease.name.as_str(), |write| write.with_number(lease.fence.get()));
                let until = Timestamp::from_millis(reply.next_u64()?);
                reached.map(|_| Some(until))
            }
            b"lost" => Ok(None),
            _ => Err(reply.unknown_word()),
        }
    }

    async fn release(&self, lease: &Lease) -> Result<bool> {
        let (keys, args) = (vec![self.lease_key(&lease.name)], args![digits(lease.fence.get())]);
        let mut reply = self.calls.leases.release.call(keys, args, 0).await?;
        match reply.next_word()?.as_ref() {
            b"released" => {
                reply.record_write(lease.name.as_str(), |write| write.with_number(lease.fence.get()));
                Ok(true)
            }
            b"lost" => Ok(false),
            _ => Err(reply.unknown_word()),
        }
    }

    async fn inspect(&self, name: &LeaseName) -> Result<Option<LeaseInfo>> {
        let op = Op::LeaseInspect;
        let args = args![self.link.layouts().argument(Aggregate::Lease)];
        let mut reply = self.link.call(op, &INSPECT, &[self.lease_key(name)], args).await?.reader(op);
        match reply.next_word()?.as_ref() {
            b"held" => {
                let (fence, until) = (Fence::new(reply.next_u64()?), Timestamp::from_millis(reply.next_u64()?));
                Ok(Some(LeaseInfo::new(name.clone(), holder(op, &mut reply)?, fence, until)))
            }
            b"free" => Ok(None),
            _ => Err(reply.unknown_word()),
        }
    }
}

impl StateStore {
    fn lease_key(&self, name: &LeaseName) -> String {
        keys::lease(&self.namespace, &self.scope, name)
    }
}

/// The form in which the scripts store and compare it.
fn digits(number: u64) -> Arg {
    Arg::from(format!("{number:016}"))
}

fn holder(op: Op, reply: &mut ReplyReader) -> Result<HolderName> {
    HolderName::new(reply.next_text()?).map_err(|_| Error::corrupt(op, "the stored holder's name is not valid"))
}

/// Refuses a duration that is too short or too long for a lease or a heartbeat.
pub(crate) fn check_lasting(op: Op, lasting: Duration) -> Result<()> {
    if Lease::RANGE.contains(&lasting) {
        return Ok(());
    }
    Err(Error::invalid_argument(op, "the duration must be between 10 ms and 30 days"))
}
