//! Typed handles of the cache store, and calls for single values.

use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::json::{from_json, to_json};
use crate::metric::{CacheReads, LIMIT_DECISIONS};
use crate::{
    Entry, Error, HandleKind, HandleName, Handoff, HandoffItem, Key, KeyValue, Op, Put, RateCheck, RateDecision,
    RateLimit, RequestId, Result, ServiceName, Ttl,
};

/// Calls for single values, on every [`KeyValue`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::cache::KeyValueExt;
/// use twinstore::{name::Key, time::Ttl};
///
/// let (store, key) = (stores.cache().key_value(), Key::new("ann")?);
/// store.set(key.clone(), "signed in".into(), Ttl::from_secs(60)).await?;
/// assert_eq!(store.get(&key).await?.as_deref(), Some(b"signed in".as_slice()));
/// assert!(store.delete(&key).await?);
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait KeyValueExt: KeyValue {
    /// `async fn get(&self, key: &Key) -> Result<Option<Bytes>>`
    ///
    /// Returns the value of one key.
    ///
    /// # Errors
    /// Those of [`KeyValue::get_many`].
    async fn get(&self, key: &Key) -> Result<Option<Bytes>> {
        Ok(self.get_many(std::slice::from_ref(key)).await?.pop().flatten())
    }

    /// `async fn set(&self, key: Key, value: Bytes, ttl: Ttl) -> Result<()>`
    ///
    /// Sets one value.
    ///
    /// # Errors
    /// Those of [`KeyValue::set_many`].
    async fn set(&self, key: Key, value: Bytes, ttl: Ttl) -> Result<()> {
        self.set_many(&[Entry::new(key, value, ttl)]).await
    }

    /// `async fn delete(&self, key: &Key) -> Result<bool>`
    ///
    /// Deletes the value and the counter of one key. Returns whether the key had one.
    ///
    /// # Errors
    /// Those of [`KeyValue::delete_many`].
    async fn delete(&self, key: &Key) -> Result<bool> {
        Ok(self.delete_many(std::slice::from_ref(key)).await? > 0)
    }
}

impl<S: KeyValue + ?Sized> KeyValueExt for S {}

/// Values of one type in the cache store, stored as JSON.
///
/// The handle's name is part of the key of each value. Two handles share values if and only if they have the same name. A
/// handle shares no values with get-or-load or with direct calls of [`KeyValue`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::cache::TypedKeyValue;
/// use twinstore::name::{HandleName, Key};
/// use twinstore::time::Ttl;
///
/// let prices: TypedKeyValue<u64> = stores.cache().values(HandleName::new("prices")?, Ttl::from_secs(60));
/// let apple = Key::new("apple")?;
/// prices.set(&apple, &120).await?;
/// assert_eq!(prices.get(&apple).await?, Some(120));
/// assert!(prices.delete(&apple).await?);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TypedKeyValue<T> {
    store: Arc<dyn KeyValue>,
    name: HandleName,
    ttl: Ttl,
    reads: CacheReads,
    value: PhantomData<fn(T) -> T>,
}

impl<T> Clone for TypedKeyValue<T> {
    fn clone(&self) -> Self {
        let (store, name, reads) = (self.store.clone(), self.name.clone(), self.reads.clone());
        Self { store, name, ttl: self.ttl, reads, value: PhantomData }
    }
}

impl<T: Serialize + DeserializeOwned + Sync> TypedKeyValue<T> {
    /// The handle of the values called `name`. Each value expires after `ttl`.
    pub fn new(store: Arc<dyn KeyValue>, name: HandleName, ttl: Ttl) -> Self {
        let reads = CacheReads::new(&name);
        Self { store, name, ttl, reads, value: PhantomData }
    }

    fn key(&self, key: &Key) -> Key {
        HandleKind::Values.key(&self.name, key)
    }

    /// Returns the value of a key. `None` if it has none.
    ///
    /// # Errors
    /// Those of [`KeyValue::get_many`], and [`Error::Corrupt`] if the value is not JSON of this type.
    pub async fn get(&self, key: &Key) -> Result<Option<T>> {
        let Some(json) = self.store.get(&self.key(key)).await? else {
            self.reads.miss();
            return Ok(None);
        };
        let value = from_json(Op::KeyValueGetMany, "the value", &json)?;
        self.reads.hit();
        Ok(Some(value))
    }

    /// Sets the value of a key.
    ///
    /// # Errors
    /// Those of [`KeyValue::set_many`], and [`Error::InvalidArgument`] if the value cannot be written as JSON.
    pub async fn set(&self, key: &Key, value: &T) -> Result<()> {
        self.store.set(self.key(key), to_json(Op::KeyValueSetMany, "the value", value)?, self.ttl).await
    }

    /// Deletes the value of a key. Returns whether the key had one.
    ///
    /// # Errors
    /// Those of [`KeyValue::delete_many`].
    pub async fn delete(&self, key: &Key) -> Result<bool> {
        self.store.delete(&self.key(key)).await
    }
}

/// The decision if the store is unavailable.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::rate_limit::{OnUnavailable, Rate, RateCheck, RateLimitExt};
/// # use twinstore::name::Key;
///
/// # let limits = stores.cache().rate_limit();
/// let search = [RateCheck::new(Key::new("search:user-7")?, Rate::per_second(10))]; // protects against load
/// let sign_in = [RateCheck::new(Key::new("sign-in:user-7")?, Rate::per_second(1))]; // protects against guesses
/// stores.close().await; // from now on, the store is unavailable
/// assert!(limits.decide(&search, OnUnavailable::Allow).await?.allowed);
/// assert!(!limits.decide(&sign_in, OnUnavailable::Refuse).await?.allowed);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnavailable {
    /// Allow the request. For limits that protect against load, not against harm.
    Allow,
    /// Refuse the request.
    Refuse,
}

/// Decisions also without the store, on every [`RateLimit`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::name::Key;
/// use twinstore::rate_limit::{OnUnavailable, Rate, RateCheck, RateLimitExt};
///
/// let check = RateCheck::new(Key::new("user-7")?, Rate::per_second(10));
/// let decision = stores.cache().rate_limit().decide(&[check], OnUnavailable::Allow).await?;
/// assert!(decision.allowed && decision.uncounted.is_none()); // the store decided
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait RateLimitExt: RateLimit {
    /// `async fn decide(&self, checks: &[RateCheck], otherwise: OnUnavailable) -> Result<RateDecision>`
    ///
    /// Checks limits as a unit, as [`RateLimit::check`] does. If the store is unavailable, `otherwise` decides, and
    /// [`RateDecision::uncounted`] is set. One round trip.
    ///
    /// Every decision has the values for the headers of an HTTP response, also if `otherwise` decided: see
    /// [`RateDecision::tightest`] and [`RateDecision::retry_after`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinstore::{Result, name::Key};
    /// # use twinstore::rate_limit::{OnUnavailable, Rate, RateCheck, RateLimit, RateLimitExt};
    /// async fn headers(limits: &dyn RateLimit, user: Key) -> Result<(u16, Vec<(&'static str, u128)>)> {
    ///     let seconds = |time: Duration| time.as_millis().div_ceil(1000);
    ///     let check = RateCheck::new(user, Rate::per_second(10));
    ///     let decision = limits.decide(&[check], OnUnavailable::Allow).await?;
    ///     let mut headers = Vec::new();
    ///     if let Some(limit) = decision.tightest() {
    ///         headers.push(("RateLimit-Limit", limit.limit.into()));
    ///         headers.push(("RateLimit-Remaining", limit.remaining.into()));
    ///         headers.push(("RateLimit-Reset", seconds(limit.reset_after)));
    ///     }
    ///     headers.extend(decision.retry_after().map(|after| ("Retry-After", seconds(after))));
    ///     Ok((if decision.allowed { 200 } else { 429 }, headers))
    /// }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (stores, _) = twinstore::testing::stores();
    ///
    /// let (status, headers) = headers(&*stores.cache().rate_limit(), Key::new("user-7")?).await?;
    /// assert_eq!(status, 200);
    /// assert_eq!(headers, [("RateLimit-Limit", 10), ("RateLimit-Remaining", 9), ("RateLimit-Reset", 1)]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`RateLimit::check`] but [`Error::Unavailable`], [`Error::Indeterminate`] and [`Error::Limit`].
    async fn decide(&self, checks: &[RateCheck], otherwise: OnUnavailable) -> Result<RateDecision> {
        match self.check(checks).await {
            Err(error @ (Error::Unavailable { .. } | Error::Indeterminate { .. } | Error::Limit { .. })) => {
                let outcome = if otherwise == OnUnavailable::Allow { "failed_open" } else { "failed_closed" };
                LIMIT_DECISIONS.counter(&[outcome]).increment(1);
                Ok(RateDecision::without_store(checks, otherwise == OnUnavailable::Allow, error))
            }
            decided => decided,
        }
    }
}

impl<S: RateLimit + ?Sized> RateLimitExt for S {}

/// Hand-offs of values of one type, stored as JSON.
///
/// The handle's name is part of the key of each hand-off: the service that puts and the one that takes use the same name.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::handoff::TypedHandoff;
/// use twinstore::name::{HandleName, Key, RequestId, ServiceName};
/// use twinstore::time::Ttl;
///
/// let sessions: TypedHandoff<Vec<String>> = stores.cache().handoffs(HandleName::new("sessions")?, Ttl::from_secs(60));
/// let (key, value) = (Key::new("7")?, vec!["ann".to_owned()]);
/// assert!(sessions.put(ServiceName::new("test")?, &key, &value).await?.is_stored());
/// assert_eq!(sessions.take(&key, RequestId::generate()).await?, Some(value)); // in the service `test`
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TypedHandoff<T> {
    store: Arc<dyn Handoff>,
    name: HandleName,
    ttl: Ttl,
    value: PhantomData<fn(T) -> T>,
}

impl<T> Clone for TypedHandoff<T> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), name: self.name.clone(), ttl: self.ttl, value: PhantomData }
    }
}

impl<T: Serialize + DeserializeOwned + Sync> TypedHandoff<T> {
    /// The handle of the hand-offs called `name`. Each value expires after `ttl`.
    pub fn new(store: Arc<dyn Handoff>, name: HandleName, ttl: Ttl) -> Self {
        Self { store, name, ttl, value: PhantomData }
    }

    fn key(&self, key: &Key) -> Key {
        HandleKind::Handoffs.key(&self.name, key)
    }

    /// Puts a value for a service.
    ///
    /// # Errors
    /// Those of [`Handoff::put`], and [`Error::InvalidArgument`] if the value cannot be written as JSON. If the reply is lost,
    /// repeat the put with the same [`TypedHandoff::item`].
    pub async fn put(&self, to: ServiceName, key: &Key, value: &T) -> Result<Put> {
        self.store.put(&self.item(to, key, value)?).await
    }

    /// A value for a service with an identity. [`Handoff::put`] can put it repeatedly.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the value cannot be written as JSON.
    pub fn item(&self, to: ServiceName, key: &Key, value: &T) -> Result<HandoffItem> {
        Ok(HandoffItem::new(to, self.key(key), to_json(Op::HandoffPut, "the value", value)?, self.ttl))
    }

    /// Takes the value for this service. `None` if there is none.
    ///
    /// # Errors
    /// Those of [`Handoff::take`], and [`Error::Corrupt`] if the value is not JSON of this type.
    pub async fn take(&self, key: &Key, claim: RequestId) -> Result<Option<T>> {
        self.store
            .take(&self.key(key), claim)
            .await?
            .map(|json| from_json(Op::HandoffTake, "the value", &json))
            .transpose()
    }
}
