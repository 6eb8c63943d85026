//! The effect of more workers on one queue, and the capacity of one server.

use async_trait::async_trait;

use super::whole_life::Lives;
use crate::Result;
use crate::case::{Case, OURS, Plan, Side};
use crate::environment::{Environment, queue};
use crate::figure::{PER_SECOND, SERVER_BUSY, SERVER_MICROS};
use crate::floor::{Life, Streams};

enum Workers {
    /// This many workers on one queue, compared with one.
    Many(&'static str, usize),
    /// As much load as this machine's clients can make, on this many queues.
    Saturation(&'static str, usize),
}

pub(super) fn cases() -> Vec<Box<dyn Case>> {
    let all = [
        Workers::Many("workers-4", 4),
        Workers::Many("workers-16", 16),
        Workers::Saturation("saturation-1-queue", 1),
        Workers::Saturation("saturation-4-queues", 4),
    ];
    all.map(|workers| Box::new(workers) as Box<dyn Case>).into()
}

#[async_trait]
impl Case for Workers {
    fn plan(&self) -> Plan {
        match self {
            Workers::Many(name, _) => Plan::new(
                *name,
                "whole lives on one queue of so many workers, each with connections of its own, or of one",
            )
            .with_also(PER_SECOND),
            Workers::Saturation(name, _) => Plan::new(
                *name,
                "whole lives, 4 tasks push batches of 1,000 and 2 workers run them, as fast as they can",
            )
            .with_headline(PER_SECOND)
            .with_also(SERVER_MICROS)
            .with_also(SERVER_BUSY),
        }
    }

    async fn open(&self, environment: &Environment) -> Result<Vec<Box<dyn Side>>> {
        let state = environment.stores().await?.state;
        match *self {
            Workers::Many(_, workers) => {
                let load = (environment.size(50_000), 100);
                let many =
                    Lives::new(OURS, &state, vec![queue("many")?], load)?.with_workers(environment, workers).await?;
                let one = Lives::new("1 worker", &state, vec![queue("one")?], load)?;
                Ok(vec![many.side(), one.side()])
            }
            Workers::Saturation(_, queues) => {
                let ops = environment.size(200_000);
                let queues = (0..queues).map(|number| queue(&format!("full-{number}"))).collect::<Result<_>>()?;
                let ours =
                    Lives::new(OURS, &state, queues, (ops, 1000))?.with_pushers(4).with_workers(environment, 2).await?;
                Ok(vec![ours.side(), Life::side(environment, Streams, ops, environment.payload()).await?])
            }
        }
    }
}
