//! The operations of `Leases` and `Heartbeats`.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use store_core::{
    AcquireRequest, Beat, Durability, HolderName, Lease, LeaseName, Op, PageRequest, PoolName, StateRole, Timestamp,
};

use super::{Call, Prepare, calls_for, expect};
use crate::Result;
use crate::environment::Stores;

const LASTING: Duration = Duration::from_secs(60);
/// Members of the pool that is listed.
const MEMBERS: usize = 100;

pub(super) fn all() -> Vec<(Op, Arc<dyn Prepare>)> {
    let ops = [
        Op::LeaseAcquire,
        Op::LeaseRenew,
        Op::LeaseRelease,
        Op::LeaseInspect,
        Op::HeartbeatBeat,
        Op::HeartbeatLeave,
        Op::HeartbeatAlive,
        Op::HeartbeatLost,
    ];
    ops.map(|op| (op, Arc::new(Calls(op)) as Arc<dyn Prepare>)).into()
}

struct Calls(Op);

#[async_trait]
impl Prepare for Calls {
    async fn calls(&self, stores: &Stores, numbers: Range<usize>) -> Result<Vec<Call>> {
        match self.0 {
            Op::LeaseAcquire => acquiring(&stores.state, numbers),
            Op::LeaseRenew | Op::LeaseRelease | Op::LeaseInspect => holding(self.0, &stores.state, numbers).await,
            op => beating(op, &stores.state, numbers).await,
        }
    }
}

fn request(number: usize) -> Result<AcquireRequest> {
    let name = LeaseName::new(format!("each-{number}"))?;
    Ok(AcquireRequest::new(name, HolderName::new("bench")?, LASTING))
}

async fn acquire(state: &dyn StateRole, request: &AcquireRequest) -> Result<Lease> {
    let acquired = state.acquire(request, Durability::Accepted).await?.value;
    acquired.lease().ok_or_else(|| "a free lease was taken".into())
}

fn acquiring(state: &Arc<dyn StateRole>, numbers: Range<usize>) -> Result<Vec<Call>> {
    let requests = numbers.map(request).collect::<Result<Vec<_>>>()?;
    Ok(calls_for(state, requests, |state, request| async move { acquire(state.as_ref(), &request).await.map(drop) }))
}

async fn holding(op: Op, state: &Arc<dyn StateRole>, numbers: Range<usize>) -> Result<Vec<Call>> {
    let mut leases = Vec::with_capacity(numbers.len());
    for number in numbers {
        leases.push(acquire(state.as_ref(), &request(number)?).await?);
    }
    Ok(calls_for(state, leases, move |state, lease| async move {
        let held = match op {
            Op::LeaseRenew => state.renew(&lease, LASTING).await?.is_some(),
            Op::LeaseRelease => state.release(&lease).await?,
            _ => state.inspect(&lease.name).await?.is_some(),
        };
        expect(held, op)
    }))
}

async fn beating(op: Op, state: &Arc<dyn StateRole>, numbers: Range<usize>) -> Result<Vec<Call>> {
    let pool = PoolName::new("each")?;
    let member = |number: usize| HolderName::new(format!("member-{number}"));
    let there = match op {
        Op::HeartbeatBeat => 0,
        Op::HeartbeatLeave => numbers.len(),
        _ => MEMBERS.min(numbers.len()),
    };
    for number in numbers.clone().take(there) {
        state.beat(&Beat::new(pool.clone(), member(number)?, LASTING)).await?;
    }
    Ok(calls_for(state, numbers, move |state, number| {
        let pool = pool.clone();
        async move {
            let page = PageRequest::default();
            let holds = match op {
                // as in production, the same members send all heartbeats
                Op::HeartbeatBeat => {
                    let beat = Beat::new(pool, member(number % MEMBERS)?, LASTING);
                    state.beat(&beat).await.map(|()| true)?
                }
                Op::HeartbeatLeave => state.leave(&pool, &member(number)?).await?,
                Op::HeartbeatAlive => !state.alive(&pool, page).await?.items.is_empty(),
                _ => state.lost(&pool, Timestamp::default(), page).await?.items.is_empty(),
            };
            expect(holds, op)
        }
    }))
}
