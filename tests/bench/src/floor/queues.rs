//! Two minimal models of a queue, without fences, ids, retries or priorities.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Semaphore;

use super::Script;
use crate::Result;
use crate::case::Side;
use crate::environment::Environment;
use crate::figure::Sample;
use crate::load::PATIENCE;
use crate::wire::{Commands, Wire};
use testkit::Value;

/// A queue without guarantees beyond at-least-once.
#[async_trait]
pub(crate) trait Model: Send + Sync + Clone + 'static {
    /// Its name: the data types that it uses.
    fn name(&self) -> &'static str;

    /// Makes the queue.
    async fn prepare(&mut self, wire: &mut Wire) -> Result<()>;

    /// Adds the commands that push the jobs with these numbers.
    fn push(&self, numbers: std::ops::Range<usize>, payload: &Bytes, commands: &mut Commands);

    /// Adds the command that claims up to `count` jobs. [`settle`](Model::settle) takes its reply.
    fn claim(&self, count: &[u8], commands: &mut Commands);

    /// Adds the commands that remove the jobs of a claim's reply; returns their number.
    fn settle(&self, claimed: Value, commands: &mut Commands) -> usize;
}

/// A stream with a consumer group: XADD, XREADGROUP COUNT, XACK and XDEL.
#[derive(Debug, Clone)]
pub(crate) struct Streams;

const STREAM: &[u8] = b"floor:stream";

#[async_trait]
impl Model for Streams {
    fn name(&self) -> &'static str {
        "streams"
    }

    async fn prepare(&mut self, wire: &mut Wire) -> Result<()> {
        wire.command(&[b"DEL", STREAM]).await?;
        wire.command(&[b"XGROUP", b"CREATE", STREAM, b"g", b"$", b"MKSTREAM"]).await?;
        Ok(())
    }

    fn push(&self, numbers: std::ops::Range<usize>, payload: &Bytes, commands: &mut Commands) {
        for _ in numbers {
            commands.add([b"XADD".as_slice(), STREAM, b"*", b"d", payload]);
        }
    }

    fn claim(&self, count: &[u8], commands: &mut Commands) {
        commands.add([b"XREADGROUP".as_slice(), b"GROUP", b"g", b"c", b"COUNT", count, b"STREAMS", STREAM, b">"]);
    }

    fn settle(&self, claimed: Value, commands: &mut Commands) -> usize {
        let stream = claimed.into_array().pop().map(Value::into_array).unwrap_or_default();
        let entries = stream.into_iter().nth(1).map(Value::into_array).unwrap_or_default();
        let ids = entries.into_iter().filter_map(|entry| entry.into_array().into_iter().next()?.into_bytes());
        let ids: Vec<Bytes> = ids.collect();
        if !ids.is_empty() {
            let ids_of = || ids.iter().map(AsRef::as_ref);
            let acknowledge: Vec<&[u8]> = [b"XACK".as_slice(), STREAM, b"g"].into_iter().chain(ids_of()).collect();
            let delete: Vec<&[u8]> = [b"XDEL".as_slice(), STREAM].into_iter().chain(ids_of()).collect();
            commands.add(acknowledge);
            commands.add(delete);
        }
        ids.len()
    }
}

/// A hash of payloads, a list of ready ids and a sorted set of leased ones, by scripts that access each once per batch.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lists {
    scripts: Option<[Script; 3]>,
}

const HASH: &[u8] = b"floor:jobs";
const LIST: &[u8] = b"floor:ready";
const LEASED: &[u8] = b"floor:leased";

const PUSH: &str = "local ids = {}
for i = 1, #ARGV, 2 do ids[#ids + 1] = ARGV[i] end
redis.call('HSET', KEYS[1], unpack(ARGV))
redis.call('RPUSH', KEYS[2], unpack(ids))
return #ids";

const CLAIM: &str = "local ids = redis.call('LPOP', KEYS[1], ARGV[1])
if not ids then return {} end
local scores = {}
for i = 1, #ids do scores[2 * i - 1] = ARGV[2]; scores[2 * i] = ids[i] end
redis.call('ZADD', KEYS[2], unpack(scores))
return {ids, redis.call('HMGET', KEYS[3], unpack(ids))}";

const SETTLE: &str = "redis.call('ZREM', KEYS[1], unpack(ARGV))
return redis.call('HDEL', KEYS[2], unpack(ARGV))";

impl Lists {
    fn script(&self, place: usize) -> &Script {
        &self.scripts.as_ref().expect("invariant: prepared before it is used")[place]
    }
}

#[async_trait]
impl Model for Lists {
    fn name(&self) -> &'static str {
        "lists by Lua"
    }

    async fn prepare(&mut self, wire: &mut Wire) -> Result<()> {
        wire.command(&[b"DEL", HASH, LIST, LEASED]).await?;
        let scripts = [PUSH, CLAIM, SETTLE];
        let [push, claim, settle] = scripts;
        self.scripts = Some([
            Script::load(wire, push).await?,
            Script::load(wire, claim).await?,
            Script::load(wire, settle).await?,
        ]);
        Ok(())
    }

    fn push(&self, numbers: std::ops::Range<usize>, payload: &Bytes, commands: &mut Commands) {
        let ids: Vec<String> = numbers.map(|number| format!("{number:036}")).collect();
        let arguments: Vec<&[u8]> = ids.iter().flat_map(|id| [id.as_bytes(), payload]).collect();
        self.script(0).call(&[HASH, LIST], &arguments, commands);
    }

    fn claim(&self, count: &[u8], commands: &mut Commands) {
        self.script(1).call(&[LIST, LEASED, HASH], &[count, b"2000000000000"], commands);
    }

    fn settle(&self, claimed: Value, commands: &mut Commands) -> usize {
        let ids = claimed.into_array().into_iter().next().map(Value::into_array).unwrap_or_default();
        let ids: Vec<Bytes> = ids.into_iter().filter_map(Value::into_bytes).collect();
        if !ids.is_empty() {
            let arguments: Vec<&[u8]> = ids.iter().map(AsRef::as_ref).collect();
            self.script(2).call(&[LEASED, HASH], &arguments, commands);
        }
        ids.len()
    }
}

/// Pushes `count` jobs in batches, each of which is sent after the answer to the batch before; adds a permit for each job.
async fn push_all<M: Model>(
    model: &M,
    wire: &mut Wire,
    (count, batch): (usize, usize),
    payload: &Bytes,
    pushed: &Semaphore,
) -> Result<()> {
    let mut commands = Commands::default();
    for start in (0..count).step_by(batch) {
        let numbers = start..count.min(start + batch);
        let size = numbers.len();
        model.push(numbers, payload, &mut commands);
        wire.exchange(&mut commands).await?;
        pushed.add_permits(size);
    }
    Ok(())
}

/// Claims and settles `count` jobs, `batch` at a time, when that many are ready. Each settlement is sent with the next claim.
async fn consume_all<M: Model>(
    model: &M,
    wire: &mut Wire,
    (count, batch): (usize, usize),
    pushed: &Semaphore,
) -> Result<()> {
    let mut commands = Commands::default();
    let mut left = count;
    while left > 0 {
        let size = batch.min(left);
        let permits = u32::try_from(size)?;
        tokio::time::timeout(PATIENCE, pushed.acquire_many(permits)).await??.forget();
        model.claim(size.to_string().as_bytes(), &mut commands);
        let claimed = wire.exchange(&mut commands).await?.pop().ok_or("a claim without a reply")?;
        if model.settle(claimed, &mut commands) != size {
            return Err("the floor has lost jobs".into());
        }
        left -= size;
    }
    wire.exchange(&mut commands).await?;
    Ok(())
}

/// The floor of a push.
pub(crate) struct Push<M> {
    wire: Wire,
    model: M,
    ops: usize,
    batch: usize,
}

impl<M: Model> Push<M> {
    /// `ops` jobs per round in batches of `batch`.
    pub(crate) async fn side(environment: &Environment, model: M, ops: usize, batch: usize) -> Result<Box<dyn Side>> {
        Ok(Box::new(Self { wire: environment.wire().await?, model, ops, batch }))
    }
}

#[async_trait]
impl<M: Model> Side for Push<M> {
    fn name(&self) -> &str {
        self.model.name()
    }

    async fn round(&mut self, environment: &Environment) -> Result<Sample> {
        let (payload, pushed) = (environment.payload(), Semaphore::new(0));
        self.model.prepare(&mut self.wire).await?;
        let work = push_all(&self.model, &mut self.wire, (self.ops, self.batch), &payload, &pushed);
        let sample = environment.measure(self.ops, work).await?;
        environment.remove_keys("floor:").await?;
        Ok(sample)
    }
}

/// The floor of claiming and settling.
pub(crate) struct Consume<M> {
    wire: Wire,
    model: M,
    ops: usize,
    batch: usize,
}

impl<M: Model> Consume<M> {
    /// `ops` jobs per round, claimed `batch` at a time.
    pub(crate) async fn side(environment: &Environment, model: M, ops: usize, batch: usize) -> Result<Box<dyn Side>> {
        Ok(Box::new(Self { wire: environment.wire().await?, model, ops, batch }))
    }
}

#[async_trait]
impl<M: Model> Side for Consume<M> {
    fn name(&self) -> &str {
        self.model.name()
    }

    async fn round(&mut self, environment: &Environment) -> Result<Sample> {
        let pushed = Semaphore::new(0);
        self.model.prepare(&mut self.wire).await?;
        push_all(&self.model, &mut self.wire, (self.ops, 1000), &environment.payload(), &pushed).await?;
        let work = consume_all(&self.model, &mut self.wire, (self.ops, self.batch), &pushed);
        environment.measure(self.ops, work).await
    }
}

/// The floor of a whole life: one connection pushes, another claims and settles, at the same time.
pub(crate) struct Life<M> {
    pusher: Option<Wire>,
    consumer: Wire,
    model: M,
    ops: usize,
    payload: Bytes,
}

impl<M: Model> Life<M> {
    /// `ops` jobs per round, pushed and claimed 100 at a time.
    pub(crate) async fn side(environment: &Environment, model: M, ops: usize, payload: Bytes) -> Result<Box<dyn Side>> {
        Ok(Box::new(Self {
            pusher: Some(environment.wire().await?),
            consumer: environment.wire().await?,
            model,
            ops,
            payload,
        }))
    }

    async fn live(&mut self, payload: Bytes) -> Result<()> {
        let pushed = Arc::new(Semaphore::new(0));
        let mut pusher = self.pusher.take().ok_or("the round before has failed")?;
        let (model, permits, jobs) = (self.model.clone(), Arc::clone(&pushed), (self.ops, 100));
        let pushing = tokio::spawn(async move {
            push_all(&model, &mut pusher, jobs, &payload, &permits).await?;
            Result::Ok(pusher)
        });
        consume_all(&self.model, &mut self.consumer, jobs, &pushed).await?;
        self.pusher = Some(pushing.await??);
        Ok(())
    }
}

#[async_trait]
impl<M: Model> Side for Life<M> {
    fn name(&self) -> &str {
        self.model.name()
    }

    async fn round(&mut self, environment: &Environment) -> Result<Sample> {
        self.model.prepare(&mut self.consumer).await?;
        let (ops, payload) = (self.ops, self.payload.clone());
        environment.measure(ops, self.live(payload)).await
    }
}
