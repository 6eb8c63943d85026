//! Operations and their opposites on one object, one directly after the other: a late copy of the first would undo the second.

use std::time::Duration;

use twinstore::heartbeat::{Beat, PoolName};
use twinstore::idempotency::{Fingerprint, IdempotentRequest};
use twinstore::lease::{AcquireRequest, Acquired, LeaseName};
use twinstore::name::{HolderName, Key, RequestId};
use twinstore::page::PageRequest;
use twinstore::time::Ttl;

use super::Actor;

/// How long an effect would last that is undone immediately.
const LONG: Duration = Duration::from_secs(5);

/// Takes and releases a lease, begins and abandons a request, beats and leaves, and checks the result each time.
pub(crate) async fn oppose(mut actor: Actor) {
    let name = actor.client.recorder.name().to_owned();
    let holder = HolderName::new(&name).expect("a valid name");
    while actor.pause(Duration::from_millis(60)).await {
        match actor.random.u32(0..4) {
            0 => release(&mut actor, &name, &holder).await,
            1 => shorten(&mut actor, &name, &holder).await,
            2 => abandon(&mut actor, &name).await,
            _ => leave(&mut actor, &name, holder.clone()).await,
        }
    }
}

async fn release(actor: &mut Actor, name: &str, holder: &HolderName) {
    let name = LeaseName::new(format!("released by {name}").replace(' ', "-")).expect("a valid name");
    let request = AcquireRequest::new(name.clone(), holder.clone(), LONG);
    let acquired = actor.client.leases.acquire(&request, actor.client.durability).await;
    if let Ok(Acquired::Yes(lease)) = acquired.map(|receipt| receipt.value) {
        drop(actor.client.leases.release(&lease).await);
    }
    look_at(actor, &name).await;
}

/// A short renewal and a long one: the lease lasts long.
async fn shorten(actor: &mut Actor, name: &str, holder: &HolderName) {
    let name = LeaseName::new(format!("renewed by {name}").replace(' ', "-")).expect("a valid name");
    let request = AcquireRequest::new(name.clone(), holder.clone(), LONG);
    let acquired = actor.client.leases.acquire(&request, actor.client.durability).await;
    let Ok(Acquired::Yes(lease)) = acquired.map(|receipt| receipt.value) else { return };
    for lasting in [Duration::from_millis(50), LONG] {
        drop(actor.client.leases.renew(&lease, lasting).await);
    }
    look_at(actor, &name).await;
    drop(actor.client.leases.release(&lease).await);
}

async fn look_at(actor: &mut Actor, name: &LeaseName) {
    for _ in 0..3 {
        drop(actor.client.leases.inspect(name).await);
        if !actor.pause(Duration::from_millis(200)).await {
            return;
        }
    }
}

async fn abandon(actor: &mut Actor, name: &str) {
    let key = Key::new(format!("abandoned by {name} {}", actor.random.u32(0..10))).expect("a valid key");
    let idempotency = actor.client.idempotency.clone();
    for _ in 0..3 {
        let attempt = RequestId::from_bytes(actor.random.u128(..).to_be_bytes());
        let request = IdempotentRequest::new(key.clone(), Fingerprint::of(b"content")).with_request(attempt);
        drop(idempotency.begin(&request, Ttl::from_secs(5)).await);
        drop(idempotency.abandon(&request).await);
        if !actor.pause(Duration::from_millis(200)).await {
            return;
        }
    }
}

async fn leave(actor: &mut Actor, name: &str, holder: HolderName) {
    let pool = PoolName::new(format!("left by {name}").replace(' ', "-")).expect("a valid name");
    drop(actor.client.heartbeats.beat(&Beat::new(pool.clone(), holder.clone(), LONG)).await);
    drop(actor.client.heartbeats.leave(&pool, &holder).await);
    for _ in 0..3 {
        drop(actor.client.heartbeats.alive(&pool, PageRequest::first(100)).await);
        if !actor.pause(Duration::from_millis(200)).await {
            return;
        }
    }
}
