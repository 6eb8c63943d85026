//! How the consumers of a group share the partitions.

use store_core::{Op, ReadOutcome, ReadRequest, TopicConfig};

use super::Orders;
use super::notify::{Bell, PARTITIONS};
use crate::case::cases;
use crate::fixture::{Fixture, secs};
use crate::verdict::{Verdict, check_eq, check_matches};

cases! { Op::TopicRead;
    the_holder_reads_that_another_consumer_wants_the_partition,
    the_holder_is_notified_that_another_consumer_wants_the_partition,
    a_released_partition_is_reserved_for_the_one_that_holds_fewer,
    a_reservation_ends,
}

async fn the_holder_reads_that_another_consumer_wants_the_partition(fixture: Fixture) -> Verdict {
    let orders = Orders::new(fixture).await?;
    let holder = orders.consumer("billing", "one").with_holding(4);
    check_eq!(orders.batch(&holder).await?.wanted, None);
    for (holding, wanted) in [(3, 3), (5, 3), (1, 1), (2, 1)] {
        let other = orders.consumer("billing", "other").with_holding(holding);
        check_matches!(orders.read(&other).await?, ReadOutcome::Taken { by: Some(_), .. });
        check_eq!(orders.batch(&holder).await?.wanted, Some(wanted));
    }
    orders.advance(ReadRequest::ASKED_FOR);
    check_eq!(orders.batch(&holder).await?.wanted, None);
    Ok(())
}

async fn the_holder_is_notified_that_another_consumer_wants_the_partition(fixture: Fixture) -> Verdict {
    let orders = Orders::with(fixture, TopicConfig::default().with_partitions(PARTITIONS)).await?;
    let holder = orders.consumer("billing", "one").with_holding(4);
    orders.batch(&holder).await?;
    let bell = Bell::hang(&orders, 0).await;
    for holding in [2, 1] {
        let before = bell.rung();
        let other = orders.consumer("billing", "other").with_holding(holding);
        check_matches!(orders.read(&other).await?, ReadOutcome::Taken { by: Some(_), .. });
        bell.rings_after(before).await;
        check_eq!(orders.batch(&holder).await?.wanted, Some(holding));
    }
    Ok(())
}

async fn a_released_partition_is_reserved_for_the_one_that_holds_fewer(fixture: Fixture) -> Verdict {
    let orders = Orders::new(fixture).await?;
    let (first, other) = (orders.consumer("billing", "one"), orders.consumer("billing", "two").with_holding(1));
    let batch = orders.batch(&first.clone().with_holding(3)).await?;
    check_matches!(orders.read(&other).await?, ReadOutcome::Taken { .. });
    orders.state.topics().release(&batch.lease).await?;
    let until = orders.now().after(ReadRequest::ASKED_FOR);
    check_eq!(orders.read(&first.with_holding(2)).await?, ReadOutcome::Taken { by: None, until });
    check_eq!(orders.batch(&other).await?.wanted, None);
    Ok(())
}

async fn a_reservation_ends(fixture: Fixture) -> Verdict {
    let orders = Orders::new(fixture).await?;
    let (first, other) = (orders.consumer("billing", "one"), orders.consumer("billing", "two"));
    let batch = orders.batch(&first).await?;
    check_matches!(orders.read(&other).await?, ReadOutcome::Taken { .. });
    orders.state.topics().release(&batch.lease).await?;
    orders.advance(secs(1));
    check_matches!(orders.read(&first.clone().with_holding(1)).await?, ReadOutcome::Taken { by: None, .. });
    orders.advance(secs(1));
    check_matches!(orders.read(&first.with_holding(1)).await?, ReadOutcome::Events(_));
    Ok(())
}
