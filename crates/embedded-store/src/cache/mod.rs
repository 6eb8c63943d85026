//! The cache store.

use std::fmt;
use std::path::Path;

use async_trait::async_trait;
use bytes::Bytes;
use store_core::{
    Begun, Entry, Error, Finished, Handoff, HandoffItem, Idempotency, IdempotentRequest, Key, KeyValue, Op, Put,
    RateCheck, RateDecision, RateLimit, RequestId, Result, ServiceName, SetIfAbsent, Ttl,
};

use crate::CacheOptions;

/// The cache store inside the process, in memory or in one file, as one service sees it. Clones share it.
#[derive(Clone)]
pub struct EmbeddedCache {}

impl EmbeddedCache {
    /// A store in memory, gone when its last handle is dropped.
    pub fn in_memory(service: ServiceName, options: CacheOptions) -> Self {
        let _ = (service, options);
        Self {}
    }

    /// Opens or creates the file at `path`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the file is open already; [`Error::Corrupt`] when it is not such a file.
    pub fn open(path: impl AsRef<Path>, service: ServiceName, options: CacheOptions) -> Result<Self> {
        let _ = path;
        Ok(Self::in_memory(service, options))
    }

    /// The same store as another service sees it: with values of its own, and the hand-offs made for it.
    #[must_use]
    pub fn for_service(&self, service: ServiceName) -> Self {
        let _ = service;
        self.clone()
    }

    /// How many write transactions were committed since it was opened.
    pub fn commits(&self) -> u64 {
        0
    }
}

impl fmt::Debug for EmbeddedCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedCache").finish_non_exhaustive()
    }
}

#[async_trait]
impl Idempotency for EmbeddedCache {
    async fn begin(&self, _request: &IdempotentRequest, _in_progress_for: Ttl) -> Result<Begun> {
        Err(Error::unsupported(Op::IdempotencyBegin, "not written yet"))
    }

    async fn finish(&self, _request: &IdempotentRequest, _response: &Bytes, _keep: Ttl) -> Result<Finished> {
        Err(Error::unsupported(Op::IdempotencyFinish, "not written yet"))
    }

    async fn abandon(&self, _request: &IdempotentRequest) -> Result<bool> {
        Err(Error::unsupported(Op::IdempotencyAbandon, "not written yet"))
    }
}

#[async_trait]
impl KeyValue for EmbeddedCache {
    async fn get_many(&self, _keys: &[Key]) -> Result<Vec<Option<Bytes>>> {
        Err(Error::unsupported(Op::KeyValueGetMany, "not written yet"))
    }

    async fn set_many(&self, _entries: &[Entry]) -> Result<()> {
        Err(Error::unsupported(Op::KeyValueSetMany, "not written yet"))
    }

    async fn set_if_absent(&self, _entry: &Entry, _request: RequestId) -> Result<SetIfAbsent> {
        Err(Error::unsupported(Op::KeyValueSetIfAbsent, "not written yet"))
    }

    async fn delete_many(&self, _keys: &[Key]) -> Result<u64> {
        Err(Error::unsupported(Op::KeyValueDeleteMany, "not written yet"))
    }

    async fn delete_if(&self, _key: &Key, _expected: &Bytes) -> Result<bool> {
        Err(Error::unsupported(Op::KeyValueDeleteIf, "not written yet"))
    }

    async fn add(&self, _key: &Key, _by: i64, _ttl: Ttl) -> Result<i64> {
        Err(Error::unsupported(Op::KeyValueAdd, "not written yet"))
    }
}

#[async_trait]
impl RateLimit for EmbeddedCache {
    async fn check(&self, _checks: &[RateCheck]) -> Result<RateDecision> {
        Err(Error::unsupported(Op::RateLimitCheck, "not written yet"))
    }

    async fn reset(&self, _keys: &[Key]) -> Result<()> {
        Err(Error::unsupported(Op::RateLimitReset, "not written yet"))
    }
}

#[async_trait]
impl Handoff for EmbeddedCache {
    async fn put(&self, _item: &HandoffItem) -> Result<Put> {
        Err(Error::unsupported(Op::HandoffPut, "not written yet"))
    }

    async fn take(&self, _key: &Key, _claim: RequestId) -> Result<Option<Bytes>> {
        Err(Error::unsupported(Op::HandoffTake, "not written yet"))
    }
}
