use std::fs::{self, File};
use std::sync::Arc;

use store_validation::{Code, Refused, check, validate};
use testkit::{RedisServer, free_port};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::{CANARY, assert_errors, cache, environment_with, state};

/// The log of `call` on this thread at every level, including that of libraries.
async fn logged<T>(server: &RedisServer, call: impl Future<Output = T>) -> (T, String) {
    testkit::open_call_sites();
    let path = server.dir().join("of-the-test.log");
    let file = Arc::new(File::create(&path).unwrap());
    let log = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false).with_writer(file);
    let guard = log.finish().set_default();
    let result = call.await;
    drop(guard);
    (result, fs::read_to_string(path).unwrap())
}

fn codes(refused: &Refused) -> Vec<Code> {
    refused.findings.iter().filter(|finding| finding.is_error()).map(|finding| finding.code).collect()
}

#[tokio::test]
async fn the_first_service_owns_its_number_and_another_is_refused() {
    let (cache, state) = (cache().await, state().await);
    let of = |more: &[(&str, &str)]| environment_with(&cache.url(None), &state.url(None), more);

    assert_errors(&check(&of(&[])).await, &[]);
    assert_eq!(
        cache.command_in(1, &["GET", "twinstore:owner"]).await.unwrap().as_str(),
        None,
        "a check claims nothing"
    );

    let settings = validate(&of(&[])).await.unwrap().settings;
    assert_eq!(settings.service.as_str(), "billing");
    let owner = cache.command_in(1, &["GET", "twinstore:owner"]).await.unwrap();
    assert!(owner.as_str().unwrap().ends_with(" billing"), "{owner:?}");
    assert_eq!(cache.command_in(1, &["TTL", "twinstore:owner"]).await.unwrap().as_integer(), Some(-1));
    validate(&of(&[])).await.unwrap();

    let mailer = of(&[("SERVICE_NAME", "mailer")]);
    assert_errors(&check(&mailer).await, &[Code::DatabaseNumberTaken]);
    let refused = validate(&mailer).await.unwrap_err();
    assert_eq!(codes(&refused), [Code::DatabaseNumberTaken]);
    assert!(refused.to_string().contains("billing"), "{refused}");
    let shares_it = of(&[("SERVICE_NAME", "mailer"), ("REDIS_CACHE_DB", "2"), ("REDIS_CACHE_SHARED_DB", "1")]);
    assert_eq!(codes(&validate(&shares_it).await.unwrap_err()), [Code::DatabaseNumberTaken]);
}

#[tokio::test]
async fn of_two_services_that_start_together_one_is_refused() {
    let (cache, state) = (cache().await, state().await);
    let of = |name: &str| environment_with(&cache.url(None), &state.url(None), &[("SERVICE_NAME", name)]);
    let (a, b) = (of("a"), of("b"));
    let (a, b) = tokio::join!(validate(&a), validate(&b));
    assert_ne!(a.is_ok(), b.is_ok());
}

#[tokio::test]
async fn a_service_of_another_environment_is_refused() {
    let (cache, state) = (cache().await, state().await);
    let of = |environment: &str, number: &str| {
        let more = [("STORE_ENVIRONMENT", environment), ("REDIS_CACHE_DB", number), ("SERVICE_NAME", number)];
        environment_with(&cache.url(None), &state.url(None), &more)
    };
    validate(&of("production", "1")).await.unwrap();
    validate(&of("production", "2")).await.unwrap();
    let refused = validate(&of("staging", "3")).await.unwrap_err();
    assert_eq!(codes(&refused), [Code::EnvironmentMismatch, Code::EnvironmentMismatch], "in both stores");
    let owner = cache.command_in(3, &["GET", "twinstore:owner"]).await.unwrap();
    assert_eq!(owner.as_str(), None, "nothing was claimed");
}

#[tokio::test]
async fn with_warn_a_service_logs_errors_and_starts() {
    let cache = cache().await;
    let state = RedisServer::state().config("maxmemory-policy", "allkeys-lru").start().await.unwrap();
    let of = |more: &[(&str, &str)]| environment_with(&cache.url(None), &state.url(None), more);
    assert_eq!(codes(&validate(&of(&[])).await.unwrap_err()), [Code::StateEvicts]);

    for more in [("STORE_PREFLIGHT", "warn"), ("STORE_PREFLIGHT_ALLOW", "state-evicts")] {
        let (validated, log) = logged(&state, validate(&of(&[more, ("REDIS_STATE_NAMESPAC", "x")]))).await;
        let validated = validated.unwrap();
        assert!(validated.warnings.iter().any(|finding| finding.code == Code::StateEvicts));
        assert!(log.contains("state-evicts") && log.contains("allkeys-lru"), "{log}");
        assert!(log.contains("REDIS_STATE_NAMESPACE"), "a mistyped name is told: {log}");
    }

    let missing = of(&[("STORE_PREFLIGHT", "warn"), ("REDIS_CONN_BASE_URL", "")]);
    assert_eq!(codes(&validate(&missing).await.unwrap_err()), [Code::UrlMissing, Code::StateEvicts]);
}

#[tokio::test]
async fn no_error_and_no_log_shows_a_password() {
    let (cache, state) = (cache().await, RedisServer::state().password("right").start().await.unwrap());
    let wrong = state.url(None).replace("right", CANARY);
    let down = format!("redis://{CANARY}:{CANARY}-1@127.0.0.1:{}", free_port().unwrap())
        .replace(&format!("//{CANARY}:"), "//:");
    let invalid = format!("redis://:{CANARY}#@host");
    let right = state.url(None).replace("right", &format!("{CANARY}-right"));
    state.set_password(&format!("{CANARY}-right")).await.unwrap();
    let (mut shown, mut logs) = (String::new(), String::new());
    for (cache_url, state_url) in [
        (cache.url(None), wrong.clone()),
        (wrong, down.clone()),
        (down.clone(), invalid.clone()),
        (invalid, format!("redis://user:{CANARY}@no-such-host.invalid/3?password={CANARY}")),
        (right.clone(), right),
    ] {
        let environment = environment_with(&cache_url, &state_url, &[("REDIS_STATE_PASSWORD", CANARY)]);
        let (refused, log) = logged(&state, validate(&environment)).await;
        let refused = refused.unwrap_err();
        shown +=
            &format!("{refused} {refused:?} {environment:?} {}", serde_json::to_string(&refused.findings).unwrap());
        let report = check(&environment).await;
        shown += &format!("{report:?} {:?}", report.settings());
        logs += &log;
    }
    assert!(!shown.contains(CANARY), "{shown}");
    assert!(!logs.contains(CANARY), "{logs}");
    assert!(logs.contains("TRACE fred"), "the client library's log is there too: {logs}");
}
