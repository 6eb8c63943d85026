//! A run against servers with other data.

use conformance::{AgainstError, Target, against};
use redis_link::TlsFiles;
use store_core::Role;
use testkit::{Cluster, KvrocksProxy, RedisServer, Value};

fn targets(cache: &str, state: &str) -> (Target, Target) {
    (Target::new(Role::Cache, cache), Target::new(Role::State, state))
}

/// Every key of a database, with its value.
async fn contents(server: &RedisServer, database: u32) -> Vec<(String, Value)> {
    let mut contents = Vec::new();
    for key in server.command_in(database, &["KEYS", "*"]).await.unwrap().as_strings().unwrap() {
        let value = server.command_in(database, &["DUMP", &key]).await.unwrap();
        contents.push((key, value));
    }
    contents.sort_by(|one, other| one.0.cmp(&other.0));
    contents
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_keys_stay_and_nothing_of_the_suite_is_left() {
    let (cache, state) = tokio::join!(RedisServer::cache().start(), RedisServer::state().start());
    let (cache, state) = (cache.unwrap(), state.unwrap());
    let foreign = ["value:conformance", "tw:{q.email.0}:jobs", "conformance-:{l.a}:lease", "handoff:1:a:b", "plain"];
    let databases = [(&cache, 0), (&cache, 1), (&cache, 2), (&state, 0)];
    for (server, database) in databases {
        for key in foreign {
            server.command_in(database, &["SET", key, "foreign"]).await.unwrap();
        }
    }

    let (cache_target, state_target) = targets(&cache.url(None), &state.url(None));
    for filter in ["handoff.", "idempotency.", "rate_limit.reset", "key_value.set_many", "lease.", "queue.settle"] {
        let report = against(&cache_target, &state_target, filter).await.unwrap();
        assert!(report.is_ok() && !report.passed.is_empty(), "{report}");
        let last = report.to_string().lines().last().map(str::to_owned);
        assert!(last.is_some_and(|line| line.ends_with("skipped") && line.contains(" passed, 0 failed, ")));
    }

    for (server, database) in databases {
        let left = contents(server, database).await;
        let keys: Vec<&str> = left.iter().map(|(key, _)| key.as_str()).collect();
        let mut expected = foreign;
        expected.sort_unstable();
        assert_eq!(keys, expected, "database {database}");
    }
}

/// Each node has some of the keys.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_suite_is_left_on_a_cluster() {
    let (cache, cluster) = tokio::join!(RedisServer::cache().start(), Cluster::builder().replicas(0).start());
    let (cache, cluster) = (cache.unwrap(), cluster.unwrap());
    let mut expected = Vec::new();
    for number in 0..20 {
        let key = format!("tw:{{{number}}}");
        let owner = cluster.owner(cluster.slot(&key).await.unwrap()).await;
        owner.command(&["SET", &key, "foreign"]).await.unwrap();
        expected.push(key);
    }
    let hosts: Vec<_> = cluster.addresses().iter().map(ToString::to_string).collect();
    let (cache_target, state_target) = targets(&cache.url(None), &format!("redis-cluster://{}", hosts.join(",")));
    let report = against(&cache_target, &state_target, "lease.").await.unwrap();
    assert!(report.is_ok() && report.passed.len() > 5, "{report}");
    let mut left = Vec::new();
    for node in cluster.nodes() {
        left.extend(contents(node, 0).await.into_iter().map(|(key, _)| key));
    }
    left.sort();
    expected.sort();
    assert_eq!((left, cache.keys_count().await.unwrap()), (expected, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_suite_is_left_on_a_kvrocks() {
    let (cache, state) = tokio::join!(RedisServer::cache().start(), RedisServer::state().start());
    let (cache, state) = (cache.unwrap(), state.unwrap());
    let kvrocks = KvrocksProxy::start(&state).await.unwrap();
    state.command(&["SET", "tw:foreign", "x"]).await.unwrap();
    let (cache_target, state_target) = targets(&cache.url(None), &kvrocks.url());
    let report = against(&cache_target, &state_target, "lease.").await.unwrap();
    assert!(report.is_ok() && report.passed.len() > 5, "{report}");
    assert_eq!((state.keys_count().await.unwrap(), cache.keys_count().await.unwrap()), (1, 0));
}

#[tokio::test]
async fn a_server_that_is_down_is_told_without_its_password() {
    let url = format!("redis://:canary@127.0.0.1:{}", testkit::free_port().unwrap());
    for url in [url.as_str(), "http://user:canary@host"] {
        let (cache, state) = targets(url, url);
        let refused = against(&cache, &state, "").await.unwrap_err();
        assert!(!format!("{refused} {refused:?} {cache:?}").contains("canary"));
    }
}

#[tokio::test]
async fn a_filter_that_matches_no_case_is_an_error() {
    let (cache, state) = targets("redis://127.0.0.1:1", "redis://127.0.0.1:1");
    let refused = against(&cache, &state, "queue.clam").await.unwrap_err();
    assert!(matches!(&refused, AgainstError::NoCase(filter) if filter == "queue.clam"), "{refused}");
}

/// Without the right to scan keys, the suite could not remove its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_may_not_remove_keys_is_refused_before_anything_is_written() {
    for lacking in ["-scan", "-unlink"] {
        let state = RedisServer::state().acl_user("app", "p", &format!("~* &* +@all {lacking}")).start().await.unwrap();
        let cache = RedisServer::cache().start().await.unwrap();
        let (cache_target, state_target) = targets(&cache.url(None), &state.user_url("app", "p"));
        let refused = against(&cache_target, &state_target, "lease.").await.unwrap_err();
        assert!(matches!(refused, AgainstError::CannotCleanUp { role: Role::State, .. }), "{refused}");
        assert!(refused.to_string().contains("+scan, +unlink"), "{refused}");
        assert_eq!((state.keys_count().await.unwrap(), cache.keys_count().await.unwrap()), (0, 0));
    }
}

/// The suite writes to the servers to determine their capabilities. If a server refuses that, no key remains.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_may_not_write_jobs_leaves_nothing_behind() {
    let state = RedisServer::state().acl_user("app", "p", "~* &* +@all -hset").start().await.unwrap();
    let cache = RedisServer::cache().start().await.unwrap();
    let (cache_target, state_target) = targets(&cache.url(None), &state.user_url("app", "p"));
    let refused = against(&cache_target, &state_target, "lease.").await.unwrap_err();
    assert!(matches!(refused, AgainstError::Store(_)), "{refused}");
    assert_eq!((contents(&state, 0).await, cache.keys_count().await.unwrap()), (vec![], 0));
}

/// If rights are removed while the suite runs, the remaining keys are reported, and the run fails.
#[tokio::test(flavor = "multi_thread")]
async fn keys_that_could_not_be_removed_are_reported() {
    let state = RedisServer::state().acl_user("app", "p", "~* &* +@all").start().await.unwrap();
    let cache = RedisServer::cache().start().await.unwrap();
    let (cache_target, state_target) = targets(&cache.url(None), &state.user_url("app", "p"));
    let running = tokio::spawn(async move { against(&cache_target, &state_target, "lease.").await });
    testkit::wait_until("the suite writes", testkit::DEADLINE, async || state.keys_count().await.unwrap() > 1).await;
    state.command(&["ACL", "SETUSER", "app", "-scan"]).await.unwrap();
    let report = running.await.unwrap().unwrap();
    assert!(!report.is_ok() && report.failed.is_empty(), "{report}");
    assert!(report.left.as_ref().is_some_and(|left| left.contains("conformance-")), "{report}");
    assert!(state.keys_count().await.unwrap() > 0);
}

/// Passwords and certificates in files, which a URL cannot have.
#[tokio::test(flavor = "multi_thread")]
async fn password_files_and_client_certificates_are_used() {
    let directory = tempfile::tempdir().unwrap();
    let password_file = directory.path().join("password");
    std::fs::write(&password_file, "p w\n").unwrap();
    // fetched servers have no TLS
    let start = |server: testkit::RedisServerBuilder| {
        server.program("redis-server").mutual_tls().acl_user("app", "p w", "~* &* +@all").start()
    };
    let cache = start(RedisServer::cache()).await.unwrap();
    let state = start(RedisServer::state()).await.unwrap();
    let target = |role, server: &RedisServer| {
        let tls = TlsFiles::new().with_ca(server.ca_file());
        let tls = tls.with_identity(server.client_cert_file(), server.client_key_file());
        let target = Target::new(role, server.url(None)).with_username("app");
        target.with_password_file(&password_file).with_tls(tls)
    };
    let report = against(&target(Role::Cache, &cache), &target(Role::State, &state), "lease.release").await.unwrap();
    assert!(report.is_ok() && !report.passed.is_empty(), "{report}");
}

/// `appendfsync everysec` of Redis 8.2 grants `Fsynced` after a second or two.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_its_time_to_sync_is_not_skipped() {
    let redis = match testkit::servers::find("redis-8.2") {
        Ok(redis) => redis,
        Err(missing) => return testkit::skipped(missing),
    };
    let (cache, state) =
        tokio::join!(RedisServer::cache().start(), RedisServer::state().program(&redis.program).start());
    let (cache, state) = (cache.unwrap(), state.unwrap());
    let (cache, state) = targets(&cache.url(None), &state.url(None));
    let report = against(&cache, &state, "wait_for_the_disk").await.unwrap();
    assert!(report.is_ok() && report.skipped.is_empty() && report.passed.len() >= 2, "{report}");
}
