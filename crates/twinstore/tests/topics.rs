//! Topics on a real server: many producers, and consumers that die at random.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod service;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use testkit::{DEADLINE, RedisServer, wait_until};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout};
use twinstore::prelude::*;
use twinstore::topic::{GroupName, NewEvent, Topic, TopicConfig, TopicConsumer, TopicName};

const PRODUCERS: usize = 10;
const CONSUMERS: usize = 10;
const PARTITIONS: u16 = 8;
const KEYS: usize = 20;
/// The events of each key.
const EVENTS: usize = 60;
const LEASE: Duration = Duration::from_millis(300);

async fn opened() -> ([RedisServer; 2], Stores) {
    let (cache, state) = tokio::join!(RedisServer::cache().start(), RedisServer::state().start());
    let (cache, state) = (cache.unwrap(), state.unwrap());
    let environment = service::environment(&cache, &state, &[]);
    let stores = Stores::open(&environment).await.unwrap();
    ([cache, state], stores)
}

fn billing() -> GroupName {
    GroupName::new("billing").unwrap()
}

/// The number of each event of each key, in the order in which they were handled.
type Handled = Arc<Mutex<BTreeMap<String, Vec<usize>>>>;

/// The work of a producer or a handler.
async fn works(time: Duration) {
    tokio::time::sleep_until(Instant::now() + time).await;
}

/// Each producer appends the events of its own keys, in order.
async fn produce(topic: Topic, producer: usize) {
    for number in 0..EVENTS {
        for key in (0..KEYS).filter(|key| key % PRODUCERS == producer) {
            let event = NewEvent::new(number.to_string()).with_key(Key::new(format!("key-{key}")).unwrap());
            topic.append(&[event]).await.unwrap();
        }
        works(Duration::from_millis(fastrand::u64(0..4))).await;
    }
}

/// Handles events until it is aborted. Some batches take longer than the lease.
async fn consume(mut consumer: TopicConsumer, handled: Handled) {
    loop {
        let batch = consumer.next().await.unwrap();
        for event in &batch.events {
            let number = std::str::from_utf8(&event.payload).unwrap().parse().unwrap();
            let key = event.key.as_ref().unwrap().as_str().to_owned();
            handled.lock().unwrap().entry(key).or_default().push(number);
            tokio::task::yield_now().await;
        }
        if fastrand::u8(..) < 8 {
            works(LEASE * 2).await;
        }
        consumer.acknowledge(&batch).await.unwrap();
    }
}

fn start(topic: &Topic, handled: &Handled) -> JoinHandle<()> {
    let consumer = topic.consumer(billing()).with_lease(LEASE).with_max(7).with_poll(Duration::from_millis(20));
    tokio::spawn(consume(consumer, Arc::clone(handled)))
}

/// No event is handled before those of its key that come before it; each is handled.
fn check(handled: &BTreeMap<String, Vec<usize>>) {
    assert_eq!(handled.len(), KEYS);
    for (key, numbers) in handled {
        let mut next = 0;
        for number in numbers {
            assert!(*number <= next, "{key}: {number} was handled before {next}: {numbers:?}");
            next = next.max(number + 1);
        }
        assert_eq!(next, EVENTS, "{key}: {numbers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_is_handled_in_the_order_of_its_key_while_consumers_die_at_random() {
    let (_servers, stores) = opened().await;
    let config = TopicConfig::default().with_partitions(PARTITIONS);
    let topic = stores.state().topic(TopicName::new("orders").unwrap(), config).await.unwrap();
    let handled = Handled::default();
    let mut producing: JoinSet<()> = (0..PRODUCERS).map(|producer| produce(topic.clone(), producer)).collect();
    let mut consumers: Vec<_> = (0..CONSUMERS).map(|_| start(&topic, &handled)).collect();
    let total = (KEYS * EVENTS) as u64;
    let mut killed = 0;
    wait_until("all events are acknowledged", DEADLINE, async || {
        // A dead consumer releases nothing. Another one takes its place.
        let victim = fastrand::usize(0..CONSUMERS);
        std::mem::replace(&mut consumers[victim], start(&topic, &handled)).abort();
        killed += 1;
        while let Some(ended) = producing.try_join_next() {
            ended.unwrap();
        }
        let partitions = stores.state().topics().inspect(topic.name()).await.unwrap();
        for partition in partitions.iter().filter(|partition| !partition.groups.is_empty()) {
            let group = &partition.groups[0];
            assert_eq!(
                group.lag,
                partition.last.max(partition.first - 1) - group.acknowledged.max(partition.first - 1)
            );
        }
        producing.is_empty() && topic.lag(&billing()).await.unwrap() == 0
    })
    .await;
    assert!(killed > CONSUMERS, "{killed} consumers were killed");
    consumers.iter().for_each(JoinHandle::abort);
    check(&handled.lock().unwrap());
    // A group that has handled nothing.
    assert_eq!(topic.lag(&GroupName::new("idle").unwrap()).await.unwrap(), total);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_removed_is_counted_and_nothing_else_is_lost() {
    let (_servers, stores) = opened().await;
    let config = TopicConfig::default().with_partitions(PARTITIONS).with_max_events(40);
    let topic = stores.state().topic(TopicName::new("orders").unwrap(), config).await.unwrap();
    topic.seek(&billing(), twinstore::topic::SeekTo::Start).await.unwrap();
    let mut producing: JoinSet<()> = (0..PRODUCERS).map(|producer| produce(topic.clone(), producer)).collect();
    while let Some(ended) = producing.join_next().await {
        ended.unwrap();
    }
    let mut consumer = topic.consumer(billing());
    let (mut truncated, mut read) = (0, 0);
    while topic.lag(&billing()).await.unwrap() > 0 {
        let batch = consumer.next().await.unwrap();
        truncated += batch.truncated;
        read += batch.events.len() as u64;
        assert!(consumer.acknowledge(&batch).await.unwrap());
    }
    assert!(truncated > 0 && read > 0);
    assert_eq!(truncated + read, (KEYS * EVENTS) as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_share_the_partitions_and_take_over_those_of_one_that_stops() {
    let (_servers, stores) = opened().await;
    let config = TopicConfig::default().with_partitions(PARTITIONS);
    let topic = stores.state().topic(TopicName::new("orders").unwrap(), config).await.unwrap();
    let handled = Handled::default();
    let consumers: Vec<_> = (0..4).map(|_| start(&topic, &handled)).collect();
    let shares = async || shares(&stores, &topic).await;
    wait_until("each consumer holds two partitions", DEADLINE, async || shares().await == [2; 4]).await;
    consumers[..2].iter().for_each(JoinHandle::abort);
    wait_until("the others take over", DEADLINE, async || shares().await == [4; 2]).await;
    consumers[2..].iter().for_each(JoinHandle::abort);
}

/// How many partitions each consumer holds.
async fn shares(stores: &Stores, topic: &Topic) -> Vec<usize> {
    let partitions = stores.state().topics().inspect(topic.name()).await.unwrap();
    let holders = partitions.into_iter().flat_map(|partition| partition.groups).filter_map(|group| group.holder);
    let mut shares = BTreeMap::new();
    holders.for_each(|holder| *shares.entry(holder).or_insert(0) += 1);
    shares.into_values().collect()
}

/// The holder polls once an hour, and gives half of its partitions, not more.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_joins_an_idle_topic_gets_its_share() {
    let (servers, stores) = opened().await;
    let config = TopicConfig::default().with_partitions(PARTITIONS);
    let topic = stores.state().topic(TopicName::new("orders").unwrap(), config).await.unwrap();
    let (first, _first_payloads) = waiting(&topic);
    waits_for_all(&servers[1]).await;
    let joined = Instant::now();
    let (second, _second_payloads) = waiting(&topic);
    wait_until("each holds half", DEADLINE, async || shares(&stores, &topic).await == [4; 2]).await;
    println!("the partitions are shared {:?} after the second consumer has joined", joined.elapsed());
    first.abort();
    second.abort();
}

/// Waits until a consumer waits for each partition.
async fn waits_for_all(server: &RedisServer) {
    wait_until("the consumer waits for each partition", DEADLINE, async || {
        let channels = server.command(&["PUBSUB", "CHANNELS", "*:wake:{e.orders.*"]).await.unwrap();
        channels.as_strings().unwrap().len() == usize::from(PARTITIONS)
    })
    .await;
}

/// A consumer that waits, and the payloads that it gets.
fn waiting(topic: &Topic) -> (JoinHandle<()>, UnboundedReceiver<Bytes>) {
    let mut consumer = topic.consumer(billing()).with_poll(Duration::MAX);
    let (sender, payloads) = unbounded_channel();
    let consuming = tokio::spawn(async move {
        loop {
            let batch = consumer.next().await.unwrap();
            batch.events.iter().for_each(|event| drop(sender.send(event.payload.clone())));
            consumer.acknowledge(&batch).await.unwrap();
        }
    });
    (consuming, payloads)
}

/// Appends one event after the other, to all partitions. Each arrives although the consumer polls once an hour.
async fn append_and_receive(topic: &Topic, payloads: &mut UnboundedReceiver<Bytes>) {
    for number in 0..4 * PARTITIONS {
        let payload = Bytes::from(number.to_string());
        topic.append(&[NewEvent::new(payload.clone())]).await.unwrap();
        let received = timeout(DEADLINE, payloads.recv()).await.expect("the consumer is notified");
        assert_eq!(received, Some(payload));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_wakes_a_consumer_that_waits() {
    let (servers, stores) = opened().await;
    let config = TopicConfig::default().with_partitions(PARTITIONS);
    let topic = stores.state().topic(TopicName::new("orders").unwrap(), config.clone()).await.unwrap();
    let (consuming, mut payloads) = waiting(&topic);
    waits_for_all(&servers[1]).await;
    append_and_receive(&topic, &mut payloads).await;
    consuming.abort();

    let (stores, _) = twinstore::testing::stores();
    let topic = stores.state().topic(TopicName::new("orders").unwrap(), config).await.unwrap();
    let (consuming, mut payloads) = waiting(&topic);
    append_and_receive(&topic, &mut payloads).await;
    consuming.abort();
}
