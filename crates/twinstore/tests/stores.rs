//! Both stores of a service, opened from an environment, on real servers.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use store_core::{ClaimRequest, Outcome, Settled};
use testkit::RedisServer;
use twinstore::config::Code;
use twinstore::idempotency::{Begun, Fingerprint, Idempotency, IdempotentRequest};
use twinstore::name::HolderName;
use twinstore::prelude::*;
use twinstore::{Bytes, Role};

/// A job of the tests.
#[derive(serde::Serialize, serde::Deserialize)]
struct Number(u32);

impl JobType for Number {
    const QUEUE: &'static str = "numbers";
}

fn environment(cache: &RedisServer, state: &RedisServer) -> Environment {
    environment_of("billing", "3", cache, state)
}

fn environment_of(service: &str, database: &str, cache: &RedisServer, state: &RedisServer) -> Environment {
    Environment::from_variables([
        ("SERVICE_NAME", service.to_owned()),
        ("REDIS_CONN_BASE_URL", cache.url(None)),
        ("REDIS_CACHE_DB", database.to_owned()),
        ("REDIS_WORKERCACHE_CONN_URL", state.url(None)),
        ("REDIS_STATE_COMMAND_TIMEOUT", "200ms".to_owned()),
        ("REDIS_STATE_MAX_RETRIES", "0".to_owned()),
    ])
}

async fn servers() -> (RedisServer, RedisServer) {
    let (cache, state) = tokio::join!(RedisServer::cache().start(), RedisServer::state().start());
    (cache.unwrap(), state.unwrap())
}

#[tokio::test]
async fn what_is_written_through_one_handle_is_read_through_another() {
    let (cache, state) = servers().await;
    let stores = Stores::open(&environment(&cache, &state)).await.unwrap();
    assert!(stores.health().await.is_ready());
    assert_eq!((stores.cache().engine(), stores.state().engine()), ("redis", "redis"));

    let (key, ttl) = (Key::new("greeting").unwrap(), Ttl::from_secs(60));
    let values = |stores: &Stores| stores.cache().values::<String>(HandleName::new("greetings").unwrap(), ttl);
    values(&stores).set(&key, &"hello".to_owned()).await.unwrap();
    assert_eq!(values(&stores.clone()).get(&key).await.unwrap().as_deref(), Some("hello"));

    stores.state().queue_of::<Number>().push(&Number(7)).await.unwrap();
    let name = QueueName::of::<Number>();
    let request = ClaimRequest::new(name.clone(), HolderName::new("worker").unwrap(), 10, Duration::from_secs(60));
    let job = stores.state().queue().claim(&request).await.unwrap().jobs.remove(0);
    assert_eq!(job.payload, "7");
    let settled = stores.state().queue().settle_one(&name, job.lease, Outcome::Complete(None)).await.unwrap();
    assert_eq!(settled, Settled::Done);
}

#[tokio::test]
async fn a_service_gets_no_response_of_another_unless_both_ask_for_shared_ones() {
    let (cache, state) = servers().await;
    let billing = Stores::open(&environment(&cache, &state)).await.unwrap();
    let shipping = environment_of("shipping", "4", &cache, &state);
    let shipping = Stores::open(&shipping).await.unwrap();
    let request = || IdempotentRequest::new(Key::new("order-42").unwrap(), Fingerprint::of(b"same"));
    let (ttl, response) = (Ttl::from_secs(60), Bytes::from_static(b"paid"));
    let carry_out = async |store: std::sync::Arc<dyn Idempotency>| {
        let mine = request();
        let begun = store.begin(&mine, ttl).await.unwrap();
        if begun == Begun::Started {
            store.finish(&mine, &response, ttl).await.unwrap();
        }
        begun
    };
    assert_eq!(carry_out(billing.state().idempotency()).await, Begun::Started);
    assert_eq!(carry_out(shipping.state().idempotency()).await, Begun::Started);
    assert_eq!(carry_out(billing.state().shared().idempotency()).await, Begun::Started);
    assert_eq!(carry_out(shipping.state().shared().idempotency()).await, Begun::Finished(response.clone()));
    let keys = state.command(&["KEYS", "tw:*{i.*"]).await.unwrap();
    let mut keys = keys.as_strings().unwrap();
    keys.sort();
    let of = |scope| format!("tw:{scope}{{i.order-42}}:idempotency");
    assert_eq!(keys, [of("billing:"), of("shipping:"), of("")]);
}

#[tokio::test]
async fn closed_stores_refuse_calls() {
    let (cache, state) = servers().await;
    let stores = Stores::open(&environment(&cache, &state)).await.unwrap();
    stores.close().await;
    let health = stores.health().await;
    assert!(!health.cache.up && !health.state.up, "{health:?}");
    assert!(stores.state().queue_of::<Number>().push(&Number(7)).await.is_err());
}

#[tokio::test]
async fn one_server_for_both_is_refused_with_its_code() {
    let server = RedisServer::state().start().await.unwrap();
    match Stores::open(&environment(&server, &server)).await.unwrap_err() {
        StartError::Refused(refused) => {
            assert!(refused.findings.iter().any(|finding| finding.code == Code::SameInstance), "{refused}");
        }
        other => panic!("refused, not {other}"),
    }
}

#[tokio::test]
async fn a_second_service_cannot_open_the_embedded_file_of_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let of = |name: &str| {
        Environment::from_variables([
            ("SERVICE_NAME", name.to_owned()),
            ("REDIS_CONN_BASE_URL", "embedded:".to_owned()),
            ("REDIS_WORKERCACHE_CONN_URL", format!("embedded:{}", folder.path().join("state.redb").display())),
        ])
    };
    let _first = Stores::open(&of("billing")).await.unwrap();
    let error = Stores::open(&of("mailer")).await.unwrap_err();
    assert!(matches!(error, StartError::Store { role: Role::State, .. }), "{error}");
}
