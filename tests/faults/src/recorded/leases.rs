//! Recorded leases.

use std::time::Duration;

use async_trait::async_trait;
use twinstore::Result;
use twinstore::durability::{Durability, Receipt};
use twinstore::lease::LeaseInfo;
use twinstore::lease::{AcquireRequest, Acquired, Lease, LeaseName, Leases};
use twinstore::time::Timestamp;

use super::queue::millis;
use super::{Recorded, hex, record};
use crate::history::{Answer, Call, Granted};

#[async_trait]
impl Leases for Recorded<dyn Leases> {
    async fn acquire(&self, request: &AcquireRequest, durability: Durability) -> Result<Receipt<Acquired>> {
        let (name, holder) = (request.name.to_string(), request.holder.to_string());
        let (identity, lasting_ms) = (hex(request.request.as_bytes()), millis(request.lasting));
        let invocation = self.recorder.invoke(Call::Acquire { name, holder, request: identity, lasting_ms });
        let result = self.inner.acquire(request, durability).await;
        record(invocation, result, |receipt| {
            let (mine, lease) = match &receipt.value {
                Acquired::Yes(lease) => (true, &lease.info()),
                Acquired::Taken(lease) => (false, lease),
                other => panic!("the history has no answer {other:?}"),
            };
            Answer::Lease { mine, lease: Some(granted(lease)) }
        })
    }

    async fn renew(&self, lease: &Lease, lasting: Duration) -> Result<Option<Timestamp>> {
        let (name, holder, fence) = (lease.name.to_string(), lease.holder.to_string(), lease.fence.get());
        let invocation = self.recorder.invoke(Call::Renew { name, holder, fence, lasting_ms: millis(lasting) });
        let result = self.inner.renew(lease, lasting).await;
        record(invocation, result, |until| Answer::One(until.is_some()))
    }

    async fn release(&self, lease: &Lease) -> Result<bool> {
        let (name, holder, fence) = (lease.name.to_string(), lease.holder.to_string(), lease.fence.get());
        let invocation = self.recorder.invoke(Call::Release { name, holder, fence });
        record(invocation, self.inner.release(lease).await, |held| Answer::One(*held))
    }

    async fn inspect(&self, name: &LeaseName) -> Result<Option<LeaseInfo>> {
        let invocation = self.recorder.invoke(Call::Inspect { name: name.to_string() });
        let result = self.inner.inspect(name).await;
        record(invocation, result, |lease| Answer::Lease { mine: false, lease: lease.as_ref().map(granted) })
    }
}

fn granted(lease: &LeaseInfo) -> Granted {
    Granted { holder: lease.holder.to_string(), fence: lease.fence.get() }
}
