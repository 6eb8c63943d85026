//! The writes of topics.

use store_core::{
    Durability, EventBatch, GroupName, HolderName, NewEvent, ReadRequest, SeekTo, TopicConfig, TopicName, Topics,
};

use super::World;

const ACCEPTED: Durability = Durability::Accepted;

impl World {
    fn topics(&self) -> &dyn Topics {
        self.stores.state.topics()
    }

    fn topic(&self) -> TopicName {
        TopicName::new(self.place).unwrap()
    }

    /// Declares the topic, and appends events.
    async fn appended(&self, payloads: &[&'static str]) {
        self.topics().declare(&self.topic(), &TopicConfig::default()).await.unwrap();
        let events: Vec<_> = payloads.iter().copied().map(NewEvent::new).collect();
        let _ = self.topics().append(&self.topic(), &events, ACCEPTED).await.unwrap();
    }

    fn consumer(&self, name: &str) -> ReadRequest {
        ReadRequest::new(self.topic(), 0, billing(), HolderName::new(name).unwrap())
    }

    async fn batch(&self, consumer: &ReadRequest) -> EventBatch {
        self.topics().read(consumer).await.unwrap().events().unwrap()
    }
}

fn billing() -> GroupName {
    GroupName::new("billing").unwrap()
}

fn payloads(batch: &EventBatch) -> Vec<&[u8]> {
    batch.events.iter().map(|event| event.payload.as_ref()).collect()
}

pub(super) async fn declare(world: World) {
    let config = TopicConfig::default().with_partitions(2);
    assert_eq!(world.lost(world.topics().declare(&world.topic(), &config)).await.unwrap(), config);
    assert_eq!(world.topics().inspect(&world.topic()).await.unwrap().len(), 2);
}

pub(super) async fn append(world: World) {
    world.appended(&["first"]).await;
    let events = ["placed", "paid"].map(NewEvent::new);
    let ids = world.lost(world.topics().append(&world.topic(), &events, ACCEPTED)).await.unwrap().value;
    let batch = world.batch(&world.consumer("one")).await;
    assert_eq!(payloads(&batch), [&b"first"[..], b"placed", b"paid"]);
    assert_eq!(batch.events[1..].iter().map(|event| event.id).collect::<Vec<_>>(), ids);
}

pub(super) async fn read(world: World) {
    world.appended(&["placed"]).await;
    let consumer = world.consumer("one");
    let batch = world.lost(world.topics().read(&consumer)).await.unwrap().events().unwrap();
    assert_eq!(payloads(&batch), [b"placed"]);
    assert_eq!(world.batch(&consumer).await.lease, batch.lease);
}

pub(super) async fn acknowledge(world: World) {
    world.appended(&["placed", "paid"]).await;
    let consumer = world.consumer("one");
    let batch = world.batch(&consumer).await;
    let first = batch.events[0].id.number;
    assert!(world.lost(world.topics().acknowledge(&batch.lease, first, ACCEPTED)).await.unwrap().value);
    assert_eq!(payloads(&world.batch(&consumer).await), [b"paid"]);
}

pub(super) async fn release(world: World) {
    world.appended(&["placed"]).await;
    let batch = world.batch(&world.consumer("one")).await;
    world.lost(world.topics().release(&batch.lease)).await.unwrap();
    assert_eq!(payloads(&world.batch(&world.consumer("two")).await), [b"placed"]);
}

pub(super) async fn seek(world: World) {
    world.appended(&["placed"]).await;
    world.lost(world.topics().seek(&world.topic(), &billing(), SeekTo::End)).await.unwrap();
    assert_eq!(world.batch(&world.consumer("one")).await.lag, 0);
}

pub(super) async fn remove_group(world: World) {
    world.appended(&["placed"]).await;
    world.batch(&world.consumer("one")).await;
    world.lost(world.topics().remove_group(&world.topic(), &billing())).await.unwrap();
    assert!(world.topics().inspect(&world.topic()).await.unwrap()[0].groups.is_empty());
}
