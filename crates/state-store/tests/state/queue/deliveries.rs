//! Outboxes: scripts of a delivery that are interrupted after each write, keys, and how long a delivery is remembered.

use store_core::{
    Commit, Delivered, Delivery, Durability, Homes, NewEvent, NewJob, OutboxEntry, Outcome, Queue, QueueInspect,
    QueueName, ReadOutcome, ReadRequest, TopicConfig, TopicName, Topics, UniqueKey, UniqueUntil,
};
use testkit::{Interrupted, random_prefix};

use super::LEASE;
use super::commits::{assert_delivered, delivering, entries, target};
use super::crashes::{Fixture, fixture, fixture_with, unique};

const ACCEPTED: Durability = Durability::Accepted;

/// Entries of the outbox of `queue`.
async fn record(fixture: &Fixture, queue: &QueueName, commit: impl Fn(Commit) -> Commit) -> Vec<OutboxEntry> {
    let home = fixture.store.home(queue, &UniqueKey::new("key of first").unwrap());
    let _ = fixture.store.push(queue, &[unique("first", UniqueUntil::Finished)], ACCEPTED).await.unwrap();
    let lease = fixture.claim(queue, 1).await.unwrap().remove(0).lease;
    let commit = commit(Commit::new(lease, Outcome::Complete(None)));
    assert!(home.commit(&commit, ACCEPTED).await.unwrap().value.done().is_some());
    entries(fixture, queue).await
}

#[tokio::test]
async fn an_interrupted_delivery_is_completed_by_the_next_holder() {
    let fixture = fixture().await;
    let prepare = async |queue: &QueueName| record(&fixture, queue, |commit| delivering(queue, commit)).await;
    let act = async |_: &QueueName, entries: &Vec<OutboxEntry>| {
        for entry in entries {
            let _ = fixture.store.deliver(entry, ACCEPTED).await?;
        }
        Ok(())
    };
    let check = async |queue: &QueueName| {
        fixture.clock.advance(LEASE * 2);
        assert_delivered(&fixture, queue).await;
    };
    for script in ["queue/push", "queue/settle"] {
        fixture.interrupt_everywhere(script, Interrupted::Fails, prepare, act, check).await;
    }
    // It does not matter whether the destination forgets the entry.
    let queue = QueueName::new("remembered").unwrap();
    let prepared = prepare(&queue).await;
    fixture.proxy.interrupt("home/forget", 0, Interrupted::Fails).await.unwrap();
    act(&queue, &prepared).await.unwrap();
    assert!(fixture.proxy.heal().await.unwrap());
    check(&queue).await;
}

/// The payloads of the events in the only partition.
async fn events(fixture: &Fixture, topic: &TopicName) -> Vec<String> {
    let (group, consumer) = ("test".try_into().unwrap(), "test".try_into().unwrap());
    let request = ReadRequest::new(topic.clone(), 0, group, consumer);
    let ReadOutcome::Events(batch) = fixture.store.read(&request).await.unwrap() else { panic!("another one reads") };
    batch.events.iter().map(|event| String::from_utf8(event.payload.to_vec()).unwrap()).collect()
}

/// The next append counts what an interrupted one has added, and the next delivery finds it.
#[tokio::test]
#[allow(clippy::print_stdout, reason = "shown when it fails")]
async fn an_event_whose_append_is_interrupted_arrives_once() {
    let fixture = fixture().await;
    let append = async |topic: &TopicName, payload: &'static str| {
        let _ = fixture.store.append(topic, &[NewEvent::new(payload)], ACCEPTED).await.unwrap();
    };
    for (is_new, others_follow, is_quick) in
        [(false, false, true), (false, true, true), (true, false, true), (true, true, true), (true, true, false)]
    {
        for writes in 0.. {
            let name = random_prefix();
            println!("new {is_new}, others follow {others_follow}, quick {is_quick}: after {writes} writes");
            let (queue, topic) = (QueueName::new(&name).unwrap(), TopicName::new(&name).unwrap());
            fixture.store.declare(&topic, &TopicConfig::default()).await.unwrap();
            if !is_new || writes == 0 {
                append(&topic, "before").await;
            }
            let events_of =
                |commit: Commit, payload| commit.with_delivery(Delivery::event(topic.clone(), NewEvent::new(payload)));
            let entries =
                record(&fixture, &queue, |commit| ["paid", "shipped"].into_iter().fold(commit, events_of)).await;
            if writes == 0 {
                // Loads the script.
                assert_eq!(fixture.store.deliver(&entries[1], ACCEPTED).await.unwrap(), Delivered::Done);
            }
            fixture.proxy.interrupt("topic/deliver", writes, Interrupted::Fails).await.unwrap();
            let outcome = fixture.store.deliver(&entries[0], ACCEPTED).await;
            let was_interrupted = fixture.proxy.heal().await.unwrap() || outcome.is_err();
            if !is_quick {
                fixture.clock.advance(LEASE);
            }
            if others_follow {
                append(&topic, "after").await;
            }
            if writes > 0 && is_quick {
                assert_eq!(fixture.store.deliver(&entries[1], ACCEPTED).await.unwrap(), Delivered::Done);
            }
            fixture.clock.advance(LEASE * 2);
            for entry in super::commits::entries(&fixture, &queue).await {
                assert_eq!(fixture.store.deliver(&entry, ACCEPTED).await.unwrap(), Delivered::Done);
            }
            let mut found = events(&fixture, &topic).await;
            found.sort();
            let mut expected = vec!["paid", "shipped"];
            expected.extend(others_follow.then_some("after"));
            expected.extend((!is_new || writes == 0).then_some("before"));
            expected.sort();
            assert_eq!(found, expected);
            if !was_interrupted {
                assert!(writes > 3, "the script writes");
                break;
            }
        }
    }
}

#[tokio::test]
async fn an_entry_is_remembered_by_its_destination_for_a_lease_after_it_was_removed() {
    let fixture = fixture().await;
    let (queue, topic) = (QueueName::new("orders").unwrap(), TopicName::new("events").unwrap());
    fixture.store.declare(&topic, &TopicConfig::default()).await.unwrap();
    let deliveries = |commit: Commit| {
        let job = Delivery::job(target(&queue), NewJob::new("a"));
        commit.with_delivery(job).with_delivery(Delivery::event(topic.clone(), NewEvent::new("paid")))
    };
    // The first call of a script loads it.
    for entry in record(&fixture, &QueueName::new("warm").unwrap(), deliveries).await {
        assert_eq!(fixture.store.deliver(&entry, ACCEPTED).await.unwrap(), Delivered::Done);
    }
    let entries = record(&fixture, &queue, deliveries).await;
    let mut keys = fixture.server.command(&["KEYS", "test:{q.orders.0}:outbox:*"]).await.unwrap().as_strings().unwrap();
    keys.retain(|key| !key.contains(":call:"));
    keys.sort();
    assert_eq!(keys, ["jobs", "leased", "meta", "state"].map(|part| format!("test:{{q.orders.0}}:outbox:{part}")));
    // Without the calls of the first delivery.
    for pattern in ["test:{q.orders-target.0}:call:*", "test:{e.events.0}:call:*"] {
        for key in fixture.server.command(&["KEYS", pattern]).await.unwrap().as_strings().unwrap() {
            fixture.server.command(&["DEL", &key]).await.unwrap();
        }
    }
    let remembered = async || {
        let mut found = Vec::new();
        for pattern in ["test:{q.orders-target.0}:call:*", "test:{e.events.0}:call:*"] {
            for key in fixture.server.command(&["KEYS", pattern]).await.unwrap().as_strings().unwrap() {
                found.push(fixture.server.command(&["PTTL", &key]).await.unwrap().as_integer().unwrap());
            }
        }
        found
    };
    for entry in &entries {
        // Without the settlement, and so without what follows it.
        fixture.proxy.interrupt("queue/settle", 0, Interrupted::Fails).await.unwrap();
        assert!(fixture.store.deliver(entry, ACCEPTED).await.is_err());
        fixture.proxy.heal().await.unwrap();
    }
    let life = i64::try_from((Delivery::LIFE + LEASE).as_millis()).unwrap();
    let lasting = remembered().await;
    assert!(
        lasting.len() == 2 && lasting.iter().all(|ttl| (life - 60_000..=life + 2_000).contains(ttl)),
        "{lasting:?}"
    );
    for entry in &entries {
        assert_eq!(fixture.store.deliver(entry, ACCEPTED).await.unwrap(), Delivered::Done);
    }
    let lasting = remembered().await;
    assert!(lasting.len() == 2 && lasting.iter().all(|ttl| (1..=32_000).contains(ttl)), "{lasting:?}");
    assert_eq!(fixture.store.counts(&target(&queue)).await.unwrap().ready, 2);
}

#[tokio::test]
async fn an_outbox_has_the_partitions_of_its_queue() {
    let queue = QueueName::new("orders").unwrap();
    let options = state_store::StateOptions::default().with_partitions(queue.clone(), 12);
    let fixture = fixture_with(options.with_partitions(target(&queue), 3)).await;
    let entries = record(&fixture, &queue, |commit| delivering(&queue, commit)).await;
    assert_eq!(entries.len(), 2);
    let shape =
        async |key: &str| fixture.server.command(&["HGET", key, "shape"]).await.unwrap().as_str().map(str::to_owned);
    // A claim leaves a mark in each empty partition.
    let keys = fixture.server.command(&["KEYS", "test:{q.orders.*}:outbox:meta"]).await.unwrap().as_strings().unwrap();
    let mut shapes = Vec::new();
    for key in &keys {
        shapes.extend(shape(key).await);
    }
    assert_eq!(shapes, Vec::from_iter(shape("test:{q.orders.0}:meta").await));
    assert_eq!(shapes.len(), 1);
    for entry in &entries {
        assert_eq!(fixture.store.deliver(entry, ACCEPTED).await.unwrap(), Delivered::Done);
    }
    assert_eq!(fixture.drain(&target(&queue)).await.len(), 2);
    let other = state_store::StateOptions::default().with_partitions(queue.clone(), 2);
    let other = crate::open(&fixture.proxy.url(), other).await.unwrap();
    let refused = other.counts(&queue.outbox()).await.unwrap_err().to_string();
    assert!(refused.contains("the queue has 12 partitions, and this service declares 2"), "{refused}");
}
