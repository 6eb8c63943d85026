//! Taking a lease and giving it back.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use store_core::{AcquireRequest, Acquired, Durability, HolderName, LeaseName};

use crate::Result;
use crate::bed::{Bed, Engine};
use crate::case::{Case, Plan, Side};
use crate::figure::{Bound, SERVER_MICROS, Target};
use crate::floor::{Pipelined, Script};
use crate::load::Tasks;

const SCRIPTS: &str = "2 scripts";
const TASKS: usize = 50;
/// Different leases; more than can be held at a time.
const NAMES: usize = 1000;

const ACQUIRE: &str = "return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2])";
const RELEASE: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

struct Leases(Engine);

pub(super) fn cases() -> Vec<Box<dyn Case>> {
    Engine::ALL.map(|engine| Box::new(Leases(engine)) as Box<dyn Case>).into()
}

#[async_trait]
impl Case for Leases {
    fn plan(&self) -> Plan {
        let plan = Plan::new("lease", "acquire and release, from 50 tasks");
        match self.0 {
            Engine::Redis => plan.with_target(Target::new(SERVER_MICROS, Bound::AtMostTimes(1.2, SCRIPTS))),
            embedded => plan.on(embedded),
        }
    }

    async fn open(&self, bed: &Bed) -> Result<Vec<Box<dyn Side>>> {
        let ops = bed.size(30_000);
        let (state, holder) = (bed.stores().await?.state, HolderName::new("bench")?);
        let ours = Tasks::ours(TASKS, ops, move |number| {
            let (state, holder) = (Arc::clone(&state), holder.clone());
            async move {
                let name = LeaseName::new(format!("lease-{}", number % NAMES))?;
                let request = AcquireRequest::new(name, holder, Duration::from_secs(30));
                match state.acquire(&request, Durability::Accepted).await?.value {
                    Acquired::Yes(lease) if state.release(&lease).await? => Ok(()),
                    other => Err(format!("a free lease was {other:?}").into()),
                }
            }
        });
        let mut sides = vec![ours];
        if self.0 == Engine::Redis {
            sides.push(floor(bed, SCRIPTS, ops, false).await?);
            sides.push(floor(bed, "SET and a script", ops, true).await?);
        }
        Ok(sides)
    }
}

/// A lock without fencing: SET NX PX, plain or in a script, and compare-and-delete.
async fn floor(bed: &Bed, name: &'static str, ops: usize, plain: bool) -> Result<Box<dyn Side>> {
    let mut wire = bed.wire().await?;
    let (acquire, release) = (Script::load(&mut wire, ACQUIRE).await?, Script::load(&mut wire, RELEASE).await?);
    let floor = Pipelined::new(wire, name, TASKS, ops, move |number, step, commands| {
        let key = format!("floor:lease-{}", number % NAMES);
        let token = format!("{number:016}");
        let (key, token) = (key.as_bytes(), token.as_bytes());
        match (step, plain) {
            (0, true) => commands.add([b"SET".as_slice(), key, token, b"NX", b"PX", b"30000"]),
            (0, false) => acquire.call(&[key], &[token, b"30000"], commands),
            _ => release.call(&[key], &[token], commands),
        }
    });
    Ok(floor.with_steps(2).side())
}
