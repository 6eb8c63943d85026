//! Values of the cache store: get, get many, set.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use store_core::{CacheRole, Entry, Key, Ttl};

use crate::Result;
use crate::case::{Case, Plan, Side};
use crate::environment::{Engine, Environment};
use crate::figure::{Bound, PER_SECOND, SERVER_MICROS, Target};
use crate::floor::{Pipelined, RedisBenchmark, Sends};
use crate::load::Tasks;
use crate::wire::Wire;

const REDIS_RS: &str = "redis-rs";
const KEYS: usize = 10_000;
const VALUE_BYTES: usize = 64;
/// Keys per call of get many.
const MANY: usize = 100;

#[derive(Clone, Copy)]
enum What {
    Get,
    GetMany,
    Set,
}

struct KeyValueCase {
    what: What,
    engine: Engine,
}

pub(super) fn cases() -> Vec<Box<dyn Case>> {
    let mut cases: Vec<Box<dyn Case>> = Vec::new();
    for what in [What::Get, What::GetMany, What::Set] {
        for engine in Engine::ALL {
            cases.push(Box::new(KeyValueCase { what, engine }));
        }
    }
    cases
}

#[async_trait]
impl Case for KeyValueCase {
    fn plan(&self) -> Plan {
        let plan = match self.what {
            What::Get => Plan::new("get", "one value of 64 bytes, from 500 tasks").with_headline(PER_SECOND),
            What::GetMany => Plan::new("get-many-100", "100 values of 64 bytes in one call, from 50 tasks"),
            What::Set => Plan::new("set", "one value of 64 bytes with its TTL, from 50 tasks"),
        };
        match (self.what, self.engine) {
            (What::Get, Engine::Redis) => {
                plan.with_target(Target::new(PER_SECOND, Bound::AtLeastTimes(0.6, REDIS_RS))).with_also(SERVER_MICROS)
            }
            _ => plan.on(self.engine),
        }
    }

    async fn open(&self, environment: &Environment) -> Result<Vec<Box<dyn Side>>> {
        let cache = environment.stores().await?.cache;
        let keys = (0..KEYS).map(|number| Ok(Key::new(format!("key-{number}"))?)).collect::<Result<Arc<[Key]>>>()?;
        let value = environment.texts(1, VALUE_BYTES).remove(0);
        fill(cache.as_ref(), &keys, &value).await?;
        let has_floor = self.engine == Engine::Redis;
        if has_floor {
            fill_floor(&mut environment.wire().await?, &value).await?;
        }
        match self.what {
            What::Get => get(environment, cache, keys, has_floor).await,
            What::GetMany => get_many(environment, cache, keys, has_floor).await,
            What::Set => set(environment, cache, (keys, value), has_floor).await,
        }
    }
}

async fn fill(cache: &dyn CacheRole, keys: &[Key], value: &Bytes) -> Result<()> {
    for some in keys.chunks(1000) {
        let entries: Vec<_> = some.iter().map(|key| Entry::new(key.clone(), value.clone(), ttl())).collect();
        cache.set_many(&entries).await?;
    }
    Ok(())
}

async fn fill_floor(wire: &mut Wire, value: &[u8]) -> Result<()> {
    let mut commands = crate::wire::Commands::default();
    for number in 0..KEYS {
        commands.add([b"SET".as_slice(), floor_key(number).as_bytes(), value, b"PX", b"3600000"]);
    }
    wire.exchange(&mut commands).await?;
    Ok(())
}

fn ttl() -> Ttl {
    Ttl::from_secs(3600)
}

fn floor_key(number: usize) -> String {
    format!("floor:key-{}", number % KEYS)
}

async fn get(
    environment: &Environment,
    cache: Arc<dyn CacheRole>,
    keys: Arc<[Key]>,
    has_floor: bool,
) -> Result<Vec<Box<dyn Side>>> {
    let (tasks, ops) = (500, environment.size(200_000));
    let ours = Tasks::ours(tasks, ops, move |number| {
        let (cache, keys) = (Arc::clone(&cache), Arc::clone(&keys));
        async move {
            let found = cache.get_many(std::slice::from_ref(&keys[number % KEYS])).await?;
            if matches!(found.as_slice(), [Some(_)]) { Ok(()) } else { Err("a value is missing".into()) }
        }
    });
    let mut sides = vec![ours];
    if has_floor {
        let client = redis::Client::open(environment.server()?.url(None))?;
        let connection = client.get_multiplexed_async_connection().await?;
        // made before the clock starts, like those of this library's side
        let keys: Arc<[String]> = (0..KEYS).map(floor_key).collect();
        sides.push(Tasks::named(REDIS_RS, tasks, ops, move |number| {
            let (mut connection, keys): (MultiplexedConnection, _) = (connection.clone(), Arc::clone(&keys));
            async move {
                let found: Option<Vec<u8>> =
                    redis::cmd("GET").arg(&keys[number % KEYS]).query_async(&mut connection).await?;
                if found.is_some() { Ok(()) } else { Err("a value is missing".into()) }
            }
        }));
        let wire = environment.wire().await?;
        let floor = Pipelined::new(wire, "GET", tasks, ops, |number, _, commands| {
            commands.add([b"GET".as_slice(), floor_key(number).as_bytes()]);
        });
        sides.push(floor.side());
        sides.extend(RedisBenchmark::sides(Sends::Get, ops, &environment.texts(1, VALUE_BYTES).remove(0)));
    }
    Ok(sides)
}

async fn get_many(
    environment: &Environment,
    cache: Arc<dyn CacheRole>,
    keys: Arc<[Key]>,
    has_floor: bool,
) -> Result<Vec<Box<dyn Side>>> {
    let (tasks, ops) = (50, environment.size(5_000));
    let ours = Tasks::ours(tasks, ops, move |number| {
        let (cache, keys) = (Arc::clone(&cache), Arc::clone(&keys));
        async move {
            let start = number * MANY % KEYS;
            let found = cache.get_many(&keys[start..start + MANY]).await?;
            if found.iter().all(Option::is_some) { Ok(()) } else { Err("a value is missing".into()) }
        }
    });
    let mut sides = vec![ours];
    if has_floor {
        let floor = Pipelined::new(environment.wire().await?, "MGET", tasks, ops, |number, _, commands| {
            let keys: Vec<String> = (number * MANY..(number + 1) * MANY).map(floor_key).collect();
            let mut command: Vec<&[u8]> = vec![b"MGET"];
            command.extend(keys.iter().map(String::as_bytes));
            commands.add(command);
        });
        sides.push(floor.side());
    }
    Ok(sides)
}

async fn set(
    environment: &Environment,
    cache: Arc<dyn CacheRole>,
    (keys, value): (Arc<[Key]>, Bytes),
    has_floor: bool,
) -> Result<Vec<Box<dyn Side>>> {
    let (tasks, ops, floor_value) = (50, environment.size(50_000), value.clone());
    let ours = Tasks::ours(tasks, ops, move |number| {
        let (cache, entry) = (Arc::clone(&cache), Entry::new(keys[number % KEYS].clone(), value.clone(), ttl()));
        async move { Ok(cache.set_many(&[entry]).await?) }
    });
    let mut sides = vec![ours];
    if has_floor {
        let floor = Pipelined::new(environment.wire().await?, "SET PX", tasks, ops, move |number, _, commands| {
            commands.add([b"SET".as_slice(), floor_key(number).as_bytes(), &floor_value, b"PX", b"3600000"]);
        });
        sides.push(floor.side());
        sides.extend(RedisBenchmark::sides(Sends::Set, ops, &environment.texts(1, VALUE_BYTES).remove(0)));
    }
    Ok(sides)
}
