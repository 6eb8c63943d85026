//! The layout of topics.

use redis_link::layout::Aggregate;
use state_store::StateStore;
use store_core::{
    Durability, Error, EventId, Fence, GroupName, HolderName, Key, NewEvent, PartitionLease, ReadOutcome, ReadRequest,
    RequestId, Result, SeekTo, Timestamp, TopicConfig, TopicName, Topics,
};

use super::MINUTE;
use crate::Fixture;

const ACCEPTED: Durability = Durability::Accepted;

fn orders() -> TopicName {
    TopicName::new("orders").unwrap()
}

fn group(name: &str) -> GroupName {
    GroupName::new(name).unwrap()
}

fn consumer(of: &str, number: u8) -> ReadRequest {
    let name = HolderName::new(format!("consumer-{number}")).unwrap();
    ReadRequest::new(orders(), 0, group(of), name).with_request(RequestId::from_bytes([0xa0 + number; 16]))
}

/// Two appends, a group that holds the partition and is asked for it, one that has released it, one that was moved.
pub(super) async fn write(Fixture { server, store, clock }: &Fixture) {
    store.declare(&orders(), &TopicConfig::default()).await.unwrap();
    let keyed = NewEvent::new("a\0b").with_key(Key::new("größe").unwrap());
    let _ = store.append(&orders(), &[keyed, NewEvent::new("paid")], ACCEPTED).await.unwrap();
    clock.advance(MINUTE);
    let ids = store.append(&orders(), &[NewEvent::new("shipped")], ACCEPTED).await.unwrap().value;
    for name in ["held", "released"] {
        let batch = store.read(&consumer(name, 1)).await.unwrap().events().unwrap();
        let acknowledged = store.acknowledge(&batch.lease, batch.events[1].id.number, ACCEPTED).await.unwrap();
        assert!(acknowledged.value);
        if name == "released" {
            Topics::release(store, &batch.lease).await.unwrap();
        }
    }
    assert!(matches!(store.read(&consumer("held", 2).with_holding(3)).await.unwrap(), ReadOutcome::Taken { .. }));
    store.seek(&orders(), &group("moved"), SeekTo::Event(EventId::new(0, ids[0].number))).await.unwrap();
    // Their names are random.
    for key in server.command(&["KEYS", "*:call:*"]).await.unwrap().as_strings().unwrap() {
        server.command(&["DEL", &key]).await.unwrap();
    }
}

/// Reads what [`write()`] has written.
pub(super) async fn read(store: &StateStore) {
    let info = Topics::inspect(store, &orders()).await.unwrap().remove(0);
    let first = 1_700_000_000_000_000;
    assert_eq!((info.first, info.last, info.bytes), (first, first + 2, 21));
    assert_eq!(info.oldest, Some(Timestamp::from_millis(1_700_000_000_000)));
    let groups: Vec<_> = info.groups.iter().map(|info| (info.group.as_str(), info.acknowledged, info.lag)).collect();
    assert_eq!(groups, [("held", first + 1, 1), ("moved", first + 1, 1), ("released", first + 1, 1)]);
    let batch = store.read(&consumer("held", 1)).await.unwrap().events().unwrap();
    assert_eq!((batch.lease.fence, batch.wanted), (info.groups[0].fence, Some(3)));
    assert_eq!(batch.events[0].payload, "shipped");
    store.seek(&orders(), &group("moved"), SeekTo::Start).await.unwrap();
    let batch = store.read(&consumer("moved", 1)).await.unwrap().events().unwrap();
    assert_eq!(
        (batch.events[0].key.as_ref().unwrap().as_str(), batch.events[0].payload.as_ref()),
        ("größe", &b"a\0b"[..])
    );
    assert_eq!(batch.events[2].appended, Timestamp::from_millis(1_700_000_060_000));
}

/// Uses the topic, so that the store knows its partitions. Returns a lease.
pub(super) async fn declared(store: &StateStore) -> PartitionLease {
    store.declare(&orders(), &TopicConfig::default()).await.unwrap();
    PartitionLease::new(orders(), 0, group("held"), Fence::new(1))
}

/// What each operation returns if a newer version has written the topic.
pub(super) async fn refusals(store: &StateStore, lease: &PartitionLease) -> Vec<(Aggregate, Result<(), Error>)> {
    let refusals = [
        store.append(&orders(), &[NewEvent::new("late")], ACCEPTED).await.map(drop),
        store.read(&consumer("held", 1)).await.map(drop),
        store.acknowledge(lease, 1, ACCEPTED).await.map(drop),
        Topics::release(store, lease).await,
        store.seek(&orders(), &lease.group, SeekTo::Start).await,
        Topics::inspect(store, &orders()).await.map(drop),
        store.remove_group(&orders(), &lease.group).await,
        store.declare(&orders(), &TopicConfig::default()).await.map(drop),
    ];
    refusals.into_iter().map(|refusal| (Aggregate::Topic, refusal)).collect()
}
