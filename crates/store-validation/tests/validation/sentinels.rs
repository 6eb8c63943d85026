//! Stores whose primary sentinels report.

use store_validation::{Code, Environment};
use testkit::{RedisServer, Sentinels};

use crate::{assert_errors, cache, check_urls, environment, environment_with, warnings, what};

async fn sentinels(data: testkit::RedisServerBuilder) -> Sentinels {
    Sentinels::builder().data(data).start().await.unwrap()
}

fn url(sentinels: &Sentinels) -> String {
    let hosts: Vec<_> = sentinels.addresses().iter().map(ToString::to_string).collect();
    format!("redis-sentinel://{}/{}", hosts.join(","), sentinels.name())
}

#[tokio::test]
async fn both_roles_run_on_the_primaries_of_sentinels() {
    let (caches, states) = (sentinels(RedisServer::cache()).await, sentinels(RedisServer::state()).await);
    assert_errors(&check_urls(&url(&caches), &url(&states)).await, &[]);
    let mixed = check_urls(&cache().await.url(None), &url(&states)).await;
    assert_errors(&mixed, &[]);
    assert!(!warnings(&mixed).contains(&Code::SentinelQuorumUnknown), "{mixed:#?}");
}

#[tokio::test]
async fn one_server_is_found_through_its_sentinels_and_through_a_replica() {
    let sentinels = sentinels(RedisServer::state()).await;
    let [primary, replica, ..] = sentinels.data() else { unreachable!("a primary and two replicas") };
    for other in [url(&sentinels), primary.url(None), replica.url(None)] {
        for (cache, state) in [(&other, &url(&sentinels)), (&url(&sentinels), &other)] {
            let report = check_urls(cache, state).await;
            assert!(report.findings().iter().any(|finding| finding.code == Code::SameInstance), "{report:#?}");
        }
    }
}

#[tokio::test]
async fn sentinels_without_a_quorum_are_an_error() {
    let sentinels = sentinels(RedisServer::state()).await;
    let cache = cache().await;
    for sentinel in &sentinels.sentinels()[1..] {
        sentinel.kill().await;
    }
    testkit::wait_until("the remaining sentinel misses the others", testkit::DEADLINE, async || {
        let report = check_urls(&cache.url(None), &url(&sentinels)).await;
        report.findings().iter().any(|finding| finding.code == Code::SentinelQuorum)
    })
    .await;
    let report = check_urls(&cache.url(None), &url(&sentinels)).await;
    assert!(what(&report, Code::SentinelQuorum).contains(sentinels.name()), "{report:#?}");
}

#[tokio::test]
async fn a_quorum_that_may_not_be_asked_for_is_unknown() {
    let sentinels = sentinels(RedisServer::state()).await;
    let cache = cache().await;
    for sentinel in sentinels.sentinels() {
        sentinel.command(&["ACL", "SETUSER", "default", "-sentinel|ckquorum"]).await.unwrap();
    }
    let report = check_urls(&cache.url(None), &url(&sentinels)).await;
    assert!(what(&report, Code::SentinelQuorumUnknown).contains("CKQUORUM"), "{report:#?}");
    assert_errors(&report, &[]);
}

#[tokio::test]
async fn a_service_that_is_not_monitored_is_refused() {
    let sentinels = sentinels(RedisServer::state()).await;
    let wrong = url(&sentinels).replace(sentinels.name(), "nobody");
    let report = check_urls(&cache().await.url(None), &wrong).await;
    assert_errors(&report, &[Code::ConfInvalid]);
    assert!(what(&report, Code::ConfInvalid).contains("nobody of the sentinels"), "{report:#?}");
}

#[tokio::test]
async fn sentinels_have_a_password_of_their_own() {
    let sentinels = Sentinels::builder().data(RedisServer::state()).sentinel_password("of-sentinels");
    let sentinels = sentinels.start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("password");
    std::fs::write(&path, "of-sentinels").unwrap();
    let cache = cache().await;
    let refused = check_urls(&cache.url(None), &url(&sentinels)).await;
    assert_errors(&refused, &[Code::AuthRefused]);
    let more = [("REDIS_STATE_SENTINEL_PASSWORD_FILE", path.to_str().unwrap())];
    let environment = environment_with(&cache.url(None), &url(&sentinels), &more);
    assert_errors(&store_validation::check(&environment).await, &[]);
}

/// `deploy/README.md` has the rules of a user who may do what the library does at a sentinel, and nothing else.
#[tokio::test]
async fn the_user_of_the_instructions_has_the_rights_that_are_needed() {
    let text = include_str!("../../../../deploy/README.md");
    let rules = text.split("`ACL SETUSER ").nth(1).and_then(|rest| rest.split('`').next()).unwrap();
    let sentinels = sentinels(RedisServer::state()).await;
    for sentinel in sentinels.sentinels() {
        let rules = rules.replace("PASSWORD", "of-sentinels");
        let command: Vec<_> = ["ACL", "SETUSER"].into_iter().chain(rules.split_whitespace()).collect();
        sentinel.command(&command).await.unwrap();
        sentinel.command(&["ACL", "LOG", "RESET"]).await.unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("password");
    std::fs::write(&path, "of-sentinels").unwrap();
    let more = [
        ("REDIS_STATE_SENTINEL_USERNAME", "state-app"),
        ("REDIS_STATE_SENTINEL_PASSWORD_FILE", path.to_str().unwrap()),
    ];
    let report = store_validation::check(&environment_with(&cache().await.url(None), &url(&sentinels), &more)).await;
    assert_errors(&report, &[]);
    assert!(!warnings(&report).contains(&Code::SentinelQuorumUnknown), "{report:#?}");
    for sentinel in sentinels.sentinels() {
        let denied = sentinel.command(&["ACL", "LOG"]).await.unwrap();
        assert!(denied.as_array().unwrap().is_empty(), "{denied:?}");
    }
}

#[test]
fn variables_of_sentinels_need_a_url_of_sentinels() {
    let check = |url: &str, name: &str, value: &str| {
        let environment: Environment = environment_with(url, "embedded:", &[(name, value)]);
        store_validation::check_environment(&environment)
    };
    let report = check("redis://h", "REDIS_CACHE_SENTINEL_USERNAME", "app");
    assert_errors(&report, &[Code::ConfInvalid]);
    assert!(what(&report, Code::ConfInvalid).contains("redis-sentinel://host,host/service"), "{report:#?}");
    let report = check("redis-sentinel://h/main", "REDIS_CACHE_SENTINEL_TLS_CA_FILE", "/etc/hostname");
    assert_errors(&report, &[Code::ConfInvalid]);
    assert!(what(&report, Code::ConfInvalid).contains("rediss-sentinel://"), "{report:#?}");
    assert_errors(&check("redis-sentinel://h/main", "REDIS_CACHE_SENTINEL_USERNAME", "app"), &[]);
    let report = check("rediss-sentinel://h/main", "REDIS_CACHE_SENTINEL_TLS_CA_FILE", "/etc/hostname");
    assert_errors(&report, &[Code::TlsFileUnreadable]);
    let report = check("rediss-sentinel://h/main", "REDIS_CACHE_SENTINEL_TLS_CERT_FILE", "/etc/hostname");
    assert!(what(&report, Code::ConfInvalid).contains("REDIS_CACHE_SENTINEL_TLS_KEY_FILE must be set"), "{report:#?}");
    // The sentinels are on this machine; the primary may be on another one.
    let report = check("redis-sentinel://localhost/main", "REDIS_CACHE_SENTINEL_USERNAME", "app");
    assert!(warnings(&report).contains(&Code::NoTls), "{report:#?}");
}

#[test]
fn one_service_of_the_same_sentinels_is_one_server() {
    let check = |cache: &str, state: &str| store_validation::check_environment(&environment(cache, state));
    let of = |hosts: &str, service: &str| format!("redis-sentinel://{hosts}/{service}");
    assert_errors(&check(&of("a,b", "main"), &of("c,b", "main")), &[Code::SameInstance]);
    assert_errors(&check(&of("a,b", "main"), &of("c,b", "other")), &[]);
    assert_errors(&check(&of("a,b", "main"), &of("c,d", "main")), &[]);
}
