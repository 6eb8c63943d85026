use store_validation::{Code, check_environment};
use testkit::{FaultProxy, RedisServer};

use crate::{assert_errors, cache, check_urls, environment, environment_with, errors, state, warnings};

/// Errors about the server's set-up are another matter here: one server cannot suit both roles.
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
async fn a_server_that_hides_what_it_is_is_found_by_the_probe_key() {
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

#[tokio::test]
async fn what_cannot_be_found_out_is_unknown() {
    let (cache, state) = (cache().await, state().await);
    for server in [&cache, &state] {
        let rules = ["ACL", "SETUSER", "app", "on", ">x", "~tw:*", "&*", "+@all", "-info", "-config"];
        server.command(&rules).await.unwrap();
    }
    let more = [("STORE_ENVIRONMENT", "production")];
    let urls = [&cache, &state].map(|server| server.user_url("app", "x"));
    let report = store_validation::check(&environment_with(&urls[0], &urls[1], &more)).await;
    let unknown: Vec<_> = warnings(&report).into_iter().filter(|code| code.name().ends_with("-unknown")).collect();
    let all = Code::ALL.iter().copied().filter(|code| code.name().ends_with("-unknown") && *code != Code::AclUnknown);
    assert_eq!(unknown, all.collect::<Vec<_>>(), "{report:#?}");
    assert_errors(&report, &[Code::AclMissingCommand]);
}
