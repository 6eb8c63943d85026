use store_validation::{Code, Report, check};
use testkit::{RedisServer, RedisServerBuilder};

use crate::{assert_errors, cache, check_urls, environment_with, errors, state, warnings, what};

async fn with_state(state: RedisServerBuilder) -> Report {
    let (cache, state) = (cache().await, state.start().await.unwrap());
    check_urls(&cache.url(None), &state.url(None)).await
}

async fn with_cache(cache: RedisServerBuilder, more: &[(&str, &str)]) -> Report {
    let (cache, state) = (cache.start().await.unwrap(), state().await);
    check(&environment_with(&cache.url(None), &state.url(None), more)).await
}

#[tokio::test]
async fn a_state_server_that_evicts_is_refused() {
    let report = with_state(RedisServer::state().config("maxmemory-policy", "allkeys-lru")).await;
    assert_errors(&report, &[Code::StateEvicts]);
    assert!(what(&report, Code::StateEvicts).contains("allkeys-lru"));
}

#[tokio::test]
async fn a_state_server_that_forgets_is_refused() {
    assert_errors(&with_state(RedisServer::state().appendonly(false)).await, &[Code::StateNotPersistent]);
    let unbounded = RedisServer::state().config("appendfsync", "no");
    assert_errors(&with_state(unbounded).await, &[Code::StateNotPersistent]);
    assert_errors(&with_state(RedisServer::state().config("appendfsync", "always")).await, &[]);
}

#[tokio::test]
async fn info_is_read_if_config_is_forbidden() {
    let cache = cache().await;
    for (state, expected) in [
        (RedisServer::state(), vec![]),
        (
            RedisServer::state().config("maxmemory-policy", "allkeys-lru").appendonly(false),
            vec![Code::StateEvicts, Code::StateNotPersistent],
        ),
    ] {
        let state = state.acl_user("app", "x", "~* &* +@all -config").start().await.unwrap();
        let report = check_urls(&cache.url(None), &state.user_url("app", "x")).await;
        assert_errors(&report, &expected);
        let is_unknown = warnings(&report).contains(&Code::StatePersistenceUnknown);
        assert_eq!(is_unknown, expected.is_empty(), "how often it is written to disk is not in INFO");
        assert!(!warnings(&report).contains(&Code::StateEvictionUnknown));
    }
    let nothing = RedisServer::state().acl_user("app", "x", "~* &* +@all -config -info").start().await.unwrap();
    let report = check_urls(&cache.url(None), &nothing.user_url("app", "x")).await;
    assert_errors(&report, &[]);
    for code in [Code::StatePersistenceUnknown, Code::StateEvictionUnknown, Code::MaxclientsUnknown] {
        assert!(warnings(&report).contains(&code), "{code}: {report:?}");
    }

    let hidden = RedisServer::cache().acl_user("app", "x", "~* &* +@all -config").start().await.unwrap();
    let report = check_urls(&hidden.user_url("app", "x"), &state().await.url(None)).await;
    assert_errors(&report, &[]);
    assert!(warnings(&report).contains(&Code::CachePersistenceUnknown));
}

#[tokio::test]
async fn a_misconfigured_cache_server_is_reported() {
    let report = with_cache(RedisServer::builder().config("save", "900 1").appendonly(true), &[]).await;
    assert_errors(&report, &[]);
    for code in [Code::CachePolicy, Code::CachePersists, Code::NoMaxmemory] {
        assert!(warnings(&report).contains(&code), "{code}: {report:?}");
    }
    let snapshots = with_cache(RedisServer::cache().config("save", "900 1"), &[]).await;
    assert!(what(&snapshots, Code::CachePersists).contains("900 1"));
    let right = with_cache(RedisServer::cache(), &[]).await;
    assert_eq!(warnings(&right), [Code::NoPassword, Code::DefaultUser, Code::AclTooWide].into(), "{right:#?}");
}

#[tokio::test]
async fn a_number_that_the_server_does_not_have_is_refused() {
    let few = || RedisServer::cache().databases(4);
    assert_errors(&with_cache(few(), &[("REDIS_CACHE_DB", "4")]).await, &[Code::DatabaseNumberOutOfRange]);
    assert_errors(&with_cache(few(), &[("REDIS_CACHE_DB", "3")]).await, &[]);
    let report = with_cache(few(), &[("REDIS_CACHE_SHARED_DB", "200")]).await;
    assert_errors(&report, &[Code::DatabaseNumberOutOfRange]);
    assert!(what(&report, Code::DatabaseNumberOutOfRange).contains("REDIS_CACHE_SHARED_DB"));

    let (cache, state) = (cache().await, RedisServer::state().databases(4).start().await.unwrap());
    let report = check_urls(&cache.url(None), &state.url(Some(9))).await;
    assert_errors(&report, &[Code::DatabaseNumberOutOfRange]);
}

#[tokio::test]
async fn a_replica_accepts_no_writes() {
    let (cache, primary) = (cache().await, state().await);
    let replica = RedisServer::state().replica_of(&primary).start().await.unwrap();
    assert_errors(&check_urls(&cache.url(None), &replica.url(None)).await, &[Code::NotWritable]);
}

#[tokio::test]
async fn a_full_cache_that_cannot_evict_accepts_no_writes() {
    let report = with_cache(RedisServer::cache().config("maxmemory", "1"), &[]).await;
    assert_errors(&report, &[Code::NotWritable]);
}

#[tokio::test]
async fn a_state_server_that_fills_is_reported_but_not_refused() {
    let (cache, state) = (cache().await, state().await);
    // far from the limit, so that the check's own allocations do not decide
    for (percent, expected) in [(82, Code::MemoryHigh), (95, Code::MemoryCritical), (200, Code::MemoryCritical)] {
        state.command(&["SET", "filling", &"x".repeat(40_000_000)]).await.unwrap();
        let used: u64 = state.info("memory").await.unwrap()["used_memory"].parse().unwrap();
        let limit = (used * 100 / percent).to_string();
        state.command(&["CONFIG", "SET", "maxmemory", &limit]).await.unwrap();
        let report = check_urls(&cache.url(None), &state.url(None)).await;
        state.command(&["CONFIG", "SET", "maxmemory", "0"]).await.unwrap();
        assert_errors(&report, &[]);
        assert!(warnings(&report).contains(&expected), "{percent}: {report:?}");
    }
}

#[tokio::test]
async fn promised_replicas_must_be_connected() {
    let (cache, state) = (cache().await, state().await);
    let check_replicas = async |count: &str| {
        let more = [("REDIS_STATE_MIN_REPLICAS", count)];
        check(&environment_with(&cache.url(None), &state.url(None), &more)).await
    };
    assert_errors(&check_replicas("1").await, &[Code::TooFewReplicas]);

    let _replica = RedisServer::state().replica_of(&state).start().await.unwrap();
    let report = check_replicas("1").await;
    assert_errors(&report, &[]);
    assert!(warnings(&report).contains(&Code::NoMinReplicas));

    state.command(&["CONFIG", "SET", "min-replicas-to-write", "2"]).await.unwrap();
    assert!(errors(&check_replicas("0").await).contains(&Code::TooFewReplicas));
}

#[tokio::test]
async fn a_server_that_accepts_fewer_connections_than_the_pools_need_is_reported() {
    let (cache, state) = (cache().await, state().await);
    state.command(&["CONFIG", "SET", "maxclients", "27"]).await.unwrap();
    cache.command(&["CONFIG", "SET", "maxclients", "25"]).await.unwrap();
    let report = async |pool: &str| {
        let more = [("REDIS_CACHE_POOL_SIZE", pool), ("REDIS_STATE_POOL_SIZE", pool)];
        check(&environment_with(&cache.url(None), &state.url(None), &more)).await
    };
    let few = report("3").await;
    assert_errors(&few, &[]);
    assert!(what(&few, Code::MaxclientsLow).contains("maxclients is 27"), "{few:#?}");
    assert!(what(&few, Code::MaxclientsLow).contains("28"), "{few:#?}");
    let lower = report("2").await;
    assert!(!warnings(&lower).contains(&Code::MaxclientsLow), "{lower:#?}");
    let more = report("12").await;
    let found = more.findings().iter().filter(|finding| finding.code == Code::MaxclientsLow);
    assert_eq!(found.count(), 2, "each role: {more:#?}");
}
