//! The cache store of a service.

use std::fmt;
use std::sync::Arc;

use store_core::{CacheRole, HandleName, Handoff, Idempotency, KeyValue, RateLimit, Ttl, TypedHandoff, TypedKeyValue};

use super::Operation;
use crate::cache::{Loading, LoadingOptions};

/// The cache store: its data may be lost at any moment. Clones share it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use twinstore::prelude::*;
///
/// # let (stores, _) = twinstore::testing::stores();
/// let names = stores.cache().values::<String>(HandleName::new("names")?, Ttl::from_secs(60));
/// let key = Key::new("7")?;
/// names.set(&key, &"ann".to_owned()).await?;
/// assert_eq!(names.get(&key).await?.as_deref(), Some("ann"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Cache {
    engine: &'static str,
    store: Arc<dyn CacheRole>,
}

impl Cache {
    pub(crate) fn new(engine: &'static str, store: impl CacheRole + 'static) -> Self {
        Self { engine, store: Arc::new(store) }
    }

    /// The engine: `redis`, `embedded (memory)`, `embedded (file)`.
    pub fn engine(&self) -> &'static str {
        self.engine
    }

    /// Short-lived values and counters, as bytes.
    pub fn key_value(&self) -> Arc<dyn KeyValue> {
        self.store.clone()
    }

    /// The short-lived values called `name`, of one type, each kept for `ttl`. The name is part of their keys: handles with
    /// different names share no values, and [`Cache::values`] shares none with [`Cache::loading`].
    pub fn values<T>(&self, name: HandleName, ttl: Ttl) -> TypedKeyValue<T>
    where
        T: serde::Serialize + serde::de::DeserializeOwned + Sync,
    {
        TypedKeyValue::new(self.key_value(), name, ttl)
    }

    /// The values called `name`, of one type, that are loaded if the store does not have them: get-or-load. Make one handle
    /// per name and share its clones. The name is part of the keys.
    pub fn loading<T>(&self, name: HandleName, options: LoadingOptions) -> Loading<T>
    where
        T: serde::Serialize + serde::de::DeserializeOwned + Clone + Send + Sync + 'static,
    {
        Loading::new(self.key_value(), name, options)
    }

    /// An operation that takes effect once for each idempotency key, while the cache keeps the key. If a repeated effect does
    /// harm, use [`State::operation`](crate::State::operation).
    pub fn operation<Q, R>(&self, name: HandleName) -> Operation<Q, R>
    where
        Q: serde::Serialize,
        R: serde::Serialize + serde::de::DeserializeOwned,
    {
        Operation::new(self.idempotency(), name)
    }

    /// Idempotency keys that may be evicted. [`State::idempotency`](crate::State::idempotency) has those that must not be lost.
    pub fn idempotency(&self) -> Arc<dyn Idempotency> {
        self.store.clone()
    }

    /// Rate limits that all processes of the service share.
    pub fn rate_limit(&self) -> Arc<dyn RateLimit> {
        self.store.clone()
    }

    /// Hand-offs to and from other services, as bytes.
    pub fn handoff(&self) -> Arc<dyn Handoff> {
        self.store.clone()
    }

    /// The hand-offs called `name`, of one type, each waiting for `ttl`. Both services, the one that puts
    /// and the one that takes, use the same name.
    pub fn handoffs<T>(&self, name: HandleName, ttl: Ttl) -> TypedHandoff<T>
    where
        T: serde::Serialize + serde::de::DeserializeOwned + Sync,
    {
        TypedHandoff::new(self.handoff(), name, ttl)
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cache({})", self.engine)
    }
}
