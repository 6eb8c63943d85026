//! Deadlines of copies: clocks that disagree, a server that is replaced behind a connection, copies that arrive late.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use redis_link::{Link, LinkConfig, Script, args};
use store_core::{Durability, Error};
use testkit::{FaultProxy, RedisServer, mentions};

use crate::shifting::Shifting;
use crate::{COUNTS, RECOGNISED, config, eventually, is_indeterminate, is_unavailable, number, server};

static ADD: Script = Script::adds("test/add", &["return {'counted', call('INCRBY', KEYS[1], ARGV[2])}"]);

const FIVE_SECONDS: i64 = 5_000_000;

/// A server behind a proxy that makes its clock appear shifted, and a link with one connection to it.
async fn shifted(by: i64) -> (RedisServer, Shifting, Link) {
    let server = server().await;
    let shifting = Shifting::start(server.address(), by).await;
    let config = LinkConfig::new(crate::url(&shifting.url()), "tests:link").with_pool_size(1).with_max_retries(0);
    let link = Link::connect(config.with_command_timeout(Duration::from_secs(3))).await.unwrap();
    // The script is loaded.
    link.call(COUNTS, &ADD, &["warm"], args![1]).await.unwrap();
    (server, shifting, link)
}

#[tokio::test]
async fn a_clock_that_is_ahead_or_behind_refuses_nothing() {
    for by in [FIVE_SECONDS, -FIVE_SECONDS] {
        let (server, shifting, link) = shifted(by).await;
        shifting.refusals();
        for _ in 0..10 {
            link.call(COUNTS, &ADD, &["counter"], args![1]).await.unwrap();
        }
        assert_eq!(shifting.refusals(), 0);
        assert_eq!(number(&server, "counter").await, 10);
    }
}

/// Another server answers behind the same address and connection, or the clock is set. The link allows no retries and
/// the operation is a counter; it is still sent twice, because the first copy was not executed.
#[tokio::test]
async fn a_step_of_the_clock_costs_one_refusal() {
    let (server, shifting, link) = shifted(0).await;
    for (by, expected) in [(FIVE_SECONDS, 1), (2 * FIVE_SECONDS, 1), (-FIVE_SECONDS, 0), (4 * FIVE_SECONDS, 1)] {
        shifting.shift(by);
        link.call(COUNTS, &ADD, &["counter"], args![1]).await.unwrap();
        assert_eq!(shifting.refusals(), expected, "shifted by {by} µs");
        link.call(COUNTS, &ADD, &["counter"], args![1]).await.unwrap();
        assert_eq!(shifting.refusals(), 0);
    }
    assert_eq!(number(&server, "counter").await, 8);
}

#[tokio::test]
async fn a_new_connection_measures_the_clock_again() {
    let (_server, shifting, link) = shifted(0).await;
    shifting.refusals();
    for by in [FIVE_SECONDS, -FIVE_SECONDS, 0] {
        shifting.shift(by);
        shifting.cut();
        eventually("the link is back", async || link.ping().await.is_ok()).await;
        link.call(COUNTS, &ADD, &["counter"], args![1]).await.unwrap();
        assert_eq!(shifting.refusals(), 0, "shifted by {by} µs");
    }
}

/// Each connection measured the clock before it stepped. The repetition uses the connection whose refusal reported the
/// time.
#[tokio::test]
async fn a_step_of_the_clock_costs_each_connection_one_refusal_and_no_call_its_answer() {
    let server = server().await;
    let shifting = Shifting::start(server.address(), 0).await;
    let config = LinkConfig::new(crate::url(&shifting.url()), "tests:link").with_pool_size(4).with_max_retries(0);
    let link = Link::connect(config.with_command_timeout(Duration::from_secs(3))).await.unwrap();
    link.call(COUNTS, &ADD, &["warm"], args![1]).await.unwrap();
    shifting.shift(FIVE_SECONDS);
    for count in 1..=8 {
        let answer = link.call(COUNTS, &ADD, &["counter"], args![1]).await;
        assert!(answer.is_ok(), "call {count}: {answer:?}");
    }
    assert_eq!((number(&server, "counter").await, shifting.refusals()), (8, 4));
}

/// Calls that wait for replicas have connections of their own; concurrent calls use several.
#[tokio::test]
async fn a_step_of_the_clock_refuses_no_durable_call() {
    let (server, shifting, link) = shifted(0).await;
    let durability = Durability::Replicated { replicas: 1, within: Duration::from_millis(100) };
    let add = async || link.call_durable(RECOGNISED, &ADD, &["counter"], args![1], durability).await;
    let at_once = async || <[_; 3]>::from(tokio::join!(add(), add(), add()));
    for by in [0, FIVE_SECONDS] {
        shifting.shift(by);
        for answer in Box::pin(at_once()).await {
            assert!(matches!(answer, Err(Error::NotDurable { .. })), "shifted by {by} µs: {answer:?}");
        }
    }
    assert_eq!(number(&server, "counter").await, 6);
}

/// A clock that steps at each call: the second refusal is returned, and nothing was executed.
#[tokio::test]
async fn a_second_refusal_is_the_answer() {
    let (server, shifting, link) = shifted(0).await;
    shifting.shift_at_each_call(FIVE_SECONDS);
    let result = link.call(RECOGNISED, &ADD, &["counter"], args![1]).await;
    assert!(is_unavailable(&result), "{result:?}");
    assert_eq!(number(&server, "counter").await, 0);
}

/// A server that does not report its time: the first refusal does.
#[tokio::test]
async fn a_server_that_hides_its_time_refuses_one_call() {
    let (server, shifting, link) = shifted(0).await;
    shifting.hide_time();
    shifting.cut();
    eventually("the link is back", async || link.ping().await.is_ok()).await;
    for expected in [1, 0, 0] {
        link.call(COUNTS, &ADD, &["counter"], args![1]).await.unwrap();
        assert_eq!(shifting.refusals(), expected);
    }
    assert_eq!(number(&server, "counter").await, 3);
}

/// A link, and the first copy of a call that names `key`, which the proxy keeps. It reaches the server only when the
/// test sends it.
async fn cut_off(key: &'static str, timeout: Duration) -> (RedisServer, FaultProxy, Link, Arc<Mutex<Vec<u8>>>) {
    let server = server().await;
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let config = config(&server.url_through(&proxy, None)).with_command_timeout(timeout);
    let link = Link::connect(config).await.unwrap();
    link.call(COUNTS, &ADD, &["warm"], args![1]).await.unwrap();
    let copy = Arc::new(Mutex::new(Vec::new()));
    let (seen, is_wanted) = (Arc::clone(&copy), mentions(key));
    proxy.cut_before_request(move |request| {
        let is_it = is_wanted(request);
        if is_it {
            *seen.lock().unwrap() = request.to_vec();
        }
        is_it
    });
    (server, proxy, link, copy)
}

/// Sends the copy to the server. Returns the first word of the answer.
async fn deliver(server: &RedisServer, copy: &Mutex<Vec<u8>>) -> String {
    let copy = copy.lock().unwrap().clone();
    let number = |from: usize| {
        let end = from + copy[from..].iter().position(|byte| *byte == b'\r').expect("a copy was cut off");
        (std::str::from_utf8(&copy[from + 1..end]).unwrap().parse::<usize>().unwrap(), end + 2)
    };
    let (count, mut at) = number(0);
    let mut arguments = Vec::with_capacity(count);
    for _ in 0..count {
        let (length, begin) = number(at);
        arguments.push(copy[begin..begin + length].to_vec());
        at = begin + length + 2;
    }
    let answer = server.connect().await.unwrap().command(&arguments).await.unwrap();
    answer.as_array().unwrap()[0].as_str().unwrap().to_owned()
}

/// The connection is cut immediately, and the copy on it reaches the server much later. The repetition is sent after
/// the deadline of the copy, so the copy is refused once the repetition is answered.
#[tokio::test]
async fn a_repetition_waits_for_the_deadline_of_a_lost_copy() {
    let (server, _proxy, link, copy) = cut_off("counter", Duration::from_millis(800)).await;
    let started = std::time::Instant::now();
    let answer = link.call(RECOGNISED, &ADD, &["counter"], args![1]).await.unwrap();
    assert!(answer.attempts > 1 && started.elapsed() >= Duration::from_millis(800), "{answer:?}");
    let late = deliver(&server, &copy).await;
    assert_eq!(late, "late");
    assert_eq!(number(&server, "counter").await, 1);
}

/// Also if no repetition is allowed: after an idempotent call returned `Indeterminate`, none of its copies runs.
#[tokio::test]
async fn indeterminate_is_returned_when_no_copy_can_run_any_more() {
    let (server, _proxy, link, copy) = cut_off("counter", Duration::from_millis(800)).await;
    let result = link.call(COUNTS, &ADD, &["counter"], args![1]).await;
    assert!(is_indeterminate(&result), "{result:?}");
    assert_eq!(deliver(&server, &copy).await, "counted", "a counter does not wait");

    let server = crate::server().await;
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let config = config(&server.url_through(&proxy, None)).with_max_retries(0);
    let link = Link::connect(config.with_command_timeout(Duration::from_millis(800))).await.unwrap();
    link.call(COUNTS, &ADD, &["warm"], args![1]).await.unwrap();
    proxy.cut_before_request(mentions("counter"));
    let started = std::time::Instant::now();
    let result = link.call(RECOGNISED, &ADD, &["counter"], args![1]).await;
    assert!(is_indeterminate(&result) && started.elapsed() >= Duration::from_millis(800), "{result:?}");
}
