//! The cost of a job's whole life by the form of its id, without a worker.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use store_core::{Durability, JobId, NewJob, QueueName, StateRole};

use crate::Result;
use crate::case::{Case, OURS, Plan, Side};
use crate::environment::{Environment, queue};
use crate::figure::Sample;
use crate::load::drain;

struct Ids;

pub(super) fn cases() -> Vec<Box<dyn Case>> {
    vec![Box::new(Ids)]
}

/// The form of an id.
#[derive(Clone, Copy)]
enum Form {
    /// By the push.
    Assigned,
    /// By [`JobId::generate`], before the push.
    Generated,
    /// A UUID without order.
    Random,
    /// A text of the caller.
    Text,
}

#[async_trait]
impl Case for Ids {
    fn plan(&self) -> Plan {
        Plan::new("ids", "push, claim and settle 100 jobs by one call each, with ids that the push assigns, or others")
    }

    async fn open(&self, environment: &Environment) -> Result<Vec<Box<dyn Side>>> {
        let state = environment.stores().await?.state;
        let forms = [
            (OURS, Form::Assigned),
            ("JobId::generate", Form::Generated),
            ("random UUIDs", Form::Random),
            ("texts of 20 characters", Form::Text),
        ];
        let ops = environment.size(30_000).max(BATCH);
        let side = |(name, form)| -> Result<Box<dyn Side>> {
            Ok(Box::new(Lives { name, form, state: Arc::clone(&state), queue: queue("ids")?, ops }))
        };
        forms.into_iter().map(side).collect()
    }
}

struct Lives {
    name: &'static str,
    form: Form,
    state: Arc<dyn StateRole>,
    queue: QueueName,
    ops: usize,
}

/// Jobs per call.
const BATCH: usize = 100;

impl Lives {
    fn job(&self, payload: Bytes) -> Result<NewJob> {
        let id = match self.form {
            Form::Assigned => return Ok(NewJob::new(payload)),
            Form::Generated => JobId::generate(),
            Form::Random => {
                let (high, low) = (fastrand::u64(..), fastrand::u64(..));
                let text = format!("{:012x}4{:03x}8{:015x}", high >> 16, high & 0xfff, low >> 4);
                let parts = [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]];
                JobId::new(parts.join("-"))?
            }
            Form::Text => JobId::new(format!("order-{:014}", fastrand::u64(..100_000_000_000_000)))?,
        };
        Ok(NewJob::new(payload).with_id(id))
    }
}

#[async_trait]
impl Side for Lives {
    fn name(&self) -> &str {
        self.name
    }

    async fn round(&mut self, environment: &Environment) -> Result<Sample> {
        let payload = environment.payload();
        let work = async {
            for _ in 0..self.ops / BATCH {
                let jobs = (0..BATCH).map(|_| self.job(payload.clone())).collect::<Result<Vec<_>>>()?;
                let _ = self.state.push(&self.queue, &jobs, Durability::Accepted).await?;
                drain(self.state.as_ref(), &self.queue, BATCH, BATCH).await?;
            }
            Ok(())
        };
        environment.measure(self.ops / BATCH * BATCH, work).await
    }
}
