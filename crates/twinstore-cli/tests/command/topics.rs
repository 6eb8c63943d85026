//! `twinstore topics`

use std::time::Duration;

use serde_json::{Value, json};
use state_store::StateStore;
use store_core::{
    Durability, GroupName, HolderName, Key, NewEvent, ReadOutcome, ReadRequest, TopicConfig, TopicName, Topics,
};

use crate::fixture::Fixture;

const GROUPS: [&str; 2] = ["audit", "billing"];

/// Ten events of three bytes in three partitions. Each group holds partition 0; only `billing` has acknowledged its events there.
/// Returns how many these are.
async fn fill(store: &StateStore, orders: &TopicName) -> u64 {
    store.declare(orders, &TopicConfig::default().with_partitions(3)).await.unwrap();
    let events: Vec<_> =
        (0..10).map(|key: u32| NewEvent::new("paid").with_key(Key::new(key.to_string()).unwrap())).collect();
    drop(store.append(orders, &events, Durability::Accepted).await.unwrap());
    let mut read = 0;
    for name in GROUPS {
        let (group, consumer) = (GroupName::new(name).unwrap(), HolderName::new("pod-1").unwrap());
        let request = ReadRequest::new(orders.clone(), 0, group, consumer).with_lease(Duration::from_secs(600));
        let ReadOutcome::Events(batch) = store.read(&request).await.unwrap() else { panic!("nobody holds it") };
        read = batch.events.len() as u64;
        if name == "billing" {
            let last = batch.last().unwrap();
            assert!(store.acknowledge(&batch.lease, last, Durability::Accepted).await.unwrap().value);
        }
    }
    read
}

#[tokio::test]
async fn topics_are_listed_with_the_lag_of_each_group() {
    let fixture = Fixture::start().await;
    let store = fixture.store().await;
    assert_eq!(fixture.json("topics").await, (Some(0), vec![]));
    let empty = TopicName::new("audits").unwrap();
    store.declare(&empty, &TopicConfig::default()).await.unwrap();
    let read = fill(&store, &TopicName::new("orders").unwrap()).await;
    assert!((1..10).contains(&read), "the keys use several partitions: {read}");

    let (code, topics) = fixture.json("topics").await;
    assert_eq!((code, topics.len()), (Some(0), 3), "{topics:?}");
    let without_groups = json!({
        "topic": "audits", "partitions": 1, "events": 0, "bytes": 0, "oldest_ms": null,
        "group": null, "lag": 0, "missed": 0, "held": 0,
    });
    assert_eq!(topics[0], without_groups);
    for (topic, (group, lag)) in topics[1..].iter().zip(GROUPS.into_iter().zip([10, 10 - read])) {
        let numbers = ["partitions", "events", "lag", "missed", "held"].map(|name| topic[name].as_u64().unwrap());
        assert_eq!((&topic["group"], numbers), (&group.into(), [3, 10, lag, 0, 1]), "{topic}");
        assert!(topic["bytes"].as_u64() >= Some(40) && topic["oldest_ms"].is_u64(), "{topic}");
    }

    let table = fixture.run("topics").await.stdout;
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["TOPIC", "PARTITIONS", "EVENTS", "BYTES", "OLDEST", "GROUP", "LAG", "MISSED", "HELD"]);
    assert_eq!(rows[1], ["audits", "1", "0", "0", "-", "-", "-", "-", "-"]);
    assert_eq!(rows.len(), 4, "{table}");
    let fields: Vec<Value> = topics.iter().map(|topic| topic["topic"].clone()).collect();
    assert_eq!(fields, ["audits", "orders", "orders"]);
}
