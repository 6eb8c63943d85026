//! Copies that follow one which may have been executed: their mark, and how long they are sent.

use std::thread;
use std::time::{Duration, Instant};

use redis_link::{Link, Script, args};
use store_core::{Clock, Durability, ManualClock, Op, Timestamp};
use testkit::{FaultProxy, RedisServer, mentions};
use tokio::task::JoinSet;

use crate::shifting::Shifting;
use crate::{RECOGNISED, config, eventually, is_indeterminate, server};

/// Appends to a list whether it runs as a repetition, and the time.
static MARK: Script = Script::adds(
    "test/mark",
    &["call('RPUSH', KEYS[1], (is_repeat and 'repetition ' or 'first ') .. decimal(now))\nreturn {'marked'}"],
);

/// Counts once: a repetition finds what the first call remembered. KEYS: counter, memory. ARGV[2]: the memory's PX.
static ONCE: Script = Script::adds(
    "test/once",
    &["if is_repeat and call('EXISTS', KEYS[2]) == 1 then return {'remembered'} end
call('INCR', KEYS[1])
call('SET', KEYS[2], '', 'PX', ARGV[2])
return {'counted'}"],
);

async fn behind_proxy(timeout: Duration, retries: u32) -> (RedisServer, FaultProxy, Link) {
    let server = server().await;
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let config = config(&server.url_through(&proxy, None)).with_command_timeout(timeout).with_max_retries(retries);
    let link = Link::connect(config).await.unwrap();
    link.call(RECOGNISED, &MARK, &["warm"], args![]).await.unwrap();
    link.call(RECOGNISED, &ONCE, &["warm1", "warm2"], args![1000]).await.unwrap();
    (server, proxy, link)
}

async fn list(server: &RedisServer, key: &str) -> Vec<String> {
    let value = server.command(&["LRANGE", key, "0", "-1"]).await.unwrap();
    value.as_array().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

/// Whether each run was marked.
async fn marks(server: &RedisServer, key: &str) -> Vec<String> {
    let word = |line: String| line.split(' ').next().unwrap().to_owned();
    list(server, key).await.into_iter().map(word).collect()
}

#[tokio::test]
async fn a_copy_after_a_lost_reply_is_marked_as_a_repetition() {
    let (server, proxy, link) = behind_proxy(Duration::from_millis(500), 3).await;
    link.call(RECOGNISED, &MARK, &["plain"], args![]).await.unwrap();
    assert_eq!(marks(&server, "plain").await, ["first"]);
    proxy.cut_after_request(mentions("lost"));
    link.call(RECOGNISED, &MARK, &["lost"], args![]).await.unwrap();
    assert_eq!(marks(&server, "lost").await, ["first", "repetition"]);

    let clock = ManualClock::new(Timestamp::from_millis(1_800_000_000_000));
    let timed = link.clone().with_clock(Clock::Manual(clock));
    proxy.cut_after_request(mentions("timed"));
    timed.call(RECOGNISED, &MARK, &["timed"], args![]).await.unwrap();
    assert_eq!(list(&server, "timed").await, ["first 1800000000000", "repetition 1800000000000"]);
}

#[tokio::test]
async fn a_durable_copy_after_a_lost_reply_is_marked_too() {
    let (server, proxy, link) = behind_proxy(Duration::from_millis(500), 3).await;
    let durability = Durability::Replicated { replicas: 1, within: Duration::from_millis(10) };
    proxy.cut_after_request(mentions("lost"));
    let refused = link.call_durable(RECOGNISED, &MARK, &["lost"], args![], durability).await.unwrap_err();
    assert!(matches!(refused, store_core::Error::NotDurable { .. }), "{refused:?}");
    assert_eq!(marks(&server, "lost").await, ["first", "repetition"]);
}

/// A refusal proves that the copy was not executed.
#[tokio::test]
async fn a_copy_after_a_refused_one_is_not_marked() {
    let server = server().await;
    let shifting = Shifting::start(server.address(), 0).await;
    let link = Link::connect(config(&shifting.url()).with_pool_size(1)).await.unwrap();
    link.call(RECOGNISED, &MARK, &["unloaded"], args![]).await.unwrap();
    shifting.shift(60_000_000);
    link.call(RECOGNISED, &MARK, &["late"], args![]).await.unwrap();
    assert_eq!(shifting.refusals(), 1);
    assert_eq!(marks(&server, "unloaded").await, ["first"]);
    assert_eq!(marks(&server, "late").await, ["first"]);
}

#[tokio::test]
async fn the_caller_can_mark_a_call_from_its_first_copy_on() {
    let (server, _proxy, link) = behind_proxy(Duration::from_secs(10), 0).await;
    link.call_again(Op::QueueClaim, &MARK, &["again"], args![]).await.unwrap();
    assert_eq!(marks(&server, "again").await, ["repetition"]);
    server.command(&["SCRIPT", "FLUSH"]).await.unwrap();
    link.call_again(Op::QueueClaim, &MARK, &["flushed"], args![]).await.unwrap();
    assert_eq!(marks(&server, "flushed").await, ["repetition"]);
}

/// The server stands still over the time-outs of all copies but the last, and runs what has queued up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_count_once_although_the_server_stands_still_over_their_time_outs() {
    let timeout = Duration::from_millis(300);
    let (server, _proxy, link) = behind_proxy(timeout, 10).await;
    let px = i64::try_from(link.remembered_for(Durability::Accepted).as_millis()).unwrap();
    for round in 0..3_u32 {
        let mut calls = JoinSet::new();
        server.pause().unwrap();
        let paused = Instant::now();
        for number in 0..40 {
            let link = link.clone();
            calls.spawn(async move {
                let (counter, memory) = (format!("n:{round}:{number}"), format!("m:{round}:{number}"));
                let result = link.call(RECOGNISED, &ONCE, &[&counter, &memory], args![px]).await;
                (counter, result)
            });
        }
        // A little earlier and later than a deadline, so that copies are run, refused and cut.
        let over = timeout + Duration::from_millis(u64::from(round) * 150) - Duration::from_millis(40);
        eventually("the time-out is near or over", async || paused.elapsed() >= over).await;
        server.resume().unwrap();
        while let Some(called) = calls.join_next().await {
            let (counter, result) = called.unwrap();
            let count = crate::number(&server, &counter).await;
            match &result {
                Ok(_) => assert_eq!(count, 1, "{counter}"),
                Err(error) => assert!(is_indeterminate(&result) && count <= 1, "{counter}: {count}, {error:?}"),
            }
        }
    }
}

/// The process is suspended after its first copy was executed and its reply was lost, until the server has forgotten the
/// call. A further copy would count again.
#[tokio::test]
async fn a_process_that_was_suspended_sends_no_copy_that_the_server_would_not_recognise() {
    let (server, proxy, link) = behind_proxy(Duration::from_millis(200), 3).await;
    let px = i64::try_from(link.remembered_for(Durability::Accepted).as_millis()).unwrap();
    proxy.cut_after_request(mentions("counter"));
    let suspended = async {
        proxy.wait_fired(1).await;
        // Blocks the one thread of this runtime.
        thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                let is_forgotten = async || {
                    crate::number(&server, "counter").await == 1
                        && server.command(&["EXISTS", "memory"]).await.unwrap().as_integer() == Some(0)
                };
                runtime.block_on(eventually("the server has forgotten the call", is_forgotten));
            });
        });
    };
    let call = link.call(RECOGNISED, &ONCE, &["counter", "memory"], args![px]);
    let (result, ()) = tokio::join!(call, suspended);
    assert!(is_indeterminate(&result), "{result:?}");
    assert_eq!(crate::number(&server, "counter").await, 1);
    link.call(RECOGNISED, &ONCE, &["other", "memory"], args![px]).await.unwrap();
}

/// The copy was never executed; the caller that repeats it later must be sure that it never will be.
#[tokio::test]
async fn a_claim_whose_reply_is_lost_is_not_repeated_and_returns_when_its_copy_can_not_run_any_more() {
    let timeout = Duration::from_millis(600);
    let (server, proxy, link) = behind_proxy(timeout, 3).await;
    proxy.cut_after_request(mentions("claimed"));
    let started = Instant::now();
    let result = link.call(Op::QueueClaim, &MARK, &["claimed"], args![]).await;
    assert!(is_indeterminate(&result) && started.elapsed() >= timeout, "{result:?} after {:?}", started.elapsed());
    assert_eq!(marks(&server, "claimed").await, ["first"]);
    link.call_again(Op::QueueClaim, &MARK, &["claimed"], args![]).await.unwrap();
    assert_eq!(marks(&server, "claimed").await, ["first", "repetition"]);
}
