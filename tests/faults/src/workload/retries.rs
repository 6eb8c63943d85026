//! Attempts at operations.

use std::time::Duration;

use twinstore::name::{Key, RequestId};
use twinstore::queue::{Backoff, RetryPolicy};
use twinstore::retry::{RetryAttempt, RetryBegun, RetryDecision, RetryRequest};
use twinstore::time::Ttl;

use super::Actor;

/// How many attempts an operation may have.
const MOST: u16 = 3;

/// Begins attempts that other actors begin, too; lets them succeed, fail, and take too long; clears exhausted operations.
pub(crate) async fn try_again(mut actor: Actor) {
    let retries = actor.client.retries.clone();
    while actor.pause(Duration::from_millis(120)).await {
        let operation = Key::new(format!("operation-{}", actor.random.u32(0..3))).expect("a valid key");
        let policy = RetryPolicy::new(MOST, Backoff::Fixed(actor.millis(1..200)));
        let request = RequestId::from_bytes(actor.random.u128(..).to_be_bytes());
        let request = RetryRequest::new(operation, policy).with_lasting(actor.lasting(200..1000)).with_request(request);
        let request = request.with_ttl(Ttl::new(actor.times.kept(&mut actor.random)).expect("a valid time"));
        let mut begun = retries.begin(&request, actor.client.durability).await;
        if begun.is_err() && actor.chance(50) {
            // the same request again: its first copy may have begun the attempt
            begun = retries.begin(&request, actor.client.durability).await;
        }
        match begun.map(|receipt| receipt.value) {
            Ok(RetryBegun::Started(attempt)) => carry_out(&mut actor, &attempt).await,
            Ok(RetryBegun::Exhausted { .. }) if actor.chance(30) => drop(retries.clear(&request.operation).await),
            _ => {}
        }
    }
}

async fn carry_out(actor: &mut Actor, attempt: &RetryAttempt) {
    let (retries, durability) = (actor.client.retries.clone(), actor.client.durability);
    let is_slow = actor.chance(15);
    actor.pause(Duration::from_millis(if is_slow { 1100 } else { 80 })).await;
    let decision = match actor.random.u32(0..100) {
        0..30 => {
            if retries.succeed(attempt, durability).await.is_err() && actor.chance(50) {
                drop(retries.succeed(attempt, durability).await);
            }
            return;
        }
        30..70 => RetryDecision::Retry,
        70..80 => RetryDecision::Fail,
        80..90 => RetryDecision::Snooze(actor.millis(1..200)),
        // as if the process had died
        _ => return,
    };
    if retries.fail(attempt, "failed on purpose", decision, durability).await.is_err() && actor.chance(50) {
        drop(retries.fail(attempt, "failed on purpose", decision, durability).await);
    }
}
