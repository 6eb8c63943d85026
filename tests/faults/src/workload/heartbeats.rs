//! Members of a pool, and an observer.

use std::time::Duration;

use twinstore::heartbeat::{Beat, PoolName};
use twinstore::name::HolderName;
use twinstore::page::PageRequest;

use super::Actor;

fn pool() -> PoolName {
    PoolName::new("members").expect("a valid name")
}

/// Beats, lets beats run out, leaves and comes back.
pub(crate) async fn beat(mut actor: Actor) {
    let member = HolderName::new(actor.client.recorder.name()).expect("a valid name");
    while actor.pause(Duration::from_millis(300)).await {
        if actor.chance(85) {
            let lasting = actor.lasting(200..1500);
            drop(actor.client.heartbeats.beat(&Beat::new(pool(), member.clone(), lasting)).await);
        } else {
            drop(actor.client.heartbeats.leave(&pool(), &member).await);
        }
    }
}

/// Lists who is alive.
pub(crate) async fn watch(mut actor: Actor) {
    while actor.pause(Duration::from_millis(100)).await {
        drop(actor.client.heartbeats.alive(&pool(), PageRequest::first(100)).await);
    }
}
