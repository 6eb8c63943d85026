//! A value handed to another service: put and take.

use std::sync::Arc;

use async_trait::async_trait;
use store_core::{HandoffItem, Key, RequestId, ServiceName, Ttl};

use crate::Result;
use crate::case::{Case, Plan, Side};
use crate::environment::{Engine, Environment, Stores};
use crate::floor::Pipelined;
use crate::load::Tasks;

const TASKS: usize = 50;

struct Handoff(Engine);

pub(super) fn cases() -> Vec<Box<dyn Case>> {
    Engine::ALL.map(|engine| Box::new(Handoff(engine)) as Box<dyn Case>).into()
}

#[async_trait]
impl Case for Handoff {
    fn plan(&self) -> Plan {
        Plan::new("handoff", "put a value of 200 bytes for another service, which takes it, from 50 tasks").on(self.0)
    }

    async fn open(&self, environment: &Environment) -> Result<Vec<Box<dyn Side>>> {
        let ops = environment.size(30_000);
        let Stores { cache, receiver, .. } = environment.stores().await?;
        let (value, to) = (environment.payload(), ServiceName::new("receiver")?);
        let floor_value = value.clone();
        let ours = Tasks::leaving("value-", TASKS, ops, move |number| {
            let (cache, receiver, value, to) = (Arc::clone(&cache), Arc::clone(&receiver), value.clone(), to.clone());
            async move {
                let key = Key::new(format!("value-{number}"))?;
                cache.put(&HandoffItem::new(to, key.clone(), value, Ttl::from_secs(60))).await?;
                match receiver.take(&key, RequestId::generate()).await? {
                    Some(_) => Ok(()),
                    None => Err("a value that was put is not there".into()),
                }
            }
        });
        let mut sides = vec![ours];
        if self.0 == Engine::Redis {
            let floor = Pipelined::new(
                environment.wire().await?,
                "SET NX, GETDEL",
                TASKS,
                ops,
                move |number, step, commands| {
                    let key = format!("floor:value-{number}");
                    match step {
                        0 => commands.add([b"SET".as_slice(), key.as_bytes(), &floor_value, b"NX", b"PX", b"60000"]),
                        _ => commands.add([b"GETDEL".as_slice(), key.as_bytes()]),
                    }
                },
            );
            sides.push(floor.with_steps(2).side());
        }
        Ok(sides)
    }
}
