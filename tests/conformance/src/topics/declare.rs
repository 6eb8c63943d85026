//! Declaring topics.

use std::time::Duration;

use store_core::{Error, Op, TopicConfig};

use super::Orders;
use crate::case::cases;
use crate::fixture::{Fixture, secs};
use crate::verdict::{Verdict, check_eq, check_matches};

cases! { Op::TopicDeclare;
    the_first_declaration_determines_the_partitions,
    a_later_declaration_changes_the_bounds,
    a_topic_that_was_not_declared_is_refused,
    a_configuration_outside_its_ranges_is_refused,
    all_services_use_the_same_topics,
    it_is_declared_when_the_store_is_opened_again: Reopen,
}

async fn the_first_declaration_determines_the_partitions(fixture: Fixture) -> Verdict {
    let orders = Orders::with(fixture, TopicConfig::default().with_partitions(4)).await?;
    let refused = orders.state.topics().declare(&orders.name, &TopicConfig::default().with_partitions(3)).await;
    check_matches!(&refused, Err(error @ Error::InvalidArgument { op: Op::TopicDeclare, .. }) if error.to_string().contains("has 4 partitions, not 3"));
    check_eq!(orders.state.topics().inspect(&orders.name).await?.len(), 4);
    Ok(())
}

async fn a_later_declaration_changes_the_bounds(fixture: Fixture) -> Verdict {
    let orders = Orders::new(fixture).await?;
    let config = TopicConfig::default().with_max_age(Duration::from_millis(1_500)).with_max_events(7).with_max_bytes(9);
    for _ in 0..2 {
        check_eq!(orders.state.topics().declare(&orders.name, &config).await?, config);
    }
    Ok(())
}

async fn a_topic_that_was_not_declared_is_refused(fixture: Fixture) -> Verdict {
    let name = store_core::TopicName::new(fixture.text("unknown"))?;
    let topics = fixture.state.topics();
    let batch = store_core::PartitionLease::new(name.clone(), 0, super::group("billing"), store_core::Fence::new(1));
    let accepted = store_core::Durability::Accepted;
    let request = store_core::ReadRequest::new(name.clone(), 0, super::group("billing"), crate::fixture::holder("one"));
    let refusals = [
        topics.append(&name, &[super::event("placed")], accepted).await.map(drop),
        topics.read(&request).await.map(drop),
        topics.acknowledge(&batch, 1, accepted).await.map(drop),
        topics.release(&batch).await,
        topics.seek(&name, &batch.group, store_core::SeekTo::Start).await,
        topics.inspect(&name).await.map(drop),
        topics.remove_group(&name, &batch.group).await,
    ];
    for refused in refusals {
        check_matches!(&refused, Err(error @ Error::InvalidArgument { .. }) if error.to_string().contains("not declared"));
    }
    Ok(())
}

async fn a_configuration_outside_its_ranges_is_refused(fixture: Fixture) -> Verdict {
    let name = store_core::TopicName::new(fixture.text("orders"))?;
    let config = TopicConfig::default;
    let wrong = [
        config().with_partitions(0),
        config().with_partitions(257),
        config().with_max_age(Duration::from_millis(999)),
        config().with_max_age(secs(367 * 24 * 3600)),
        config().with_max_events(0),
        config().with_max_bytes(0),
        config().with_max_bytes((1 << 40) + 1),
    ];
    for config in wrong {
        let refused = fixture.state.topics().declare(&name, &config).await;
        check_matches!(refused, Err(Error::InvalidArgument { op: Op::TopicDeclare, .. }));
    }
    Ok(())
}

async fn all_services_use_the_same_topics(fixture: Fixture) -> Verdict {
    let orders = Orders::new(fixture).await?;
    orders.append(&["placed"]).await?;
    for store in [&orders.other_state, &orders.shared_state] {
        let batch = store.topics().read(&orders.consumer(&format!("{:p}", store), "one")).await?.events();
        check_eq!(batch.map(|batch| batch.events.len()), Some(1));
    }
    Ok(())
}

async fn it_is_declared_when_the_store_is_opened_again(fixture: Fixture) -> Verdict {
    let orders = Orders::with(fixture, TopicConfig::default().with_partitions(2)).await?;
    orders.append(&["placed"]).await?;
    let orders = orders.reopen().await?;
    let partitions = orders.state.topics().inspect(&orders.name).await?;
    check_eq!(partitions.iter().map(store_core::PartitionInfo::events).sum::<u64>(), 1);
    Ok(())
}
