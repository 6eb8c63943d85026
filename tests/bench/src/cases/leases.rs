//! Acquiring and releasing a lease.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use store_core::{AcquireRequest, Acquired, Durability, HolderName, LeaseName};

use crate::Result;
use crate::case::{Case, Plan, Side};
use crate::environment::{Engine, Environment};
use crate::figure::{Bound, SERVER_MICROS, Target};
use crate::floor::{Pipelined, Script};
use crate::load::Tasks;

/// The smallest scripts of a lock, without clock and fence.
const SCRIPTS: &str = "2 scripts";
/// The smallest scripts of a lease.
const FENCED: &str = "2 scripts, fence";
const TASKS: usize = 50;
/// The number of different leases: more than can be held at a time, even if one task is much slower than the others.
const NAMES: usize = 30_000;

const ACQUIRE: &str = "return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2])";
const RELEASE: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

/// The fence in µs, the end in µs, the token; kept for a day.
const ACQUIRE_FENCED: &str = "local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local fence, lease = now, redis.call('GET', KEYS[1])
if lease then
  local last, till = string.match(lease, '(%d+) (%d+)')
  if tonumber(till) > now then return 0 end
  fence = math.max(now, last + 1)
end
local value = string.format('%d %016d %s', fence, now + ARGV[2] * 1000, ARGV[1])
redis.call('SET', KEYS[1], value, 'PX', ARGV[2] + 86400000)
return fence";
const RELEASE_FENCED: &str = "local lease = redis.call('GET', KEYS[1])
if not lease or string.sub(lease, -16) ~= ARGV[1] then return 0 end
redis.call('SETRANGE', KEYS[1], #lease - 33, '0000000000000000')
return 1";

struct Leases(Engine);

pub(super) fn cases() -> Vec<Box<dyn Case>> {
    Engine::ALL.map(|engine| Box::new(Leases(engine)) as Box<dyn Case>).into()
}

#[async_trait]
impl Case for Leases {
    fn plan(&self) -> Plan {
        let plan = Plan::new("lease", "acquire and release, from 50 tasks");
        match self.0 {
            Engine::Redis => plan.with_target(Target::new(SERVER_MICROS, Bound::AtMostTimes(1.2, FENCED))),
            embedded => plan.on(embedded),
        }
    }

    async fn open(&self, environment: &Environment) -> Result<Vec<Box<dyn Side>>> {
        let ops = environment.size(30_000);
        let (state, holder) = (environment.stores().await?.state, HolderName::new("bench")?);
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
            let lock = Floor { name: SCRIPTS, acquire: Some(ACQUIRE), release: RELEASE };
            let plain = Floor { name: "SET and a script", acquire: None, release: RELEASE };
            let fenced = Floor { name: FENCED, acquire: Some(ACQUIRE_FENCED), release: RELEASE_FENCED };
            for floor in [lock, plain, fenced] {
                sides.push(floor.side(environment, ops).await?);
            }
        }
        Ok(sides)
    }
}

/// A lock by two scripts, or by a plain SET NX PX and a script. It has no fence and is released by compare-and-delete, or it has
/// a fence that rises with the server's clock, even if the lease has expired or the server has lost it.
struct Floor {
    name: &'static str,
    acquire: Option<&'static str>,
    release: &'static str,
}

impl Floor {
    async fn side(self, environment: &Environment, ops: usize) -> Result<Box<dyn Side>> {
        let mut wire = environment.wire().await?;
        let release = Script::load(&mut wire, self.release).await?;
        let acquire = match self.acquire {
            Some(text) => Some(Script::load(&mut wire, text).await?),
            None => None,
        };
        let name = self.name;
        let floor = Pipelined::new(wire, name, TASKS, ops, move |number, step, commands| {
            let key = format!("floor:{name}-{}", number % NAMES);
            let token = format!("{number:016}");
            let (key, token) = (key.as_bytes(), token.as_bytes());
            match (step, &acquire) {
                (0, None) => commands.add([b"SET".as_slice(), key, token, b"NX", b"PX", b"30000"]),
                (0, Some(acquire)) => acquire.call(&[key], &[token, b"30000"], commands),
                _ => release.call(&[key], &[token], commands),
            }
        });
        Ok(floor.with_steps(2).side())
    }
}
