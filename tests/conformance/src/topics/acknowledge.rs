//! Acknowledging events.

use store_core::{Durability, Error, Fence, NewEvent, Op, PartitionLease, SeekTo, TopicConfig};

use super::{Orders, payloads};
use crate::BrokenPromise;
use crate::case::cases;
use crate::fixture::{Fixture, secs};
use crate::verdict::{Verdict, check, check_eq, check_matches};

cases! { Op::TopicAcknowledge;
    all_events_up_to_the_number_are_acknowledged,
    a_cursor_never_goes_back_and_never_beyond_the_last_event,
    an_expired_lease_that_no_one_has_taken_acknowledges,
    a_superseded_lease_acknowledges_nothing,
    an_unknown_partition_is_refused,
    an_acknowledgement_removes_what_is_too_old,
    an_acknowledgement_removes_a_bounded_number_of_events,
    an_acknowledgement_removes_nothing_that_a_later_declaration_retains,
    it_can_wait_for_the_disk: Fsync,
}

async fn all_events_up_to_the_number_are_acknowledged(fixture: Fixture) -> Verdict {
    let orders = Orders::new(fixture).await?;
    orders.append(&["a", "b", "c", "d"]).await?;
    let consumer = orders.consumer("billing", "one");
    let batch = orders.batch(&consumer).await?;
    for _ in 0..2 {
        check!(orders.acknowledge(&batch, batch.events[2].id.number).await?);
        let rest = orders.batch(&consumer).await?;
        check_eq!((payloads(&rest.events), rest.lag), (vec!["d"], 1));
    }
    Ok(())
}

async fn a_cursor_never_goes_back_and_never_beyond_the_last_event(fixture: Fixture) -> Verdict {
    let orders = Orders::new(fixture).await?;
    orders.append(&["a", "b"]).await?;
    let consumer = orders.consumer("billing", "one");
    let batch = orders.batch(&consumer).await?;
    check!(orders.acknowledge(&batch, batch.events[1].id.number + 100).await?);
    check!(orders.acknowledge(&batch, batch.events[0].id.number).await?);
    check_eq!(orders.batch(&consumer).await?.lag, 0);
    orders.append(&["c"]).await?;
    check_eq!(payloads(&orders.batch(&consumer).await?.events), ["c"]);
    Ok(())
}

async fn an_expired_lease_that_no_one_has_taken_acknowledges(fixture: Fixture) -> Verdict {
    let orders = Orders::new(fixture).await?;
    orders.append(&["a"]).await?;
    let batch = orders.batch(&orders.consumer("billing", "one")).await?;
    orders.advance(secs(31));
    check!(orders.acknowledge(&batch, batch.events[0].id.number).await?);
    check_eq!(orders.consume("billing").await?, Vec::<String>::new());
    Ok(())
}

async fn a_superseded_lease_acknowledges_nothing(fixture: Fixture) -> Verdict {
    let orders = Orders::new(fixture).await?;
    orders.append(&["a"]).await?;
    let batch = orders.batch(&orders.consumer("billing", "one")).await?;
    let last = batch.events[0].id.number;
    orders.advance(secs(31));
    let taken = orders.batch(&orders.consumer("billing", "two")).await?;
    check!(!orders.acknowledge(&batch, last).await?);
    for fence in [taken.lease.fence.get() - 1, taken.lease.fence.get() + 1] {
        let lease = PartitionLease::new(orders.name.clone(), 0, taken.lease.group.clone(), Fence::new(fence));
        check!(!orders.state.topics().acknowledge(&lease, last, Durability::Accepted).await?.value);
    }
    let unknown = PartitionLease::new(orders.name.clone(), 0, super::group("unknown"), taken.lease.fence);
    check!(!orders.state.topics().acknowledge(&unknown, last, Durability::Accepted).await?.value);
    check_eq!(orders.batch(&orders.consumer("other", "one")).await?.lag, 1);
    orders.state.topics().seek(&orders.name, &taken.lease.group, SeekTo::Start).await?;
    check!(!orders.acknowledge(&taken, last).await?);
    Ok(())
}

async fn an_unknown_partition_is_refused(fixture: Fixture) -> Verdict {
    let orders = Orders::new(fixture).await?;
    let lease = PartitionLease::new(orders.name.clone(), 1, super::group("billing"), Fence::new(1));
    let refused = orders.state.topics().acknowledge(&lease, 1, Durability::Accepted).await;
    check_matches!(refused, Err(Error::InvalidArgument { op: Op::TopicAcknowledge, .. }));
    Ok(())
}

async fn an_acknowledgement_removes_what_is_too_old(fixture: Fixture) -> Verdict {
    let orders = Orders::with(fixture, TopicConfig::default().with_max_age(secs(160))).await?;
    let partition = async || orders.state.topics().inspect(&orders.name).await;
    orders.append(&["a", "b"]).await?;
    orders.advance(secs(100));
    orders.append(&["c"]).await?;
    let batch = orders.batch(&orders.consumer("billing", "one")).await?;
    orders.advance(secs(70));
    // The first are not more than a sixteenth above the bound.
    check!(orders.acknowledge(&batch, batch.events[0].id.number).await?);
    check_eq!(partition().await?[0].events(), 3);
    orders.advance(secs(1));
    for _ in 0..2 {
        check!(orders.acknowledge(&batch, batch.events[0].id.number).await?);
        let info = partition().await?.remove(0);
        check_eq!((info.events(), info.bytes, info.groups[0].lag), (1, 1, 1));
    }
    let last = orders.batch(&orders.consumer("billing", "one")).await?;
    check_eq!(payloads(&last.events), ["c"]);
    orders.advance(secs(100));
    // An empty partition gets further events.
    check!(orders.acknowledge(&last, last.events[0].id.number).await?);
    check_eq!(partition().await?[0].events(), 0);
    orders.append(&["d"]).await?;
    check_eq!(orders.consume("billing").await?, ["d"]);
    Ok(())
}

async fn an_acknowledgement_removes_a_bounded_number_of_events(fixture: Fixture) -> Verdict {
    let orders = Orders::new(fixture).await?;
    let many: Vec<NewEvent> = (0..1_000).map(|number: u32| NewEvent::new(number.to_string())).collect();
    for _ in 0..5 {
        orders.append_all(&many).await?;
    }
    let batch = orders.batch(&orders.consumer("billing", "one")).await?;
    orders.state.topics().declare(&orders.name, &TopicConfig::default().with_max_events(10)).await?;
    let mut left = Vec::new();
    for _ in 0..4 {
        check!(orders.acknowledge(&batch, batch.events[0].id.number).await?);
        left.push(orders.state.topics().inspect(&orders.name).await?[0].events());
    }
    check_eq!(left, [3_000, 1_000, 10, 10]);
    Ok(())
}

async fn an_acknowledgement_removes_nothing_that_a_later_declaration_retains(fixture: Fixture) -> Verdict {
    let orders = Orders::with(fixture, TopicConfig::default().with_max_age(secs(160))).await?;
    let other = orders.other_state.topics();
    orders.append(&["a"]).await?;
    let batch = other.read(&orders.consumer("billing", "one")).await?.events();
    let Some(batch) = batch else { return Err(BrokenPromise::new("another consumer holds the partition")) };
    orders.state.topics().declare(&orders.name, &TopicConfig::default().with_max_age(secs(1_600))).await?;
    orders.append(&["b"]).await?;
    orders.advance(secs(800));
    for _ in 0..2 {
        check!(other.acknowledge(&batch.lease, batch.events[0].id.number, Durability::Accepted).await?.value);
        check_eq!(orders.state.topics().inspect(&orders.name).await?[0].events(), 2);
    }
    check_eq!(orders.consume("shipping").await?, ["a", "b"]);
    // It removes what exceeds the later age, too.
    orders.advance(secs(900));
    check!(other.acknowledge(&batch.lease, batch.events[0].id.number, Durability::Accepted).await?.value);
    check_eq!(orders.state.topics().inspect(&orders.name).await?[0].events(), 0);
    Ok(())
}

async fn it_can_wait_for_the_disk(fixture: Fixture) -> Verdict {
    let orders = Orders::new(fixture).await?;
    orders.append(&["a"]).await?;
    let batch = orders.batch(&orders.consumer("billing", "one")).await?;
    let durability = Durability::Fsynced { within: secs(10) };
    for _ in 0..2 {
        let receipt = orders.state.topics().acknowledge(&batch.lease, batch.events[0].id.number, durability).await?;
        check!(receipt.value && receipt.reached.on_disk);
    }
    Ok(())
}
