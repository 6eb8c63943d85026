//! The link against real servers, broken in real ways.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod blocking;
mod breaker;
mod cluster;
mod cluster_changes;
mod cluster_channels;
mod cluster_outages;
mod connecting;
mod deadlines;
mod durable;
mod errors;
mod hosts;
mod iterations;
mod kvrocks;
mod last_words;
mod losses;
mod metered;
mod moved_slots;
mod names;
mod outages;
mod passwords;
mod power_cut;
mod pressure;
mod probe;
mod recovery;
mod refusals;
mod repetitions;
mod replies;
mod retries;
mod returning;
mod scripts;
mod secrets;
mod sentinel;
mod shifting;
mod slots;
mod subscriptions;

use std::time::{Duration, Instant};

use redis_link::{Link, LinkConfig, Script, ServerUrl};
use store_core::{Error, Op};
use testkit::{DEADLINE, RedisServer, wait_until};

/// A write that the store does not recognise as a repetition.
const COUNTS: Op = Op::KeyValueAdd;
/// A write that the store recognises as a repetition.
const RECOGNISED: Op = Op::QueuePush;
const READS: Op = Op::QueueGet;

static INCREMENT: Script =
    Script::new("test/increment", "#!lua\nreturn {'counted', redis.call('INCRBY', KEYS[1], ARGV[1])}");

fn url(text: &str) -> ServerUrl {
    ServerUrl::parse(text).unwrap()
}

/// A configuration with a long command time-out: this machine may be slow, and tests of time-outs set their own.
fn config(text: &str) -> LinkConfig {
    LinkConfig::new(url(text), "tests:link").with_command_timeout(Duration::from_secs(10))
}

async fn link_to(server: &RedisServer) -> Link {
    Link::connect(config(&server.url(None))).await.unwrap()
}

async fn server() -> RedisServer {
    RedisServer::builder().start().await.unwrap()
}

async fn number(server: &RedisServer, key: &str) -> i64 {
    let value = server.command(&["GET", key]).await.unwrap();
    value.as_str().map_or(0, |text| text.parse().unwrap())
}

/// Waits for this long, if a fault or a measurement must follow something else by some time: then the time is the condition.
async fn passed(time: Duration) {
    let begun = Instant::now();
    eventually("the time has passed", async || begun.elapsed() > time).await;
}

async fn eventually(what: &str, condition: impl AsyncFnMut() -> bool) {
    wait_until(what, DEADLINE, condition).await;
}

fn is_unavailable<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::Unavailable { .. }))
}

fn is_indeterminate<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::Indeterminate { .. }))
}

/// Only one folder names the client library.
#[test]
fn only_the_wire_names_the_client_library() {
    fn look(folder: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                look(&path, found);
            } else if std::fs::read_to_string(&path).unwrap().contains("fred::") {
                found.push(path);
            }
        }
    }
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    look(&source, &mut found);
    assert!(
        !found.is_empty() && found.iter().all(|path| path.with_extension("").starts_with(source.join("wire"))),
        "{found:?}"
    );
}
