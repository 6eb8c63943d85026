//! Idempotent requests.

use std::sync::Arc;
use std::time::Duration;

use twinstore::Bytes;
use twinstore::idempotency::{Begun, Fingerprint, Idempotency, IdempotentRequest};
use twinstore::name::{Key, RequestId};
use twinstore::time::Ttl;

use super::Actor;

/// How many keys are in use at a time, and after how many requests of one actor the next keys are used.
const KEYS: u64 = 5;
const REQUESTS_PER_KEY: u64 = 8;

/// Begins requests that other actors begin, too; finishes, abandons, or forgets them.
pub(crate) async fn request(mut actor: Actor, store: &'static str) {
    let idempotency: Arc<dyn Idempotency> = match store {
        "state" => actor.client.idempotency.clone(),
        _ => actor.client.cache_idempotency.clone(),
    };
    let mut count = 0;
    while actor.pause(Duration::from_millis(150)).await {
        count += 1;
        let number = count / REQUESTS_PER_KEY * KEYS + actor.random.u64(0..KEYS);
        let content = if actor.chance(3) { "another" } else { "content" };
        let key = Key::new(format!("request-{number}")).expect("a valid key");
        let attempt = RequestId::from_bytes(actor.random.u128(..).to_be_bytes());
        let request = IdempotentRequest::new(key, Fingerprint::of(content.as_bytes())).with_request(attempt);
        let lasting = Ttl::new(actor.lasting(300..2000)).expect("a valid time");
        let mut begun = idempotency.begin(&request, lasting).await;
        if begun.is_err() && actor.chance(50) {
            begun = idempotency.begin(&request, lasting).await;
        }
        if matches!(begun, Ok(Begun::Started)) {
            carry_out(&mut actor, &*idempotency, &request).await;
        }
    }
}

async fn carry_out(actor: &mut Actor, idempotency: &dyn Idempotency, request: &IdempotentRequest) {
    let slow = actor.chance(15);
    actor.pause(Duration::from_millis(if slow { 1500 } else { 100 })).await;
    match actor.random.u32(0..100) {
        0..50 => {
            let response = Bytes::from(format!("response-{:016x}", actor.random.u64(..)));
            let keep = Ttl::new(actor.times.kept(&mut actor.random)).expect("a valid time");
            if idempotency.finish(request, &response, keep).await.is_err() && actor.chance(50) {
                drop(idempotency.finish(request, &response, keep).await);
            }
        }
        50..80 => drop(idempotency.abandon(request).await),
        // as if the process had died
        _ => {}
    }
}
