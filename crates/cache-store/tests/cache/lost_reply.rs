//! The connection is cut after the server has executed a request and before its reply arrives. A request that the
//! server recognises is sent again, and the state is as if it had been executed once.

use std::time::Duration;

use bytes::Bytes;
use cache_store::{CacheOptions, CacheStore};
use store_core::{
    Begun, Error, Finished, Handoff, Idempotency, KeyValue, KeyValueExt, Put, RateLimit, RequestId, SetIfAbsent,
};
use testkit::{FaultProxy, RedisServer, mentions};

use crate::{
    MINUTE, OWN, entry, every_operation, item, key, link_within, per_hour, per_minute, request, server, service,
};

struct Cut {
    server: RedisServer,
    proxy: FaultProxy,
    store: CacheStore,
    cuts: usize,
}

impl Cut {
    async fn start() -> Self {
        let server = server().await;
        let proxy = FaultProxy::start(server.address()).await.unwrap();
        // A repetition waits for the command time-out of the request before it.
        let patience = Duration::from_secs(2);
        let own = link_within(&server.url_through(&proxy, Some(OWN)), patience).await;
        let shared = link_within(&server.url_through(&proxy, Some(0)), patience).await;
        let store = CacheStore::new(own, shared, service("billing"), CacheOptions::default());
        every_operation(&store, "warm:").await;
        Self { server, proxy, store, cuts: 0 }
    }

    /// The reply to the next request that names `key` is lost.
    fn next(&mut self, key: &str) -> &CacheStore {
        assert_eq!(self.proxy.fired(), self.cuts, "the last cut has fired");
        self.cuts += 1;
        self.proxy.cut_after_request(mentions(key));
        &self.store
    }

    async fn stored(&self, name: &str) -> Option<Bytes> {
        let reply = self.server.command_in(OWN, &["GET", name]).await.unwrap();
        reply.as_bytes().map(Bytes::copy_from_slice)
    }

    fn end(self) {
        assert_eq!(self.proxy.fired(), self.cuts);
    }
}

#[tokio::test]
async fn of_values() {
    let mut cut = Cut::start().await;
    cut.next("value:a").set_many(&[entry("a", "1")]).await.unwrap();
    cut.next("value:b").set_many(&[entry("b", "2"), entry("c", "3")]).await.unwrap();
    assert_eq!(cut.stored("value:c").await.unwrap(), &b"\x003"[..]);
    assert_eq!(cut.next("value:a").get(&key("a")).await.unwrap().unwrap(), "1");
    assert_eq!(cut.next("value:b").get_many(&["b", "c"].map(key)).await.unwrap().len(), 2);

    let by = RequestId::generate();
    let absent = entry("d", "4");
    assert_eq!(cut.next("value:d").set_if_absent(&absent, by).await.unwrap(), SetIfAbsent::Stored);
    let other = cut.store.set_if_absent(&absent, RequestId::generate()).await.unwrap();
    assert_eq!(other, SetIfAbsent::Present(Bytes::from_static(b"4")));

    // the repetition deletes nothing else
    cut.next("value:d").delete_if(&key("d"), &Bytes::from_static(b"4")).await.unwrap();
    cut.next("value:b").delete_many(&[key("b")]).await.unwrap();
    assert_eq!((cut.stored("value:d").await, cut.stored("value:b").await), (None, None));
    assert_eq!(cut.store.get(&key("c")).await.unwrap().unwrap(), "3");
    cut.end();
}

#[tokio::test]
async fn of_a_counting_operation_is_indeterminate_and_counted_once() {
    let mut cut = Cut::start().await;
    let result = cut.next("counter:a").add(&key("a"), 5, MINUTE).await;
    assert!(matches!(result, Err(Error::Indeterminate { .. })), "{result:?}");
    assert!(!result.unwrap_err().is_retryable());
    assert_eq!(cut.stored("counter:a").await.unwrap(), "5");

    let result = cut.next("window:a").check(&[per_hour("a", 10).with_cost(3)]).await;
    assert!(matches!(result, Err(Error::Indeterminate { .. })), "{result:?}");
    let left = cut.store.check(&[per_hour("a", 10).with_cost(0)]).await.unwrap();
    assert_eq!(left.limits[0].remaining, 7);

    let result = cut.next("gcra:a").check(&[per_minute("a", 10).with_cost(3)]).await;
    assert!(matches!(result, Err(Error::Indeterminate { .. })), "{result:?}");
    let left = cut.store.check(&[per_minute("a", 10).with_cost(0)]).await.unwrap();
    assert!((7..10).contains(&left.limits[0].remaining), "{left:?}");

    cut.next("window:a").reset(&[key("a")]).await.unwrap();
    assert_eq!((cut.stored("window:a").await, cut.stored("gcra:a").await), (None, None));
    cut.end();
}

#[tokio::test]
async fn of_idempotent_requests() {
    let mut cut = Cut::start().await;
    let (first, second) = (request("a"), request("a"));
    assert_eq!(cut.next("idempotency:a").begin(&first, MINUTE).await.unwrap(), Begun::Started);
    assert!(matches!(cut.store.begin(&second, MINUTE).await.unwrap(), Begun::InProgress { .. }));
    let response = Bytes::from_static(b"response");
    assert_eq!(cut.next("idempotency:a").finish(&first, &response, MINUTE).await.unwrap(), Finished::Stored);
    assert_eq!(cut.next("idempotency:a").begin(&second, MINUTE).await.unwrap(), Begun::Finished(response));

    let third = request("b");
    cut.store.begin(&third, MINUTE).await.unwrap();
    cut.next("idempotency:b").abandon(&third).await.unwrap();
    assert_eq!(cut.stored("idempotency:b").await, None);
    cut.end();
}

#[tokio::test]
async fn of_handoffs() {
    let mut cut = Cut::start().await;
    let first = item("billing", "a", "value");
    assert_eq!(cut.next("billing:a").put(&first).await.unwrap(), Put::Stored);
    assert_eq!(cut.store.put(&item("billing", "a", "other")).await.unwrap(), Put::Occupied);
    let claim = RequestId::generate();
    assert_eq!(cut.next("billing:a").take(&key("a"), claim).await.unwrap().unwrap(), "value");
    assert_eq!(cut.store.take(&key("a"), RequestId::generate()).await.unwrap(), None);
    assert_eq!(cut.next("billing:a").put(&first).await.unwrap(), Put::Stored);
    assert_eq!(cut.store.take(&key("a"), RequestId::generate()).await.unwrap(), None, "it was not put again");
    cut.end();
}
