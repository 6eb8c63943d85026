//! What the state store keeps while its server is killed and started again.

use std::sync::Arc;
use std::time::Duration;

use conformance::{Engine, Options, RedisEngine};
use store_core::{
    AcquireRequest, Acquired, Clock, Durability, Fence, HolderName, LeaseName, ManualClock, StateRole, Timestamp,
};
use testkit::{RedisServer, wait_until};

const LASTING: Duration = Duration::from_secs(10);

/// A lease whose holder's term has ended. The call fails while connections to the killed process are left.
async fn taken(state: &Arc<dyn StateRole>, name: &LeaseName) -> Fence {
    let request = AcquireRequest::new(name.clone(), HolderName::new("holder").unwrap(), LASTING);
    let mut fence = None;
    wait_until("the lease is acquired", testkit::DEADLINE, async || {
        let acquired = state.acquire(&request, Durability::Accepted).await.map(|receipt| receipt.value);
        fence = acquired.ok().and_then(Acquired::lease).map(|lease| lease.fence);
        fence.is_some()
    })
    .await;
    fence.unwrap()
}

/// The clock stands still across the first restart, so the second token is ahead of it and comes from what the server has kept.
#[tokio::test(flavor = "multi_thread")]
async fn the_tokens_of_leases_rise_across_a_restart_of_the_server() {
    let cache = RedisServer::cache().start().await.unwrap();
    let server = RedisServer::state().config("appendfsync", "always").start().await.unwrap();
    let engine = RedisEngine::connect("restart", &cache.url(None), &server.url(None)).await.unwrap();
    let clock = ManualClock::new(Timestamp::from_millis(1_800_000_000_000));
    let options = Options { clock: Clock::Manual(clock.clone()), ..Options::default() };
    let state = engine.open("restart", &options).await.unwrap().state;
    let name = LeaseName::new("leader").unwrap();
    let mut last = Fence::new(0);
    for (advance, is_released) in [(Duration::ZERO, true), (Duration::ZERO, false), (LASTING, false)] {
        clock.advance(advance);
        let fence = taken(&state, &name).await;
        assert!(fence > last, "{fence} after {last}");
        last = fence;
        if is_released {
            let held = state.inspect(&name).await.unwrap().unwrap();
            let held = store_core::Lease::new(held.name, held.holder, held.fence, held.until);
            assert!(state.release(&held).await.unwrap());
        }
        server.kill().await;
        server.start_again().await.unwrap();
    }
}
