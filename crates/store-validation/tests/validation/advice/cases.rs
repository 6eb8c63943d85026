//! One fault each.

use store_validation::Code;
use testkit::RedisServer;

use super::{Setup, assert_cured, assert_running_cured};

#[tokio::test]
async fn settings_of_the_state_server() {
    assert_cured(Code::StateEvicts, Setup::of_state(|state| state.config("maxmemory-policy", "allkeys-lru"))).await;
    assert_cured(Code::StateNotPersistent, Setup::of_state(|state| state.appendonly(false))).await;
    assert_cured(Code::StateNotPersistent, Setup::of_state(|state| state.config("appendfsync", "no"))).await;
    let fsynced = Setup::of_state(|state| state.config("no-appendfsync-on-rewrite", "yes"));
    let fsynced = fsynced.variable("REDIS_STATE_QUEUE_DURABILITY", "fsynced");
    assert_cured(Code::FsyncedUnavailable, fsynced).await;
    assert_cured(Code::NoMaxmemory, Setup::of_state(|state| state.config("maxmemory", "0"))).await;
    assert_cured(Code::ClientEviction, Setup::of_state(|state| state.config("maxmemory-clients", "100mb"))).await;
    assert_cured(Code::TooFewReplicas, Setup::of_state(|state| state.config("min-replicas-to-write", "1"))).await;
}

#[tokio::test]
async fn settings_of_the_cache_server() {
    assert_cured(Code::CachePolicy, Setup::of_cache(|cache| cache.config("maxmemory-policy", "allkeys-lru"))).await;
    assert_cured(Code::CachePersists, Setup::of_cache(|cache| cache.config("save", "900 1"))).await;
    assert_cured(Code::CachePersists, Setup::of_cache(|cache| cache.appendonly(true))).await;
    assert_cured(Code::NoMaxmemory, Setup::of_cache(|cache| cache.config("maxmemory", "0"))).await;
    assert_cured(Code::NotWritable, Setup::of_cache(|cache| cache.config("maxmemory", "1"))).await;
}

#[tokio::test]
async fn memory_nearly_full() {
    for (code, percent) in [(Code::MemoryHigh, 82), (Code::MemoryCritical, 95)] {
        let running = Setup::right().start().await;
        running.state.command(&["SET", "filling", &"x".repeat(40_000_000)]).await.unwrap();
        let used: u64 = running.state.info("memory").await.unwrap()["used_memory"].parse().unwrap();
        let limit = (used * 100 / percent).to_string();
        running.state.command(&["CONFIG", "SET", "maxmemory", &limit]).await.unwrap();
        assert_running_cured(code, running).await;
    }
}

#[tokio::test]
async fn replicas() {
    let running = Setup::right().start().await;
    let _replica = RedisServer::state().replica_of(&running.state).start().await.unwrap();
    assert_running_cured(Code::NoMinReplicas, running).await;

    for hidden in ["-config|get", "-info"] {
        let running = Setup::right().state_user(hidden).start().await;
        running.state.command(&["CONFIG", "SET", "min-replicas-to-write", "1"]).await.unwrap();
        let _replica = RedisServer::state().replica_of(&running.state).start().await.unwrap();
        assert_running_cured(Code::ReplicasUnknown, running).await;
    }
}

#[tokio::test]
async fn a_user_with_too_few_rights() {
    for rules in [
        "-hset -wait",
        "-script|load",
        "-time",
        "-evalsha",
        "-@all",
        "-@all +evalsha +script|load",
        "-@all +evalsha +script|load resetkeys ~other:*",
        "resetkeys",
        "resetkeys ~twinstore:* ~other:*",
        "resetkeys ~twinstore:* -zadd -hset",
        "resetkeys ~* -set -get -hset",
        "resetkeys %R~tw:* ~twinstore:*",
        "resetkeys ~tw:{q* ~twinstore:*",
        "resetchannels",
        "resetchannels &other:*",
        "resetchannels allchannels -publish",
        "resetchannels allchannels -publish -subscribe -unsubscribe",
        "-subscribe",
        "-pubsub",
        "-publish -subscribe -hset",
        "resetchannels resetkeys ~twinstore:*",
    ] {
        assert_cured(Code::AclMissingCommand, Setup::right().state_user(rules)).await;
    }
}

#[tokio::test]
async fn a_user_of_the_cache_with_too_few_rights() {
    for rules in ["-select", "-mget", "resetkeys ~value:* ~twinstore:*", "-@all", "resetkeys ~twinstore:*"] {
        assert_cured(Code::AclMissingCommand, Setup::right().cache_user(rules)).await;
    }
}

#[tokio::test]
async fn a_user_with_too_many_rights() {
    for rules in ["+@all", "+@dangerous", "+config", "+flushdb", "+@write", "+@connection +@scripting", "+acl +module"]
    {
        assert_cured(Code::AclTooWide, Setup::right().state_user(rules)).await;
        assert_cured(Code::AclTooWide, Setup::right().cache_user(rules)).await;
    }
}

#[tokio::test]
async fn the_default_user() {
    for role in ["cache", "state"] {
        let by_default_user = async || {
            let mut running = Setup::right().start().await;
            let (name, server) = match role {
                "cache" => ("REDIS_CONN_BASE_URL", &running.cache),
                _ => ("REDIS_WORKERCACHE_CONN_URL", &running.state),
            };
            running.variables.push((name.to_owned(), server.url(None)));
            running
        };
        assert_running_cured(Code::DefaultUser, by_default_user().await).await;
        assert_running_cured(Code::AclTooWide, by_default_user().await).await;
    }
}

#[tokio::test]
async fn passwords() {
    let mut running = Setup::right().state_user("nopass").start().await;
    let url = format!("redis://app@{}", running.state.address());
    running.variables.push(("REDIS_WORKERCACHE_CONN_URL".to_owned(), url));
    assert_running_cured(Code::NoPassword, running).await;

    assert_cured(Code::AuthRefused, Setup::right().state_user("off")).await;

    let running = Setup::right().start().await;
    running.cache.command(&["ACL", "SETUSER", "app", ">of-state"]).await.unwrap();
    let mut running = running;
    running.variables.push(("REDIS_CONN_BASE_URL".to_owned(), running.cache.user_url("app", "of-state")));
    assert_running_cured(Code::SharedCredential, running).await;
}

#[tokio::test]
async fn hidden_settings() {
    assert_cured(Code::MaxclientsUnknown, Setup::right().state_user("-info -config|get")).await;
    assert_cured(Code::StateEvictionUnknown, Setup::right().state_user("-info -config|get")).await;
    assert_cured(Code::CachePolicyUnknown, Setup::right().cache_user("-info -config|get")).await;
    assert_cured(Code::StatePersistenceUnknown, Setup::right().state_user("-config|get")).await;
    for setup in [Setup::right().state_user("-config|get"), Setup::right().cache_user("-config|get")] {
        assert_cured(Code::ClientEvictionUnknown, setup).await;
    }
    assert_cured(Code::CachePersistenceUnknown, Setup::right().cache_user("-config|get")).await;
}

#[tokio::test]
async fn connections() {
    assert_cured(Code::MaxclientsLow, Setup::of_state(|state| state.config("maxclients", "20"))).await;
    assert_cured(Code::MaxclientsLow, Setup::of_cache(|cache| cache.config("maxclients", "12"))).await;
}

#[tokio::test]
async fn servers_of_a_former_owner() {
    let running = Setup::right().variable("STORE_ENVIRONMENT", "production").start().await;
    running.state.command(&["SET", "twinstore:environment", "staging"]).await.unwrap();
    assert_running_cured(Code::EnvironmentMismatch, running).await;
    let running = Setup::right().start().await;
    running.state.command(&["SET", "twinstore:role", "cache"]).await.unwrap();
    assert_running_cured(Code::RoleMismatch, running).await;
}

#[tokio::test]
async fn our_own_keys() {
    let without_ours = "resetkeys ~tw:*";
    assert_cured(Code::WritableUnknown, Setup::right().state_user("resetkeys ~other:*")).await;
    let marked = Setup::right().variable("STORE_ENVIRONMENT", "production").state_user(without_ours);
    assert_cured(Code::EnvironmentUnknown, marked).await;
    assert_cured(Code::RoleUnknown, Setup::right().state_user(without_ours)).await;
    assert_cured(Code::DatabaseOwnerUnknown, Setup::right().state_user(without_ours)).await;
    let values = "resetkeys ~value:* ~counter:* ~idempotency:* ~gcra:* ~window:* ~handoff:*";
    assert_cured(Code::DatabaseOwnerUnknown, Setup::right().cache_user(values)).await;
    let hidden = Setup::right().state_user(&format!("{without_ours} -info")).cache_user(&format!("{values} -info"));
    assert_cured(Code::SameInstanceUnknown, hidden).await;
}
