//! The operations of `Retries`.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use store_core::{Durability, Key, Op, RetryAttempt, RetryDecision, RetryPolicy, RetryRequest, StateRole};

use super::{Call, Prepare, calls_for, expect};
use crate::Result;
use crate::environment::Stores;

pub(super) fn all() -> Vec<(Op, Arc<dyn Prepare>)> {
    let ops = [Op::RetryBegin, Op::RetryFail, Op::RetrySucceed, Op::RetryGet, Op::RetryClear, Op::RetryList];
    ops.map(|op| (op, Arc::new(Calls(op)) as Arc<dyn Prepare>)).into()
}

struct Calls(Op);

#[async_trait]
impl Prepare for Calls {
    async fn calls(&self, stores: &Stores, numbers: Range<usize>) -> Result<Vec<Call>> {
        let op = self.0;
        let mut requests = Vec::with_capacity(numbers.len());
        for number in numbers {
            let request = RetryRequest::new(Key::new(format!("each-{number}"))?, RetryPolicy::default());
            let attempt = if op == Op::RetryBegin { None } else { begun(stores.state.as_ref(), &request).await? };
            expect(op == Op::RetryBegin || attempt.is_some(), op)?;
            requests.push((request, attempt));
        }
        Ok(calls_for(&stores.state, requests, move |state, (request, attempt)| async move {
            expect(call(op, state.as_ref(), &request, attempt).await?, op)
        }))
    }
}

async fn begun(state: &dyn StateRole, request: &RetryRequest) -> Result<Option<RetryAttempt>> {
    Ok(state.retries().begin(request, Durability::Accepted).await?.value.attempt())
}

async fn call(op: Op, state: &dyn StateRole, request: &RetryRequest, attempt: Option<RetryAttempt>) -> Result<bool> {
    let (retries, accepted) = (state.retries(), Durability::Accepted);
    Ok(match (op, attempt) {
        (Op::RetryFail, Some(attempt)) => {
            let failed = retries.fail(&attempt, "no such file", RetryDecision::Fail, accepted).await?.value;
            failed == store_core::RetryFailed::Exhausted
        }
        (Op::RetrySucceed, Some(attempt)) => retries.succeed(&attempt, accepted).await?.value,
        (Op::RetryGet, _) => retries.get(&request.operation).await?.is_some(),
        (Op::RetryClear, _) => retries.clear(&request.operation).await?,
        (Op::RetryList, _) => {
            // a page of a listing on a server may be empty
            retries.list(None).await?;
            true
        }
        _ => begun(state, request).await?.is_some(),
    })
}
