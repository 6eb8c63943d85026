use std::fs::{self, File};
use std::sync::Arc;
use std::time::Duration;

use redis_link::{Arg, Link, LinkConfig, Probe, ServerUrl, TlsFiles};
use store_core::{Error, Secret};
use testkit::{FaultProxy, RedisServer, mentions};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::{config, eventually, url};

#[tokio::test]
async fn a_rotated_password_is_used_by_the_next_connection() {
    let server = RedisServer::builder().password("first").start().await.unwrap();
    let file = server.dir().join("password");
    std::fs::write(&file, "first\n").unwrap();
    let address = format!("redis://127.0.0.1:{}", server.port());
    let link = Link::connect(config(&address).with_password_file(&file)).await.unwrap();
    server.set_password("second").await.unwrap();
    link.ping().await.unwrap();
    std::fs::write(&file, "second\r\n").unwrap();
    server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await.unwrap();
    eventually("the link is back with the new password", async || link.ping().await.is_ok()).await;
    std::fs::remove_file(&file).unwrap();
    let error = Link::connect(config(&address).with_password_file(&file)).await.unwrap_err();
    assert!(matches!(error, Error::Unauthenticated { .. }), "{error:?}");
}

/// The server has the new password before the file does, and the link has lost its connections.
#[tokio::test]
async fn the_link_waits_for_a_password_file_that_is_rotated_late() {
    let server = RedisServer::builder().password("first").start().await.unwrap();
    let file = server.dir().join("password");
    std::fs::write(&file, "first").unwrap();
    let address = format!("redis://127.0.0.1:{}", server.port());
    let link = Link::connect(config(&address).with_password_file(&file)).await.unwrap();
    server.set_password("second").await.unwrap();
    server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await.unwrap();
    eventually("the link is refused", async || !link.is_connected()).await;
    assert!(crate::is_unavailable(&link.ping().await));
    std::fs::remove_file(&file).unwrap();
    assert!(crate::is_unavailable(&link.ping().await));
    std::fs::write(&file, "second").unwrap();
    eventually("the link is back with the new password", async || link.ping().await.is_ok()).await;
}

/// Another authority has issued the certificates of both sides.
#[tokio::test]
async fn rotated_certificates_are_used_by_the_next_connection() {
    let server = RedisServer::builder().mutual_tls().start().await.unwrap();
    let next = RedisServer::builder().mutual_tls().start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let [ca, certificate, key] = ["ca", "certificate", "key"].map(|name| folder.path().join(name));
    let copy = |of: &RedisServer| {
        let files = [(of.ca_file(), &ca), (of.client_cert_file(), &certificate), (of.client_key_file(), &key)];
        for (from, to) in files {
            fs::copy(from, to).unwrap();
        }
    };
    copy(&server);
    let files = TlsFiles::new().with_ca(&ca).with_identity(&certificate, &key);
    let link = Link::connect(config(&server.url(None)).with_tls(files)).await.unwrap();
    let mut admin = server.connect().await.unwrap();
    let text = |name: &str| next.ca_file().with_file_name(name).display().to_string();
    let names = ["tls-ca-cert-file", "ca.crt", "tls-cert-file", "server.crt", "tls-key-file", "server.key"];
    let settings = names.chunks(2).flat_map(|pair| [pair[0].to_owned(), text(pair[1])]);
    let set: Vec<_> = ["CONFIG", "SET"].map(str::to_owned).into_iter().chain(settings).collect();
    admin.command(&set).await.unwrap();
    let lose = ["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"];
    admin.command(&lose).await.unwrap();
    eventually("the link is refused", async || !link.is_connected() && link.ping().await.is_err()).await;
    copy(&next);
    eventually("the link is back with the new certificates", async || link.ping().await.is_ok()).await;
}

#[tokio::test]
async fn no_public_type_prints_a_secret() {
    let server = RedisServer::builder().password("canary").start().await.unwrap();
    let settings: LinkConfig = config(&server.url(None)).with_password(Secret::new("canary"));
    let link = Link::connect(settings.clone()).await.unwrap();
    let probe = Probe::open(settings.clone()).await.unwrap();
    let answer = link.command(crate::READS, "ECHO", redis_link::args!["canary"]).await.unwrap();
    let printed = [
        format!("{settings:?} {link:?} {probe:?}"),
        format!("{answer:?} {:?} {:?}", answer.reply, answer.clone().reader(crate::READS)),
        format!("{:?} {:?}", Arg::from("canary"), TlsFiles::new()),
        format!("{:?} {:?}", url(&server.url(Some(3))), ServerUrl::parse("redis://:canary@h?x")),
        format!("{:?} {:?}", probe.server_info().await, probe.server_settings().await),
        format!("{:?}", probe.user().await),
    ];
    for text in printed {
        assert!(!text.contains("canary"), "{text}");
    }
}

/// At every level, including the client library's log, with and without failures.
#[tokio::test]
async fn no_log_shows_a_password_a_key_or_a_value() {
    let server = RedisServer::builder().password("canary-password").start().await.unwrap();
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    testkit::open_call_sites();
    let path = server.dir().join("of-the-test.log");
    let file = Arc::new(File::create(&path).unwrap());
    let log = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false).with_writer(file);
    let guard = log.finish().set_default();

    let settings = config(&server.url_through(&proxy, Some(1))).with_command_timeout(Duration::from_millis(300));
    let link = Link::connect(settings.clone()).await.unwrap();
    let set = async |link: &Link| link.command(crate::COUNTS, "SET", redis_link::args!["canary-key", "canary"]).await;
    let count = async |link: &Link| {
        let durable = store_core::Durability::Replicated { replicas: 1, within: Duration::from_millis(1) };
        let args = redis_link::args!["canary-value"];
        let _ = link.call_durable(crate::COUNTS, &crate::INCREMENT, &["canary-key"], args.clone(), durable).await;
        link.call(crate::COUNTS, &crate::INCREMENT, &["canary-key"], args).await
    };
    set(&link).await.unwrap();
    count(&link).await.unwrap_err();
    proxy.cut_after_request(mentions("canary-key"));
    set(&link).await.unwrap_err();
    proxy.blackhole().await;
    set(&link).await.unwrap_err();
    Link::connect(settings.clone().with_connect_timeout(Duration::from_millis(200))).await.unwrap_err();
    proxy.cut_connections().await;
    proxy.pass().await;
    eventually("the link is back", async || set(&link).await.is_ok()).await;
    server.set_password("canary-changed").await.unwrap();
    server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await.unwrap();
    eventually("the link is refused", async || !link.is_connected() && set(&link).await.is_err()).await;
    Link::connect(settings).await.unwrap_err();

    drop(guard);
    let log = fs::read_to_string(path).unwrap();
    assert!(log.contains("TRACE") && log.contains("SET"), "the client library's log is included: {log}");
    let shown: Vec<_> = log.lines().filter(|line| line.contains("canary")).collect();
    assert!(shown.is_empty(), "{shown:?}");
}
