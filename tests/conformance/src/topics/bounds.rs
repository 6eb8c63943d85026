//! What an append removes.

use store_core::{NewEvent, Op, PartitionInfo, TopicConfig};

use super::{Orders, payloads};
use crate::BrokenPromise;
use crate::case::cases;
use crate::fixture::{Fixture, secs};
use crate::verdict::{Verdict, check, check_eq};

cases! { Op::TopicAppend;
    events_above_the_number_are_removed,
    events_above_the_age_are_removed,
    events_above_the_bytes_are_removed,
    the_events_of_one_append_stay,
    an_append_removes_a_bounded_number_of_events,
    a_slow_group_is_told_what_it_has_missed,
}

async fn partition(orders: &Orders) -> Result<PartitionInfo, BrokenPromise> {
    Ok(orders.state.topics().inspect(&orders.name).await?.remove(0))
}

async fn events_above_the_number_are_removed(fixture: Fixture) -> Verdict {
    let orders = Orders::with(fixture, TopicConfig::default().with_max_events(32)).await?;
    for number in 0..34 {
        orders.append(&[&number.to_string()]).await?;
    }
    check_eq!(partition(&orders).await?.events(), 34);
    orders.append(&["34"]).await?;
    let info = partition(&orders).await?;
    check_eq!((info.events(), info.bytes), (32, 57));
    let batch = orders.batch(&orders.consumer("billing", "one")).await?;
    check_eq!((payloads(&batch.events)[0], batch.events[0].id.number), ("3", info.first));
    check_eq!(batch.events.len(), 32);
    Ok(())
}

async fn events_above_the_age_are_removed(fixture: Fixture) -> Verdict {
    let orders = Orders::with(fixture, TopicConfig::default().with_max_age(secs(160))).await?;
    for number in 0..18 {
        orders.append(&[&number.to_string()]).await?;
        orders.advance(secs(10));
    }
    // The first is 170 s old when the last is appended: not more than a sixteenth above the bound.
    check_eq!(partition(&orders).await?.events(), 18);
    orders.append(&["18"]).await?;
    let info = partition(&orders).await?;
    check_eq!(info.events(), 17);
    check_eq!(info.oldest.map(|oldest| orders.now().since(oldest)), Some(secs(160)));
    check_eq!(orders.consume("billing").await?[0], "2");
    Ok(())
}

async fn events_above_the_bytes_are_removed(fixture: Fixture) -> Verdict {
    let orders = Orders::with(fixture, TopicConfig::default().with_max_bytes(3_200)).await?;
    for _ in 0..34 {
        orders.append_all(&[NewEvent::new(vec![b'x'; 100])]).await?;
    }
    check_eq!(partition(&orders).await?.bytes, 3_400);
    orders.append(&["a last one"]).await?;
    let info = partition(&orders).await?;
    check!(info.bytes <= 3_200 && info.bytes > 3_000, "{info:?}");
    check_eq!(info.events(), 32);
    Ok(())
}

async fn the_events_of_one_append_stay(fixture: Fixture) -> Verdict {
    let config = TopicConfig::default().with_max_events(1).with_max_bytes(1);
    let orders = Orders::with(fixture, config).await?;
    for _ in 0..2 {
        orders.append(&["placed", "paid", "shipped"]).await?;
        let info = partition(&orders).await?;
        check_eq!((info.events(), info.bytes), (3, 17));
        orders.advance(secs(1));
    }
    Ok(())
}

async fn an_append_removes_a_bounded_number_of_events(fixture: Fixture) -> Verdict {
    let orders = Orders::new(fixture).await?;
    let many: Vec<NewEvent> = (0..1_000).map(|number: u32| NewEvent::new(number.to_string())).collect();
    for _ in 0..5 {
        orders.append_all(&many).await?;
    }
    let config = TopicConfig::default().with_max_events(10);
    orders.state.topics().declare(&orders.name, &config).await?;
    let mut left = Vec::new();
    for _ in 0..4 {
        orders.append(&["another"]).await?;
        left.push(partition(&orders).await?.events());
    }
    check_eq!(left, [3_001, 1_002, 10, 10]);
    Ok(())
}

async fn a_slow_group_is_told_what_it_has_missed(fixture: Fixture) -> Verdict {
    let orders = Orders::with(fixture, TopicConfig::default().with_max_events(10)).await?;
    let consumer = orders.consumer("billing", "one").with_max(2);
    orders.append(&["a", "b", "c"]).await?;
    let batch = orders.batch(&consumer).await?;
    check_eq!((payloads(&batch.events), batch.truncated, batch.lag), (vec!["a", "b"], 0, 3));
    for number in 0..20 {
        orders.append(&[&number.to_string()]).await?;
    }
    for _ in 0..2 {
        let batch = orders.batch(&consumer).await?;
        check_eq!((payloads(&batch.events), batch.truncated, batch.lag), (vec!["10", "11"], 13, 10));
        let info = &partition(&orders).await?.groups[0];
        check_eq!((info.truncated, info.lag), (13, 10));
    }
    let batch = orders.batch(&consumer).await?;
    check!(orders.acknowledge(&batch, batch.events[1].id.number).await?);
    let batch = orders.batch(&consumer).await?;
    check_eq!((payloads(&batch.events), batch.truncated, batch.lag), (vec!["12", "13"], 0, 8));
    Ok(())
}
