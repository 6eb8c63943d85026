use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use metrics::{
    Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use redis_link::{Link, args};
use testkit::{Cluster, RedisServer};

use crate::{COUNTS, INCREMENT, READS, RECOGNISED, config, link_to, server};

/// Counts by name and labels.
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

impl HistogramFn for One {
    fn record(&self, _: f64) {
        self.increment(1);
    }
}

impl Recorder for Tally {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.one(key))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
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
    crate::eventually("reconnections are counted", async || tally.of("twinstore_link_reconnects_total none") == 3)
        .await;
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
