//! Stores of instances that share one worker state store.

use std::time::Duration;

use bson::{Document, doc};
use rigatoni_core::pipeline::{DistributedLockConfig, PipelineConfig, PipelineConfigBuilder};
use rigatoni_core::state::StateStoreError;
use store_rigatoni::RigatoniStore;
use testkit::{RedisServer, random_prefix};
use tokio::sync::OnceCell;
use tokio::time::timeout;
use twinstore::prelude::*;

/// The lock of the collection `users` of the database `shop`.
pub(crate) const USERS: &str = "rigatoni:lock:shop:users";

/// A time to live that no test waits for.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// A time to live that tests wait for.
pub(crate) const SHORT: Duration = Duration::from_millis(500);

/// Where the worker state store is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Engine {
    Embedded,
    Redis,
}

/// The server of all tests. Each test has a namespace of its own.
static SERVER: OnceCell<RedisServer> = OnceCell::const_new();

pub(crate) struct Fixture {
    pub(crate) stores: Stores,
}

impl Fixture {
    pub(crate) async fn start(engine: Engine) -> Self {
        let url = match engine {
            Engine::Embedded => "embedded:".to_owned(),
            Engine::Redis => SERVER.get_or_init(async || RedisServer::state().start().await.unwrap()).await.url(None),
        };
        Self { stores: open(&url).await }
    }

    /// The store of an instance whose pipeline has locks.
    pub(crate) fn instance(&self) -> RigatoniStore {
        RigatoniStore::new(self.stores.state(), &config(LONG))
    }

    /// The store of an instance whose pipeline has no locks.
    pub(crate) fn without_locks(&self) -> RigatoniStore {
        let config = builder().watch_database().disable_distributed_lock().build().unwrap();
        RigatoniStore::new(self.stores.state(), &config)
    }
}

pub(crate) async fn open(url: &str) -> Stores {
    open_with_pool(url, "3").await
}

/// With this many connections for calls.
pub(crate) async fn open_with_pool(url: &str, connections: &str) -> Stores {
    let environment = Environment::from_variables([
        ("SERVICE_NAME", "replicator"),
        ("REDIS_CONN_BASE_URL", "embedded:"),
        ("REDIS_WORKERCACHE_CONN_URL", url),
        ("REDIS_STATE_NAMESPACE", &random_prefix()),
        ("REDIS_STATE_COMMAND_TIMEOUT", "500ms"),
        ("REDIS_STATE_MAX_RETRIES", "0"),
        ("REDIS_STATE_POOL_SIZE", connections),
    ]);
    Stores::open(&environment).await.unwrap()
}

pub(crate) fn builder() -> PipelineConfigBuilder {
    PipelineConfig::builder().mongodb_uri("mongodb://localhost:27017").database("shop")
}

/// A pipeline that watches the collection `users`, whose locks last this long.
pub(crate) fn config(ttl: Duration) -> PipelineConfig {
    with_locks(builder().watch_collections(vec!["users".to_owned()]), ttl)
}

/// A pipeline whose locks last this long.
pub(crate) fn with_locks(builder: PipelineConfigBuilder, ttl: Duration) -> PipelineConfig {
    let locks = DistributedLockConfig::builder().ttl(ttl).refresh_interval(ttl / 3).retry_interval(SHORT / 10);
    builder.distributed_lock(locks.build().unwrap()).build().unwrap()
}

/// The position after an event.
pub(crate) fn position(event: u32) -> Document {
    doc! { "_data": format!("82{event:08x}") }
}

/// The text of a refusal.
pub(crate) fn refusal<T>(result: Result<T, StateStoreError>) -> String {
    match result {
        Err(error @ StateStoreError::Other(_)) => error.to_string(),
        Err(error) => panic!("not a refusal: {error}"),
        Ok(_) => panic!("it was not refused"),
    }
}

/// The lock that this instance has lost. Much sooner than a lock of [`LONG`] expires.
pub(crate) async fn lost(store: &RigatoniStore) -> String {
    timeout(LONG / 3, store.lost()).await.expect("a lock is lost")
}

/// Tests that run on both engines.
macro_rules! on_both_engines {
    ($($name:ident,)*) => {
        mod embedded {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::fixture::Fixture::start(crate::fixture::Engine::Embedded).await).await;
            })*
        }

        mod redis {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::fixture::Fixture::start(crate::fixture::Engine::Redis).await).await;
            })*
        }
    };
}

pub(crate) use on_both_engines;
