//! Typed handles and conveniences on top of the cache's capabilities.

use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{
    Entry, Error, Handoff, HandoffItem, Key, KeyValue, Op, Put, RateCheck, RateLimit, RequestId, Result, ServiceName,
    Ttl,
};

fn to_json<T: Serialize>(op: Op, value: &T) -> Result<Bytes> {
    match serde_json::to_vec(value) {
        Ok(json) => Ok(json.into()),
        Err(_) => Err(Error::rejected(op, "the value cannot be written as JSON")),
    }
}

fn from_json<T: DeserializeOwned>(op: Op, json: &[u8]) -> Result<T> {
    serde_json::from_slice(json)
        .map_err(|error| Error::corrupt(op, format!("the value is not what was expected, at byte {}", error.column())))
}

/// Conveniences that every [`KeyValue`] has.
#[async_trait]
pub trait KeyValueExt: KeyValue {
    /// The value of one key.
    ///
    /// # Errors
    /// As [`KeyValue::get_many`].
    async fn get(&self, key: &Key) -> Result<Option<Bytes>> {
        Ok(self.get_many(std::slice::from_ref(key)).await?.pop().flatten())
    }

    /// Sets one value.
    ///
    /// # Errors
    /// As [`KeyValue::set_many`].
    async fn set(&self, key: Key, value: Bytes, ttl: Ttl) -> Result<()> {
        self.set_many(&[Entry::new(key, value, ttl)]).await
    }

    /// Deletes the value and the counter of one key. Whether it had one.
    ///
    /// # Errors
    /// As [`KeyValue::delete_many`].
    async fn delete(&self, key: &Key) -> Result<bool> {
        Ok(self.delete_many(std::slice::from_ref(key)).await? > 0)
    }
}

impl<S: KeyValue + ?Sized> KeyValueExt for S {}

/// Values of one type in the cache store, kept as JSON.
#[derive(Debug)]
pub struct TypedKeyValue<T> {
    store: Arc<dyn KeyValue>,
    ttl: Ttl,
    value: PhantomData<fn(T) -> T>,
}

impl<T> Clone for TypedKeyValue<T> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), ttl: self.ttl, value: PhantomData }
    }
}

impl<T: Serialize + DeserializeOwned + Sync> TypedKeyValue<T> {
    /// A handle whose values are kept for `ttl`.
    pub fn new(store: Arc<dyn KeyValue>, ttl: Ttl) -> Self {
        Self { store, ttl, value: PhantomData }
    }

    /// The value of a key.
    ///
    /// # Errors
    /// As [`KeyValue::get_many`], and [`Error::Corrupt`] when it is not JSON of this type.
    pub async fn get(&self, key: &Key) -> Result<Option<T>> {
        self.store.get(key).await?.map(|json| from_json(Op::KeyValueGetMany, &json)).transpose()
    }

    /// Sets the value of a key.
    ///
    /// # Errors
    /// As [`KeyValue::set_many`], and [`Error::Rejected`] when it cannot be written as JSON.
    pub async fn set(&self, key: Key, value: &T) -> Result<()> {
        self.store.set(key, to_json(Op::KeyValueSetMany, value)?, self.ttl).await
    }

    /// Deletes the value of a key. Whether it had one.
    ///
    /// # Errors
    /// As [`KeyValue::delete_many`].
    pub async fn delete(&self, key: &Key) -> Result<bool> {
        self.store.delete(key).await
    }
}

/// What to do when the store that counts cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnavailable {
    /// Let the request pass: the limit protects against load, not against harm.
    Allow,
    /// Refuse the request.
    Refuse,
}

/// Conveniences that every [`RateLimit`] has.
#[async_trait]
pub trait RateLimitExt: RateLimit {
    /// Whether these limits allow a request, with an explicit answer for a store that cannot say.
    ///
    /// # Errors
    /// Only what is the caller's mistake or the data's: [`Error::Rejected`], [`Error::Corrupt`], [`Error::Unsupported`].
    async fn allows(&self, checks: &[RateCheck], otherwise: OnUnavailable) -> Result<bool> {
        match self.check(checks).await {
            Ok(decision) => Ok(decision.allowed),
            Err(Error::Unavailable { .. } | Error::Indeterminate { .. } | Error::Limit { .. }) => {
                Ok(otherwise == OnUnavailable::Allow)
            }
            Err(error) => Err(error),
        }
    }
}

impl<S: RateLimit + ?Sized> RateLimitExt for S {}

/// Values of one type handed to other services, as JSON.
#[derive(Debug)]
pub struct TypedHandoff<T> {
    store: Arc<dyn Handoff>,
    ttl: Ttl,
    value: PhantomData<fn(T) -> T>,
}

impl<T> Clone for TypedHandoff<T> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), ttl: self.ttl, value: PhantomData }
    }
}

impl<T: Serialize + DeserializeOwned + Sync> TypedHandoff<T> {
    /// A handle whose values wait for `ttl`.
    pub fn new(store: Arc<dyn Handoff>, ttl: Ttl) -> Self {
        Self { store, ttl, value: PhantomData }
    }

    /// Puts a value for a service.
    ///
    /// # Errors
    /// As [`Handoff::put`], and [`Error::Rejected`] when it cannot be written as JSON. To repeat a put whose reply was lost,
    /// put the same [`TypedHandoff::item`] again.
    pub async fn put(&self, to: ServiceName, key: Key, value: &T) -> Result<Put> {
        self.store.put(&self.item(to, key, value)?).await
    }

    /// A value for a service with its identity, to be put with [`Handoff::put`] as often as needed.
    ///
    /// # Errors
    /// [`Error::Rejected`] when it cannot be written as JSON.
    pub fn item(&self, to: ServiceName, key: Key, value: &T) -> Result<HandoffItem> {
        Ok(HandoffItem::new(to, key, to_json(Op::HandoffPut, value)?, self.ttl))
    }

    /// Takes the value that was put for this service.
    ///
    /// # Errors
    /// As [`Handoff::take`], and [`Error::Corrupt`] when it is not JSON of this type.
    pub async fn take(&self, key: &Key, claim: RequestId) -> Result<Option<T>> {
        self.store.take(key, claim).await?.map(|json| from_json(Op::HandoffTake, &json)).transpose()
    }
}
