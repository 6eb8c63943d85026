//! The claims that services write to their shared servers, and which starts these claims prevent.

use store_validation::{Code, Environment, NumberRelease, Refused, ReleaseRequest, check, release_number, validate};
use testkit::RedisServer;

use crate::{assert_errors, cache, environment_with, state, warnings, what};

fn codes(refused: &Refused) -> Vec<Code> {
    refused.findings.iter().filter(|finding| finding.is_error()).map(|finding| finding.code).collect()
}

async fn refused(environment: &Environment) -> Vec<Code> {
    codes(&validate(environment).await.unwrap_err())
}

#[tokio::test]
async fn services_that_confuse_the_servers_are_refused() {
    // fit for both roles, so only the marks distinguish them
    let one = RedisServer::state().start().await.unwrap();
    let two = RedisServer::state().start().await.unwrap();
    let of = |cache: &RedisServer, state: &RedisServer, name: &str, number: &str| {
        let more = [("SERVICE_NAME", name), ("REDIS_CACHE_DB", number)];
        environment_with(&cache.url(None), &state.url(None), &more)
    };
    validate(&of(&one, &two, "a", "1")).await.unwrap();
    assert_eq!(refused(&of(&two, &one, "b", "2")).await, [Code::RoleMismatch, Code::RoleMismatch], "each server");
    let third = state().await;
    assert_eq!(refused(&of(&third, &one, "b", "2")).await, [Code::RoleMismatch]);
    validate(&of(&one, &two, "b", "2")).await.unwrap();
}

/// With `STORE_PREFLIGHT=warn` such a service starts. When its cache moves to a server of its own, the fleet starts as well.
#[tokio::test]
async fn one_server_for_both_roles_is_marked_as_neither() {
    let (one, two) = (RedisServer::state().start().await.unwrap(), cache().await);
    let both = environment_with(&one.url(None), &one.url(Some(2)), &[("STORE_PREFLIGHT", "warn")]);
    let validated = validate(&both).await.unwrap();
    assert!(validated.warnings.iter().any(|finding| finding.code == Code::SameInstance), "{validated:#?}");
    validated.claims.refresh().await;
    assert_eq!(one.command(&["EXISTS", "twinstore:role"]).await.unwrap().as_integer(), Some(0));
    validate(&environment_with(&two.url(None), &one.url(Some(2)), &[])).await.unwrap();
}

#[tokio::test]
async fn a_service_without_an_environment_is_refused_on_marked_servers() {
    let (cache, state) = (cache().await, state().await);
    let of = |more: &[(&str, &str)]| environment_with(&cache.url(None), &state.url(None), more);
    validate(&of(&[("STORE_ENVIRONMENT", "production")])).await.unwrap();
    let mailer = [("SERVICE_NAME", "mailer"), ("REDIS_CACHE_DB", "2")];
    assert_eq!(refused(&of(&mailer)).await, [Code::EnvironmentMismatch, Code::EnvironmentMismatch]);
    let report = check(&of(&mailer)).await;
    assert!(what(&report, Code::EnvironmentMismatch).contains("production"), "{report:#?}");
}

#[tokio::test]
async fn the_environment_belongs_to_the_server_not_to_a_database() {
    let (cache, state) = (cache().await, state().await);
    let of = |name: &str, number: &str, shared: &str, database: u32, environment: &str| {
        let more = [
            ("SERVICE_NAME", name),
            ("REDIS_CACHE_DB", number),
            ("REDIS_CACHE_SHARED_DB", shared),
            ("STORE_ENVIRONMENT", environment),
        ];
        environment_with(&cache.url(None), &state.url(Some(database)), &more)
    };
    validate(&of("a", "1", "5", 2, "production")).await.unwrap();
    let refused = refused(&of("b", "3", "6", 4, "staging")).await;
    assert_eq!(refused, [Code::EnvironmentMismatch, Code::EnvironmentMismatch], "other numbers everywhere");
}

#[tokio::test]
async fn a_flush_of_the_cache_frees_no_number() {
    let (cache, state) = (cache().await, state().await);
    let of = |name: &str| environment_with(&cache.url(None), &state.url(None), &[("SERVICE_NAME", name)]);
    let billing = validate(&of("billing")).await.unwrap();
    cache.command(&["FLUSHALL"]).await.unwrap();
    let report = check(&of("mailer")).await;
    assert_errors(&report, &[Code::DatabaseNumberTaken]);
    assert!(what(&report, Code::DatabaseNumberTaken).contains("billing"), "{report:#?}");
    assert_eq!(refused(&of("mailer")).await, [Code::DatabaseNumberTaken]);
    let shares_it = [("SERVICE_NAME", "mailer"), ("REDIS_CACHE_DB", "2"), ("REDIS_CACHE_SHARED_DB", "1")];
    let shares_it = environment_with(&cache.url(None), &state.url(None), &shares_it);
    assert_eq!(refused(&shares_it).await, [Code::DatabaseNumberTaken]);

    // the running service restores its marks and keeps the number
    assert!(billing.claims.refresh().await.is_empty());
    let owner = cache.command_in(1, &["GET", "twinstore:owner"]).await.unwrap();
    assert!(owner.as_str().unwrap().ends_with(" billing"), "{owner:?}");
    assert_eq!(cache.command(&["GET", "twinstore:role"]).await.unwrap().as_str(), Some("cache"));
    validate(&of("billing")).await.unwrap();
}

/// Moves the last-seen time of every record's owner back by some days.
async fn silent_for(cache: &RedisServer, state: &RedisServer, days: u64) {
    let keys = state.command(&["KEYS", "twinstore:owner:*"]).await.unwrap().as_strings().unwrap();
    assert_eq!(keys.len(), 1);
    for (server, database, key) in [(cache, 1, "twinstore:owner"), (state, 0, keys[0].as_str())] {
        let record = server.command_in(database, &["GET", key]).await.unwrap();
        let (seen, name) = record.as_str().unwrap().split_once(' ').unwrap();
        let seen = seen.parse::<u64>().unwrap() - days * 24 * 3_600_000;
        server.command_in(database, &["SET", key, &format!("{seen} {name}"), "KEEPTTL"]).await.unwrap();
    }
}

#[tokio::test]
async fn a_number_is_free_after_seven_days_of_silence() {
    let (cache, state) = (cache().await, state().await);
    let of = |name: &str| environment_with(&cache.url(None), &state.url(None), &[("SERVICE_NAME", name)]);
    validate(&of("billing")).await.unwrap();
    silent_for(&cache, &state, 6).await;
    assert_eq!(refused(&of("mailer")).await, [Code::DatabaseNumberTaken]);
    silent_for(&cache, &state, 1).await;
    validate(&of("mailer")).await.unwrap();
    assert_eq!(refused(&of("billing")).await, [Code::DatabaseNumberTaken], "it has a new owner");
}

#[tokio::test]
async fn a_refused_newcomer_leaves_no_claim_behind() {
    let (cache, state) = (cache().await, state().await);
    let of = |name: &str| environment_with(&cache.url(None), &state.url(None), &[("SERVICE_NAME", name)]);
    let billing = validate(&of("billing")).await.unwrap();
    state.command(&["FLUSHALL"]).await.unwrap();
    assert_eq!(refused(&of("mailer")).await, [Code::DatabaseNumberTaken], "the mark in the cache is the fast check");
    assert!(billing.claims.refresh().await.is_empty());
    // even if the check came too early to find the other
    cache.command_in(1, &["DEL", "twinstore:owner"]).await.unwrap();
    state.command(&["FLUSHALL"]).await.unwrap();
    let (mailer, billing) = (of("mailer"), of("billing"));
    let (mailer, billing) = tokio::join!(validate(&mailer), validate(&billing));
    assert_ne!(mailer.is_ok(), billing.is_ok());
    let winner = if mailer.is_ok() { "mailer" } else { "billing" };
    validate(&of(winner)).await.unwrap();
}

#[tokio::test]
async fn a_number_is_released_when_its_owner_does_not_run() {
    let (cache, state) = (cache().await, state().await);
    let of = |name: &str| environment_with(&cache.url(None), &state.url(None), &[("SERVICE_NAME", name)]);
    let release =
        async |force: bool| release_number(&of("billing"), ReleaseRequest::new().with_force(force)).await.unwrap();
    assert!(matches!(release(false).await, NumberRelease::Free { number: 1, .. }));
    validate(&of("billing")).await.unwrap();
    let held = release(false).await;
    assert!(matches!(&held, NumberRelease::Held { owners, .. } if owners[0].service == "billing"), "{held:?}");
    assert_eq!(refused(&of("mailer")).await, [Code::DatabaseNumberTaken]);

    silent_for(&cache, &state, 1).await;
    let released = release(false).await;
    assert!(matches!(released, NumberRelease::Released { .. }), "{released:?}");
    assert!(released.to_string().contains("billing (last seen 24 h ago)"), "{released}");
    validate(&of("mailer")).await.unwrap();
    assert!(matches!(release(true).await, NumberRelease::Released { owners, .. } if owners[0].service == "mailer"));
    validate(&of("billing")).await.unwrap();
}

#[tokio::test]
async fn a_number_is_not_released_while_a_server_is_away() {
    let (cache, state) = (cache().await, state().await);
    let environment = environment_with(&cache.url(None), &state.url(None), &[]);
    validate(&environment).await.unwrap();
    state.kill().await;
    let refused = release_number(&environment, ReleaseRequest::new().with_force(true)).await.unwrap_err();
    assert_eq!(refused.findings[0].code, Code::Unreachable);
    let owner = cache.command_in(1, &["GET", "twinstore:owner"]).await.unwrap();
    assert!(owner.as_str().is_some(), "nothing was removed");
}

#[tokio::test]
async fn a_full_state_server_refuses_no_claim() {
    let (cache, state) = (cache().await, state().await);
    state.command(&["CONFIG", "SET", "maxmemory", "1"]).await.unwrap();
    let more = [("STORE_ENVIRONMENT", "production")];
    let validated = validate(&environment_with(&cache.url(None), &state.url(None), &more)).await.unwrap();
    assert!(validated.warnings.iter().all(|finding| !finding.code.name().ends_with("-unknown")), "{validated:#?}");
    assert_eq!(state.command(&["EXISTS", "twinstore:role"]).await.unwrap().as_integer(), Some(0));
    let keys = state.command(&["KEYS", "twinstore:owner:*"]).await.unwrap().as_strings().unwrap();
    assert_eq!(keys.len(), 1, "the owner is recorded");
    let ttl = state.command(&["PTTL", &keys[0]]).await.unwrap().as_integer().unwrap();
    assert!((7 * 86_400_000..=8 * 86_400_000).contains(&ttl), "{ttl}");
}

#[tokio::test]
async fn marks_that_cannot_be_read_are_unknown() {
    let (cache, state) = (cache().await, state().await);
    state.command(&["ACL", "SETUSER", "app", "on", ">x", "~tw:*", "&*", "+@all"]).await.unwrap();
    let report = check(&environment_with(&cache.url(None), &state.user_url("app", "x"), &[])).await;
    assert_errors(&report, &[]);
    for code in [Code::RoleUnknown, Code::EnvironmentUnknown, Code::DatabaseOwnerUnknown] {
        assert!(warnings(&report).contains(&code), "{code}: {report:#?}");
    }
}
