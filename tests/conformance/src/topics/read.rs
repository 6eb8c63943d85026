//! Reading events.

use store_core::{Error, NewEvent, Op, ReadOutcome, ReadRequest, RequestId, TopicConfig};

use super::{Orders, group, payloads};
use crate::case::cases;
use crate::fixture::{Fixture, holder, ms, secs};
use crate::verdict::{Verdict, check, check_eq, check_matches};

cases! { Op::TopicRead;
    events_are_read_again_until_they_are_acknowledged,
    each_group_reads_all_events,
    one_consumer_of_a_group_reads_a_partition,
    a_read_renews_the_lease,
    when_a_consumer_dies_another_reads_its_events,
    fences_rise,
    a_page_is_bounded,
    a_read_of_no_events_renews_the_lease,
    the_first_consumer_of_an_empty_partition_reads_what_is_appended_later,
    a_request_outside_its_ranges_is_refused,
    a_topic_has_at_most_100_groups,
    the_cursor_stays_when_the_store_is_opened_again: Reopen,
}

async fn events_are_read_again_until_they_are_acknowledged(fixture: Fixture) -> Verdict {
    let orders = Orders::new(fixture).await?;
    orders.append(&["placed", "paid", "shipped"]).await?;
    let consumer = orders.consumer("billing", "one");
    let batch = orders.batch(&consumer).await?;
    check_eq!((payloads(&batch.events), batch.lag), (vec!["placed", "paid", "shipped"], 3));
    check_eq!(orders.batch(&consumer).await?.events, batch.events);
    check!(orders.acknowledge(&batch, batch.events[0].id.number).await?);
    let batch = orders.batch(&consumer).await?;
    check_eq!((payloads(&batch.events), batch.lag), (vec!["paid", "shipped"], 2));
    Ok(())
}

async fn each_group_reads_all_events(fixture: Fixture) -> Verdict {
    let orders = Orders::new(fixture).await?;
    orders.append(&["placed"]).await?;
    for group in ["billing", "shipping"] {
        check_eq!(orders.consume(group).await?, ["placed"]);
        check_eq!(orders.consume(group).await?, Vec::<String>::new());
    }
    Ok(())
}

async fn one_consumer_of_a_group_reads_a_partition(fixture: Fixture) -> Verdict {
    let orders = Orders::with(fixture, TopicConfig::default().with_partitions(2)).await?;
    let (one, two) = (orders.consumer("billing", "one"), orders.consumer("billing", "two"));
    let batch = orders.batch(&one).await?;
    check_eq!((batch.until, batch.remaining), (orders.now().after(secs(30)), secs(30)));
    check_eq!(orders.read(&two).await?, ReadOutcome::Taken { by: Some(holder("one")), until: batch.until });
    // another partition, another group
    let other = ReadRequest::new(orders.name.clone(), 1, group("billing"), holder("two"));
    check!(orders.batch(&other).await?.events.is_empty());
    check!(orders.batch(&orders.consumer("shipping", "two")).await?.events.is_empty());
    Ok(())
}

async fn a_read_renews_the_lease(fixture: Fixture) -> Verdict {
    let orders = Orders::new(fixture).await?;
    let consumer = orders.consumer("billing", "one");
    let first = orders.batch(&consumer).await?;
    // Only when a third of it has passed.
    orders.advance(secs(5));
    check_eq!(orders.batch(&consumer).await?.until, first.until);
    orders.advance(secs(6));
    let renewed = orders.batch(&consumer).await?;
    check_eq!((renewed.until, renewed.lease.fence), (orders.now().after(secs(30)), first.lease.fence));
    // A shorter one counts immediately.
    let shorter = orders.batch(&consumer.clone().with_lease(secs(2))).await?;
    check_eq!(shorter.until, orders.now().after(secs(2)));
    // An expired lease that no other consumer has taken is renewed.
    orders.advance(secs(3));
    check_eq!(orders.batch(&consumer).await?.lease.fence, first.lease.fence);
    Ok(())
}

async fn when_a_consumer_dies_another_reads_its_events(fixture: Fixture) -> Verdict {
    let orders = Orders::new(fixture).await?;
    orders.append(&["placed", "paid", "shipped"]).await?;
    let (dead, other) = (orders.consumer("billing", "dead"), orders.consumer("billing", "other"));
    let batch = orders.batch(&dead).await?;
    check!(orders.acknowledge(&batch, batch.events[0].id.number).await?);
    orders.advance(secs(30) - ms(1));
    check_matches!(orders.read(&other).await?, ReadOutcome::Taken { .. });
    orders.advance(ms(1));
    let taken = orders.batch(&other).await?;
    check_eq!(payloads(&taken.events), ["paid", "shipped"]);
    // The dead one was only slow.
    check_matches!(orders.read(&dead).await?, ReadOutcome::Taken { .. });
    check!(!orders.acknowledge(&batch, batch.events[2].id.number).await?);
    check_eq!(payloads(&orders.batch(&other).await?.events), ["paid", "shipped"]);
    Ok(())
}

async fn fences_rise(fixture: Fixture) -> Verdict {
    let orders = Orders::new(fixture).await?;
    let mut last = store_core::Fence::new(0);
    for name in ["one", "two", "one"] {
        let batch = orders.batch(&orders.consumer("billing", name)).await?;
        check!(batch.lease.fence > last, "{:?} after {last:?}", batch.lease.fence);
        last = batch.lease.fence;
        orders.state.topics().release(&batch.lease).await?;
    }
    Ok(())
}

async fn a_page_is_bounded(fixture: Fixture) -> Verdict {
    let orders = Orders::new(fixture).await?;
    let events: Vec<NewEvent> = (0..450).map(|number: u32| NewEvent::new(number.to_string())).collect();
    orders.append_all(&events).await?;
    for max in [1, 99, 100, 101, 250, 450, 1_000] {
        let batch = orders
            .batch(&orders.consumer("billing", "one").with_request(RequestId::from_bytes([7; 16])).with_max(max))
            .await?;
        let expected = usize::try_from(max)?.min(450);
        check_eq!(batch.events.len(), expected);
        check!(batch.events.iter().zip(&events).all(|(read, event)| read.payload == event.payload), "in order");
        check_eq!(batch.lag, 450);
    }
    // Large events: about 1 MiB at a time.
    let large = vec![NewEvent::new(vec![b'x'; NewEvent::MAX_BYTES]); 16];
    for _ in 0..14 {
        orders.append_all(&large).await?;
    }
    let of_large = orders.consumer("other", "one").with_max(1_000);
    orders.state.topics().seek(&orders.name, &of_large.group, store_core::SeekTo::Start).await?;
    let first = orders.batch(&of_large).await?;
    check!((450..=550).contains(&first.events.len()), "{} events", first.events.len());
    check!(orders.acknowledge(&first, first.events[449].id.number).await?);
    let second = orders.batch(&of_large).await?;
    check!((16..=116).contains(&second.events.len()), "{} events", second.events.len());
    Ok(())
}

async fn a_read_of_no_events_renews_the_lease(fixture: Fixture) -> Verdict {
    let orders = Orders::new(fixture).await?;
    orders.append(&["placed"]).await?;
    let consumer = orders.consumer("billing", "one").with_max(0);
    check!(orders.batch(&consumer).await?.events.is_empty());
    orders.advance(secs(20));
    let renewed = orders.batch(&consumer).await?;
    check_eq!((renewed.events.len(), renewed.lag, renewed.until), (0, 1, orders.now().after(secs(30))));
    Ok(())
}

async fn the_first_consumer_of_an_empty_partition_reads_what_is_appended_later(fixture: Fixture) -> Verdict {
    let orders = Orders::new(fixture).await?;
    let consumer = orders.consumer("billing", "one");
    check_eq!(orders.batch(&consumer).await?.lag, 0);
    orders.advance(secs(1));
    orders.append(&["placed"]).await?;
    let batch = orders.batch(&consumer).await?;
    check_eq!((payloads(&batch.events), batch.lag, batch.truncated), (vec!["placed"], 1, 0));
    Ok(())
}

async fn a_request_outside_its_ranges_is_refused(fixture: Fixture) -> Verdict {
    let orders = Orders::new(fixture).await?;
    let request = || orders.consumer("billing", "one");
    let mut elsewhere = request();
    elsewhere.partition = 1;
    let holding = u32::from(TopicConfig::MAX_PARTITIONS) + 1;
    for wrong in [elsewhere, request().with_max(1_001), request().with_lease(ms(9)), request().with_holding(holding)] {
        check_matches!(orders.read(&wrong).await, Err(Error::InvalidArgument { op: Op::TopicRead, .. }));
    }
    Ok(())
}

async fn a_topic_has_at_most_100_groups(fixture: Fixture) -> Verdict {
    let orders = Orders::new(fixture).await?;
    for number in 0..TopicConfig::MAX_GROUPS {
        orders.batch(&orders.consumer(&format!("group-{number}"), "one")).await?;
    }
    let refused = orders.read(&orders.consumer("another", "one")).await;
    check_matches!(&refused, Err(error @ Error::InvalidArgument { op: Op::TopicRead, .. }) if error.to_string().contains("100"));
    check_eq!(orders.consume("group-7").await?, Vec::<String>::new());
    Ok(())
}

async fn the_cursor_stays_when_the_store_is_opened_again(fixture: Fixture) -> Verdict {
    let orders = Orders::new(fixture).await?;
    orders.append(&["placed", "paid"]).await?;
    let consumer = orders.consumer("billing", "one");
    let batch = orders.batch(&consumer).await?;
    check!(orders.acknowledge(&batch, batch.events[0].id.number).await?);
    let orders = orders.reopen().await?;
    check_matches!(orders.read(&orders.consumer("billing", "two")).await?, ReadOutcome::Taken { .. });
    check_eq!(payloads(&orders.batch(&consumer).await?.events), ["paid"]);
    Ok(())
}
