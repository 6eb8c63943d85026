//! Recorded idempotent requests.

use async_trait::async_trait;
use bytes::Bytes;
use twinstore::idempotency::{Begun, Finished, Idempotency, IdempotentRequest};
use twinstore::time::Ttl;
use twinstore::{Error, Op, Result};

use super::{Recorded, hex, record};
use crate::history::{Answer, Call};

#[async_trait]
impl Idempotency for Recorded<dyn Idempotency> {
    async fn begin(&self, request: &IdempotentRequest, in_progress_for: Ttl) -> Result<Begun> {
        let invocation = self.recorder.invoke(Call::Begin {
            store: self.store.to_owned(),
            key: request.key.to_string(),
            content: hex(&request.fingerprint.as_bytes()[..8]),
            attempt: attempt(request),
            lasting_ms: in_progress_for.as_millis(),
        });
        let result = self.inner.begin(request, in_progress_for).await;
        record(invocation, result, |begun| match begun {
            Begun::Started => Answer::Started,
            Begun::InProgress { .. } => Answer::InProgress,
            Begun::Finished(response) => Answer::Finished(String::from_utf8_lossy(response).into_owned()),
            Begun::Mismatch => Answer::Mismatch,
            other => panic!("the history has no answer {other:?}"),
        })
    }

    /// Refused: the workload prolongs nothing, and the checker has no rule for it.
    async fn prolong(&self, _: &IdempotentRequest, _: Ttl) -> Result<bool> {
        Err(Error::unsupported(Op::IdempotencyProlong, "the history has no such call"))
    }

    async fn finish(&self, request: &IdempotentRequest, response: &Bytes, keep: Ttl) -> Result<Finished> {
        let invocation = self.recorder.invoke(Call::Finish {
            store: self.store.to_owned(),
            key: request.key.to_string(),
            attempt: attempt(request),
            response: String::from_utf8_lossy(response).into_owned(),
            keep_ms: keep.as_millis(),
        });
        let result = self.inner.finish(request, response, keep).await;
        record(invocation, result, |finished| Answer::One(!finished.is_lost()))
    }

    async fn abandon(&self, request: &IdempotentRequest) -> Result<bool> {
        let invocation = self.recorder.invoke(Call::Abandon {
            store: self.store.to_owned(),
            key: request.key.to_string(),
            attempt: attempt(request),
        });
        record(invocation, self.inner.abandon(request).await, |freed| Answer::One(*freed))
    }
}

fn attempt(request: &IdempotentRequest) -> String {
    hex(request.request.as_bytes())
}
