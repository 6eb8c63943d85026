//! A server whose memory is full evicts keys with a TTL. That is not an error.

use bytes::Bytes;
use store_core::{Entry, Handoff, Idempotency, KeyValue, KeyValueExt, RateLimit, RequestId};
use testkit::RedisServer;

use crate::{MINUTE, item, key, per_hour, per_minute, request, store};

#[tokio::test]
async fn an_evicting_server_never_errors() {
    let server = RedisServer::cache().config("maxmemory", "8mb").start().await.unwrap();
    let store = store(&server).await;
    let value = Bytes::from(vec![7; 1000]);
    for round in 0..400 {
        let entries: Vec<_> =
            (0..50).map(|index| Entry::new(key(format!("{round}:{index}")), value.clone(), MINUTE)).collect();
        store.set_many(&entries).await.unwrap();
        let name = round.to_string();
        store.set(key(&name), value.clone(), MINUTE).await.unwrap();
        store.set_if_absent(&Entry::new(key("one"), value.clone(), MINUTE), RequestId::generate()).await.unwrap();
        store.add(&key(&name), 1, MINUTE).await.unwrap();
        store.begin(&request(&name), MINUTE).await.unwrap();
        store.finish(&request(&name), &value, MINUTE).await.unwrap();
        store.check(&[per_minute(&name, 5), per_hour("all", u32::MAX)]).await.unwrap();
        store.put(&item("billing", &name, "value")).await.unwrap();
        store.take(&key(&name), RequestId::generate()).await.unwrap();
        let names: Vec<_> = entries.into_iter().map(|entry| entry.key).collect();
        for read in store.get_many(&names).await.unwrap().into_iter().flatten() {
            assert_eq!(read, value);
        }
    }
    let evicted = server.info("stats").await.unwrap()["evicted_keys"].parse::<u64>().unwrap();
    assert!(evicted > 1000, "{evicted}");
}
