//! Appending events to a topic, reading and acknowledging them.

use std::sync::Arc;

use async_trait::async_trait;
use store_core::{
    Durability, GroupName, HolderName, NewEvent, ReadRequest, RequestId, StateRole, TopicConfig, TopicName,
};
use tokio::sync::OnceCell;

use crate::Result;
use crate::case::{Case, Plan, Side};
use crate::environment::{Engine, Environment};
use crate::figure::{Bound, SERVER_MICROS, Target};
use crate::floor::{Pipelined, Script};
use crate::load::Tasks;

/// The smallest scripts of numbered events and cursors, for one consumer.
const PLAIN: &str = "3 scripts";
/// The same, with a lease, a fence and an append that is recognised when it is repeated.
const FENCED: &str = "3 scripts, fence";

const APPEND: &str = "local last = tonumber(redis.call('HGET', KEYS[2], 'last') or 0)
for i = 1, #ARGV do redis.call('XADD', KEYS[1], last + i, 'e', ARGV[i]) end
redis.call('HSET', KEYS[2], 'last', last + #ARGV)
return last + 1";
const READ: &str = "local cursor = tonumber(redis.call('HGET', KEYS[2], 'g') or 0)
return {'events', redis.call('XRANGE', KEYS[1], cursor + 1, '+', 'COUNT', ARGV[1])}";
const ACKNOWLEDGE: &str = "return redis.call('HINCRBY', KEYS[2], 'g', ARGV[1])";

const APPEND_FENCED: &str = "local last = tonumber(redis.call('HGET', KEYS[2], 'last') or 0)
local time = redis.call('TIME')
for i = 2, #ARGV do redis.call('XADD', KEYS[1], last + i - 1, time[1], ARGV[i]) end
redis.call('HSET', KEYS[2], 'last', last + #ARGV - 1)
redis.call('SET', KEYS[3], last + 1, 'PX', ARGV[1])
return last + 1";
/// The entry of the group: cursor, fence, end of the lease in ms.
const READ_FENCED: &str = "local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local cursor, fence, till = 0, 1, 0
local group = redis.call('HGET', KEYS[2], 'g')
if group then cursor, fence, till = string.match(group, '(%d+) (%d+) (%d+)') end
if tonumber(till) < now + 20000 then
  redis.call('HSET', KEYS[2], 'g', string.format('%d %d %d', cursor, fence, now + 30000))
end
return {'events', fence, redis.call('XRANGE', KEYS[1], cursor + 1, '+', 'COUNT', ARGV[1])}";
const ACKNOWLEDGE_FENCED: &str = "local group = redis.call('HGET', KEYS[2], 'g')
local cursor, fence, till = string.match(group, '(%d+) (%d+) (%d+)')
if fence ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[2], 'g', string.format('%d %d %d', cursor + ARGV[1], fence, till))
return 1";

struct Events {
    batch: usize,
    engine: Engine,
}

pub(super) fn cases() -> Vec<Box<dyn Case>> {
    let redis = [1, 100].map(|batch| Events { batch, engine: Engine::Redis });
    let embedded = [Engine::EmbeddedMemory, Engine::EmbeddedFile].map(|engine| Events { batch: 100, engine });
    redis.into_iter().chain(embedded).map(|case| Box::new(case) as Box<dyn Case>).collect()
}

#[async_trait]
impl Case for Events {
    fn plan(&self) -> Plan {
        let about = "appends events of 200 bytes in batches of this size, reads and acknowledges each batch";
        let plan = Plan::new(format!("topic-{}", self.batch), about);
        match self.engine {
            Engine::Redis => plan.with_target(Target::new(SERVER_MICROS, Bound::AtMostTimes(1.3, FENCED))),
            embedded => plan.on(embedded),
        }
    }

    async fn open(&self, environment: &Environment) -> Result<Vec<Box<dyn Side>>> {
        let (batch, rounds) = (self.batch, environment.size(if self.batch == 1 { 10_000 } else { 1_000 }));
        let state = environment.stores().await?.state;
        let (payload, is_declared) = (environment.payload(), Arc::new(OnceCell::new()));
        let ours = Tasks::ours(1, rounds, move |_| {
            let (state, is_declared) = (Arc::clone(&state), Arc::clone(&is_declared));
            let events = vec![NewEvent::new(payload.clone()); batch];
            async move { turn(state.as_ref(), &is_declared, &events).await }
        });
        let mut sides = vec![ours];
        if self.engine == Engine::Redis {
            let plain = Floor { name: PLAIN, scripts: [APPEND, READ, ACKNOWLEDGE], is_fenced: false };
            let fenced =
                Floor { name: FENCED, scripts: [APPEND_FENCED, READ_FENCED, ACKNOWLEDGE_FENCED], is_fenced: true };
            for floor in [plain, fenced] {
                sides.push(floor.side(environment, rounds, batch).await?);
            }
        }
        Ok(sides)
    }
}

/// Appends events, and reads and acknowledges them.
async fn turn(state: &dyn StateRole, is_declared: &OnceCell<()>, events: &[NewEvent]) -> Result<()> {
    let (topics, topic) = (state.topics(), TopicName::new("bench")?);
    let declare = async || topics.declare(&topic, &TopicConfig::default()).await.map(drop);
    is_declared.get_or_try_init(declare).await?;
    let _ = topics.append(&topic, events, Durability::Accepted).await?;
    let request = ReadRequest::new(topic, 0, GroupName::new("bench")?, HolderName::new("bench")?);
    let request = request.with_max(u32::try_from(events.len())?).with_request(RequestId::from_bytes([7; 16]));
    let batch = topics.read(&request).await?.events().ok_or("another consumer holds the partition")?;
    let last = batch.last().ok_or("there are no events")?;
    let acknowledged = topics.acknowledge(&batch.lease, last, Durability::Accepted).await?.value;
    if acknowledged && batch.events.len() == events.len() { Ok(()) } else { Err("not all events were read".into()) }
}

struct Floor {
    name: &'static str,
    scripts: [&'static str; 3],
    is_fenced: bool,
}

impl Floor {
    async fn side(self, environment: &Environment, rounds: usize, batch: usize) -> Result<Box<dyn Side>> {
        let Self { name, scripts: [append, read, acknowledge], is_fenced } = self;
        let mut wire = environment.wire().await?;
        let append = Script::load(&mut wire, append).await?;
        let read = Script::load(&mut wire, read).await?;
        let acknowledge = Script::load(&mut wire, acknowledge).await?;
        let (payload, count) = (environment.payload(), batch.to_string());
        let floor = Pipelined::new(wire, name, 1, rounds, move |number, step, commands| {
            let [events, groups] = ["events", "groups"].map(|part| format!("floor:{name}:{part}"));
            let keys = [events.as_bytes(), groups.as_bytes()];
            match step {
                0 if is_fenced => {
                    let call = format!("floor:{name}:call:{number:016}");
                    let mut arguments = vec![b"5000".as_slice()];
                    arguments.extend(std::iter::repeat_n(payload.as_ref(), batch));
                    append.call(&[keys[0], keys[1], call.as_bytes()], &arguments, commands);
                }
                0 => append.call(&keys, &vec![payload.as_ref(); batch], commands),
                1 => read.call(&keys, &[count.as_bytes()], commands),
                _ => acknowledge.call(&keys, &[count.as_bytes(), b"1"], commands),
            }
        });
        Ok(floor.with_steps(3).with_leaves("floor:").side())
    }
}
