//! Idempotent requests that must not be lost: the scripts that both roles share, under keys of the handle's scope.

use async_trait::async_trait;
use bytes::Bytes;
use redis_link::keys;
use store_core::{Begun, Finished, Idempotency, IdempotentRequest, Result, Ttl};

use crate::StateStore;

/// Each call is one script in one round trip. Concurrent calls of one kind are coalesced. `prolong`, `finish` and
/// `abandon` also work if the server's memory is full.
#[async_trait]
impl Idempotency for StateStore {
    async fn begin(&self, request: &IdempotentRequest, in_progress_for: Ttl) -> Result<Begun> {
        let key = keys::state_idempotency(&self.namespace, &self.scope, &request.key);
        self.calls.idempotency.begin(key, request, in_progress_for).await
    }

    async fn prolong(&self, request: &IdempotentRequest, in_progress_for: Ttl) -> Result<bool> {
        let key = keys::state_idempotency(&self.namespace, &self.scope, &request.key);
        self.calls.idempotency.prolong(key, request, in_progress_for).await
    }

    async fn finish(&self, request: &IdempotentRequest, response: &Bytes, keep: Ttl) -> Result<Finished> {
        let key = keys::state_idempotency(&self.namespace, &self.scope, &request.key);
        self.calls.idempotency.finish(key, request, response, keep).await
    }

    async fn abandon(&self, request: &IdempotentRequest) -> Result<bool> {
        self.calls
            .idempotency
            .abandon(&keys::state_idempotency(&self.namespace, &self.scope, &request.key), request)
            .await
    }
}
