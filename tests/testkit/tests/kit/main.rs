//! The kit is held to what it promises: a test that passes because its fault did not happen proves nothing.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cluster;
mod faults;
mod kvrocks;
mod program;
mod proxy;
mod script_proxy;
mod sentinels;
mod server;

use std::time::{Duration, Instant};

use testkit::RedisServer;

/// What a topology needs at most beyond its servers until it is ready: a few rounds of messages between them. With the servers, 0.5 to 1.5 s
/// were measured, while two times three plain servers took 0.3 to 1.3 s.
const TO_AGREE: Duration = Duration::from_millis(1200);

/// Checks that a topology of six servers was ready in about a second, beyond what the machine needs to start servers: plain ones that
/// are started meanwhile show how slow the machine is.
async fn assert_ready_in_time(what: &str, took: Duration) {
    let began = Instant::now();
    for _ in 0..2 {
        let start = async || RedisServer::state().start().await.unwrap();
        let _servers = tokio::join!(start(), start(), start());
    }
    let floor = began.elapsed();
    assert!(took < TO_AGREE + 2 * floor, "{what}: ready after {took:?}, six plain servers after {floor:?}");
}
