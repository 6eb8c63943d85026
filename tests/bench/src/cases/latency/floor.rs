//! The smallest work that sends a payload from one task to another through the server.

use async_trait::async_trait;
use redis_link::{Arg, Link, Script};
use store_core::Op;
use tokio::task::JoinSet;

use super::{Pace, Stopwatch};
use crate::Result;
use crate::case::Side;
use crate::environment::{Engine, Environment, Settings};
use crate::figure::Sample;
use crate::wire::{Commands, Wire};
use testkit::Value;

/// `LPUSH` and `BRPOP` with the smallest client.
pub(super) const BRPOP: &str = "BRPOP";
/// `LPUSH` and `BRPOP` with the client that the stores use.
pub(super) const BRPOP_BY_LINK: &str = "BRPOP by the link";

const LIST: &[u8] = b"floor:list";
const WAKE: &[u8] = b"floor:wake";
const BATCH: usize = 50;

const PUSH: &str = "redis.call('RPUSH', KEYS[1], ARGV[1])
if redis.call('LLEN', KEYS[2]) == 0 then redis.call('RPUSH', KEYS[2], '1') end
return 1";

static CLAIM: Script =
    Script::new("bench/claim", "return { 'claimed', unpack(redis.call('LPOP', KEYS[1], ARGV[1]) or {}) }");

/// How many round trips a consumer needs to get a payload.
#[derive(Clone, Copy)]
pub(super) enum Way {
    /// One: it pops the payload.
    Pop,
    /// Two: it is woken, and takes the payload by a script.
    WakeAndClaim,
}

/// With the smallest client.
pub(super) struct Floor {
    pub(super) way: Way,
    pub(super) consumers: usize,
    pub(super) pace: Pace,
}

#[async_trait]
impl Side for Floor {
    fn name(&self) -> &str {
        match self.way {
            Way::Pop => BRPOP,
            Way::WakeAndClaim => "BLPOP, EVALSHA",
        }
    }

    async fn round(&mut self, environment: &Environment) -> Result<Sample> {
        let stopwatch = Stopwatch::default();
        let mut consumers = JoinSet::new();
        for _ in 0..self.consumers {
            let (wire, stopwatch) = (environment.wire().await?, stopwatch.clone());
            match self.way {
                Way::Pop => consumers.spawn(pop(wire, stopwatch)),
                Way::WakeAndClaim => consumers.spawn(wake_and_claim(wire, stopwatch)),
            };
        }
        let sample = push(environment, self.way, self.pace, &stopwatch).await?;
        consumers.abort_all();
        Ok(stopwatch.add_to(sample))
    }
}

/// The smallest client and a server of the floor's own, for an engine that has no server.
pub(super) struct OnOwnServer {
    environment: Environment,
    floor: Floor,
}

impl OnOwnServer {
    /// With an empty server.
    pub(super) async fn new(settings: &Settings, floor: Floor) -> Result<Self> {
        Ok(Self { environment: Environment::make(Engine::Redis, settings).await?, floor })
    }
}

#[async_trait]
impl Side for OnOwnServer {
    fn name(&self) -> &str {
        self.floor.name()
    }

    async fn round(&mut self, _: &Environment) -> Result<Sample> {
        self.floor.round(&self.environment).await
    }
}

/// With the client that the stores use.
pub(super) struct LinkFloor {
    pub(super) link: Link,
    pub(super) way: Way,
    pub(super) pace: Pace,
}

#[async_trait]
impl Side for LinkFloor {
    fn name(&self) -> &str {
        match self.way {
            Way::Pop => BRPOP_BY_LINK,
            Way::WakeAndClaim => "the same by the link",
        }
    }

    async fn round(&mut self, environment: &Environment) -> Result<Sample> {
        let (stopwatch, link) = (Stopwatch::default(), self.link.clone());
        let (consumer, sample) = match self.way {
            Way::Pop => {
                let consumer = tokio::spawn(pop_by_link(link.clone(), stopwatch.clone()));
                (consumer, push_by_link(environment, &link, self.pace, &stopwatch).await)
            }
            Way::WakeAndClaim => {
                let consumer = tokio::spawn(wake_and_claim_by_link(link, stopwatch.clone()));
                (consumer, push(environment, Way::WakeAndClaim, self.pace, &stopwatch).await)
            }
        };
        consumer.abort();
        Ok(stopwatch.add_to(sample?))
    }
}

async fn push(environment: &Environment, way: Way, pace: Pace, stopwatch: &Stopwatch) -> Result<Sample> {
    stopwatch.expect(pace.ops);
    let mut pusher = environment.wire().await?;
    let script = pusher.load(PUSH).await?;
    let work = async {
        let mut commands = Commands::default();
        let mut ticks = pace.ticks();
        while let Some(count) = ticks.next().await {
            for _ in 0..count {
                let payload = stopwatch.payload();
                match way {
                    Way::Pop => commands.add([b"LPUSH".as_slice(), LIST, &payload]),
                    Way::WakeAndClaim => {
                        commands.add([b"EVALSHA".as_slice(), &script, b"2", LIST, WAKE, &payload]);
                    }
                }
            }
            pusher.exchange(&mut commands).await?;
        }
        stopwatch.wait().await
    };
    environment.measure(pace.ops, work).await
}

async fn push_by_link(environment: &Environment, link: &Link, pace: Pace, stopwatch: &Stopwatch) -> Result<Sample> {
    stopwatch.expect(pace.ops);
    let work = async {
        let mut ticks = pace.ticks();
        while let Some(count) = ticks.next().await {
            for _ in 0..count {
                link.command(Op::QueuePush, "LPUSH", vec![Arg::from(LIST), Arg::from(stopwatch.payload())]).await?;
            }
        }
        stopwatch.wait().await
    };
    environment.measure(pace.ops, work).await
}

async fn pop(mut wire: Wire, stopwatch: Stopwatch) -> Result<()> {
    while let Some(payload) = wire.command(&[b"BRPOP", LIST, b"0"]).await?.into_array().pop() {
        arrived(&stopwatch, payload)?;
    }
    Ok(())
}

async fn wake_and_claim(mut wire: Wire, stopwatch: Stopwatch) -> Result<()> {
    let (script, batch) = (wire.load(CLAIM.source()).await?, BATCH.to_string());
    loop {
        wire.command(&[b"BLPOP", WAKE, b"0"]).await?;
        let claimed = wire.command(&[b"EVALSHA", &script, b"1", LIST, batch.as_bytes()]).await?;
        claimed.into_array().into_iter().skip(1).try_for_each(|payload| arrived(&stopwatch, payload))?;
    }
}

async fn pop_by_link(link: Link, stopwatch: Stopwatch) -> Result<()> {
    let longest = std::time::Duration::from_secs(60);
    loop {
        let popped =
            link.blocking(Op::QueueWait, "BRPOP", vec![Arg::from(LIST), Arg::seconds(longest)], longest).await?;
        let mut reply = popped.ok_or("no job came")?.reader(Op::QueueWait);
        reply.next_bytes()?;
        stopwatch.arrived(&reply.next_bytes()?);
    }
}

async fn wake_and_claim_by_link(link: Link, stopwatch: Stopwatch) -> Result<()> {
    let longest = std::time::Duration::from_secs(60);
    loop {
        link.blocking(Op::QueueWait, "BLPOP", vec![Arg::from(WAKE), Arg::seconds(longest)], longest).await?;
        let answer = link.call(Op::QueueClaim, &CLAIM, &[LIST], vec![Arg::from(BATCH)]).await?;
        let mut reply = answer.reader(Op::QueueClaim);
        reply.next_word()?;
        while reply.remaining() > 0 {
            stopwatch.arrived(&reply.next_bytes()?);
        }
    }
}

fn arrived(stopwatch: &Stopwatch, payload: Value) -> Result<()> {
    stopwatch.arrived(&payload.into_bytes().ok_or("an answer without a value")?);
    Ok(())
}
