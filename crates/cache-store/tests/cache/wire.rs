//! The commands that the store sends.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use cache_store::{CacheOptions, CacheStore};
use store_core::KeyValue;
use testkit::FaultProxy;

use crate::{OWN, every_operation, link, server, service};

/// A reply that begins with stored data could be mistaken for a message, and every later reply would reach the wrong
/// caller.
#[tokio::test]
async fn no_command_is_sent_whose_reply_could_begin_with_stored_data() {
    let server = server().await;
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let own = link(&server.url_through(&proxy, Some(OWN))).await;
    let shared = link(&server.url_through(&proxy, Some(0))).await;
    let sent = Arc::new(Mutex::new(BTreeSet::new()));
    let seen = sent.clone();
    let firsts = Arc::new(Mutex::new(BTreeSet::new()));
    let first = firsts.clone();
    // cuts nothing, records everything
    proxy.cut_before_request(move |request| {
        let word = |at| request.split(|byte| *byte == b'\n').nth(at).unwrap_or_default().trim_ascii();
        let name = word(2).to_ascii_uppercase();
        if name == b"MGET" {
            first.lock().unwrap().insert(String::from_utf8_lossy(word(4)).into_owned());
        }
        // a connection names itself and reads the time
        if name != b"CLIENT" && name != b"TIME" {
            seen.lock().unwrap().insert(String::from_utf8_lossy(&name).into_owned());
        }
        false
    });
    let store = CacheStore::new(own, shared, service("billing"), CacheOptions::default());
    every_operation(&store, "x:").await;
    let expected = ["EVALSHA", "MGET", "SCRIPT"].map(str::to_owned);
    assert_eq!(*sent.lock().unwrap(), BTreeSet::from(expected));
    // each store first asks for a key of its own, which holds no value and which nobody can guess
    let own = link(&server.url_through(&proxy, Some(OWN))).await;
    let other = CacheStore::new(own.clone(), own, service("billing"), CacheOptions::default());
    other.get_many(&["a", "b"].map(crate::key)).await.unwrap();
    let firsts: Vec<_> = firsts.lock().unwrap().iter().cloned().collect();
    assert_eq!(firsts.len(), 2, "{firsts:?}");
    for absent in firsts {
        let digits = absent.strip_prefix("value:{").and_then(|rest| rest.strip_suffix('}')).unwrap();
        assert!(digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()), "{absent}");
    }
}

#[tokio::test]
async fn debug_shows_no_url_and_no_password() {
    let server = crate::RedisServer::cache().password("canary").start().await.unwrap();
    let store = crate::store(&server).await;
    assert_eq!(format!("{store:?}"), "CacheStore { service: ServiceName(\"billing\"), .. }");
}
