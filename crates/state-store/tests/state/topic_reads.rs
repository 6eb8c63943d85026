//! The replies of coalesced reads are bounded.

use futures_util::future::join_all;
use store_core::{
    Durability, EventBatch, GroupName, HolderName, NewEvent, ReadOutcome, ReadRequest, RequestId, TopicConfig,
    TopicName, Topics,
};
use testkit::RedisServer;

use crate::{Fixture, fixture};

const TOPICS: usize = 24;

fn topic(number: usize) -> TopicName {
    TopicName::new(format!("orders-{number}")).unwrap()
}

async fn read(store: &state_store::StateStore, number: usize) -> EventBatch {
    let name = HolderName::new("consumer").unwrap();
    let request = ReadRequest::new(topic(number), 0, GroupName::new("billing").unwrap(), name);
    let request = request.with_request(RequestId::from_bytes([7; 16]));
    match store.read(&request).await.unwrap() {
        ReadOutcome::Events(batch) => batch,
        other => panic!("{other:?}"),
    }
}

/// How many scripts the server has run.
async fn scripts(server: &RedisServer) -> u64 {
    let info = server.command(&["INFO", "commandstats"]).await.unwrap();
    let calls = info.as_str().unwrap().lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
    calls.and_then(|rest| rest.split(',').next()).unwrap().parse().unwrap()
}

/// Each topic has half a MiB.
#[tokio::test]
async fn the_events_of_coalesced_reads_share_1_mib() {
    let Fixture { server, store, .. } = fixture().await;
    let half = vec![NewEvent::new(vec![b'x'; NewEvent::MAX_BYTES]); (1 << 19) / NewEvent::MAX_BYTES];
    for number in 0..=TOPICS {
        store.declare(&topic(number), &TopicConfig::default()).await.unwrap();
        if number < TOPICS {
            let _ = store.append(&topic(number), &half, Durability::Accepted).await.unwrap();
        }
    }
    // Replies without events: the store then coalesces as many reads as wait.
    for _ in 0..30 {
        assert!(read(&store, TOPICS).await.events.is_empty());
    }
    let before = scripts(&server).await;
    let batches = join_all((0..TOPICS).map(|number| read(&store, number))).await;
    for (number, batch) in batches.iter().enumerate() {
        assert!(!batch.events.is_empty(), "the read of topic {number} got nothing");
        assert_eq!(batch.lag, half.len() as u64);
    }
    // Two of the coalesced ones got all bytes, and each of the others was sent again alone.
    let scripts = scripts(&server).await - before;
    assert!(scripts >= TOPICS as u64 - 3, "{scripts} scripts");
}
