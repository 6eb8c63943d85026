//! A request that is carried out once: begin and finish.

use std::sync::Arc;

use async_trait::async_trait;
use store_core::{Begun, Fingerprint, Finished, Idempotency, IdempotentRequest, Key, Role, Ttl};

use crate::Result;
use crate::case::{Case, Plan, Side};
use crate::environment::{Engine, Environment};
use crate::floor::Pipelined;
use crate::load::Tasks;

const TASKS: usize = 50;
/// A text in every key of both sides.
const KEYS: &str = "request-";

struct IdempotencyCase {
    role: Role,
    engine: Engine,
}

pub(super) fn cases() -> Vec<Box<dyn Case>> {
    let both = [Role::Cache, Role::State].into_iter().flat_map(|role| Engine::ALL.map(|engine| (role, engine)));
    both.map(|(role, engine)| Box::new(IdempotencyCase { role, engine }) as Box<dyn Case>).collect()
}

#[async_trait]
impl Case for IdempotencyCase {
    fn plan(&self) -> Plan {
        let about = "begin and finish a new request with a response of 200 bytes, from 50 tasks";
        let name = if self.role == Role::Cache { "idempotency" } else { "idempotency-state" };
        Plan::new(name, about).on(self.engine)
    }

    async fn open(&self, environment: &Environment) -> Result<Vec<Box<dyn Side>>> {
        let ops = environment.size(30_000);
        let (stores, response) = (environment.stores().await?, environment.payload());
        let store: Arc<dyn Idempotency> = if self.role == Role::Cache { stores.cache } else { stores.state };
        let floor_response = response.clone();
        let ours = Tasks::leaving(KEYS, TASKS, ops, move |number| {
            let (store, response) = (Arc::clone(&store), response.clone());
            async move {
                let key = Key::new(format!("request-{number}"))?;
                let request = IdempotentRequest::new(key, Fingerprint::new([7; 32]));
                let ttl = Ttl::from_secs(60);
                match store.begin(&request, ttl).await? {
                    Begun::Started if store.finish(&request, &response, ttl).await? == Finished::Stored => Ok(()),
                    other => Err(format!("a new request was {other:?}").into()),
                }
            }
        });
        let mut sides = vec![ours];
        if self.engine == Engine::Redis {
            let floor =
                Pipelined::new(environment.wire().await?, "SET NX, SET", TASKS, ops, move |number, step, commands| {
                    let key = format!("floor:request-{number}");
                    match step {
                        0 => commands.add([b"SET".as_slice(), key.as_bytes(), &[7; 48], b"NX", b"PX", b"60000"]),
                        _ => commands.add([b"SET".as_slice(), key.as_bytes(), &floor_response, b"PX", b"60000"]),
                    }
                });
            sides.push(floor.with_steps(2).with_leaves(KEYS).side());
        }
        Ok(sides)
    }
}
