//! Idempotent requests: the scripts that both roles share, in the database of the service.

use async_trait::async_trait;
use bytes::Bytes;
use redis_link::keys;
use store_core::{Begun, Finished, Idempotency, IdempotentRequest, Result, Ttl};

use crate::CacheStore;

/// Each call is one script in one round trip. Concurrent calls of one kind are coalesced.
#[async_trait]
impl Idempotency for CacheStore {
    async fn begin(&self, request: &IdempotentRequest, in_progress_for: Ttl) -> Result<Begun> {
        let key = keys::cache_idempotency(&request.key);
        self.calls.idempotency.begin(key, request, in_progress_for).await
    }

    async fn prolong(&self, request: &IdempotentRequest, in_progress_for: Ttl) -> Result<bool> {
        let key = keys::cache_idempotency(&request.key);
        self.calls.idempotency.prolong(key, request, in_progress_for).await
    }

    async fn finish(&self, request: &IdempotentRequest, response: &Bytes, keep: Ttl) -> Result<Finished> {
        let key = keys::cache_idempotency(&request.key);
        self.calls.idempotency.finish(key, request, response, keep).await
    }

    async fn abandon(&self, request: &IdempotentRequest) -> Result<bool> {
        self.calls.idempotency.abandon(&keys::cache_idempotency(&request.key), request).await
    }
}
