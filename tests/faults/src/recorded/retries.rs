//! Recorded retries of operations.

use async_trait::async_trait;
use twinstore::durability::{Durability, Receipt};
use twinstore::name::Key;
use twinstore::page::{Cursor, Page};
use twinstore::retry::{Retries, RetryAttempt, RetryBegun, RetryDecision, RetryFailed, RetryInfo, RetryRequest};
use twinstore::{Error, Op, Result};

use super::queue::millis;
use super::{Recorded, hex, record};
use crate::history::{Answer, Call};

#[async_trait]
impl Retries for Recorded<dyn Retries> {
    async fn begin(&self, request: &RetryRequest, durability: Durability) -> Result<Receipt<RetryBegun>> {
        let invocation = self.recorder.invoke(Call::BeginTry {
            operation: request.operation.to_string(),
            request: hex(request.request.as_bytes()),
            max: request.policy.max_attempts,
            lasting_ms: millis(request.lasting),
        });
        record(invocation, self.inner.begin(request, durability).await, |receipt| match &receipt.value {
            RetryBegun::Started(attempt) => Answer::Try { number: attempt.number, fence: attempt.fence.get() },
            RetryBegun::Wait { .. } => Answer::Waits,
            RetryBegun::Succeeded => Answer::One(true),
            RetryBegun::Exhausted { .. } => Answer::Exhausted,
            other => panic!("the history has no answer {other:?}"),
        })
    }

    async fn fail(
        &self,
        attempt: &RetryAttempt,
        error: &str,
        decision: RetryDecision,
        durability: Durability,
    ) -> Result<Receipt<RetryFailed>> {
        let (operation, fence) = (attempt.operation.to_string(), attempt.fence.get());
        let invocation = self.recorder.invoke(Call::FailTry { operation, fence });
        let result = self.inner.fail(attempt, error, decision, durability).await;
        record(invocation, result, |receipt| match &receipt.value {
            RetryFailed::Again { .. } => Answer::Waits,
            RetryFailed::Exhausted => Answer::Exhausted,
            RetryFailed::Superseded => Answer::One(false),
            other => panic!("the history has no answer {other:?}"),
        })
    }

    async fn succeed(&self, attempt: &RetryAttempt, durability: Durability) -> Result<Receipt<bool>> {
        let (operation, fence) = (attempt.operation.to_string(), attempt.fence.get());
        let invocation = self.recorder.invoke(Call::SucceedTry { operation, fence });
        let result = self.inner.succeed(attempt, durability).await;
        record(invocation, result, |receipt| Answer::One(receipt.value))
    }

    /// Refused: the checker has no rule for it.
    async fn get(&self, _: &Key) -> Result<Option<RetryInfo>> {
        Err(Error::unsupported(Op::RetryGet, "the history has no such call"))
    }

    async fn clear(&self, operation: &Key) -> Result<bool> {
        let invocation = self.recorder.invoke(Call::ClearTries { operation: operation.to_string() });
        record(invocation, self.inner.clear(operation).await, |cleared| Answer::One(*cleared))
    }

    /// Refused: the checker has no rule for it.
    async fn list(&self, _: Option<Cursor>) -> Result<Page<RetryInfo>> {
        Err(Error::unsupported(Op::RetryList, "the history has no such call"))
    }
}
