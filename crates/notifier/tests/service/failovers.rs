//! Servers that fail over in the middle of a run.
//!
//! The deliveries are generated. `TWINSTORE_DELIVERIES=FILE` runs the tests on those of a file.

use std::collections::BTreeSet;

use serde_json::Value;
use testkit::{Cluster, DEADLINE, Program, RedisServer, RunningProgram, Sentinels, wait_until};

use crate::events::events;
use crate::fixture::{Folder, counts, delivery, notifier, report};

/// How many lines are generated, and how many of them repeat an id.
const LINES: usize = 362;
const REPEATED: usize = 33;

/// A file of deliveries, how many lines it has, and their ids.
fn deliveries(folder: &Folder) -> (String, usize, BTreeSet<String>) {
    let path = std::env::var("TWINSTORE_DELIVERIES").unwrap_or_else(|_| {
        let ids = (0..LINES - REPEATED).chain(0..REPEATED);
        folder.write("in.jsonl", ids.map(|id| delivery(&id.to_string())).collect::<String>())
    });
    let text = std::fs::read_to_string(&path).unwrap();
    let id = |line: &str| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned();
    (path, text.lines().count(), text.lines().map(id).collect())
}

/// The service with these stores. Each write to the state store waits for a replica.
fn service(folder: &Folder, cache: &str, state: &str, arguments: &[&str]) -> Program {
    notifier(arguments)
        .env("SERVICE_NAME", "notifier")
        .env("REDIS_CONN_BASE_URL", cache)
        .env("REDIS_CACHE_DB", "3")
        .env("REDIS_WORKERCACHE_CONN_URL", state)
        .env("REDIS_STATE_MIN_REPLICAS", "1")
        .current_dir(folder.path())
}

/// Runs the service. `failover` happens after some of the deliveries and before the others.
async fn runs_through(cache: &str, state: &str, failover: impl AsyncFnOnce()) {
    let folder = Folder::new();
    let (input, lines, ids) = deliveries(&folder);
    // About 60 deliveries a second, so that the run lasts longer than a failover.
    let slow = ["--delay", "250ms", "--concurrency", "16", "--lease", "2s"];
    let run = [&["run", "--input", &input, "--sink", "file:out.txt", "--json"], slow.as_slice()].concat();
    let mut follower = service(&folder, cache, state, &["events", "--follow"]).start().unwrap();
    let mut running = service(&folder, cache, state, &run).start().unwrap();
    wait_until("some are delivered", DEADLINE, async || folder.delivered("out.txt").len() > ids.len() / 5).await;
    failover().await;
    let delivered = folder.delivered("out.txt").len();
    assert!(delivered < ids.len(), "the failover was in the middle: {delivered} of {}", ids.len());
    let exit = running.wait_exit(2 * DEADLINE).await;
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
    let report = report(&exit);
    assert_eq!(counts(&report, ["received", "rejected", "dead", "pending"]), [lines as u64, 0, 0, 0], "{report}");
    assert_eq!(folder.delivered("out.txt").into_keys().collect::<BTreeSet<_>>(), ids, "nothing is lost");
    // The command that follows the events has printed the one of each delivery.
    let shown = |follower: &RunningProgram| -> BTreeSet<String> {
        let delivered = events(&follower.stdout()).into_iter().filter(|event| event["event"] == "delivered");
        delivered.map(|event| event["id"].as_str().unwrap().to_owned()).collect()
    };
    wait_until("each delivery is shown", DEADLINE, async || shown(&follower) == ids).await;
    follower.terminate().unwrap();
    let exit = follower.wait_exit(DEADLINE).await;
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
}

#[tokio::test]
async fn no_delivery_is_lost_when_a_primary_dies_that_sentinels_monitor() {
    let states = Sentinels::builder().data(RedisServer::state()).start();
    let (cache, states) = tokio::join!(RedisServer::cache().start(), states);
    let (cache, states) = (cache.unwrap(), states.unwrap());
    let hosts: Vec<_> = states.addresses().iter().map(ToString::to_string).collect();
    let url = format!("redis-sentinel://{}/{}", hosts.join(","), states.name());
    runs_through(&cache.url(None), &url, async || {
        let primary = states.primary().await;
        primary.kill().await;
        states.wait_for_failover(primary).await;
    })
    .await;
}

#[tokio::test]
async fn no_delivery_is_lost_when_a_primary_of_a_cluster_dies() {
    let states = Cluster::builder().node(RedisServer::state()).start();
    let (cache, states) = tokio::join!(RedisServer::cache().start(), states);
    let (cache, states) = (cache.unwrap(), states.unwrap());
    let hosts: Vec<_> = states.addresses().iter().map(ToString::to_string).collect();
    let url = format!("redis-cluster://{}", hosts.join(","));
    runs_through(&cache.url(None), &url, async || {
        let slot = states.slot("tw:{q.notifications.0}:jobs").await.unwrap();
        let primary = states.owner(slot).await;
        primary.kill().await;
        states.wait_for_failover(slot, primary).await;
        // Until then the new primary has no replica that could confirm a write.
        primary.start_again().await.unwrap();
    })
    .await;
}
