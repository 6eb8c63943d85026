//! The cost of a larger payload over a job's whole life.

use async_trait::async_trait;
use store_core::NewJob;

use super::whole_life::Lives;
use crate::Result;
use crate::case::{Case, OURS, Plan, Side};
use crate::environment::{Environment, queue};
use crate::figure::PER_SECOND;
use crate::floor::{Life, Streams};

struct Payload {
    name: &'static str,
    bytes: usize,
    ops: usize,
}

pub(super) fn cases() -> Vec<Box<dyn Case>> {
    let sizes = [
        Payload { name: "payload-0", bytes: 0, ops: 50_000 },
        Payload { name: "payload-200", bytes: 200, ops: 50_000 },
        Payload { name: "payload-4k", bytes: 4 << 10, ops: 20_000 },
        Payload { name: "payload-64k", bytes: 64 << 10, ops: 2_000 },
    ];
    sizes.map(|size| Box::new(size) as Box<dyn Case>).into()
}

#[async_trait]
impl Case for Payload {
    fn plan(&self) -> Plan {
        Plan::new(self.name, "whole lives, pushed 100 at a time, of jobs with a payload of so many bytes")
            .with_also(PER_SECOND)
    }

    async fn open(&self, environment: &Environment) -> Result<Vec<Box<dyn Side>>> {
        // the largest must fit into one push
        debug_assert!(100 * self.bytes <= NewJob::MAX_BATCH_BYTES);
        let (ops, payload) = (environment.size(self.ops), environment.texts(1, self.bytes).remove(0));
        let state = environment.stores().await?.state;
        let ours = Lives::new(OURS, &state, vec![queue("payload")?], (ops, 100))?.with_payload(payload.clone());
        Ok(vec![ours.side(), Life::side(environment, Streams, ops, payload).await?])
    }
}
