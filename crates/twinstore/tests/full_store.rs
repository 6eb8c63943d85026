//! A state store whose memory is full: it refuses operations that add data, and runs those that drain it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use store_core::{
    AcquireRequest, Acquired, Beat, Begun, ClaimRequest, Extension, Fingerprint, IdempotentRequest, JobLease, Kept,
    Outcome, Settled, Settlement,
};
use testkit::{RedisServer, wait_until};
use twinstore::Bytes;
use twinstore::health::Pressure;
use twinstore::heartbeat::PoolName;
use twinstore::lease::LeaseName;
use twinstore::name::HolderName;
use twinstore::prelude::*;
use twinstore::queue::{JobState, QueueInspect};

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
            Err(Error::Limit { retry_after, .. }) => {
                assert!(retry_after.is_some_and(|wait| wait >= Duration::from_millis(700)), "{retry_after:?}");
                return pushed;
            }
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
    let completed = || handles.iter().map(|handle| handle.stats().completed).sum::<u64>();
    // The server empties the queue before the workers get its last replies.
    wait_until("the workers have counted all jobs", PATIENCE, async || completed() >= pushed).await;
    assert_eq!(completed(), pushed);
    let alive = fleet[0].state().heartbeats().alive(&pool, Default::default()).await.unwrap();
    assert_eq!(alive.items.len(), 3, "heartbeats are taken at the brim");
    for (handle, running) in handles.into_iter().zip(running) {
        handle.shutdown();
        assert!(running.await.unwrap().unwrap().clean);
    }
    assert!(info(&state, "used_memory").await < used / 2, "the memory is free again");
}

const HOUR: Duration = Duration::from_secs(3600);

fn lasting() -> Ttl {
    Ttl::from_secs(3600)
}

fn is_limit<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(error @ Error::Limit { retry_after: Some(_), .. }) if error.is_retryable())
}

async fn stores_on(limit: &str) -> (RedisServer, RedisServer, Stores) {
    let state = RedisServer::state().config("maxmemory", limit);
    let (cache, state) = tokio::join!(RedisServer::cache().start(), state.start());
    let (cache, state) = (cache.unwrap(), state.unwrap());
    let stores = Stores::open(&environment(&cache, &state)).await.unwrap();
    (cache, state, stores)
}

async fn until_critical(stores: &Stores) {
    let mut pressure = stores.state().pressure();
    let critical = pressure.wait_for(|reading| reading.level == Pressure::Critical);
    tokio::time::timeout(PATIENCE, critical).await.expect("it becomes critical").unwrap();
}

/// Claims up to `most` jobs under leases of an hour.
async fn claim(stores: &Stores, name: &QueueName, most: usize) -> Vec<JobLease> {
    let mut leases = Vec::new();
    while leases.len() < most {
        let max = NewJob::MAX_BATCH.min(most - leases.len());
        let request = ClaimRequest::new(name.clone(), HolderName::new("worker").unwrap(), max, HOUR);
        let claimed = stores.state().queue().claim(&request).await.expect("claims run on a full store").jobs;
        if claimed.is_empty() {
            break;
        }
        leases.extend(claimed.into_iter().map(|job| job.lease));
    }
    leases
}

/// How many commands the server has refused because its memory was full.
async fn refused(server: &RedisServer) -> u64 {
    let errors = server.info("errorstats").await.unwrap();
    errors.get("errorstat_OOM").map_or(0, |count| count.trim_start_matches("count=").parse().unwrap())
}

#[tokio::test]
async fn what_adds_data_waits_from_85_percent_on_until_the_store_is_drained() {
    let (_cache, state, stores) = stores_on("12mb").await;
    let name = QueueName::new("mails").unwrap();
    let before = stores.health().await;
    assert!(before.is_ready() && before.accepts_data() && before.state.pressure == Pressure::Normal, "{before:?}");
    let started = stores.state().idempotency();
    let request = |text: &str| IdempotentRequest::new(Key::new(text).unwrap(), Fingerprint::of(b"1"));
    let begun = request("before");
    assert!(matches!(started.begin(&begun, lasting()).await, Ok(Begun::Started)));

    let pushed = fill(&stores, &name).await;
    until_critical(&stores).await;
    let full = stores.health().await;
    assert!(full.is_ready() && !full.accepts_data() && full.state.pressure == Pressure::Critical, "{full:?}");
    assert_eq!(serde_json::to_value(&full).unwrap()["state"]["pressure"], "critical");
    let reading = stores.state().pressure().borrow().clone();
    assert!(reading.used_percent() >= Some(85) && reading.max_memory == Some(12 << 20), "{reading:?}");
    // A pause, because the last refusal may have been the server's.
    let before = refused(&state).await;
    assert!(is_limit(&stores.state().queue().push_one(&name, NewJob::new("1")).await));
    assert!(is_limit(&started.begin(&request("later"), lasting()).await));
    assert_eq!(refused(&state).await, before, "the server was not asked");
    started.finish(&begun, &Bytes::from_static(b"done"), lasting()).await.expect("what has begun is finished");

    let worker = stores.state().worker().with_queue("mails", async |_| Ok(Done::discard())).build().unwrap();
    let handle = worker.handle();
    let running = tokio::spawn(worker.run());
    until_empty(&*stores.state().inspect(), &name).await;
    wait_until("the worker has counted all jobs", PATIENCE, async || handle.stats().completed >= pushed).await;
    assert_eq!(handle.stats().completed, pushed);
    let accepted = async || stores.state().queue().push_one(&name, NewJob::new("1")).await.is_ok();
    wait_until("jobs are accepted again", PATIENCE, accepted).await;
    assert!(stores.health().await.accepts_data());
    handle.shutdown();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn at_maxmemory_the_server_runs_everything_except_what_adds_data() {
    let (_cache, state, stores) = stores_on("256mb").await;
    let (name, holder) = (QueueName::new("mails").unwrap(), HolderName::new("worker").unwrap());
    let (queue, control, inspect) = (stores.state().queue(), stores.state().control(), stores.state().inspect());
    let jobs: Vec<_> = (0..120).map(|_| NewJob::new("1")).collect();
    let _pushed = queue.push(&name, &jobs, Durability::Accepted).await.unwrap();
    let delayed = queue.push_one(&name, NewJob::new("1").with_delay(HOUR)).await.unwrap();
    let leases = stores.state().leases();
    let lease_of = |name: &str| AcquireRequest::new(LeaseName::new(name).unwrap(), holder.clone(), HOUR);
    let Acquired::Yes(held) = leases.acquire(&lease_of("held"), Durability::Accepted).await.unwrap().value else {
        panic!("it is free")
    };
    let requests = stores.state().idempotency();
    let request = |text: &str| IdempotentRequest::new(Key::new(text).unwrap(), Fingerprint::of(b"1"));
    let (finished, abandoned) = (request("finished"), request("abandoned"));
    for begun in [&finished, &abandoned] {
        assert!(matches!(requests.begin(begun, lasting()).await, Ok(Begun::Started)));
    }

    state.set_memory_limit(1).await.unwrap();
    assert!(is_limit(&queue.push_one(&name, NewJob::new("1")).await), "the server refuses it");
    until_critical(&stores).await;
    assert!(is_limit(&queue.push_one(&name, NewJob::new("1")).await), "the library refuses it");
    assert!(is_limit(&requests.begin(&request("new"), lasting()).await));

    let mut claimed = claim(&stores, &name, 100).await;
    assert_eq!(claimed.len(), 100);
    let last = claimed.last().unwrap().clone();
    let extended = queue.extend(&name, &[Extension::new(last).with_progress("half")], HOUR).await.unwrap();
    assert!(extended.len() == 1, "{extended:?}");
    let dead = claimed[0].job.clone();
    let outcomes = [
        Outcome::Dead { reason: "failed".to_owned() },
        Outcome::Complete(None),
        Outcome::Complete(Some(Kept::new("result", HOUR))),
        Outcome::Retry { after: HOUR, error: "later".to_owned() },
        Outcome::Snooze { after: HOUR },
        Outcome::Release,
        Outcome::Cancelled,
    ];
    for outcome in outcomes {
        let settled = queue.settle_one(&name, claimed.remove(0), outcome.clone()).await;
        assert!(matches!(settled, Ok(settled) if settled != Settled::Lost), "{outcome:?}: {settled:?}");
    }
    control.cancel(&name, &claimed[0].job).await.unwrap();
    control.promote(&name, &[delayed.id().unwrap().clone()]).await.unwrap();
    control.pause(&name).await.unwrap();
    control.resume(&name).await.unwrap();
    control.replay(&name, std::slice::from_ref(&dead)).await.unwrap();
    control.delete(&name, &[dead]).await.unwrap();
    inspect.counts(&name).await.unwrap();
    inspect.get(&name, &claimed[0].job).await.unwrap();
    inspect.list(&name, JobState::Running, Default::default()).await.unwrap();
    inspect.explain(&name, &claimed[0].job).await.unwrap();

    assert!(leases.renew(&held, HOUR).await.unwrap().is_some());
    assert!(leases.release(&held).await.unwrap());
    assert!(
        !leases.acquire(&lease_of("new"), Durability::Accepted).await.unwrap().value.is_taken(),
        "who drains may lead"
    );
    leases.inspect(&LeaseName::new("new").unwrap()).await.unwrap();
    let (heartbeats, pool) = (stores.state().heartbeats(), PoolName::new("drain").unwrap());
    heartbeats.beat(&Beat::new(pool.clone(), holder.clone(), HOUR)).await.unwrap();
    assert_eq!(heartbeats.alive(&pool, Default::default()).await.unwrap().items.len(), 1);
    assert!(heartbeats.leave(&pool, &holder).await.unwrap());
    assert!(requests.prolong(&finished, lasting()).await.unwrap());
    requests.finish(&finished, &Bytes::from_static(b"done"), lasting()).await.unwrap();
    assert!(requests.abandon(&abandoned).await.unwrap());
}

/// The memory that the server compares with its limit: without the buffer of the append-only file, which grows while the disk is slow.
async fn used(server: &RedisServer) -> u64 {
    let memory = server.info("memory").await.unwrap();
    let [used, uncounted] =
        ["used_memory", "mem_not_counted_for_evict"].map(|field| memory[field].parse::<u64>().unwrap());
    used - uncounted
}

/// Tests the reserve between 85 % and the limit: a fleet fills the store, holds `running` jobs, and completes each of them with a
/// result that is kept. Returns the most memory that the server used meanwhile, in percent of its limit.
async fn peak_of_completing(payload: usize, running: usize, result: usize) -> u64 {
    let (_cache, state, stores) = stores_on("48mb").await;
    let name = QueueName::new("mails").unwrap();
    let limit = info(&state, "maxmemory").await;
    let jobs: Vec<_> = (0..500).map(|_| NewJob::new(vec![b'1'; payload])).collect();
    let room = async || limit * 84 / 100 > used(&state).await;
    while room().await {
        let _pushed = stores.state().queue().push(&name, &jobs, Durability::Accepted).await.unwrap();
    }
    let claimed = claim(&stores, &name, running).await;
    assert_eq!(claimed.len(), running);
    while stores.state().queue().push(&name, &jobs[..20], Durability::Accepted).await.is_ok() {}
    until_critical(&stores).await;
    let before = used(&state).await;
    // A link samples the server every 20 ms at most. In this time it sends up to 3 MB here: 6 % of a limit of 48 MB.
    assert!(before * 100 > limit * 85 && before * 100 < limit * 94, "{before} of {limit}");
    let mut peak = before;
    for some in claimed.chunks(500) {
        let settle = |lease: &JobLease| {
            Settlement::new(lease.clone(), Outcome::Complete(Some(Kept::new(vec![b'2'; result], HOUR))))
        };
        let settlements: Vec<_> = some.iter().map(settle).collect();
        let settled = stores.state().queue().settle(&name, &settlements, Durability::Accepted).await.unwrap().value;
        assert!(settled.iter().all(|settled| *settled == Settled::Done), "{settled:?}");
        peak = peak.max(used(&state).await);
    }
    peak * 100 / limit
}

#[tokio::test]
async fn the_reserve_suffices_to_complete_what_is_running() {
    for (payload, running, result) in [(2000, 10_000, 100), (2000, 1000, 4000), (50, 10_000, 100)] {
        let peak = peak_of_completing(payload, running, result).await;
        assert!(peak < 100, "{peak} % of the limit");
    }
}
