//! Removing groups.

use store_core::{Op, TopicConfig};

use super::{Orders, group, payloads};
use crate::case::cases;
use crate::fixture::Fixture;
use crate::verdict::{Verdict, check, check_eq};

cases! { Op::TopicRemoveGroup;
    a_removed_group_is_gone_in_all_partitions,
    its_consumers_acknowledge_nothing_and_it_can_begin_again,
}

async fn a_removed_group_is_gone_in_all_partitions(fixture: Fixture) -> Verdict {
    let orders = Orders::with(fixture, TopicConfig::default().with_partitions(3)).await?;
    for name in ["billing", "shipping"] {
        orders.state.topics().seek(&orders.name, &group(name), store_core::SeekTo::Start).await?;
    }
    for _ in 0..2 {
        orders.state.topics().remove_group(&orders.name, &group("billing")).await?;
    }
    for partition in orders.state.topics().inspect(&orders.name).await? {
        check_eq!(partition.groups.iter().map(|info| info.group.as_str()).collect::<Vec<_>>(), ["shipping"]);
    }
    Ok(())
}

async fn its_consumers_acknowledge_nothing_and_it_can_begin_again(fixture: Fixture) -> Verdict {
    let orders = Orders::new(fixture).await?;
    orders.append(&["a", "b"]).await?;
    let consumer = orders.consumer("billing", "one");
    let batch = orders.batch(&consumer).await?;
    check!(orders.acknowledge(&batch, batch.events[0].id.number).await?);
    orders.state.topics().remove_group(&orders.name, &group("billing")).await?;
    check!(!orders.acknowledge(&batch, batch.events[1].id.number).await?);
    check_eq!(payloads(&orders.batch(&consumer).await?.events), ["a", "b"]);
    Ok(())
}
