//! What goes over the wire.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use cache_store::{CacheOptions, CacheStore};
use testkit::FaultProxy;

use crate::{OWN, every_operation, link, server, service};

/// A reply that begins with stored data could be taken for a message, and every later one reach the wrong caller.
#[tokio::test]
async fn no_command_is_sent_whose_reply_could_begin_with_stored_data() {
    let server = server().await;
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let own = link(&server.url_through(&proxy, Some(OWN))).await;
    let shared = link(&server.url_through(&proxy, Some(0))).await;
    let sent = Arc::new(Mutex::new(BTreeSet::new()));
    let seen = sent.clone();
    // cuts nothing, looks at everything
    proxy.cut_before_request(move |request| {
        let name = request.split(|byte| *byte == b'\n').nth(2).unwrap_or_default().trim_ascii().to_ascii_uppercase();
        // a connection gives itself a name
        if name != b"CLIENT" {
            seen.lock().unwrap().insert(String::from_utf8_lossy(&name).into_owned());
        }
        false
    });
    let store = CacheStore::new(own, shared, service("billing"), CacheOptions::default());
    every_operation(&store, "x:").await;
    let expected = ["EVALSHA", "GET", "SCRIPT", "SET", "UNLINK"].map(str::to_owned);
    assert_eq!(*sent.lock().unwrap(), BTreeSet::from(expected));
}

#[tokio::test]
async fn debug_shows_no_url_and_no_password() {
    let server = crate::RedisServer::cache().password("canary").start().await.unwrap();
    let store = crate::store(&server).await;
    assert_eq!(format!("{store:?}"), "CacheStore { service: ServiceName(\"billing\"), .. }");
}
