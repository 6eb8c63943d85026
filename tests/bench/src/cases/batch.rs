//! The cost of a job by the size of its batch: push, claim and settle through the traits, without a worker.

use std::sync::Arc;

use async_trait::async_trait;
use store_core::{QueueName, StateRole};

use crate::Result;
use crate::case::{Case, OURS, Plan, Side};
use crate::environment::{Environment, queue};
use crate::figure::Sample;
use crate::load::{drain, push};

struct Batch {
    name: &'static str,
    size: usize,
}

pub(super) fn cases() -> Vec<Box<dyn Case>> {
    // 37, because no internal batch of the store has that size
    let sizes = [("batch-1", 1), ("batch-10", 10), ("batch-37", 37), ("batch-100", 100), ("batch-1000", 1000)];
    sizes.map(|(name, size)| Box::new(Batch { name, size }) as Box<dyn Case>).into()
}

#[async_trait]
impl Case for Batch {
    fn plan(&self) -> Plan {
        Plan::new(self.name, "push, claim and settle so many jobs by one call each, one call after the other")
    }

    async fn open(&self, environment: &Environment) -> Result<Vec<Box<dyn Side>>> {
        let ops = environment.size(if self.size == 1 { 5_000 } else { 30_000 });
        Ok(vec![Box::new(Ours {
            state: environment.stores().await?.state,
            queue: queue("batch")?,
            ops,
            size: self.size,
        })])
    }
}

struct Ours {
    state: Arc<dyn StateRole>,
    queue: QueueName,
    ops: usize,
    size: usize,
}

#[async_trait]
impl Side for Ours {
    fn name(&self) -> &str {
        OURS
    }

    async fn round(&mut self, environment: &Environment) -> Result<Sample> {
        let payload = environment.payload();
        let work = async {
            for start in (0..self.ops).step_by(self.size) {
                let count = self.size.min(self.ops - start);
                push(self.state.as_ref(), &self.queue, &payload, count, count).await?;
                drain(self.state.as_ref(), &self.queue, count, count).await?;
            }
            Ok(())
        };
        environment.measure(self.ops, work).await
    }
}
