use std::time::{Duration, Instant};

use redis_link::{Link, LinkConfig, TlsFiles, args};
use store_core::Error;
use testkit::{FaultProxy, RedisServer, free_port};

use crate::{READS, config, is_unavailable, server, url};

async fn refusal(config: LinkConfig) -> Error {
    Link::connect(config).await.expect_err("the link should not open")
}

#[tokio::test]
async fn a_server_that_is_down_is_reported_immediately() {
    let started = Instant::now();
    let address = format!("redis://127.0.0.1:{}", free_port().unwrap());
    let result = Link::connect(config(&address).with_connect_timeout(Duration::from_secs(20))).await;
    assert!(is_unavailable(&result), "{result:?}");
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_black_hole_ends_with_the_connect_time_out() {
    let server = server().await;
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    proxy.blackhole().await;
    let settings = config(&server.url_through(&proxy, None)).with_connect_timeout(Duration::from_millis(200));
    let started = Instant::now();
    let result = Link::connect(settings).await;
    assert!(is_unavailable(&result), "{result:?}");
    assert!(started.elapsed() < Duration::from_secs(10));
    let info = server.info("clients").await.unwrap();
    proxy.pass().await;
    assert_eq!(info["connected_clients"], "1", "nothing of the attempt is left");
}

#[tokio::test]
async fn a_host_without_address_is_unavailable() {
    let settings = config("redis://no-such-host.invalid").with_connect_timeout(Duration::from_secs(20));
    assert!(matches!(refusal(settings).await, Error::Unavailable { .. }));
}

#[tokio::test]
async fn wrong_credentials_are_refused() {
    let server = RedisServer::builder().password("right").acl_user("app", "own", "~* +@all").start().await.unwrap();
    Link::connect(config(&server.url(None))).await.unwrap().ping().await.unwrap();
    Link::connect(config(&server.user_url("app", "own"))).await.unwrap().ping().await.unwrap();
    let address = format!("redis://127.0.0.1:{}", server.port());
    for wrong in [address.clone(), server.user_url("app", "canary"), server.user_url("", "canary")] {
        let error = refusal(config(&wrong)).await;
        assert!(matches!(error, Error::Unauthenticated { .. }), "{error:?}");
        assert!(!format!("{error:?} {error}").contains("canary"));
    }
    let own = config(&address).with_username("app").with_password(store_core::Secret::new("own"));
    Link::connect(own).await.unwrap().ping().await.unwrap();
}

#[tokio::test]
async fn a_user_without_password_logs_in_as_itself() {
    let server = RedisServer::builder().password("right").start().await.unwrap();
    server.command(&["ACL", "SETUSER", "open", "on", "nopass", "~*", "+@all"]).await.unwrap();
    let link = Link::connect(config(&format!("redis://open@127.0.0.1:{}", server.port()))).await.unwrap();
    let name = link.command(READS, "ACL WHOAMI", Vec::new()).await.unwrap();
    assert_eq!(name.reply.as_str(), Some("open"));
}

#[tokio::test]
async fn databases_are_opened_or_refused() {
    let server = RedisServer::builder().databases(20).start().await.unwrap();
    let link = Link::connect(config(&server.url(Some(19)))).await.unwrap();
    link.command(READS, "SET", args!["where", "here"]).await.unwrap();
    assert_eq!(server.command_in(19, &["GET", "where"]).await.unwrap().as_str(), Some("here"));
    for database in [20, 255, 256, 70_000] {
        let error = refusal(config(&server.url(Some(database)))).await;
        assert!(matches!(error, Error::InvalidArgument { .. }), "{database} {error:?}");
    }
}

#[tokio::test]
async fn an_embedded_store_has_no_link() {
    let error = refusal(LinkConfig::new(url("embedded:"), "tests:link")).await;
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
}

#[tokio::test]
async fn encrypted_connections_trust_the_named_authority_only() {
    let server = RedisServer::builder().password("p").tls().start().await.unwrap();
    let other = RedisServer::builder().tls().start().await.unwrap();
    let trusting = config(&server.url(Some(2))).with_tls(TlsFiles::new().with_ca(server.ca_file()));
    let link = Link::connect(trusting).await.unwrap();
    link.command(READS, "SET", args!["x", 1]).await.unwrap();
    assert_eq!(server.command_in(2, &["GET", "x"]).await.unwrap().as_str(), Some("1"));
    let named = config(&format!("rediss://:p@localhost:{}", server.port()));
    Link::connect(named.with_tls(TlsFiles::new().with_ca(server.ca_file()))).await.unwrap().ping().await.unwrap();
    let error = refusal(config(&server.url(None)).with_tls(TlsFiles::new().with_ca(other.ca_file()))).await;
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");
    let missing = TlsFiles::new().with_ca(server.dir().join("missing.pem"));
    let error = refusal(config(&server.url(None)).with_tls(missing)).await;
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");
    let plain = config(&format!("redis://:p@127.0.0.1:{}", server.port()));
    let error = refusal(plain.with_connect_timeout(Duration::from_secs(2))).await;
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn our_client_certificate_is_sent() {
    let server = RedisServer::builder().mutual_tls().start().await.unwrap();
    let files = TlsFiles::new().with_ca(server.ca_file());
    let without = config(&server.url(None)).with_tls(files.clone()).with_connect_timeout(Duration::from_secs(5));
    let error = refusal(without).await;
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");
    let files = files.with_identity(server.client_cert_file(), server.client_key_file());
    Link::connect(config(&server.url(None)).with_tls(files)).await.unwrap().ping().await.unwrap();
}

#[tokio::test]
async fn ipv6_addresses_work() {
    let server = RedisServer::builder().bind_ipv6().start().await.unwrap();
    if tokio::net::TcpStream::connect(("::1", server.port())).await.is_ok() {
        let link = Link::connect(config(&format!("redis://[::1]:{}", server.port()))).await.unwrap();
        link.ping().await.unwrap();
    }
}
