//! Appending events.

use std::collections::BTreeSet;

use bytes::Bytes;
use store_core::{Durability, Error, NewEvent, Op, ReadRequest, TopicConfig};

use super::{Orders, event, group, keyed, payloads};
use crate::case::cases;
use crate::fixture::{Fixture, holder, secs};
use crate::verdict::{Verdict, check, check_eq, check_matches};

cases! { Op::TopicAppend;
    events_are_numbered_without_gaps,
    events_of_one_key_go_to_one_partition_in_order,
    events_without_a_key_use_all_partitions,
    a_payload_is_any_bytes,
    an_append_above_its_limits_is_refused,
    an_append_of_nothing_does_nothing,
    numbers_rise_after_a_partition_has_expired,
    it_can_wait_for_the_disk: Fsync,
    it_can_wait_for_a_replica: Replication,
}

async fn events_are_numbered_without_gaps(fixture: Fixture) -> Verdict {
    let orders = Orders::new(fixture).await?;
    let mut ids = orders.append(&["placed", "paid"]).await?;
    orders.advance(secs(1));
    ids.extend(orders.append(&["packed", "shipped"]).await?);
    let numbers: Vec<u64> = ids.iter().map(|id| id.number).collect();
    check_eq!(numbers, (numbers[0]..numbers[0] + 4).collect::<Vec<_>>());
    let events = orders.batch(&orders.consumer("billing", "one")).await?.events;
    check_eq!(payloads(&events), ["placed", "paid", "packed", "shipped"]);
    check_eq!(events.iter().map(|event| event.id).collect::<Vec<_>>(), ids);
    check_eq!(events[2].appended, orders.now());
    check_eq!(events[2].appended.since(events[1].appended), secs(1));
    Ok(())
}

async fn events_of_one_key_go_to_one_partition_in_order(fixture: Fixture) -> Verdict {
    let orders = Orders::with(fixture, TopicConfig::default().with_partitions(4)).await?;
    let keys: Vec<String> = (0..20).map(|number| format!("order-{number}")).collect();
    for round in ["placed", "paid"] {
        let events: Vec<NewEvent> = keys.iter().map(|key| keyed(key, round)).collect();
        let ids = orders.append_all(&events).await?;
        check!(ids.iter().map(|id| id.partition).collect::<BTreeSet<_>>().len() > 1, "keys spread over the partitions");
    }
    let mut seen = 0;
    for partition in 0..4 {
        let request = ReadRequest::new(orders.name.clone(), partition, group("billing"), holder("one"));
        let events = orders.batch(&request).await?.events;
        for key in &keys {
            let of_key = events.iter().filter(|event| event.key.as_ref().is_some_and(|found| found.as_str() == key));
            let of_key: Vec<_> = of_key.cloned().collect();
            check!(of_key.is_empty() || payloads(&of_key) == ["placed", "paid"], "{key}: {of_key:?}");
            seen += of_key.len();
        }
    }
    check_eq!(seen, 40);
    Ok(())
}

async fn events_without_a_key_use_all_partitions(fixture: Fixture) -> Verdict {
    let orders = Orders::with(fixture, TopicConfig::default().with_partitions(2)).await?;
    let mut used = BTreeSet::new();
    for _ in 0..100 {
        let ids = orders.append(&["placed", "paid"]).await?;
        check_eq!(ids[0].partition, ids[1].partition);
        used.insert(ids[0].partition);
    }
    check_eq!(used, BTreeSet::from([0, 1]));
    Ok(())
}

async fn a_payload_is_any_bytes(fixture: Fixture) -> Verdict {
    let orders = Orders::new(fixture).await?;
    let all = [vec![], (0..=255).collect(), b"a\0\r\n".to_vec(), vec![b'x'; NewEvent::MAX_BYTES]].map(Bytes::from);
    orders.append_all(&all.iter().cloned().map(NewEvent::new).collect::<Vec<_>>()).await?;
    let events = orders.batch(&orders.consumer("billing", "one")).await?.events;
    check_eq!(events.into_iter().map(|event| event.payload).collect::<Vec<_>>(), all);
    Ok(())
}

async fn an_append_above_its_limits_is_refused(fixture: Fixture) -> Verdict {
    let orders = Orders::new(fixture).await?;
    let large = |count: usize, bytes: usize| vec![NewEvent::new(vec![b'x'; bytes]); count];
    let refusals =
        [large(1, NewEvent::MAX_BYTES + 1), large(NewEvent::MAX_BATCH + 1, 0), large(17, NewEvent::MAX_BYTES)];
    for events in refusals {
        let refused = orders.append_all(&events).await;
        check_matches!(refused, Err(Error::InvalidArgument { op: Op::TopicAppend, .. }));
    }
    check_eq!(orders.append_all(&large(NewEvent::MAX_BATCH, 1000)).await?.len(), NewEvent::MAX_BATCH);
    check_eq!(orders.append_all(&large(16, NewEvent::MAX_BYTES)).await?.len(), 16);
    Ok(())
}

async fn an_append_of_nothing_does_nothing(fixture: Fixture) -> Verdict {
    let orders = Orders::new(fixture).await?;
    check_eq!(orders.append(&[]).await?, []);
    check_eq!(orders.state.topics().inspect(&orders.name).await?[0].events(), 0);
    Ok(())
}

async fn numbers_rise_after_a_partition_has_expired(fixture: Fixture) -> Verdict {
    let orders = Orders::with(fixture, TopicConfig::default().with_max_age(secs(60))).await?;
    let before = orders.append(&["placed", "paid"]).await?;
    let old = orders.batch(&orders.consumer("billing", "one")).await?;
    orders.advance(secs(60 + 24 * 3600));
    check_eq!(orders.state.topics().inspect(&orders.name).await?[0].events(), 0);
    check!(!orders.acknowledge(&old, before[1].number).await?);
    let after = orders.append(&["placed"]).await?;
    check!(after[0].number > before[1].number, "{after:?} {before:?}");
    check_eq!(orders.consume("billing").await?, ["placed"]);
    check!(!orders.acknowledge(&old, after[0].number).await?);
    Ok(())
}

async fn it_can_wait_for_the_disk(fixture: Fixture) -> Verdict {
    let orders = Orders::with(fixture, TopicConfig::default().with_partitions(3)).await?;
    let durability = Durability::Fsynced { within: secs(10) };
    let events = [event("none"), keyed("a", "a"), keyed("b", "b"), keyed("c", "c")];
    let receipt = orders.state.topics().append(&orders.name, &events, durability).await?;
    check!(receipt.value.len() == 4 && receipt.reached.on_disk);
    Ok(())
}

async fn it_can_wait_for_a_replica(fixture: Fixture) -> Verdict {
    let orders = Orders::new(fixture).await?;
    let durability = Durability::Replicated { replicas: 1, within: secs(10) };
    let receipt = orders.state.topics().append(&orders.name, &[event("placed")], durability).await?;
    check!(receipt.reached.replicas >= 1);
    Ok(())
}
