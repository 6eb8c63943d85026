//! The golden file of a cache store.

use bytes::Bytes;
use embedded_store::EmbeddedCache;
use store_core::{
    Begun, Entry, Fingerprint, Handoff, HandoffItem, Idempotency, IdempotentRequest, KeyValue, KeyValueExt, Put, Rate,
    RateCheck, RateLimit, RequestId, SetIfAbsent,
};

use super::{HOUR, MINUTE};
use crate::{key, service};

fn request(name: &str) -> IdempotentRequest {
    IdempotentRequest::new(key(name), Fingerprint::of(b"body")).with_request(RequestId::from_bytes([7; 16]))
}

fn first_set() -> (Entry, RequestId) {
    (Entry::new(key("once"), "first", HOUR), RequestId::from_bytes([9; 16]))
}

fn checks() -> [RateCheck; 2] {
    let smooth = Rate::Gcra { count: 1, period: 60 * MINUTE, burst: 2 };
    [
        RateCheck::new(key("smooth"), smooth),
        RateCheck::new(key("window"), Rate::FixedWindow { count: 2, window: 24 * 60 * MINUTE }),
    ]
}

/// A value, a conditional set, a counter, both kinds of limits, two idempotent requests, two hand-offs.
pub(super) async fn write(store: &EmbeddedCache) {
    store.set(key("value"), "a\0b".into(), HOUR).await.unwrap();
    let (entry, set) = first_set();
    assert_eq!(store.set_if_absent(&entry, set).await.unwrap(), SetIfAbsent::Stored);
    assert_eq!(store.add(&key("counter"), -7, HOUR).await.unwrap(), -7);
    assert!(RateLimit::check(store, &checks()).await.unwrap().allowed);
    for name in ["begun", "finished"] {
        assert!(store.begin(&request(name), HOUR).await.unwrap().is_started());
    }
    store.finish(&request("finished"), &Bytes::from_static(b"done"), HOUR).await.unwrap();
    for (name, to) in [("own", "orders"), ("other", "billing")] {
        let item = HandoffItem::new(service(to), key(name), "item", HOUR).with_request(RequestId::from_bytes([7; 16]));
        assert_eq!(store.put(&item).await.unwrap(), Put::Stored);
    }
}

/// Reads what [`write`] has written.
pub(super) async fn read(store: &EmbeddedCache) {
    assert_eq!(store.get(&key("value")).await.unwrap().as_deref(), Some(&b"a\0b"[..]));
    let (entry, set) = first_set();
    assert_eq!(store.set_if_absent(&entry, set).await.unwrap(), SetIfAbsent::Stored, "its request is recognised");
    assert_eq!(store.add(&key("counter"), 1, HOUR).await.unwrap(), -6);
    assert!(RateLimit::check(store, &checks()).await.unwrap().allowed);
    assert!(!RateLimit::check(store, &checks()).await.unwrap().allowed, "the first check counts");
    assert_eq!(store.begin(&request("begun"), HOUR).await.unwrap(), Begun::Started, "its request is recognised");
    let finished = store.begin(&request("finished"), HOUR).await.unwrap();
    assert_eq!(finished, Begun::Finished(Bytes::from_static(b"done")));
    let taken = store.take(&key("own"), RequestId::from_bytes([8; 16])).await.unwrap();
    assert_eq!(taken.as_deref(), Some(&b"item"[..]));
    let again = HandoffItem::new(service("billing"), key("other"), "another", HOUR);
    assert_eq!(store.put(&again).await.unwrap(), Put::Occupied);
}
