//! The smallest work that sends a payload from one task to another through the server.

use async_trait::async_trait;
use redis_link::{Arg, Link};
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
const RECORDS: &[u8] = b"floor:records";
const CHANNEL: &[u8] = b"floor:channel";

/// The smallest script that stores a payload and hands it over.
const PUBLISH: &str = "redis.call('HSET', KEYS[1], '1', ARGV[2])
redis.call('PUBLISH', ARGV[1], ARGV[2])
return 1";

/// How a payload reaches a consumer.
#[derive(Clone, Copy)]
pub(super) enum Way {
    /// A consumer pops it.
    Pop,
    /// A script stores and publishes it.
    Publish,
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
            Way::Publish => "EVALSHA, PUBLISH",
        }
    }

    async fn round(&mut self, environment: &Environment) -> Result<Sample> {
        let stopwatch = Stopwatch::default();
        let mut consumers = JoinSet::new();
        match self.way {
            Way::Pop => {
                for _ in 0..self.consumers {
                    consumers.spawn(pop(environment.wire().await?, stopwatch.clone()));
                }
            }
            Way::Publish => {
                let mut wire = environment.wire().await?;
                wire.command(&[b"SUBSCRIBE", CHANNEL]).await?;
                consumers.spawn(receive(wire, stopwatch.clone()));
            }
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

/// `LPUSH` and `BRPOP` with the client that the stores use.
pub(super) struct LinkFloor {
    pub(super) link: Link,
    pub(super) pace: Pace,
}

#[async_trait]
impl Side for LinkFloor {
    fn name(&self) -> &str {
        BRPOP_BY_LINK
    }

    async fn round(&mut self, environment: &Environment) -> Result<Sample> {
        let (stopwatch, link) = (Stopwatch::default(), self.link.clone());
        let consumer = tokio::spawn(pop_by_link(link.clone(), stopwatch.clone()));
        let sample = push_by_link(environment, &link, self.pace, &stopwatch).await;
        consumer.abort();
        Ok(stopwatch.add_to(sample?))
    }
}

async fn push(environment: &Environment, way: Way, pace: Pace, stopwatch: &Stopwatch) -> Result<Sample> {
    stopwatch.expect(pace.ops);
    let mut pusher = environment.wire().await?;
    let script = pusher.load(PUBLISH).await?;
    let work = async {
        let mut commands = Commands::default();
        let mut ticks = pace.ticks();
        while let Some(count) = ticks.next().await {
            for _ in 0..count {
                let payload = stopwatch.payload();
                match way {
                    Way::Pop => commands.add([b"LPUSH".as_slice(), LIST, &payload]),
                    Way::Publish => {
                        commands.add([b"EVALSHA".as_slice(), &script, b"1", RECORDS, CHANNEL, &payload]);
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

async fn receive(mut wire: Wire, stopwatch: Stopwatch) -> Result<()> {
    while let Some(payload) = wire.receive().await?.into_array().pop() {
        arrived(&stopwatch, payload)?;
    }
    Ok(())
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

fn arrived(stopwatch: &Stopwatch, payload: Value) -> Result<()> {
    stopwatch.arrived(&payload.into_bytes().ok_or("an answer without a value")?);
    Ok(())
}
