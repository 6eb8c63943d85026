//! The same calls on the embedded engine from 50 tasks: in memory, and in one durable file.

use std::sync::Arc;

use async_trait::async_trait;
use store_core::Op;
use tokio::task::JoinSet;

use super::{Call, Prepare};
use crate::Result;
use crate::case::{Case, OURS, Plan, Side};
use crate::environment::{Engine, Environment};
use crate::figure::{Bound, PER_SECOND, Sample, Target};

const TASKS: usize = 50;
const FILE: &str = "file";

struct Embedded {
    op: Op,
    prepare: Arc<dyn Prepare>,
}

pub(in crate::cases) fn cases() -> Vec<Box<dyn Case>> {
    super::all().map(|(op, prepare)| Box::new(Embedded { op, prepare }) as Box<dyn Case>).collect()
}

#[async_trait]
impl Case for Embedded {
    fn plan(&self) -> Plan {
        let about = "single calls of this operation from 50 tasks, in memory, and in one durable file for comparison";
        Plan { engine: Engine::EmbeddedMemory, ..Plan::new(format!("embedded/{}", self.op.name()), about) }
            .with_headline(PER_SECOND)
            .with_target(Target::new(PER_SECOND, Bound::AtLeastTimes(1.0, FILE)))
    }

    async fn open(&self, environment: &Environment) -> Result<Vec<Box<dyn Side>>> {
        let ops = environment.size(16_000);
        let sides = [(OURS, Engine::EmbeddedMemory), (FILE, Engine::EmbeddedFile)];
        let side = |(name, engine)| -> Box<dyn Side> {
            Box::new(Calls { name, engine, prepare: Arc::clone(&self.prepare), ops })
        };
        Ok(sides.map(side).into())
    }
}

/// Each round has new stores.
struct Calls {
    name: &'static str,
    engine: Engine,
    prepare: Arc<dyn Prepare>,
    ops: usize,
}

#[async_trait]
impl Side for Calls {
    fn name(&self) -> &str {
        self.name
    }

    async fn round(&mut self, environment: &Environment) -> Result<Sample> {
        let own = Environment::make(self.engine, &environment.settings).await?;
        let stores = own.stores().await?;
        let calls = self.prepare.calls(&stores, 0..self.ops).await?;
        own.measure(self.ops, from_tasks(calls)).await
    }
}

/// Awaits the calls in 50 tasks, each of which awaits its share one after the other.
async fn from_tasks(calls: Vec<Call>) -> Result<()> {
    let (mut shares, mut running) = (Vec::new(), JoinSet::new());
    shares.resize_with(TASKS, Vec::new);
    for (number, call) in calls.into_iter().enumerate() {
        shares[number % TASKS].push(call);
    }
    for share in shares {
        running.spawn(async move {
            for call in share {
                call.await?;
            }
            Result::Ok(())
        });
    }
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    Ok(())
}
