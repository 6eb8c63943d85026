//! The allocations of a call on its way to the server and back. An additional copy of an argument fails this test.
//!
//! Everything runs in one thread, including the client library's tasks. A command was measured to allocate 14 times, a
//! script 21 times, with one argument or a hundred. An argument costs 285 bytes, and 680 with its way back in a buffer
//! that is shared with the reply; neither includes a copy of its 1,000 bytes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use redis_link::{Arg, Link, LinkConfig, Script, ServerUrl, args};
use store_core::Op;
use testkit::{Allocated, CountingAllocator, RedisServer};

#[global_allocator]
static COUNTING: CountingAllocator = CountingAllocator::new();

const CALLS: u64 = 500;
/// How many payloads one call has, and the size of each in bytes.
const ARGS: u64 = 100;
const PAYLOAD: u64 = 1000;

static COUNT: Script = Script::new("test/count", "#!lua\nreturn {'count', #ARGV}");
static ECHO: Script = Script::new(
    "test/echo",
    "#!lua\nlocal reply = {'echo'}\nfor at = 1, #ARGV do reply[at + 1] = ARGV[at] end\nreturn reply",
);

/// The average allocations of a call, after connections and buffers have been used.
async fn per_call(mut call: impl AsyncFnMut()) -> Allocated {
    for _ in 0..CALLS {
        call().await;
    }
    let before = COUNTING.counted();
    for _ in 0..CALLS {
        call().await;
    }
    let Allocated { times, bytes } = COUNTING.counted().since(before);
    Allocated { times: times.div_ceil(CALLS), bytes: bytes.div_ceil(CALLS) }
}

/// A single test: a concurrent one would be counted, too.
#[tokio::test(flavor = "current_thread")]
async fn calls_copy_nothing_twice() {
    let server = RedisServer::builder().start().await.unwrap();
    let url = ServerUrl::parse(&server.url(None)).unwrap();
    let link = Link::connect(LinkConfig::new(url, "tests:allocations").with_pool_size(1)).await.unwrap();

    let got = per_call(async || drop(link.command(Op::QueueGet, "GET", args![Arg::fixed("key")]).await.unwrap())).await;
    let called = per_call(async || drop(link.call(Op::QueueGet, &COUNT, &["key"], args![1]).await.unwrap())).await;

    // The additional cost of each of 100 arguments.
    let payload = Bytes::from(vec![b'x'; PAYLOAD as usize]);
    let many = || vec![Arg::Bytes(payload.clone()); ARGS as usize];
    let sent = per_call(async || drop(link.call(Op::QueueGet, &COUNT, &["key"], many()).await.unwrap())).await;
    let echoed = per_call(async || drop(link.call(Op::QueueGet, &ECHO, &["key"], many()).await.unwrap())).await;

    let seen = format!("GET {got:?}, a script {called:?}, with 100 payloads {sent:?}, and back {echoed:?}");
    assert!(got.times <= 16, "a command: {seen}");
    assert!(called.times <= 24, "a script: {seen}");
    assert!(sent.times <= called.times + 4, "nothing is allocated for each argument: {seen}");
    assert!(echoed.times <= sent.times + 20, "nothing is allocated for each value of a reply: {seen}");
    let (there, back) = ((sent.bytes - called.bytes) / ARGS, (echoed.bytes - sent.bytes) / ARGS);
    assert!(there < PAYLOAD / 2, "a payload is not copied on its way there: {there} bytes each, {seen}");
    assert!(back < PAYLOAD * 3 / 2, "a value is not copied on its way back: {back} bytes each, {seen}");
}
