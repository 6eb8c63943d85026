//! A request that is carried out once: begin and finish.

use std::sync::Arc;

use async_trait::async_trait;
use store_core::{Begun, Fingerprint, Finished, IdempotentRequest, Key, Ttl};

use crate::Result;
use crate::bed::{Bed, Engine};
use crate::case::{Case, Plan, Side};
use crate::floor::Pipelined;
use crate::load::Tasks;

const TASKS: usize = 50;

struct Idempotency(Engine);

pub(super) fn cases() -> Vec<Box<dyn Case>> {
    Engine::ALL.map(|engine| Box::new(Idempotency(engine)) as Box<dyn Case>).into()
}

#[async_trait]
impl Case for Idempotency {
    fn plan(&self) -> Plan {
        Plan::new("idempotency", "begin and finish a new request with a response of 200 bytes, from 50 tasks")
            .on(self.0)
    }

    async fn open(&self, bed: &Bed) -> Result<Vec<Box<dyn Side>>> {
        let ops = bed.size(30_000);
        let (cache, response) = (bed.stores().await?.cache, bed.payload());
        let floor_response = response.clone();
        let ours = Tasks::ours(TASKS, ops, move |number| {
            let (cache, response) = (Arc::clone(&cache), response.clone());
            async move {
                let key = Key::new(format!("request-{number}"))?;
                let request = IdempotentRequest::new(key, Fingerprint::new([7; 32]));
                let ttl = Ttl::from_secs(60);
                match cache.begin(&request, ttl).await? {
                    Begun::Started if cache.finish(&request, &response, ttl).await? == Finished::Stored => Ok(()),
                    other => Err(format!("a new request was {other:?}").into()),
                }
            }
        });
        let mut sides = vec![ours];
        if self.0 == Engine::Redis {
            let floor = Pipelined::new(bed.wire().await?, "SET NX, SET", TASKS, ops, move |number, step, commands| {
                let key = format!("floor:request-{number}");
                match step {
                    0 => commands.add([b"SET".as_slice(), key.as_bytes(), &[7; 48], b"NX", b"PX", b"60000"]),
                    _ => commands.add([b"SET".as_slice(), key.as_bytes(), &floor_response, b"PX", b"60000"]),
                }
            });
            sides.push(floor.with_steps(2).side());
        }
        Ok(sides)
    }
}
