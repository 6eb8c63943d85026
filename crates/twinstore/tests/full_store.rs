//! A state store at `maxmemory`: the fleet that drains it has to start.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use testkit::{RedisServer, wait_until};
use twinstore::heartbeat::PoolName;
use twinstore::name::HolderName;
use twinstore::prelude::*;
use twinstore::queue::QueueInspect;

const PATIENCE: Duration = Duration::from_secs(60);

fn environment(cache: &RedisServer, state: &RedisServer) -> Environment {
    Environment::from_variables([
        ("SERVICE_NAME", "billing".to_owned()),
        ("STORE_ENVIRONMENT", "staging".to_owned()),
        ("REDIS_CONN_BASE_URL", cache.url(None)),
        ("REDIS_CACHE_DB", "3".to_owned()),
        ("REDIS_WORKERCACHE_CONN_URL", state.url(None)),
    ])
}

/// Pushes until the server refuses. How many jobs it took.
async fn fill(stores: &Stores, name: &QueueName) -> u64 {
    let mut pushed = 0;
    loop {
        let jobs: Vec<_> = (0..100).map(|_| NewJob::new(vec![b'1'; 2000])).collect();
        match stores.state().queue().push(name, &jobs, Durability::Accepted).await {
            Ok(_) => pushed += 100,
            Err(Error::Limit { .. }) => return pushed,
            Err(error) => panic!("refused because of the memory, not {error:?}"),
        }
    }
}

async fn info(server: &RedisServer, field: &str) -> u64 {
    server.info("memory").await.unwrap()[field].parse().unwrap()
}

async fn until_empty(inspect: &dyn QueueInspect, name: &QueueName) {
    wait_until("the queue is drained", PATIENCE, async || inspect.counts(name).await.unwrap().pending() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_of_workers_starts_and_drains_a_store_at_maxmemory() {
    let state = RedisServer::state().config("maxmemory", "12mb");
    let (cache, state) = tokio::join!(RedisServer::cache().start(), state.start());
    let (cache, state) = (cache.unwrap(), state.unwrap());
    let environment = environment(&cache, &state);
    let name = QueueName::new("mails").unwrap();
    let producer = Stores::open(&environment).await.unwrap();
    let pushed = fill(&producer, &name).await;
    producer.close().await;
    // Whatever the server can still hold in its own buffers, it now refuses everything that adds.
    let used = info(&state, "used_memory").await;
    state.command(&["CONFIG", "SET", "maxmemory", &(used / 2).to_string()]).await.unwrap();

    let (pool, mut running, mut handles, mut fleet) = (PoolName::new("drain").unwrap(), Vec::new(), Vec::new(), vec![]);
    for member in 0..3 {
        let stores = Stores::open(&environment).await.expect("starts at the brim");
        let worker = stores.state().worker().with_queue("mails", async |_| Ok(Done::discard()));
        let holder = HolderName::new(format!("worker-{member}")).unwrap();
        let worker =
            worker.with_concurrency(16).with_heartbeats(stores.state().heartbeats(), pool.clone()).with_name(holder);
        let worker = worker.build().unwrap();
        handles.push(worker.handle());
        running.push(tokio::spawn(worker.run()));
        fleet.push(stores);
    }
    until_empty(&*fleet[0].state().inspect(), &name).await;
    let completed: u64 = handles.iter().map(|handle| handle.stats().completed).sum();
    assert_eq!(completed, pushed);
    let alive = fleet[0].state().heartbeats().alive(&pool, Default::default()).await.unwrap();
    assert_eq!(alive.items.len(), 3, "heartbeats are taken at the brim");
    for (handle, running) in handles.into_iter().zip(running) {
        handle.shutdown();
        assert!(running.await.unwrap().unwrap().clean);
    }
    assert!(info(&state, "used_memory").await < used / 2, "the memory is free again");
}
