//! The layout of hand-offs: a golden file, and an upgrade in two steps. `state-store` has the tests of idempotent requests.

use bytes::Bytes;
use cache_store::{CacheOptions, CacheStore};
use redis_link::keys;
use redis_link::layout::{Aggregate, Layouts};
use store_core::{Clock, Error, Handoff, HandoffItem, ManualClock, Put, RequestId, Timestamp};
use testkit::RedisServer;
use testkit::golden::{dump, load};

use crate::{OWN, item, key, link, server, service};

const GOLDEN: &str = include_str!("golden/handoff.1.redis");
const CLAIM: [u8; 16] = [b'c'; 16];

fn put(name: &str) -> HandoffItem {
    item("billing", name, "value").with_request(RequestId::from_bytes([b'p'; 16]))
}

/// A store whose clock stops, of this version or of one that reads more layouts.
async fn store(server: &RedisServer, layouts: Layouts, newest: bool) -> CacheStore {
    let clock = Clock::Manual(ManualClock::new(Timestamp::from_millis(1_700_000_000_000)));
    let options = CacheOptions::default().with_clock(clock).with_newest_layouts(newest);
    let (own, shared) = (link(&server.url(Some(OWN))).await, link(&server.url(Some(0))).await);
    CacheStore::new(own.with_layouts(layouts), shared.with_layouts(layouts), service("billing"), options)
}

#[tokio::test]
async fn what_is_written_has_the_golden_layout_and_is_read_from_it() {
    let (one, other) = (server().await, server().await);
    let this = store(&one, Layouts::default(), false).await;
    for name in ["taken", "waiting"] {
        assert_eq!(this.put(&put(name)).await.unwrap(), Put::Stored);
    }
    this.take(&key("taken"), RequestId::from_bytes(CLAIM)).await.unwrap().unwrap();
    // An item that was taken and replaced.
    let replaced = RequestId::from_bytes(*b"the one replaced");
    this.put(&put("again").with_request(replaced)).await.unwrap();
    this.take(&key("again"), RequestId::from_bytes(CLAIM)).await.unwrap().unwrap();
    assert_eq!(this.put(&put("again")).await.unwrap(), Put::Stored);
    let (to, again) = (service("billing"), key("again"));
    let kept =
        [keys::handoff_put(&to, &again, replaced), keys::handoff_claim(&to, &again, RequestId::from_bytes(CLAIM))];
    for key in kept {
        assert_eq!(one.command(&["EXISTS", &key]).await.unwrap().as_integer(), Some(1), "{key}");
    }
    let dumped = dump(&one, "*").await.unwrap();
    assert_eq!(dumped, GOLDEN, "\n{dumped}");

    load(&other, GOLDEN).await.unwrap();
    let this = store(&other, Layouts::default(), false).await;
    let value = Some(Bytes::from_static(b"value"));
    assert_eq!(this.take(&key("waiting"), RequestId::generate()).await.unwrap(), value);
    assert_eq!(this.take(&key("taken"), RequestId::generate()).await.unwrap(), None);
    assert_eq!(this.take(&key("taken"), RequestId::from_bytes(CLAIM)).await.unwrap(), value, "its claim is recognised");
    assert_eq!(this.put(&put("again").with_request(replaced)).await.unwrap(), Put::Stored, "its put is recognised");
    assert_eq!(this.take(&key("again"), RequestId::from_bytes(CLAIM)).await.unwrap(), value);
    assert_eq!(this.take(&key("again"), RequestId::generate()).await.unwrap(), value, "that of the second put");
}

#[tokio::test]
async fn an_upgrade_in_two_steps_locks_no_process_out_before_the_second() {
    let server = server().await;
    let layouts = Layouts::default().with(Aggregate::Handoff, 1, 2);
    let old = store(&server, Layouts::default(), false).await;
    let (next, told) = (store(&server, layouts, false).await, store(&server, layouts, true).await);
    let claim = || RequestId::generate();
    old.put(&put("a")).await.unwrap();
    next.put(&put("b")).await.unwrap();
    assert!(
        next.take(&key("a"), claim()).await.unwrap().is_some() && old.take(&key("b"), claim()).await.unwrap().is_some()
    );

    told.put(&put("c")).await.unwrap();
    let before = dump(&server, "*").await.unwrap();
    let text = "handoff data has layout 2, and this process reads layout 1; this process is too old: upgrade it to the \
                version of the others";
    let errors = [old.take(&key("c"), claim()).await.map(drop), old.put(&put("c")).await.map(drop)];
    for error in errors.map(Result::unwrap_err) {
        assert!(matches!(error, Error::Unsupported { .. }) && error.to_string().ends_with(text), "{error}");
    }
    assert_eq!(dump(&server, "*").await.unwrap(), before);
    assert!(next.take(&key("c"), claim()).await.unwrap().is_some());
}
