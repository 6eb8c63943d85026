//! The writes of topics.

use store_core::{
    Durability, EventBatch, GroupName, NewEvent, ReadOutcome, ReadRequest, SeekTo, TopicConfig, TopicName, Topics,
};

use super::{World, holder};

const ACCEPTED: Durability = Durability::Accepted;

impl World {
    fn topics(&self) -> &dyn Topics {
        self.stores.state.topics()
    }

    fn topic(&self) -> TopicName {
        TopicName::new(self.text("topic")).unwrap()
    }

    /// Declares the topic, and appends two events.
    async fn appended(&self) {
        self.topics().declare(&self.topic(), &TopicConfig::default()).await.unwrap();
        let events = ["placed", "paid"].map(NewEvent::new);
        let _ = self.topics().append(&self.topic(), &events, ACCEPTED).await.unwrap();
    }

    fn consumer(&self, name: &str) -> ReadRequest {
        ReadRequest::new(self.topic(), 0, billing(), holder(name))
    }

    async fn batch(&self, consumer: &ReadRequest) -> EventBatch {
        self.topics().read(consumer).await.unwrap().events().unwrap()
    }

    /// The bounds that are recorded.
    async fn recorded(&self) -> String {
        let keys = self.servers[1].command(&["KEYS", &format!("*{{e.{}}}:topic", self.topic())]).await.unwrap();
        let key = keys.as_strings().unwrap().remove(0);
        self.servers[1].command(&["GET", &key]).await.unwrap().as_str().unwrap().to_owned()
    }
}

fn billing() -> GroupName {
    GroupName::new("billing").unwrap()
}

pub(super) async fn declare_then_declare(world: World) {
    let config = |events| TopicConfig::default().with_max_events(events);
    world.held(world.topics().declare(&world.topic(), &config(7))).await;
    assert!(world.recorded().await.contains(" 7 "));
    world.topics().declare(&world.topic(), &config(8)).await.unwrap();
    world.arrives().await;
    assert!(world.recorded().await.contains(" 8 "));
}

pub(super) async fn append_then_append(world: World) {
    world.appended().await;
    let first = world.held(world.topics().append(&world.topic(), &[NewEvent::new("first")], ACCEPTED)).await.value;
    let _ = world.topics().append(&world.topic(), &[NewEvent::new("second")], ACCEPTED).await.unwrap();
    world.arrives().await;
    let events = world.batch(&world.consumer("one")).await.events;
    assert_eq!(
        events.iter().map(|event| event.payload.as_ref()).collect::<Vec<_>>()[2..],
        [b"first".as_ref(), b"second"]
    );
    assert_eq!(events[2].id, first[0]);
}

pub(super) async fn read_then_release(world: World) {
    world.appended().await;
    let batch = world.held(world.topics().read(&world.consumer("one"))).await.events().unwrap();
    world.topics().release(&batch.lease).await.unwrap();
    world.arrives().await;
    let taken = world.topics().read(&world.consumer("two")).await.unwrap();
    assert!(matches!(taken, ReadOutcome::Events(_)), "{taken:?}");
}

pub(super) async fn acknowledge_then_seek(world: World) {
    world.appended().await;
    let consumer = world.consumer("one");
    let batch = world.batch(&consumer).await;
    let last = batch.last().unwrap();
    assert!(world.held(world.topics().acknowledge(&batch.lease, last, ACCEPTED)).await.value);
    world.topics().seek(&world.topic(), &billing(), SeekTo::Start).await.unwrap();
    world.arrives().await;
    assert_eq!(world.batch(&consumer).await.lag, 2);
}

pub(super) async fn release_then_read(world: World) {
    world.appended().await;
    let batch = world.batch(&world.consumer("one")).await;
    world.held(world.topics().release(&batch.lease)).await;
    world.batch(&world.consumer("two")).await;
    world.arrives().await;
    let taken = world.topics().read(&world.consumer("three")).await.unwrap();
    assert!(matches!(taken, ReadOutcome::Taken { by: Some(by), .. } if by == holder("two")));
}

pub(super) async fn seek_then_acknowledge(world: World) {
    world.appended().await;
    world.held(world.topics().seek(&world.topic(), &billing(), SeekTo::Start)).await;
    let consumer = world.consumer("one");
    let batch = world.batch(&consumer).await;
    assert!(world.topics().acknowledge(&batch.lease, batch.last().unwrap(), ACCEPTED).await.unwrap().value);
    world.arrives().await;
    assert_eq!(world.batch(&consumer).await.lag, 0);
}

pub(super) async fn remove_group_then_acknowledge(world: World) {
    world.appended().await;
    world.batch(&world.consumer("one")).await;
    world.held(world.topics().remove_group(&world.topic(), &billing())).await;
    let consumer = world.consumer("two");
    let batch = world.batch(&consumer).await;
    assert!(world.topics().acknowledge(&batch.lease, batch.last().unwrap(), ACCEPTED).await.unwrap().value);
    world.arrives().await;
    assert_eq!(world.batch(&consumer).await.lag, 0);
}
