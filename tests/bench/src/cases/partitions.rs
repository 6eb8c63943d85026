//! One queue of twelve partitions, compared with one that has a single partition, on one server.

use std::sync::Arc;

use async_trait::async_trait;
use store_core::{StateOptions, StateRole};

use super::whole_life::Lives;
use crate::Result;
use crate::case::{Case, OURS, Plan, Side};
use crate::environment::{Environment, open_state_with, queue};
use crate::figure::{Bound, PER_SECOND, SERVER_MICROS, Target};

const ONE: &str = "1 partition";
/// The partitions of the queue.
pub(super) const MANY: u16 = 12;

struct Partitions;

pub(super) fn cases() -> Vec<Box<dyn Case>> {
    vec![Box::new(Partitions)]
}

#[async_trait]
impl Case for Partitions {
    fn plan(&self) -> Plan {
        Plan::new("partitions-12", "whole lives, pushed 100 at a time, on a queue of 12 partitions, or of one")
            .with_target(Target::new(SERVER_MICROS, Bound::AtMostTimes(1.15, ONE)))
            .with_also(PER_SECOND)
    }

    async fn open(&self, environment: &Environment) -> Result<Vec<Box<dyn Side>>> {
        let (load, many) = ((environment.size(50_000), 100), queue("many")?);
        let options = StateOptions::default().with_partitions(many.clone(), MANY);
        let state: Arc<dyn StateRole> = Arc::new(open_state_with(&environment.server()?.url(None), options).await?);
        let many = Lives::new(OURS, &state, vec![many], load)?;
        Ok(vec![many.side(), Lives::new(ONE, &state, vec![queue("one")?], load)?.side()])
    }
}
