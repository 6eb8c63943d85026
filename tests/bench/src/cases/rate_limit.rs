//! Checking a limit.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use store_core::{Key, Rate, RateCheck};

use crate::Result;
use crate::case::{Case, Plan, Side};
use crate::environment::{Engine, Environment};
use crate::figure::{Bound, SERVER_MICROS, Target};
use crate::floor::{Pipelined, Script};
use crate::load::Tasks;

const SMALLEST: &str = "smallest script";
const TASKS: usize = 50;
const KEYS: usize = 1000;

/// The theoretical arrival time in µs, by the server's clock.
const GCRA: &str = "local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local tat = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now) + ARGV[1]
if tat - now > tonumber(ARGV[2]) then return 0 end
redis.call('SET', KEYS[1], string.format('%d', tat), 'PX', math.ceil((tat - now) / 1000))
return 1";

struct Gcra(Engine);

pub(super) fn cases() -> Vec<Box<dyn Case>> {
    Engine::ALL.map(|engine| Box::new(Gcra(engine)) as Box<dyn Case>).into()
}

#[async_trait]
impl Case for Gcra {
    fn plan(&self) -> Plan {
        let plan = Plan::new("gcra", "check one limit that allows, from 50 tasks");
        match self.0 {
            Engine::Redis => plan.with_target(Target::new(SERVER_MICROS, Bound::AtMostTimes(1.2, SMALLEST))),
            embedded => plan.on(embedded),
        }
    }

    async fn open(&self, environment: &Environment) -> Result<Vec<Box<dyn Side>>> {
        let ops = environment.size(50_000);
        let cache = environment.stores().await?.cache;
        let keys = (0..KEYS).map(|number| Ok(Key::new(format!("limit-{number}"))?)).collect::<Result<Arc<[Key]>>>()?;
        // 1,000 units per second with a burst of 1,000: one every 1,000 µs
        let rate = Rate::Gcra { count: 100_000, period: Duration::from_secs(1), burst: 1_000_000 };
        let ours = Tasks::ours(TASKS, ops, move |number| {
            let (cache, keys) = (Arc::clone(&cache), Arc::clone(&keys));
            async move {
                let check = RateCheck::new(keys[number % KEYS].clone(), rate);
                if cache.check(&[check]).await?.allowed { Ok(()) } else { Err("a wide limit refused".into()) }
            }
        });
        let mut sides = vec![ours];
        if self.0 == Engine::Redis {
            let mut wire = environment.wire().await?;
            let script = Script::load(&mut wire, GCRA).await?;
            let floor = Pipelined::new(wire, SMALLEST, TASKS, ops, move |number, _, commands| {
                let key = format!("floor:limit-{}", number % KEYS);
                script.call(&[key.as_bytes()], &[b"10", b"10000000"], commands);
            });
            sides.push(floor.side());
        }
        Ok(sides)
    }
}
