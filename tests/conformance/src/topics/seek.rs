//! Moving groups.

use store_core::{Error, EventId, Op, SeekTo, TopicConfig};

use super::{Orders, group, payloads};
use crate::case::cases;
use crate::fixture::{Fixture, ms, secs};
use crate::verdict::{Verdict, check, check_eq, check_matches};

cases! { Op::TopicSeek;
    a_group_is_moved_to_the_start_the_end_and_an_event,
    a_group_is_moved_to_a_time,
    a_place_outside_the_retained_events_is_the_nearest_one,
    the_consumers_lose_their_leases,
    a_group_can_begin_at_the_end_of_all_partitions,
    an_unknown_partition_is_refused,
}

async fn a_group_is_moved_to_the_start_the_end_and_an_event(fixture: Fixture) -> Verdict {
    let orders = Orders::new(fixture).await?;
    let ids = orders.append(&["a", "b", "c"]).await?;
    let (topics, billing) = (orders.state.topics(), group("billing"));
    for (to, expected) in [
        (SeekTo::End, &[][..]),
        (SeekTo::Event(ids[1]), &["b", "c"]),
        (SeekTo::Start, &["a", "b", "c"]),
        (SeekTo::Event(ids[2]), &["c"]),
    ] {
        topics.seek(&orders.name, &billing, to).await?;
        check_eq!(payloads(&orders.batch(&orders.consumer("billing", "one")).await?.events), expected);
    }
    Ok(())
}

async fn a_group_is_moved_to_a_time(fixture: Fixture) -> Verdict {
    let orders = Orders::new(fixture).await?;
    let start = orders.now();
    for number in 0..20 {
        orders.append(&[&format!("{number}a"), &format!("{number}b")]).await?;
        orders.advance(secs(10));
    }
    for (after, expected) in [
        (secs(0), Some("0a")),
        (ms(1), Some("1a")),
        (secs(70), Some("7a")),
        (secs(70) + ms(1), Some("8a")),
        (secs(190), Some("19a")),
        (secs(191), None),
    ] {
        orders.state.topics().seek(&orders.name, &group("billing"), SeekTo::Time(start.after(after))).await?;
        let events = orders.batch(&orders.consumer("billing", "one")).await?.events;
        check_eq!(payloads(&events).first().copied(), expected);
    }
    Ok(())
}

async fn a_place_outside_the_retained_events_is_the_nearest_one(fixture: Fixture) -> Verdict {
    let orders = Orders::with(fixture, TopicConfig::default().with_max_events(2)).await?;
    let first = orders.append(&["a"]).await?[0];
    for payload in ["b", "c", "d"] {
        orders.append(&[payload]).await?;
    }
    let time = SeekTo::Time(store_core::Timestamp::from_millis(1));
    let last = SeekTo::Event(EventId::new(0, first.number + 100));
    for (to, expected) in [(SeekTo::Event(first), &["c", "d"][..]), (time, &["c", "d"]), (last, &[])] {
        orders.state.topics().seek(&orders.name, &group("billing"), to).await?;
        let batch = orders.batch(&orders.consumer("billing", "one")).await?;
        check_eq!((payloads(&batch.events).as_slice(), batch.truncated), (expected, 0));
    }
    Ok(())
}

async fn the_consumers_lose_their_leases(fixture: Fixture) -> Verdict {
    let orders = Orders::new(fixture).await?;
    orders.append(&["a", "b"]).await?;
    let consumer = orders.consumer("billing", "one");
    let batch = orders.batch(&consumer).await?;
    check!(orders.acknowledge(&batch, batch.events[0].id.number).await?);
    orders.state.topics().seek(&orders.name, &group("billing"), SeekTo::Start).await?;
    check!(!orders.acknowledge(&batch, batch.events[1].id.number).await?);
    let again = orders.batch(&consumer).await?;
    check!(again.lease.fence > batch.lease.fence);
    check_eq!(payloads(&again.events), ["a", "b"]);
    Ok(())
}

async fn a_group_can_begin_at_the_end_of_all_partitions(fixture: Fixture) -> Verdict {
    let orders = Orders::with(fixture, TopicConfig::default().with_partitions(3)).await?;
    for _ in 0..6 {
        orders.append(&["before"]).await?;
    }
    orders.state.topics().seek(&orders.name, &group("billing"), SeekTo::End).await?;
    let id = orders.append(&["after"]).await?[0];
    for partition in orders.state.topics().inspect(&orders.name).await? {
        check_eq!(partition.groups[0].lag, u64::from(partition.partition == id.partition));
    }
    Ok(())
}

async fn an_unknown_partition_is_refused(fixture: Fixture) -> Verdict {
    let orders = Orders::new(fixture).await?;
    let refused = orders.state.topics().seek(&orders.name, &group("billing"), SeekTo::Event(EventId::new(1, 1))).await;
    check_matches!(refused, Err(Error::InvalidArgument { op: Op::TopicSeek, .. }));
    Ok(())
}
