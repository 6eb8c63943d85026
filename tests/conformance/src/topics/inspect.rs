//! The state of partitions and groups.

use store_core::{Op, PartitionInfo, TopicConfig};

use super::{Orders, keyed};
use crate::case::cases;
use crate::fixture::{Fixture, holder, secs};
use crate::verdict::{Verdict, check, check_eq};

cases! { Op::TopicInspect;
    a_partition_shows_its_events_and_bytes,
    the_lag_of_each_group_is_exact,
    the_holder_is_shown_while_its_lease_lasts,
    a_topic_without_events_is_empty,
}

async fn a_partition_shows_its_events_and_bytes(fixture: Fixture) -> Verdict {
    let orders = Orders::new(fixture).await?;
    let began = orders.now();
    let ids = orders.append(&["placed", "paid"]).await?;
    orders.advance(secs(5));
    orders.append_all(&[keyed("key", "shipped")]).await?;
    let partitions = orders.state.topics().inspect(&orders.name).await?;
    check_eq!(partitions.len(), 1);
    let info = &partitions[0];
    check_eq!((info.partition, info.first, info.last), (0, ids[0].number, ids[0].number + 2));
    check_eq!((info.events(), info.bytes, info.oldest), (3, 20, Some(began)));
    Ok(())
}

async fn the_lag_of_each_group_is_exact(fixture: Fixture) -> Verdict {
    let orders = Orders::with(fixture, TopicConfig::default()).await?;
    for number in 0..10 {
        orders.append(&[&number.to_string()]).await?;
    }
    for (name, acknowledged) in [("c", 0), ("a", 10), ("b", 3)] {
        let batch = orders.batch(&orders.consumer(name, "one")).await?;
        if acknowledged > 0 {
            check!(orders.acknowledge(&batch, batch.events[acknowledged - 1].id.number).await?);
        }
    }
    let info = orders.state.topics().inspect(&orders.name).await?.remove(0);
    let lags: Vec<_> = info.groups.iter().map(|group| (group.group.as_str(), group.lag, group.truncated)).collect();
    check_eq!(lags, [("a", 0, 0), ("b", 7, 0), ("c", 10, 0)]);
    check_eq!(info.groups[1].acknowledged, info.first + 2);
    Ok(())
}

async fn the_holder_is_shown_while_its_lease_lasts(fixture: Fixture) -> Verdict {
    let orders = Orders::new(fixture).await?;
    let batch = orders.batch(&orders.consumer("billing", "one")).await?;
    let shown = orders.state.topics().inspect(&orders.name).await?.remove(0).groups.remove(0);
    check_eq!((shown.holder, shown.until), (Some(holder("one")), Some(batch.until)));
    check_eq!(shown.fence, batch.lease.fence);
    orders.advance(secs(30));
    let shown = orders.state.topics().inspect(&orders.name).await?.remove(0).groups.remove(0);
    check_eq!((shown.holder, shown.until, shown.fence), (None, None, batch.lease.fence));
    Ok(())
}

async fn a_topic_without_events_is_empty(fixture: Fixture) -> Verdict {
    let orders = Orders::with(fixture, TopicConfig::default().with_partitions(2)).await?;
    let partitions = orders.state.topics().inspect(&orders.name).await?;
    check_eq!(partitions.iter().map(|info| info.partition).collect::<Vec<_>>(), [0, 1]);
    check!(partitions.iter().all(|info| info.oldest.is_none() && info.groups.is_empty() && info.bytes == 0));
    check_eq!(partitions.iter().map(PartitionInfo::events).sum::<u64>(), 0);
    Ok(())
}
