use std::net::SocketAddr;

use store_validation::{Code, check, check_environment};
use testkit::{FaultProxy, RedisServer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::{assert_errors, cache, check_urls, environment, environment_with, errors, state, warnings};

/// Errors about the server's configuration are ignored here: one server cannot suit both roles.
async fn is_same(cache: &str, state: &str) -> bool {
    let report = check_urls(cache, state).await;
    assert!(!errors(&report).contains(&Code::Unreachable), "{report:?}");
    assert!(!warnings(&report).contains(&Code::SameInstanceUnknown), "{report:?}");
    errors(&report).contains(&Code::SameInstance)
}

#[tokio::test]
async fn one_server_is_found_by_any_spelling() {
    let server = RedisServer::state().bind_ipv6().start().await.unwrap();
    let port = server.port();
    let url = |host: &str| format!("redis://{host}:{port}");
    for (cache, state) in [
        (url("127.0.0.1"), url("127.0.0.1")),
        (url("localhost"), url("127.0.0.1")),
        (url("127.0.0.1"), url("LOCALHOST")),
        (url("127.0.0.1"), url("127.0.0.1") + "/5"),
        (url("[::1]"), url("127.0.0.1")),
        (url("127.0.0.1"), url("[::ffff:127.0.0.1]")),
    ] {
        assert!(is_same(&cache, &state).await, "{cache} {state}");
    }
    let report = check_environment(&environment(&url("h"), &format!("redis://h:{port}/3")));
    assert!(errors(&report).contains(&Code::SameInstance), "the same spelling needs no server");
}

#[tokio::test]
async fn a_forward_on_another_port_is_found() {
    let server = state().await;
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    assert!(is_same(&server.url_through(&proxy, None), &server.url(None)).await);
    assert!(is_same(&server.url(None), &server.url_through(&proxy, Some(3))).await);
}

#[tokio::test]
async fn a_server_that_hides_its_identity_is_found_by_the_probe_key() {
    let server = state().await;
    let rules = ["ACL", "SETUSER", "app", "on", ">x", "~*", "&*", "+@all", "-info", "-config"];
    server.command(&rules).await.unwrap();
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let direct = server.user_url("app", "x");
    let forwarded = direct.replace(&server.port().to_string(), &proxy.port().to_string());
    assert!(is_same(&direct, &forwarded).await);
    assert!(is_same(&forwarded, &format!("{direct}/4")).await);
}

#[tokio::test]
async fn a_refused_write_does_not_hide_it() {
    let server = state().await;
    for (user, rule) in [("reader", "%R~*"), ("writer", "~*")] {
        let password = format!(">{user}");
        let rules = ["ACL", "SETUSER", user, "on", &password, rule, "&*", "+@all", "-info", "-config"];
        server.command(&rules).await.unwrap();
    }
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let reader = server.user_url("reader", "reader");
    let writer = server.user_url("writer", "writer").replace(&server.port().to_string(), &proxy.port().to_string());
    assert!(is_same(&reader, &writer).await);
    assert!(is_same(&writer, &reader).await);
}

#[tokio::test]
async fn a_replica_of_the_other_role_is_found() {
    let primary = state().await;
    let replica = RedisServer::cache().replica_of(&primary).start().await.unwrap();
    assert!(is_same(&replica.url(None), &primary.url(None)).await);
    assert!(is_same(&primary.url(None), &replica.url(None)).await);
}

#[tokio::test]
async fn two_instances_on_one_host_pass() {
    let (cache, state) = (cache().await, state().await);
    assert_errors(&check_urls(&cache.url(None), &state.url(None)).await, &[]);
}

/// `INFO` and `HELLO` suffice to identify a server; these users must not send `INFO`, and share no key.
#[tokio::test]
async fn an_undecidable_question_is_unknown() {
    let (cache, state) = (cache().await, state().await);
    for (server, keys) in [(&cache, "~other:*"), (&state, "~tw:*")] {
        let rules = ["ACL", "SETUSER", "app", "on", ">x", keys, "&*", "+@all", "-info", "-config"];
        server.command(&rules).await.unwrap();
    }
    let more = [("STORE_ENVIRONMENT", "production")];
    let urls = [&cache, &state].map(|server| server.user_url("app", "x"));
    let report = store_validation::check(&environment_with(&urls[0], &urls[1], &more)).await;
    let unknown: Vec<_> = warnings(&report).into_iter().filter(|code| code.name().ends_with("-unknown")).collect();
    let known = [Code::AclUnknown, Code::ServerVersionUnknown, Code::SentinelQuorumUnknown, Code::ClusterUnknown];
    let all = Code::ALL.iter().copied().filter(|code| code.name().ends_with("-unknown") && !known.contains(code));
    assert_eq!(unknown, all.collect::<Vec<_>>(), "{report:#?}");
    assert_errors(&report, &[Code::AclMissingCommand]);
}

#[tokio::test]
async fn a_user_who_must_stay_in_the_namespace_does_not_hide_one_server() {
    let (server, other) = (state().await, cache().await);
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    for (user, keys) in [("worker", "~tw:*"), ("any", "~*")] {
        let rules = ["ACL", "SETUSER", user, "on", ">x", keys, "&*", "+@all", "-info", "-config"];
        server.command(&rules).await.unwrap();
        other.command(&rules).await.unwrap();
    }
    let forwarded = server.user_url("any", "x").replace(&server.port().to_string(), &proxy.port().to_string());
    assert!(is_same(&forwarded, &server.user_url("worker", "x")).await);
    assert!(!is_same(&other.user_url("any", "x"), &server.user_url("worker", "x")).await);
}

/// A router on one port that reads the host name of the TLS handshake: `localhost` leads to one server, an address
/// without a name to the other. With `in_turn` it does so for the first four connections only, and then lets the
/// servers take turns.
async fn router(servers: [SocketAddr; 2], in_turn: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut count = 0;
        while let Ok((mut client, _)) = listener.accept().await {
            count += 1;
            tokio::spawn(async move {
                let mut hello = vec![0; 16 * 1024];
                let length = client.read(&mut hello).await.unwrap_or(0);
                let names_it = hello[..length].windows(9).any(|window| window == b"localhost");
                let first = if in_turn && count > 4 { count % 2 == 0 } else { names_it };
                let mut server = TcpStream::connect(servers[usize::from(!first)]).await.unwrap();
                if server.write_all(&hello[..length]).await.is_ok() {
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    });
    port
}

#[tokio::test]
async fn two_servers_behind_one_address_are_two_when_their_identities_differ() {
    let state = RedisServer::state().tls().start().await.unwrap();
    let cache = RedisServer::cache().tls_of(&state).start().await.unwrap();
    let ca = state.ca_file();
    let more = [("REDIS_CACHE_TLS_CA_FILE", ca.to_str().unwrap()), ("REDIS_STATE_TLS_CA_FILE", ca.to_str().unwrap())];
    let report = async |servers: [SocketAddr; 2], in_turn: bool| {
        let port = router(servers, in_turn).await;
        let urls = ["localhost", "127.0.0.1"].map(|host| format!("rediss://{host}:{port}"));
        check(&environment_with(&urls[0], &urls[1], &more)).await
    };
    assert_errors(&report([cache.address(), state.address()], false).await, &[]);
    let one = report([state.address(), state.address()], false).await;
    assert!(errors(&one).contains(&Code::SameInstance), "{one:#?}");
    let balanced = report([cache.address(), state.address()], true).await;
    assert!(errors(&balanced).contains(&Code::SameInstance), "{balanced:#?}");

    for server in [&cache, &state] {
        server.command(&["ACL", "SETUSER", "default", "-info", "-config"]).await.unwrap();
    }
    let hidden = report([cache.address(), state.address()], false).await;
    assert!(!errors(&hidden).contains(&Code::SameInstance), "the probe key decides: {hidden:#?}");
    for server in [&cache, &state] {
        server.command(&["ACL", "SETUSER", "default", "resetkeys", "~nothing:*"]).await.unwrap();
    }
    let unproved = report([cache.address(), state.address()], false).await;
    assert!(errors(&unproved).contains(&Code::SameInstance), "one address, and no proof: {unproved:#?}");
}
