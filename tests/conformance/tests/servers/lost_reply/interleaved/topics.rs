//! Topics.

use store_core::{GroupName, NewEvent, ReadRequest, SeekTo, TopicConfig, TopicName};

use super::{ACCEPTED, World, holder};

fn topic(world: &World) -> TopicName {
    TopicName::new(world.place).unwrap()
}

fn billing() -> GroupName {
    GroupName::new("billing").unwrap()
}

pub(super) async fn declare(world: World) {
    let (topics, topic) = (world.stores.state.topics(), topic(&world));
    topics.declare(&topic, &TopicConfig::default()).await.unwrap();
    let [mine, other] = [10, 20].map(|most| TopicConfig::default().with_max_events(most));
    let answer = world.between(topics.declare(&topic, &mine), async {
        assert_eq!(topics.declare(&topic, &other).await.unwrap(), other);
    });
    assert_eq!(answer.await, mine);
    let state = &world.servers[1];
    let pattern = format!("*{{e.{topic}}}:topic");
    let keys = state.command(&["KEYS", &pattern]).await.unwrap().as_strings().unwrap();
    let recorded = state.command(&["GET", &keys[0]]).await.unwrap();
    assert!(recorded.as_str().unwrap().split(' ').any(|number| number == "20"), "{recorded:?}");
}

impl World {
    async fn append_one(&self, payload: &'static str) {
        let _ = self.stores.state.topics().append(&topic(self), &[NewEvent::new(payload)], ACCEPTED).await.unwrap();
    }

    async fn with_topic(&self) {
        self.stores.state.topics().declare(&topic(self), &TopicConfig::default()).await.unwrap();
        self.append_one("first").await;
    }

    /// Reads what the group has not acknowledged.
    async fn read_by(&self, name: &str) -> store_core::EventBatch {
        let request = ReadRequest::new(topic(self), 0, billing(), holder(name));
        self.stores.state.topics().read(&request).await.unwrap().events().unwrap()
    }
}

pub(super) async fn append(world: World) {
    world.with_topic().await;
    let (topic, event) = (topic(&world), [NewEvent::new("second")]);
    let ids = world.between(world.stores.state.topics().append(&topic, &event, ACCEPTED), world.append_one("third"));
    let ids = ids.await.value;
    let events = world.read_by("one").await.events;
    let payloads: Vec<&[u8]> = events.iter().map(|event| event.payload.as_ref()).collect();
    assert_eq!((payloads, events[1].id), (vec![&b"first"[..], b"second", b"third"], ids[0]));
}

pub(super) async fn seek(world: World) {
    world.with_topic().await;
    let (topics, topic, group) = (world.stores.state.topics(), topic(&world), billing());
    let mut read = None;
    let other = async {
        world.append_one("second").await;
        read = Some(world.read_by("one").await);
    };
    world.between(topics.seek(&topic, &group, SeekTo::End), other).await;
    let batch = read.unwrap();
    assert_eq!(batch.events.len(), 1);
    let acknowledged = topics.acknowledge(&batch.lease, batch.events[0].id.number, ACCEPTED).await.unwrap();
    assert!(acknowledged.value, "the lease of the other caller lasts");
}

pub(super) async fn remove_group(world: World) {
    world.with_topic().await;
    let (topics, topic, group) = (world.stores.state.topics(), topic(&world), billing());
    world.read_by("one").await;
    let mut read = None;
    let other = async { read = Some(world.read_by("two").await) };
    world.between(topics.remove_group(&topic, &group), other).await;
    let batch = read.unwrap();
    let acknowledged = topics.acknowledge(&batch.lease, batch.events[0].id.number, ACCEPTED).await.unwrap();
    assert!(acknowledged.value, "the group was made again");
}
