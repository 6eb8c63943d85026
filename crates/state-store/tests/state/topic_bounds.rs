//! The bounds of a topic that another process has changed.

use std::time::Duration;

use store_core::{Clock, Durability, GroupName, TopicConfig, Topics};

use crate::topics::{DAY, append, consumer, read, topic};
use crate::{Fixture, fixture, open};
use state_store::StateOptions;

const ACCEPTED: Durability = Durability::Accepted;

/// The process has read the topic when its events were kept for a day.
#[tokio::test]
async fn an_acknowledgement_removes_nothing_that_another_process_retains() {
    let Fixture { server, store, clock } = fixture().await;
    let options = StateOptions::default().with_clock(Clock::Manual(clock.clone()));
    let other = open(&server.url(None), options).await.unwrap();
    let (orders, config) = (topic("orders"), TopicConfig::default());
    store.declare(&orders, &config.clone().with_max_age(DAY)).await.unwrap();
    append(&store, &orders, &["placed"]).await.unwrap();
    let batch = read(&other, &consumer(&orders, 1)).await.unwrap();
    store.declare(&orders, &config.with_max_age(30 * DAY)).await.unwrap();
    append(&store, &orders, &["paid"]).await.unwrap();

    clock.advance(3 * DAY);
    for _ in 0..2 {
        assert!(other.acknowledge(&batch.lease, batch.events[0].id.number, ACCEPTED).await.unwrap().value);
    }
    let mut slow = consumer(&orders, 2);
    slow.group = GroupName::new("slow").unwrap();
    let found = read(&store, &slow).await.unwrap();
    assert_eq!((found.events.len(), found.truncated), (2, 0), "the slow group reads all events");

    // It knows the later age from then on, and removes what exceeds that.
    clock.advance(29 * DAY + Duration::from_secs(1));
    assert!(other.acknowledge(&batch.lease, batch.events[0].id.number, ACCEPTED).await.unwrap().value);
    assert_eq!(store.inspect(&orders).await.unwrap()[0].events(), 0);
}
