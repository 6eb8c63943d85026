use redis_link::{Arg, Link, LinkConfig, Probe, ServerUrl, TlsFiles};
use store_core::{Error, Secret};
use testkit::RedisServer;

use crate::{config, eventually, url};

#[tokio::test]
async fn a_rotated_password_is_read_at_the_next_connection() {
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
    assert!(matches!(error, Error::Rejected { .. }), "{error:?}");
}

/// The server knows the new password before the file does, and the link has lost its connections.
#[tokio::test]
async fn a_password_file_that_comes_late_is_waited_for() {
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
