//! Memory pressure: what a link reports, and which calls it refuses.

use std::time::Duration;

use redis_link::{Link, Script, args};
use store_core::{Error, ErrorKind, Op, Pressure};
use testkit::RedisServer;

use crate::{READS, config, eventually, server};

static ADDS: Script = Script::adds("test/adds", &["call('SET', KEYS[1], '1')\nreturn {'set'}"]);
static FREES: Script =
    Script::frees("test/frees", &["call('DEL', KEYS[1])\ncall('SET', KEYS[1], '1')\nreturn {'set'}"]);
static LOOKS: Script = Script::reads("test/looks", &["return {'is', call('EXISTS', KEYS[1])}"]);

const LIMIT: u64 = 32 << 20;
/// A limit below the memory use of an empty server.
const NOTHING: u64 = 1;

async fn watching(server: &RedisServer) -> Link {
    Link::connect(config(&server.url(None)).with_pressure_watch(Duration::from_millis(100))).await.unwrap()
}

/// Values of 40 kB, until the server uses this many bytes.
const FILL: &str = "local value, used, n = string.rep('x', 40000), 0, 0
    repeat
      n = n + 1
      redis.call('SET', 'filling' .. n, value)
      used = tonumber(string.match(redis.call('INFO', 'memory'), 'used_memory:(%d+)'))
    until used >= tonumber(ARGV[1])";

/// Fills the server until it uses this share of its limit.
async fn fill(server: &RedisServer, percent: u64) {
    server.command(&["FLUSHALL", "SYNC"]).await.unwrap();
    server.command(&["EVAL", FILL, "0", &(LIMIT * percent / 100).to_string()]).await.unwrap();
}

async fn until(link: &Link, level: Pressure) {
    let mut pressure = link.pressure();
    let reached = pressure.wait_for(|reading| reading.level == level);
    tokio::time::timeout(testkit::DEADLINE, reached).await.expect("the level is reached").expect("the link is open");
}

async fn add(link: &Link) -> Result<(), Error> {
    link.call(Op::QueuePush, &ADDS, &["added"], args![]).await.map(drop)
}

async fn calls_of_scripts(server: &RedisServer) -> u64 {
    let stats = server.info("commandstats").await.unwrap();
    let calls = stats.get("cmdstat_evalsha").and_then(|line| line.strip_prefix("calls="));
    calls.and_then(|rest| rest.split(',').next()).map_or(0, |calls| calls.parse().unwrap())
}

#[tokio::test]
async fn calls_that_add_data_are_refused_while_the_memory_is_full() {
    let server = server().await;
    server.set_memory_limit(LIMIT).await.unwrap();
    let link = watching(&server).await;
    assert_eq!(link.pressure().borrow().level, Pressure::Normal, "known as soon as the link is open");
    let reading = link.pressure().borrow().clone();
    assert_eq!((reading.max_memory, reading.evicted_keys, reading.replicas), (Some(LIMIT), Some(0), Some(0)));
    add(&link).await.unwrap();

    fill(&server, 82).await;
    until(&link, Pressure::Warning).await;
    add(&link).await.unwrap();

    fill(&server, 87).await;
    until(&link, Pressure::Critical).await;
    let before = calls_of_scripts(&server).await;
    for _ in 0..10 {
        let Err(Error::Limit { retry_after: Some(wait), detail, .. }) = add(&link).await else { panic!("refused") };
        assert!(wait > Duration::from_millis(700) && wait < Duration::from_secs(40), "{wait:?}");
        assert!(detail.contains("% of the server's memory is used; from 85 % on"), "{detail}");
    }
    assert!(add(&link).await.unwrap_err().is_retryable());
    assert_eq!(calls_of_scripts(&server).await, before, "the server was not asked");
    link.call(Op::QueueSettle, &FREES, &["moved"], args![]).await.unwrap();
    link.call(READS, &LOOKS, &["moved"], args![]).await.unwrap();

    // Between the bounds the level stays, so that it does not flap.
    fill(&server, 83).await;
    let mut pressure = link.pressure();
    let is_lower = |reading: &store_core::PressureReading| reading.used_percent() < Some(85);
    let lower = tokio::time::timeout(testkit::DEADLINE, pressure.wait_for(is_lower)).await.unwrap().unwrap().level;
    assert_eq!(lower, Pressure::Critical);
    assert_eq!(add(&link).await.unwrap_err().kind(), ErrorKind::Limit);

    fill(&server, 50).await;
    until(&link, Pressure::Normal).await;
    add(&link).await.unwrap();
}

#[tokio::test]
async fn a_server_that_refuses_a_call_itself_is_asked_at_once_and_runs_what_frees_memory() {
    let server = server().await;
    server.set_memory_limit(LIMIT).await.unwrap();
    let hour = Duration::from_secs(3600);
    let link = Link::connect(config(&server.url(None)).with_pressure_watch(hour)).await.unwrap();
    let unwatched = Link::connect(config(&server.url(None))).await.unwrap();
    server.set_memory_limit(NOTHING).await.unwrap();
    let Err(Error::Limit { retry_after: Some(_), detail, .. }) = add(&link).await else { panic!("refused") };
    assert_eq!(detail, "the server's memory is full (maxmemory)");
    until(&link, Pressure::Critical).await;
    let Err(Error::Limit { detail, .. }) = add(&link).await else { panic!("refused") };
    assert!(detail.contains("85 %"), "{detail}");
    for link in [&link, &unwatched] {
        link.call(Op::QueueSettle, &FREES, &["moved"], args![]).await.expect("runs on a full server");
        link.call(READS, &LOOKS, &["moved"], args![]).await.unwrap();
    }
    assert_eq!(unwatched.pressure().borrow().level, Pressure::Unknown);
    assert!(unwatched.pressure().changed().await.is_err(), "it never changes");
}

#[tokio::test]
async fn without_a_limit_or_without_permission_the_pressure_is_unknown_and_nothing_is_refused() {
    let server = server().await;
    server.set_memory_limit(0).await.unwrap();
    let link = watching(&server).await;
    assert_eq!(link.pressure().borrow().level, Pressure::Unknown);
    assert_eq!(link.pressure().borrow().max_memory, Some(0));
    add(&link).await.unwrap();
    server.set_memory_limit(NOTHING).await.unwrap();
    until(&link, Pressure::Critical).await;
    server.command(&["ACL", "SETUSER", "default", "-info"]).await.unwrap();
    until(&link, Pressure::Unknown).await;
    assert_eq!(link.pressure().borrow().max_memory, None);
    server.set_memory_limit(0).await.unwrap();
    add(&link).await.expect("the link does not refuse it");
    server.command(&["ACL", "SETUSER", "default", "+info"]).await.unwrap();
    eventually("it is asked again", async || link.pressure().borrow().max_memory == Some(0)).await;
}

#[tokio::test]
async fn the_pressure_is_unknown_some_time_after_the_server_has_died_and_known_when_it_is_back() {
    let server = server().await;
    let config = config(&server.url(None)).with_command_timeout(Duration::from_millis(200)).with_max_retries(0);
    let link = Link::connect(config.with_pressure_watch(Duration::from_millis(100))).await.unwrap();
    server.set_memory_limit(NOTHING).await.unwrap();
    until(&link, Pressure::Critical).await;
    server.kill().await;
    until(&link, Pressure::Unknown).await;
    server.start_again().await.unwrap();
    eventually("it is asked again", async || link.pressure().borrow().max_memory.is_some()).await;
}

#[tokio::test]
async fn the_replicas_of_a_primary_are_reported() {
    let primary = server().await;
    let replica = RedisServer::builder().replica_of(&primary).start().await.unwrap();
    let link = watching(&primary).await;
    let mut pressure = link.pressure();
    let is_known = |reading: &store_core::PressureReading| reading.replication_lag_bytes.is_some();
    let reading = tokio::time::timeout(testkit::DEADLINE, pressure.wait_for(is_known)).await.unwrap().unwrap().clone();
    assert_eq!(reading.replicas, Some(1));
    replica.pause().unwrap();
    let is_late = |reading: &store_core::PressureReading| reading.replication_lag >= Some(Duration::from_secs(2));
    tokio::time::timeout(testkit::DEADLINE, pressure.wait_for(is_late)).await.expect("it reports nothing").unwrap();
    replica.resume().unwrap();
}
