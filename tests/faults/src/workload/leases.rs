//! Holders of leases.

use std::time::Duration;

use twinstore::lease::{AcquireRequest, Acquired, Lease, LeaseName};
use twinstore::name::HolderName;

use super::Actor;
use crate::history::{Answer, Call};

/// Acquires leases, writes under their fences, renews, releases, and lets them run out.
pub(crate) async fn hold(mut actor: Actor) {
    let holder = HolderName::new(actor.client.recorder.name()).expect("a valid name");
    while actor.pause(Duration::from_millis(120)).await {
        let name = LeaseName::new(format!("lease-{}", actor.random.u32(0..3))).expect("a valid name");
        if actor.chance(15) {
            drop(actor.client.leases.inspect(&name).await);
            continue;
        }
        let request = AcquireRequest::new(name, holder.clone(), actor.lasting(200..2000));
        let mut acquired = actor.client.leases.acquire(&request, actor.client.durability).await;
        if acquired.is_err() && actor.chance(50) {
            // the same request again: the lease may be held by its first copy
            acquired = actor.client.leases.acquire(&request, actor.client.durability).await;
        }
        if let Ok(Acquired::Yes(lease)) = acquired.map(|receipt| receipt.value) {
            keep(&mut actor, &lease).await;
        }
    }
}

async fn keep(actor: &mut Actor, lease: &Lease) {
    for _ in 0..actor.random.u32(0..6) {
        write(actor, lease);
        if !actor.pause(Duration::from_millis(150)).await {
            break;
        }
        if actor.chance(60) {
            let lasting = actor.lasting(200..2000);
            if actor.client.leases.renew(lease, lasting).await.is_ok_and(|until| until.is_none()) {
                return;
            }
        }
    }
    write(actor, lease);
    if actor.chance(70) {
        drop(actor.client.leases.release(lease).await);
    }
}

fn write(actor: &Actor, lease: &Lease) {
    let call = Call::Write { name: lease.name.to_string(), fence: lease.fence.get() };
    let invocation = actor.client.recorder.invoke(call);
    invocation.answered(Answer::One(actor.shared.write(lease.name.as_str(), lease.fence.get())));
}
