//! Queues.

mod claim;
mod commit;
mod control;
mod deliver;
mod extend;
mod homes;
mod inspect;
mod ledger;
mod life;
mod open_queue;
mod push;
mod record;
mod retention;
mod schedules;
mod set_aside;
mod settings;
mod settle;
mod waiter;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use store_core::{
    Claim, ClaimRequest, Durability, Extended, Extension, NewJob, Pushed, Queue, QueueName, Receipt, Result, Settled,
    Settlement, Waiter,
};

use super::EmbeddedState;
use crate::database::Operation;
use crate::fault::Fault;
use crate::rows::Change;
pub(super) use homes::{HomeRows, OpenHome, Outboxes};
pub(super) use ledger::{BEHIND_NAMES, FIRST_NAME};
use open_queue::OpenQueue;
use settings::Settings;
use waiter::EmbeddedWaiter;

#[async_trait]
impl Queue for EmbeddedState {
    async fn push(&self, queue: &QueueName, jobs: &[NewJob], durability: Durability) -> Result<Receipt<Vec<Pushed>>> {
        self.push_jobs(queue, jobs, durability).await
    }

    async fn claim(&self, request: &ClaimRequest) -> Result<Claim> {
        self.claim_jobs(request, None).await
    }

    async fn extend(&self, queue: &QueueName, jobs: &[Extension], lasting: Duration) -> Result<Vec<Extended>> {
        self.extend_leases(queue, jobs, lasting).await
    }

    async fn settle(
        &self,
        queue: &QueueName,
        settlements: &[Settlement],
        durability: Durability,
    ) -> Result<Receipt<Vec<Settled>>> {
        self.settle_jobs(queue, settlements, durability).await
    }

    fn waiter(&self) -> Arc<dyn Waiter> {
        Arc::new(EmbeddedWaiter::new(self.clone()))
    }
}

impl EmbeddedState {
    /// Changes a queue, which begins with this if nothing was ever written to it.
    async fn change_queue<T: Send + 'static>(
        &self,
        operation: impl Into<Operation>,
        queue: &QueueName,
        apply: impl Fn(&mut OpenQueue<'_, '_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T> {
        let operation = operation.into();
        let (queue, settings) = (queue.clone(), Settings::new(operation.op, queue, &self.options));
        let apply = move |change: &mut Change<'_>| {
            let mut open = OpenQueue::open(change, &queue, &settings)?;
            let answer = apply(&mut open)?;
            open.close()?;
            Ok(answer)
        };
        self.database.write(operation, apply).await
    }

    /// Changes a queue; `None` if nothing was ever written to it.
    async fn change_existing<T: Send + 'static>(
        &self,
        operation: impl Into<Operation>,
        queue: &QueueName,
        apply: impl Fn(&mut OpenQueue<'_, '_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<Option<T>> {
        let operation = operation.into();
        let (queue, settings) = (queue.clone(), Settings::new(operation.op, queue, &self.options));
        let apply = move |change: &mut Change<'_>| {
            let Some(mut open) = OpenQueue::existing(change, &queue, &settings)? else { return Ok(None) };
            let answer = apply(&mut open)?;
            open.close()?;
            Ok(Some(answer))
        };
        self.database.write(operation, apply).await
    }
}
