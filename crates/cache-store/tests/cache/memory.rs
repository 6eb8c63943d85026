//! The contents of the server's memory: which databases, which keys, and that each key has a TTL.

use std::time::Duration;

use bytes::Bytes;
use store_core::{Durability, Handoff, HandoffItem, Idempotency, KeyValueExt, Put, RequestId, Ttl};

use crate::{MINUTE, OWN, every_operation, item, key, link, request, server, store, store_with};

#[tokio::test]
async fn every_key_of_every_operation_has_a_ttl() {
    let server = server().await;
    for clock in
        [store_core::Clock::Server, store_core::Clock::Manual(store_core::ManualClock::new(Default::default()))]
    {
        let store = store_with(&server, "billing", OWN, clock).await;
        every_operation(&store, "x:").await;
    }
    for (database, least) in [(OWN, 8), (0, 4)] {
        let keys = server.command_in(database, &["KEYS", "*"]).await.unwrap().as_strings().unwrap();
        assert!(keys.len() >= least, "{keys:?}");
        for name in keys {
            let ttl = server.command_in(database, &["PTTL", &name]).await.unwrap().as_integer().unwrap();
            assert!(ttl > 0, "{name}: {ttl}");
        }
    }
}

#[tokio::test]
async fn only_handoffs_are_in_the_shared_database() {
    let server = server().await;
    every_operation(&store(&server).await, "x:").await;
    let own = server.command_in(OWN, &["KEYS", "*"]).await.unwrap().as_strings().unwrap();
    let shared = server.command_in(0, &["KEYS", "*"]).await.unwrap().as_strings().unwrap();
    assert!(own.iter().all(|name| !name.starts_with("handoff:")), "{own:?}");
    assert!(shared.iter().all(|name| name.starts_with("handoff:7:billing:x:")), "{shared:?}");
}

#[tokio::test]
async fn services_share_handoffs_and_nothing_else() {
    let server = server().await;
    let billing = store(&server).await;
    let mail = store_with(&server, "mail", 2, store_core::Clock::Server).await;
    billing.set(key("a"), Bytes::from_static(b"1"), MINUTE).await.unwrap();
    assert_eq!(mail.get(&key("a")).await.unwrap(), None);
    billing.begin(&request("a"), MINUTE).await.unwrap();
    assert_eq!(mail.begin(&request("a"), MINUTE).await.unwrap(), store_core::Begun::Started);
    billing.put(&item("mail", "a", "for mail")).await.unwrap();
    assert_eq!(billing.take(&key("a"), RequestId::generate()).await.unwrap(), None, "it is not for the sender");
    assert_eq!(mail.take(&key("a"), RequestId::generate()).await.unwrap().unwrap(), "for mail");
}

#[tokio::test]
async fn a_take_does_not_extend_the_ttl() {
    let server = server().await;
    let store = store(&server).await;
    store.put(&item("billing", "a", "value")).await.unwrap();
    let name = "handoff:7:billing:a";
    let deadline = server.command(&["PEXPIRETIME", name]).await.unwrap();
    store.take(&key("a"), RequestId::generate()).await.unwrap().unwrap();
    assert_eq!(server.command(&["PEXPIRETIME", name]).await.unwrap(), deadline);
}

#[tokio::test]
async fn the_values_of_replaced_items_are_kept_as_long_as_a_take_may_be_repeated() {
    let server = server().await;
    let store = store(&server).await;
    for _ in 0..50 {
        let mut item = item("billing", "mailbox", "value");
        item.ttl = Ttl::from_secs(3600);
        assert_eq!(store.put(&item).await.unwrap(), Put::Stored);
        store.take(&item.key, RequestId::generate()).await.unwrap().unwrap();
    }
    // The time-outs of these tests are large.
    let repeated = link(&server.url(Some(0))).await.remembered_for(Durability::Accepted);
    let collected = Duration::from_millis(1_001);
    let most = repeated.max(HandoffItem::REPLACED_FOR) + collected;
    let keys = server.command(&["KEYS", "handoff:*{t*"]).await.unwrap().as_strings().unwrap();
    assert_eq!(keys.len(), 49);
    for name in keys {
        let ttl = server.command(&["PTTL", &name]).await.unwrap().as_integer().unwrap();
        assert!(Duration::from_millis(u64::try_from(ttl).unwrap()) <= most, "{name}: {ttl}");
    }
}
