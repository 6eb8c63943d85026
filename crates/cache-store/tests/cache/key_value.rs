//! Frames, bounds and expiry of values and counters.

use std::time::Duration;

use bytes::Bytes;
use store_core::{Entry, Error, KeyValue, KeyValueExt, RequestId, SetIfAbsent, Ttl};

use crate::{MINUTE, OWN, entry, eventually, key, server, store};

#[tokio::test]
async fn a_value_is_stored_behind_its_frame() {
    let server = server().await;
    let store = store(&server).await;
    let stored = async |name: &str| {
        let reply = server.command_in(OWN, &["GET", &format!("value:{name}")]).await.unwrap();
        reply.as_bytes().map(<[u8]>::to_vec)
    };
    store.set_many(&[entry("a", "one")]).await.unwrap();
    store.set_many(&[entry("b", "two"), entry("c", ""), entry("b", "last")]).await.unwrap();
    let request = RequestId::from_bytes(*b"0123456789abcdef");
    assert_eq!(store.set_if_absent(&entry("d", "four"), request).await.unwrap(), SetIfAbsent::Stored);
    assert_eq!(stored("a").await.unwrap(), b"\0one");
    assert_eq!(stored("b").await.unwrap(), b"\0last");
    assert_eq!(stored("c").await.unwrap(), b"\0");
    assert_eq!(stored("d").await.unwrap(), b"\x010123456789abcdeffour");
    let names = ["a", "none", "b", "c", "d"].map(key);
    let values = store.get_many(&names).await.unwrap();
    let expected = [Some("one"), None, Some("last"), Some(""), Some("four")];
    assert_eq!(values, expected.map(|value| value.map(|value| Bytes::from_static(value.as_bytes()))));
}

#[tokio::test]
async fn comparing_ignores_the_frame() {
    let server = server().await;
    let store = store(&server).await;
    let (one, two) = (RequestId::generate(), RequestId::generate());
    store.set_if_absent(&entry("a", "value"), one).await.unwrap();
    assert_eq!(store.set_if_absent(&entry("a", "value"), one).await.unwrap(), SetIfAbsent::Stored);
    assert_eq!(
        store.set_if_absent(&entry("a", "other"), two).await.unwrap(),
        SetIfAbsent::Present(Bytes::from_static(b"value"))
    );
    for wrong in [&b""[..], b"valu", b"value ", b"\x01value"] {
        assert!(!store.delete_if(&key("a"), &Bytes::copy_from_slice(wrong)).await.unwrap());
    }
    assert!(store.delete_if(&key("a"), &Bytes::from_static(b"value")).await.unwrap());
    store.set(key("a"), Bytes::from_static(b"\x01value"), MINUTE).await.unwrap();
    assert!(store.delete_if(&key("a"), &Bytes::from_static(b"\x01value")).await.unwrap());
    assert!(!store.delete_if(&key("a"), &Bytes::new()).await.unwrap());
}

#[tokio::test]
async fn foreign_values_are_corrupt_and_kept() {
    let server = server().await;
    let store = store(&server).await;
    server.command_in(OWN, &["SET", "value:a", "canary"]).await.unwrap();
    server.command_in(OWN, &["SET", "counter:a", "canary"]).await.unwrap();
    server.command_in(OWN, &["RPUSH", "value:b", "canary"]).await.unwrap();
    server.command_in(OWN, &["RPUSH", "counter:b", "canary"]).await.unwrap();
    let errors = [
        store.get(&key("a")).await.unwrap_err(),
        store.get_many(&["none", "a"].map(key)).await.unwrap_err(),
        store.set_if_absent(&entry("b", "x"), RequestId::generate()).await.unwrap_err(),
        store.delete_if(&key("b"), &Bytes::new()).await.unwrap_err(),
        store.add(&key("b"), 1, MINUTE).await.unwrap_err(),
        store.set_if_absent(&entry("a", "x"), RequestId::generate()).await.unwrap_err(),
        store.add(&key("a"), 1, MINUTE).await.unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("canary"));
    }
    assert_eq!(server.command_in(OWN, &["GET", "value:a"]).await.unwrap().as_str(), Some("canary"));
    // another type reads as absent, alone or with others
    assert_eq!(store.get(&key("b")).await.unwrap(), None);
    assert_eq!(store.get_many(&["b", "none"].map(key)).await.unwrap(), [None, None]);
    assert_eq!(server.command_in(OWN, &["LLEN", "value:b"]).await.unwrap().as_integer(), Some(1));
}

#[tokio::test]
async fn many_large_values_need_several_calls() {
    let server = crate::RedisServer::builder().start().await.unwrap();
    let store = store(&server).await;
    let large = |index: u8| Bytes::from(vec![index; Entry::MAX_VALUE_BYTES]);
    let entries: Vec<_> = (0..5).map(|index| Entry::new(key(index.to_string()), large(index), MINUTE)).collect();
    store.set_many(&entries).await.unwrap();
    let mut names: Vec<_> = entries.iter().map(|entry| entry.key.clone()).collect();
    names.extend((0..40).map(|index| key(format!("none {index}"))));
    let read = store.get_many(&names).await.unwrap();
    assert_eq!(read.len(), names.len());
    for (index, value) in read.iter().enumerate() {
        let expected = entries.get(index).map(|entry| &entry.value);
        assert!(value.as_ref() == expected, "value {index}");
    }
}

#[tokio::test]
async fn bounds_are_refused_before_anything_is_sent() {
    let server = server().await;
    let store = store(&server).await;
    let before = server.commands_processed().await.unwrap();
    let too_large = Entry::new(key("a"), vec![0; Entry::MAX_VALUE_BYTES + 1], MINUTE);
    let too_many = vec![key("a"); Entry::MAX_KEYS + 1];
    let refused = [
        store.set_many(&[entry("b", "fits"), too_large.clone()]).await.unwrap_err(),
        store.set_if_absent(&too_large, RequestId::generate()).await.unwrap_err(),
        store.get_many(&too_many).await.unwrap_err(),
        store.delete_many(&too_many).await.unwrap_err(),
        store.set_many(&vec![entry("a", "x"); Entry::MAX_KEYS + 1]).await.unwrap_err(),
    ];
    for error in refused {
        assert!(matches!(error, Error::InvalidArgument { .. }), "{error:?}");
    }
    assert_eq!(store.get_many(&[]).await.unwrap(), Vec::new());
    assert_eq!(store.delete_many(&[]).await.unwrap(), 0);
    store.set_many(&[]).await.unwrap();
    assert_eq!(server.commands_processed().await.unwrap(), before);
    assert_eq!(store.get_many(&too_many[1..]).await.unwrap(), vec![None; Entry::MAX_KEYS]);
    assert_eq!(store.delete_many(&too_many[1..]).await.unwrap(), 0);
}

#[tokio::test]
async fn deleting_counts_a_key_once() {
    let server = server().await;
    let store = store(&server).await;
    store.set_many(&[entry("both", "x"), entry("value", "x")]).await.unwrap();
    store.add(&key("both"), 1, MINUTE).await.unwrap();
    store.add(&key("counter"), 1, MINUTE).await.unwrap();
    assert_eq!(store.delete_many(&["both", "value", "counter", "none", "both"].map(key)).await.unwrap(), 3);
    assert_eq!(server.command_in(OWN, &["DBSIZE"]).await.unwrap().as_integer(), Some(0));
}

#[tokio::test]
async fn a_counter_is_exact_over_its_whole_range() {
    let server = server().await;
    let store = store(&server).await;
    for (name, start, step) in [("up", i64::MAX - 1, 1), ("down", i64::MIN + 1, -1)] {
        let name = key(name);
        assert_eq!(store.add(&name, start, MINUTE).await.unwrap(), start);
        assert_eq!(store.add(&name, step, MINUTE).await.unwrap(), start + step);
        let error = store.add(&name, step, MINUTE).await.unwrap_err();
        assert!(matches!(error, Error::InvalidArgument { .. }), "{error:?}");
        assert_eq!(store.add(&name, 0, MINUTE).await.unwrap(), start + step);
    }
    for (by, sum) in [((1 << 53) - 1, (1_i64 << 53) - 1), (1, 1 << 53), (1, (1 << 53) + 1)] {
        assert_eq!(store.add(&key("53 bits"), by, MINUTE).await.unwrap(), sum);
    }
}

#[tokio::test]
async fn a_counter_s_ttl_starts_with_its_first_addition() {
    let server = server().await;
    let store = store(&server).await;
    let expires = async || server.command_in(OWN, &["PEXPIRETIME", "counter:a"]).await.unwrap().as_integer().unwrap();
    store.add(&key("a"), 5, MINUTE).await.unwrap();
    let first = expires().await;
    // a sum that equals that of a new counter
    store.add(&key("a"), -5, Ttl::from_secs(6000)).await.unwrap();
    store.add(&key("a"), 7, Ttl::from_secs(6000)).await.unwrap();
    assert_eq!(expires().await, first);
    store.add(&key("b"), 0, Ttl::new(Duration::from_millis(1)).unwrap()).await.unwrap();
    eventually("a counter ends", async || store.add(&key("b"), 0, Ttl::from_secs(1)).await.unwrap() == 0).await;
}

#[tokio::test]
async fn a_value_ends_with_its_ttl() {
    let server = server().await;
    let store = store(&server).await;
    let ttl = Ttl::new(Duration::from_millis(20)).unwrap();
    let entries = ["a", "b"].map(|name| Entry::new(key(name), "x", ttl));
    store.set_many(&entries).await.unwrap();
    store.set_many(&[Entry::new(key("c"), "x", ttl)]).await.unwrap();
    store.set_if_absent(&Entry::new(key("d"), "x", ttl), RequestId::generate()).await.unwrap();
    let names = ["a", "b", "c", "d"].map(key);
    eventually("all have ended", async || store.get_many(&names).await.unwrap() == vec![None; 4]).await;
}
