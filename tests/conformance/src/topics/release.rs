//! Giving partitions back.

use store_core::{Op, ReadOutcome};

use super::{Orders, payloads};
use crate::case::cases;
use crate::fixture::{Fixture, secs};
use crate::verdict::{Verdict, check, check_eq, check_matches};

cases! { Op::TopicRelease;
    another_consumer_reads_immediately,
    a_superseded_lease_releases_nothing,
}

async fn another_consumer_reads_immediately(fixture: Fixture) -> Verdict {
    let orders = Orders::new(fixture).await?;
    orders.append(&["placed"]).await?;
    let batch = orders.batch(&orders.consumer("billing", "one")).await?;
    for _ in 0..2 {
        orders.state.topics().release(&batch.lease).await?;
    }
    // What it has handled can still be acknowledged, until another consumer takes the partition.
    check!(orders.acknowledge(&batch, batch.events[0].id.number).await?);
    orders.append(&["paid"]).await?;
    check_eq!(payloads(&orders.batch(&orders.consumer("billing", "two")).await?.events), ["paid"]);
    check!(!orders.acknowledge(&batch, batch.events[0].id.number).await?);
    Ok(())
}

async fn a_superseded_lease_releases_nothing(fixture: Fixture) -> Verdict {
    let orders = Orders::new(fixture).await?;
    let batch = orders.batch(&orders.consumer("billing", "one")).await?;
    orders.advance(secs(31));
    orders.batch(&orders.consumer("billing", "two")).await?;
    orders.state.topics().release(&batch.lease).await?;
    check_matches!(orders.read(&orders.consumer("billing", "three")).await?, ReadOutcome::Taken { by: Some(by), .. } if by.as_str() == "two");
    Ok(())
}
