//! Topics after a failover that has lost the last events.

use state_store::StateStore;
use store_core::{
    Durability, EventBatch, GroupName, HolderName, NewEvent, ReadOutcome, ReadRequest, TopicConfig, TopicName, Topics,
};

use crate::{Fixture, fixture};

const KEYS: [&str; 2] = ["test:{e.orders.0}:events", "test:{e.orders.0}:groups"];

async fn append(store: &StateStore, payloads: &[&'static str]) {
    let events: Vec<_> = payloads.iter().copied().map(NewEvent::new).collect();
    let _ = store.append(&TopicName::new("orders").unwrap(), &events, Durability::Accepted).await.unwrap();
}

async fn read(store: &StateStore, request: &ReadRequest) -> EventBatch {
    match store.read(request).await.unwrap() {
        ReadOutcome::Events(batch) => batch,
        other => panic!("{other:?}"),
    }
}

fn payloads(batch: &EventBatch) -> Vec<&[u8]> {
    batch.events.iter().map(|event| event.payload.as_ref()).collect()
}

#[tokio::test]
async fn what_was_read_and_lost_does_not_acknowledge_what_has_its_numbers() {
    let Fixture { server, store, clock } = fixture().await;
    let orders = TopicName::new("orders").unwrap();
    store.declare(&orders, &TopicConfig::default()).await.unwrap();
    let consumer = HolderName::new("consumer").unwrap();
    let request = ReadRequest::new(orders, 0, GroupName::new("billing").unwrap(), consumer);
    append(&store, &["a", "b"]).await;
    let kept = read(&store, &request).await;
    // The replica has this much.
    for key in KEYS {
        server.command(&["COPY", key, &format!("{key}:replica")]).await.unwrap();
    }
    append(&store, &["c", "d"]).await;
    let lost = read(&store, &request).await;
    assert_eq!(payloads(&lost), [b"a", b"b", b"c", b"d"]);
    let acknowledge = async |batch: &EventBatch| {
        store.acknowledge(&batch.lease, batch.last().unwrap(), Durability::Accepted).await.unwrap().value
    };
    let fail_over = async || {
        for key in KEYS {
            server.command(&["COPY", &format!("{key}:replica"), key, "REPLACE"]).await.unwrap();
        }
    };

    fail_over().await;
    assert!(!acknowledge(&lost).await, "its last event does not exist");
    clock.advance(std::time::Duration::from_millis(1));
    append(&store, &["e", "f", "g"]).await;
    assert!(!acknowledge(&lost).await, "its last event is another one now");
    assert!(acknowledge(&kept).await, "its events exist");
    let next = read(&store, &request).await;
    assert_eq!(payloads(&next), [b"e", b"f", b"g"], "the same lease goes on");
    assert!(acknowledge(&next).await);
    assert!(acknowledge(&kept).await, "a late acknowledgement changes nothing");
    assert!(read(&store, &request).await.events.is_empty());
}

#[tokio::test]
async fn events_that_were_removed_meanwhile_are_acknowledged() {
    let Fixture { server: _server, store, .. } = fixture().await;
    let orders = TopicName::new("orders").unwrap();
    store.declare(&orders, &TopicConfig::default().with_max_events(2)).await.unwrap();
    let consumer = HolderName::new("consumer").unwrap();
    let request = ReadRequest::new(orders, 0, GroupName::new("billing").unwrap(), consumer);
    append(&store, &["a", "b"]).await;
    let batch = read(&store, &request).await;
    append(&store, &["c", "d"]).await;
    append(&store, &["e", "f"]).await;
    assert!(store.acknowledge(&batch.lease, batch.last().unwrap(), Durability::Accepted).await.unwrap().value);
    assert_eq!(payloads(&read(&store, &request).await), [b"e", b"f"]);
}
