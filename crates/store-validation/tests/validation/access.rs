use std::time::{Duration, Instant};

use store_validation::{Code, check};
use testkit::{FaultProxy, RedisServer, free_port};
use tokio::io::AsyncWriteExt as _;

use crate::{CANARY, assert_errors, cache, check_urls, environment_with, state, warnings, what};

#[tokio::test]
async fn a_wrong_password_is_distinguished_from_a_server_that_is_down() {
    let state = RedisServer::state().password("right").start().await.unwrap();
    let cache = cache().await;
    let wrong = state.url(None).replace("right", CANARY);
    assert_errors(&check_urls(&cache.url(None), &wrong).await, &[Code::AuthRefused]);
    let nobody = state.url(None).replace("redis://:right", &format!("redis://nobody:{CANARY}"));
    assert_errors(&check_urls(&cache.url(None), &nobody).await, &[Code::AuthRefused]);
    let none = format!("redis://{}", state.address());
    assert_errors(&check_urls(&cache.url(None), &none).await, &[Code::AuthRefused]);
}

#[tokio::test]
async fn a_server_that_is_down_or_silent_is_found_within_the_connect_time_out() {
    let (cache, state) = (cache().await, state().await);
    let proxy = FaultProxy::start(state.address()).await.unwrap();
    proxy.blackhole().await;
    let down = format!("redis://:{CANARY}@127.0.0.1:{}", free_port().unwrap());
    for url in [down, state.url_through(&proxy, None), format!("redis://:{CANARY}@no-such-host.invalid")] {
        let started = Instant::now();
        let more = [("REDIS_STATE_CONNECT_TIMEOUT", "3s")];
        let report = check(&environment_with(&cache.url(None), &url, &more)).await;
        assert_errors(&report, &[Code::Unreachable]);
        // far below a second time-out, far above what a busy machine adds
        assert!(started.elapsed() < Duration::from_millis(5_500), "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn both_servers_are_reported_together() {
    let url = || format!("redis://127.0.0.1:{}", free_port().unwrap());
    let report = check_urls(&url(), &url()).await;
    assert_errors(&report, &[Code::Unreachable]);
    assert_eq!(report.errors(), 2);
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let (cache, state) = (cache().await, RedisServer::state().tls().start().await.unwrap());
    let other = RedisServer::state().tls().start().await.unwrap();
    for (file, expected) in [(state.ca_file(), vec![]), (other.ca_file(), vec![Code::TlsRefused])] {
        let more = [("REDIS_STATE_TLS_CA_FILE", file.to_str().unwrap())];
        assert_errors(&check(&environment_with(&cache.url(None), &state.url(None), &more)).await, &expected);
    }
}

#[tokio::test]
async fn a_user_without_the_needed_commands_is_refused_by_their_names() {
    let (cache, state) = (cache().await, state().await);
    for (rules, expected) in [
        ("~* &* +@all -hset -wait", ["HSET", "WAIT"]),
        ("~* &* +@all -script -time", ["SCRIPT LOAD", "TIME"]),
        ("~* &* +@all -evalsha", ["EVALSHA", "scripts"]),
        ("~twinstore:* ~other:* &* +@all", ["tw:{q.", "keys"]),
        ("~* &* -@all +get +set +ping", ["EVALSHA", "scripts"]),
    ] {
        let words = ["ACL", "SETUSER", "app", "reset", "on", ">x"].into_iter().chain(rules.split(' '));
        state.command(&words.collect::<Vec<_>>()).await.unwrap();
        let report = check_urls(&cache.url(None), &state.user_url("app", "x")).await;
        assert_errors(&report, &[Code::AclMissingCommand]);
        let what = what(&report, Code::AclMissingCommand);
        assert!(expected.iter().all(|name| what.contains(name)), "{what}");
    }
}

/// The state role stays in database 0, where every connection begins; a cache needs SELECT.
#[tokio::test]
async fn select_is_required_only_for_another_database() {
    let rules = "~* &* +@all -select";
    let cache = RedisServer::cache().acl_user("app", "x", rules).start().await.unwrap();
    let state = RedisServer::state().acl_user("app", "x", rules).start().await.unwrap();
    let report = check_urls(&cache.url(None), &state.user_url("app", "x")).await;
    assert_errors(&report, &[]);
    assert!(!warnings(&report).contains(&Code::WritableUnknown), "{:#?}", report.findings());
    assert_errors(&check_urls(&cache.url(None), &format!("{}/0", state.user_url("app", "x"))).await, &[]);
    for (cache, state) in
        [(cache.user_url("app", "x"), state.url(None)), (cache.url(None), format!("{}/1", state.user_url("app", "x")))]
    {
        let report = check_urls(&cache, &state).await;
        assert_errors(&report, &[Code::AclMissingCommand]);
        assert!(what(&report, Code::AclMissingCommand).ends_with("may not run: SELECT"), "{:#?}", report.findings());
    }
}

/// Only `Inventory` needs SCAN, which shows the names of all keys.
#[tokio::test]
async fn a_service_starts_without_the_right_to_list_keys() {
    let cache = cache().await;
    let state = RedisServer::state().acl_user("app", "x", "~* &* +@all -scan").start().await.unwrap();
    let report = check_urls(&cache.url(None), &state.user_url("app", "x")).await;
    assert_errors(&report, &[]);
}

/// The port belongs to another kind of server, or expects another protocol.
#[tokio::test]
async fn something_else_behind_the_port_is_unreachable() {
    let cache = cache().await;
    let web = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (web_port, closed_port) = (web.local_addr().unwrap().port(), closed.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = web.accept().await {
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        }
    });
    tokio::spawn(async move { while closed.accept().await.is_ok() {} });
    let far = FaultProxy::start(([127, 0, 0, 1], closed_port).into()).await.unwrap();
    far.delay(Duration::from_millis(100)).await;
    for port in [web_port, closed_port, far.port()] {
        let report = check_urls(&cache.url(None), &format!("redis://:{CANARY}@127.0.0.1:{port}")).await;
        assert_errors(&report, &[Code::Unreachable]);
    }
}

#[tokio::test]
async fn the_rights_of_a_user_are_known_even_if_nothing_can_be_written() {
    let (cache, state) = (cache().await, state().await);
    let replica = RedisServer::builder().replica_of(&state).start().await.unwrap();
    let report = check_urls(&cache.url(None), &replica.url(None)).await;
    assert!(!warnings(&report).contains(&Code::AclUnknown), "{:#?}", report.findings());
    state.command(&["CONFIG", "SET", "maxmemory", "1"]).await.unwrap();
    let report = check_urls(&cache.url(None), &state.url(None)).await;
    assert!(!warnings(&report).contains(&Code::AclUnknown), "{:#?}", report.findings());
}

#[tokio::test]
async fn a_user_with_exactly_the_needed_rights_has_no_finding() {
    let rules = "~tw:* ~twinstore:* &tw:* -@all +@read +@write +@scripting +@connection +@transaction +@blocking +info \
                 +time +wait +select +publish +spublish +ssubscribe +subscribe +sunsubscribe +unsubscribe +pubsub|numsub +pubsub|shardnumsub -keys -flushall -flushdb -swapdb -migrate -client|kill -client|pause -function|flush +config|get";
    let state = RedisServer::state().password("admin").acl_user("app", CANARY, rules).start().await.unwrap();
    let cache_rules = rules.replace("~tw:*", "~value:* ~counter:* ~idempotency:* ~gcra:* ~window:* ~handoff:*");
    let cache = RedisServer::cache().password("admin").acl_user("app", "other", &cache_rules).start().await.unwrap();
    let report = check_urls(&cache.user_url("app", "other"), &state.user_url("app", CANARY)).await;
    assert_errors(&report, &[]);
    assert_eq!(warnings(&report), [].into(), "{report:#?}");
}

/// The server does not show whether a command or the pattern is missing; the rules of the help grant both.
#[tokio::test]
async fn a_user_who_may_not_use_the_channels_of_the_namespace_is_reported() {
    let cache = cache().await;
    let state = RedisServer::state().acl_user("app", "x", "~* &other:* +@all").start().await.unwrap();
    let report = check_urls(&cache.url(None), &state.user_url("app", "x")).await;
    assert_errors(&report, &[Code::AclMissingCommand]);
    let finding = report.findings().iter().find(|finding| finding.code == Code::AclMissingCommand).unwrap();
    assert!(
        finding.what.ends_with("may not run: PUBLISH and SUBSCRIBE on channels such as tw:wake:preflight"),
        "{finding}"
    );
    let rules = "(resetchannels &tw:wake:* +publish +spublish +ssubscribe +subscribe +sunsubscribe +unsubscribe)";
    assert!(finding.help.contains(rules), "{finding}");
    state.command(&["ACL", "SETUSER", "app", rules]).await.unwrap();
    assert_errors(&check_urls(&cache.url(None), &state.user_url("app", "x")).await, &[]);
}

#[tokio::test]
async fn a_user_with_too_many_rights_and_an_open_server_are_reported() {
    let cache = cache().await;
    let state = RedisServer::state().acl_user("app", "x", "~* &* +@all -keys").start().await.unwrap();
    let report = check_urls(&cache.url(None), &state.user_url("app", "x")).await;
    assert_errors(&report, &[]);
    let findings: Vec<_> = report.findings().iter().filter(|finding| finding.role_name() == "state").collect();
    let codes: Vec<_> = findings.iter().map(|finding| finding.code).collect();
    assert!(codes.contains(&Code::AclTooWide) && codes.contains(&Code::NoPassword), "{findings:#?}");
    assert!(!codes.contains(&Code::DefaultUser), "{findings:#?}");
    let wide = findings.iter().find(|finding| finding.code == Code::AclTooWide).unwrap();
    for command in ["FLUSHALL", "FLUSHDB", "CONFIG SET", "SHUTDOWN", "DEBUG", "REPLICAOF", "ACL SETUSER", "MODULE LOAD"]
    {
        let rule = format!(" -{}", command.to_lowercase().replace(' ', "|"));
        assert!(wide.what.contains(command) && wide.help.contains(&rule), "{command}: {wide}");
    }
    assert!(!wide.what.contains("KEYS") && wide.help.contains("`ACL SETUSER app -"), "{wide}");
}

/// The finding names the side that speaks TLS; it never blames the network or the password.
#[tokio::test]
async fn a_mismatch_about_tls_is_its_own_finding() {
    let cache = cache().await;
    let plain = RedisServer::state().password(CANARY).start().await.unwrap();
    let tls = RedisServer::state().tls().start().await.unwrap();
    let mutual = RedisServer::state().mutual_tls().start().await.unwrap();
    let to = |server: &RedisServer, scheme: &str| format!("{scheme}://app:{CANARY}@127.0.0.1:{}", server.port());
    for (url, ca, expected) in [
        (to(&plain, "rediss"), Some(&tls), "the port does not speak TLS, but the URL begins with rediss://"),
        (to(&tls, "redis"), None, "the port speaks TLS, but the URL begins with redis://"),
        (tls.url(None).replace("rediss", "redis"), None, "the port speaks TLS, but the URL begins with redis://"),
        (to(&mutual, "redis"), None, "the port speaks TLS, but the URL begins with redis://"),
        (mutual.url(None), Some(&mutual), "the server requires a certificate of the client"),
        (tls.url(None), Some(&mutual), "the server's certificate is not accepted"),
    ] {
        let ca = ca.map(RedisServer::ca_file).unwrap_or_default();
        let more = [("REDIS_STATE_TLS_CA_FILE", ca.to_str().unwrap()), ("REDIS_STATE_CONNECT_TIMEOUT", "1s")];
        let report = check(&environment_with(&cache.url(None), &url, &more)).await;
        assert_errors(&report, &[Code::TlsRefused]);
        let finding = report.findings().iter().find(|finding| finding.code == Code::TlsRefused).unwrap();
        assert!(finding.what.contains(expected), "{finding}");
        assert!(finding.help.contains("REDIS_STATE_TLS_CA_FILE"), "{finding}");
    }
}

#[tokio::test]
async fn a_user_without_a_password_is_reported() {
    let cache = cache().await;
    let state = RedisServer::state().acl_user("app", "x", "~* &* +@all").start().await.unwrap();
    let report = check_urls(&cache.url(None), &format!("redis://app@{}", state.address())).await;
    assert_errors(&report, &[Code::AuthRefused]);
    let what = what(&report, Code::AuthRefused);
    assert!(what.ends_with("; the URL has no password; a password without a user is written :PASSWORD@"), "{what}");
}

#[tokio::test]
async fn a_command_that_the_server_does_not_know_is_named() {
    let cache = cache().await;
    let state = RedisServer::state().config("rename-command", "SET \"\"").start().await.unwrap();
    let report = check_urls(&cache.url(None), &state.url(None)).await;
    let what = what(&report, Code::WritableUnknown);
    assert!(what.ends_with("the server does not know the command SET, or it is renamed or disabled there"), "{what}");
}

/// It does not mean an old server: a proxy or a setting can refuse it, and the connection works without it.
#[tokio::test]
async fn a_server_that_refuses_hello_is_not_reported_as_too_old() {
    let cache = cache().await;
    let state = RedisServer::state().password(CANARY).config("rename-command", "HELLO \"\"").start().await.unwrap();
    assert_errors(&check_urls(&cache.url(None), &state.url(None)).await, &[]);
}
