use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use redis_link::{Link, args};
use testkit::{Cluster, RedisServer};

use crate::{COUNTS, INCREMENT, READS, RECOGNISED, config, link_to, server};

/// Counts and gauges by name and labels.
#[derive(Clone, Default)]
struct Tally(Arc<Mutex<BTreeMap<String, u64>>>);

struct One(Tally, String);

impl Tally {
    fn one(&self, key: &Key) -> Arc<One> {
        let labels: Vec<_> = key.labels().map(|label| label.value()).collect();
        Arc::new(One(self.clone(), format!("{} {}", key.name(), labels.join(" "))))
    }

    fn of(&self, name: &str) -> u64 {
        self.0.lock().unwrap().get(name).copied().unwrap_or(0)
    }
}

impl CounterFn for One {
    fn increment(&self, value: u64) {
        *self.0.0.lock().unwrap().entry(self.1.clone()).or_default() += value;
    }

    fn absolute(&self, _: u64) {}
}

impl GaugeFn for One {
    fn increment(&self, _: f64) {}
    fn decrement(&self, _: f64) {}

    fn set(&self, value: f64) {
        self.0.0.lock().unwrap().insert(self.1.clone(), value as u64);
    }
}

impl HistogramFn for One {
    fn record(&self, _: f64) {
        CounterFn::increment(self, 1);
    }
}

impl Recorder for Tally {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.one(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.one(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.one(key))
    }
}

#[tokio::test]
async fn calls_retries_and_reconnections_are_counted() {
    let tally = Tally::default();
    let _guard = metrics::set_default_local_recorder(&tally);
    let server = server().await;
    let link = link_to(&server).await;
    link.call(COUNTS, &INCREMENT, &["x"], args![1]).await.unwrap();
    link.call(COUNTS, &INCREMENT, &["x"], args![1]).await.unwrap();
    link.command(READS, "GET", args!["x"]).await.unwrap();
    server.command(&["RPUSH", "list", "1"]).await.unwrap();
    link.call(RECOGNISED, &INCREMENT, &["list"], args![1]).await.unwrap_err();
    assert_eq!(tally.of("twinstore_link_calls_total none key_value.add ok"), 2);
    assert_eq!(tally.of("twinstore_link_calls_total none queue.get ok"), 1);
    assert_eq!(tally.of("twinstore_link_calls_total none queue.push corrupt"), 1);
    assert_eq!(tally.of("twinstore_link_call_seconds none key_value.add"), 2);
    assert_eq!(tally.of("twinstore_link_reconnects_total none"), 0, "the first connection is not counted");
    server.kill().await;
    link.call(RECOGNISED, &INCREMENT, &["x"], args![1]).await.unwrap_err();
    assert_eq!(tally.of("twinstore_link_retries_total none queue.push"), 3);
    server.start_again().await.unwrap();
    let node = format!("twinstore_link_node_reconnects_total none {}", server.address());
    for counter in ["twinstore_link_reconnects_total none", &node] {
        crate::eventually(counter, async || tally.of(counter) == 3).await;
    }
}

#[tokio::test]
async fn a_breaker_that_opens_is_counted_once() {
    let tally = Tally::default();
    let _guard = metrics::set_default_local_recorder(&tally);
    let server = server().await;
    let settings = crate::config(&server.url(None)).with_command_timeout(std::time::Duration::from_millis(50));
    let settings = settings.with_breaker(3, std::time::Duration::from_millis(1));
    let link = redis_link::Link::connect(settings).await.unwrap();
    server.pause().unwrap();
    for _ in 0..3 {
        link.command(READS, "GET", args!["x"]).await.unwrap_err();
    }
    assert_eq!(tally.of("twinstore_link_breaker_opened_total none"), 1);
    server.resume().unwrap();
}

/// Each node has its own counts, and a call to a node that has left the slot is counted there too.
#[tokio::test]
async fn requests_are_counted_for_each_node() {
    let tally = Tally::default();
    let _guard = metrics::set_default_local_recorder(&tally);
    let cluster = Cluster::builder().start().await.unwrap();
    let url = format!("redis-cluster://{}", cluster.nodes()[0].address());
    let link = Link::connect(config(&url)).await.unwrap();
    let of = |node: &RedisServer, outcome: &str| {
        tally.of(&format!("twinstore_link_node_requests_total none {} {outcome}", node.address()))
    };
    let slot = cluster.slot("x").await.unwrap();
    let source = cluster.owner(slot).await;
    link.call(COUNTS, &INCREMENT, &["x"], args![1]).await.unwrap();
    assert_eq!((of(source, "ok"), of(source, "redirected")), (1, 0));
    let target = cluster.nodes()[..3].iter().find(|node| node.port() != source.port()).unwrap();
    let migration = cluster.begin_migration(slot, target).await.unwrap();
    migration.move_key(b"x").await.unwrap();
    link.call(COUNTS, &INCREMENT, &["x"], args![1]).await.unwrap();
    assert_eq!((of(source, "ok"), of(source, "redirected"), of(target, "ok")), (1, 1, 1));
    link.command(READS, "RPUSH", args!["list", "1"]).await.unwrap();
    let owner = cluster.owner(cluster.slot("list").await.unwrap()).await;
    link.call(RECOGNISED, &INCREMENT, &["list"], args![1]).await.unwrap_err();
    assert_eq!(of(owner, "failed"), 1);
}

/// A value of 8 MB on one of three primaries.
#[tokio::test]
async fn memory_is_measured_for_each_node() {
    const LIMIT: u64 = 64 << 20;
    let tally = Tally::default();
    let _guard = metrics::set_default_local_recorder(&tally);
    let node = RedisServer::builder().config("maxmemory", "64mb");
    let cluster = Cluster::builder().node(node).replicas(0).start().await.unwrap();
    let full = cluster.owner(cluster.slot("x").await.unwrap()).await;
    full.command(&["SET", "x", &"x".repeat(8 << 20)]).await.unwrap();
    let url = format!("redis-cluster://{}", cluster.nodes()[0].address());
    let watching = config(&url).with_pressure_watch(Duration::from_millis(100));
    let link = Link::connect(watching).await.unwrap();
    assert_eq!(link.pressure().borrow().node, Some(full.address().to_string()));
    let of = |gauge: &str, node: &RedisServer| tally.of(&format!("twinstore_store_{gauge} none {}", node.address()));
    for node in cluster.nodes() {
        assert_eq!(of("memory_limit_bytes", node), LIMIT);
        assert_eq!(of("memory_used_bytes", node) > 8 << 20, node.port() == full.port());
        assert!(of("memory_fragmentation_percent", node) > 0);
    }
    assert_eq!(tally.of("twinstore_store_pressure none"), 1);
}

/// Otherwise its last values would remain for ever.
#[tokio::test]
async fn the_gauges_of_a_replaced_primary_become_zero() {
    let tally = Tally::default();
    let _guard = metrics::set_default_local_recorder(&tally);
    let one = server().await;
    let two = RedisServer::builder().replica_of(&one).start().await.unwrap();
    let url = format!("redis://{},{}", one.address(), two.address());
    let link = Link::connect(config(&url).with_pressure_watch(Duration::from_millis(100))).await.unwrap();
    let used = |node: &RedisServer| tally.of(&format!("twinstore_store_memory_used_bytes none {}", node.address()));
    assert!(used(&one) > 0 && used(&two) == 0);
    two.command(&["REPLICAOF", "NO", "ONE"]).await.unwrap();
    one.command(&["REPLICAOF", "127.0.0.1", &two.port().to_string()]).await.unwrap();
    crate::eventually("the link has found the new primary", async || used(&two) > 0).await;
    assert_eq!(used(&one), 0);
    assert_eq!(link.pressure().borrow().node, Some(two.address().to_string()));
}
