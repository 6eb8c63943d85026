//! Leases. A row is kept for a day after its lease, so that the next lease gets a larger number; later the clock alone
//! ensures that.

use std::time::Duration;

use async_trait::async_trait;
use store_core::{
    AcquireRequest, Acquired, Durability, Error, Fence, Lease, LeaseInfo, LeaseName, Leases, Op, Receipt, RequestId,
    Result, Timestamp, next_sequence, validate_lease,
};

use super::EmbeddedState;
use crate::encoding::{Decoder, Encoder, name};
use crate::expiring;
use crate::expiring::Usage;
use crate::fault::Fault;
use crate::moment::Moment;
use crate::rows::{Change, Rows, View};

/// How long the number of a lease is kept after its end.
const REMEMBERED: u64 = 24 * 3600 * 1000;

/// A row: the lease, the request that acquired it, the number of its last renewal, and whether it was released.
struct Stored {
    lease: Lease,
    request: RequestId,
    sequence: u64,
    released: bool,
}

impl Stored {
    fn read(rows: &mut impl Rows, row: &[u8], lease: &LeaseName, now: Moment) -> Result<Option<Self>, Fault> {
        expiring::get(rows, row, now, |_, row| {
            let mut row = Decoder::new(row);
            Ok(Self {
                released: row.u8()? == 1,
                request: RequestId::from_bytes(row.array()?),
                sequence: row.u64()?,
                lease: {
                    let (fence, until) = (Fence::new(row.u64()?), Timestamp::from_millis(row.u64()?));
                    Lease::new(lease.clone(), name(row.tail())?, fence, until)
                },
            })
        })
    }

    fn write(&self, change: &mut Change<'_>, row: &[u8]) -> Result<(), Fault> {
        let until = self.lease.until.as_millis();
        let value = Encoder::default()
            .u8(u8::from(self.released))
            .tail(self.request.as_bytes())
            .u64(self.sequence)
            .u64(self.lease.fence.get())
            .u64(until)
            .tail(self.lease.holder.as_str().as_bytes())
            .finish();
        expiring::put(change, row, until.saturating_add(REMEMBERED), &value)
    }

    fn is_held(&self, now: Moment) -> bool {
        !self.released && self.lease.until > now.timestamp()
    }
}

impl EmbeddedState {
    fn lease_row(&self, lease: &LeaseName) -> Vec<u8> {
        self.entry(b'l', lease.as_str())
    }
}

#[async_trait]
impl Leases for EmbeddedState {
    async fn acquire(&self, request: &AcquireRequest, durability: Durability) -> Result<Receipt<Acquired>> {
        validate_lease(Op::LeaseAcquire, request.lasting)?;
        let reached = self.database.reach(Op::LeaseAcquire, durability)?;
        let (clock, row, request) = (self.options.clock.clone(), self.lease_row(&request.name), request.clone());
        let apply = move |change: &mut Change<'_>| {
            let now = Moment::now(&clock);
            let stored = Stored::read(change, &row, &request.name, now)?;
            let last = stored.as_ref().map(|stored| stored.lease.fence);
            match stored {
                Some(held) if held.is_held(now) && held.request == request.request => Ok(Acquired::Yes(held.lease)),
                Some(held) if held.is_held(now) => Ok(Acquired::Taken(held.lease.info())),
                Some(released) if released.released && released.request == request.request => {
                    let detail = "the lease that this request acquired has been released; make a new request";
                    Err(Fault::Refused(Error::invalid_argument(Op::LeaseAcquire, detail)))
                }
                _ => {
                    let until = Timestamp::from_millis(now.after(request.lasting));
                    let fence = Fence::following(last, now.micros());
                    let lease = Lease::new(request.name.clone(), request.holder.clone(), fence, until);
                    let stored = Stored { lease, request: request.request, sequence: 0, released: false };
                    stored.write(change, &row)?;
                    expiring::tidy(change, now, Usage::UNBOUNDED)?;
                    Ok(Acquired::Yes(stored.lease))
                }
            }
        };
        let acquired = match self.database.write(Op::LeaseAcquire, apply).await? {
            Acquired::Yes(lease) => Acquired::Yes(lease.with_durability(durability)),
            taken => taken,
        };
        Ok(Receipt::new(acquired, reached))
    }

    async fn renew(&self, lease: &Lease, lasting: Duration) -> Result<Option<Timestamp>> {
        validate_lease(Op::LeaseRenew, lasting)?;
        let _ = self.database.reach(Op::LeaseRenew, lease.durability)?;
        let (clock, row, sequence) = (self.options.clock.clone(), self.lease_row(&lease.name), next_sequence());
        let lease = lease.clone();
        let apply = move |change: &mut Change<'_>| {
            let now = Moment::now(&clock);
            let stored = Stored::read(change, &row, &lease.name, now)?;
            let held = stored.filter(|stored| stored.is_held(now) && stored.lease.fence == lease.fence);
            let Some(mut held) = held else { return Ok(None) };
            if sequence > held.sequence {
                held.sequence = sequence;
                held.lease.until = Timestamp::from_millis(now.after(lasting));
                held.write(change, &row)?;
            }
            Ok(Some(held.lease.until))
        };
        self.database.write(Op::LeaseRenew, apply).await
    }

    async fn release(&self, lease: &Lease) -> Result<bool> {
        let (clock, row, lease) = (self.options.clock.clone(), self.lease_row(&lease.name), lease.clone());
        let apply = move |change: &mut Change<'_>| {
            let now = Moment::now(&clock);
            let stored = Stored::read(change, &row, &lease.name, now)?;
            match stored.filter(|stored| stored.lease.fence == lease.fence) {
                Some(stored) if stored.released => Ok(true),
                Some(mut stored) if stored.is_held(now) => {
                    stored.released = true;
                    stored.write(change, &row)?;
                    Ok(true)
                }
                _ => Ok(false),
            }
        };
        self.database.write(Op::LeaseRelease, apply).await
    }

    async fn inspect(&self, name: &LeaseName) -> Result<Option<LeaseInfo>> {
        let (clock, row, name) = (self.options.clock.clone(), self.lease_row(name), name.clone());
        let look = move |view: &mut View<'_>| {
            let now = Moment::now(&clock);
            let stored = Stored::read(view, &row, &name, now)?;
            Ok(stored.filter(|stored| stored.is_held(now)).map(|stored| stored.lease.info()))
        };
        self.database.read(Op::LeaseInspect, look).await
    }
}
