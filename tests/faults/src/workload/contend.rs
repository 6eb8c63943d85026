//! Contenders for one resume token and the step that moves it on. A step carries out each position, then the token is saved.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use twinstore::lease::{AcquireRequest, Acquired, Fence, Lease, LeaseName};
use twinstore::name::{HolderName, RequestId};
use twinstore::resume_token::{SaveRequest, StreamName, TokenOutcome, TokenVersion};
use twinstore::step::{StepAttempt, StepBegun, StepName, WorkflowRun};
use twinstore::{Bytes, Stores};

use super::{Actor, Shared, Times, random_of};
use crate::history::Recorder;
use crate::recorded::Client;

/// A run has at most 1,000 steps.
const POSITIONS_PER_RUN: u64 = 500;

/// How long leases last, in milliseconds.
const LEASE_MS: std::ops::Range<u64> = 150..700;

/// Longer than any lease.
const TOO_LONG: Duration = Duration::from_millis(800);

/// The lease of the consumer.
pub(crate) fn lease() -> LeaseName {
    LeaseName::new("contended").expect("a valid name")
}

/// The stream.
pub(crate) fn stream() -> StreamName {
    StreamName::new("contended").expect("a valid name")
}

/// Starts so many contenders, each of which tries to get the lease about every `pace`. They end when `stop` is true.
pub(crate) fn start(
    seed: u64,
    stores: &Stores,
    recorder: &Recorder,
    group: &str,
    (count, pace): (u32, Duration),
    stop: &watch::Receiver<bool>,
) -> JoinSet<()> {
    let mut contenders = JoinSet::new();
    for number in 0..count {
        let recorder = recorder.actor(format!("{group}/contender-{number}"));
        let random = random_of(seed, recorder.name());
        let (shared, times) = (std::sync::Arc::new(Shared::default()), Times { is_soak: false });
        let actor = Actor { client: Client::new(stores, recorder), random, shared, times, stop: stop.clone() };
        contenders.spawn(contend(actor, pace));
    }
    contenders
}

/// Acquires the lease again and again, and consumes the stream under its fence.
async fn contend(mut actor: Actor, pace: Duration) {
    let holder = HolderName::new(actor.client.recorder.name()).expect("a valid name");
    while actor.pause(pace).await {
        if actor.chance(5) {
            drop(actor.client.tokens.load(&stream()).await);
        }
        let request = AcquireRequest::new(lease(), holder.clone(), actor.lasting(LEASE_MS));
        let acquired = actor.client.leases.acquire(&request, actor.client.durability).await;
        if let Ok(Acquired::Yes(lease)) = acquired.map(|receipt| receipt.value) {
            consume(&mut actor, &lease).await;
            if actor.chance(60) {
                drop(actor.client.leases.release(&lease).await);
            }
        }
    }
}

/// Moves the position on, until something shows that the lease is lost. Half of the time it ignores that, as a process does that was
/// suspended between the check and the write.
async fn consume(actor: &mut Actor, lease: &Lease) {
    let fence = lease.fence;
    let Ok(TokenOutcome::Done(token)) = actor.client.tokens.take_over(&stream(), fence).await else { return };
    let mut position = token.as_ref().map_or(0, |token| position_of(&token.token));
    let mut version = token.map(|token| token.info.version);
    for _ in 0..actor.random.u32(1..40) {
        if !carry_out(actor, position + 1, fence).await && actor.chance(50) {
            return;
        }
        if actor.chance(2) {
            actor.pause(TOO_LONG).await;
        }
        let Some(saved) = save(actor, position + 1, fence, version).await else {
            return insist(actor, position, fence).await;
        };
        if actor.chance(5) {
            // a version that was replaced
            save(actor, position + 2, fence, version).await;
        }
        (position, version) = (position + 1, Some(saved));
        if actor.chance(40) {
            let lasting = actor.lasting(LEASE_MS);
            let renewed = actor.client.leases.renew(lease, lasting).await;
            if renewed.is_ok_and(|until| until.is_none()) && actor.chance(50) {
                return;
            }
        }
        if !actor.pause(Duration::from_millis(10)).await {
            return;
        }
    }
}

/// What a holder does whose save was refused: it saves in place of the present token, and begins a step that no later holder has
/// finished. If a later one has taken over, its fence alone shows that this is wrong.
async fn insist(actor: &mut Actor, position: u64, fence: Fence) {
    if actor.chance(70)
        && let Ok(Some(token)) = actor.client.tokens.load(&stream()).await
    {
        save(actor, position_of(&token.token) + 1, fence, Some(token.info.version)).await;
    }
    if actor.chance(50) {
        drop(actor.client.steps.begin(&attempt_at(position + 20, fence), actor.client.durability).await);
    }
}

/// Carries out the step of a position. Returns whether it has finished.
async fn carry_out(actor: &mut Actor, position: u64, fence: Fence) -> bool {
    let (steps, durability) = (actor.client.steps.clone(), actor.client.durability);
    let attempt = attempt_at(position, fence);
    match steps.begin(&attempt, durability).await.map(|receipt| receipt.value) {
        Ok(StepBegun::Started) => {}
        Ok(StepBegun::Finished(_)) => return true,
        // what follows is refused, if the answer was right
        _ if actor.chance(50) => return false,
        _ => {}
    }
    match actor.random.u32(0..100) {
        0..2 => drop(actor.pause(TOO_LONG).await),
        2..10 => drop(actor.pause(Duration::from_millis(30)).await),
        10..15 => {
            drop(steps.fail(&attempt, "failed on purpose", durability).await);
            drop(steps.begin(&attempt, durability).await);
        }
        _ => {}
    }
    let output = Bytes::from(format!("output-{:016x}", actor.random.u64(..)));
    let mut finished = steps.finish(&attempt, &output, durability).await;
    if finished.is_err() && actor.chance(50) {
        finished = steps.finish(&attempt, &output, durability).await;
    }
    finished.is_ok_and(|receipt| receipt.value)
}

fn attempt_at(position: u64, fence: Fence) -> StepAttempt {
    let run = WorkflowRun::named(format!("run {}", position / POSITIONS_PER_RUN)).expect("a valid name");
    StepAttempt::new(run, StepName::new(position.to_string()).expect("a valid name"), fence)
}

/// Saves a token in place of a version. Returns its version.
async fn save(actor: &mut Actor, position: u64, fence: Fence, expected: Option<TokenVersion>) -> Option<TokenVersion> {
    let (tokens, durability) = (actor.client.tokens.clone(), actor.client.durability);
    // no two saves are of the same token
    let token = format!("{position} {:016x}", actor.random.u64(..));
    let request = RequestId::from_bytes(actor.random.u128(..).to_be_bytes());
    let request = SaveRequest::new(stream(), token, fence, expected).with_request(request);
    let mut saved = tokens.save(&request, durability).await;
    if saved.is_err() && actor.chance(50) {
        saved = tokens.save(&request, durability).await;
    }
    Some(saved.ok()?.value.done()?.version)
}

fn position_of(token: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(token);
    text.split(' ').next().and_then(|position| position.parse().ok()).expect("a token begins with its position")
}
