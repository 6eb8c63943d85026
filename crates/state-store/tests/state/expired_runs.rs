//! Many runs that expire on the server's own clock.

use std::time::Duration;

use store_core::{RunFilter, Runs, Ttl};
use testkit::{RedisServer, wait_until};

use crate::open;
use crate::runs::{create, id, new};
use state_store::{StateOptions, StateStore};

/// How many are created at the same time.
const TASKS: usize = 200;
/// A hash lasts a little longer than its run, and a sweep waits 10 s, by the server's clock.
const PATIENCE: Duration = Duration::from_secs(1200);

/// Creates so many runs with an input of 100 bytes, in ten sessions.
async fn create_runs(store: &StateStore, from: usize, count: usize) {
    // Longer than it takes to create them: each creation sweeps runs that have expired.
    let ttl = Ttl::from_secs(30 + u32::try_from(count).unwrap() / 4000);
    let tasks = (0..TASKS).map(|task| {
        let store = store.clone();
        tokio::spawn(async move {
            for number in (from + task..from + count).step_by(TASKS) {
                let run = new(&number.to_string()).with_ttl(ttl).with_input("x".repeat(100));
                let session = store_core::SessionId::new(format!("session-{}", number % 10)).unwrap();
                assert!(create(&store, &run.in_session(session)).await.unwrap().done().is_some());
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

/// Waits until the server holds no run, and sweeps until no entry is left. Returns how many sweeps it took.
async fn sweep_all(server: &RedisServer, store: &StateStore) -> u64 {
    // The record of the layouts, the listing of ends, and those of all runs, of the agent, and of ten sessions alone and with the agent.
    let has_no_run = async || server.command(&["DBSIZE"]).await.unwrap().as_integer().unwrap() <= 24;
    wait_until("every run has expired", PATIENCE, has_no_run).await;
    let mut sweeps = 0;
    wait_until("no entry is left", PATIENCE, async || {
        sweeps += 1;
        store.sweep().await.unwrap();
        store.list(&RunFilter::default(), Default::default()).await.unwrap().total == 0
    })
    .await;
    sweeps
}

/// The memory of the server, in bytes.
async fn used(server: &RedisServer) -> f64 {
    let info = server.command(&["INFO", "memory"]).await.unwrap();
    let info = String::from_utf8_lossy(info.as_bytes().unwrap()).into_owned();
    info.lines().find_map(|line| line.strip_prefix("used_memory:")?.trim().parse().ok()).unwrap()
}

/// `TWINSTORE_RUNS=1000000 cargo test -p state-store --test state -- --ignored expired_runs --nocapture`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: the runs expire on the server's clock; by hand, before a release"]
#[allow(clippy::print_stdout, reason = "it measures")]
async fn expired_runs_leave_no_key_no_entry_and_no_memory() {
    let runs = std::env::var("TWINSTORE_RUNS").map_or(20_000, |count| count.parse().unwrap());
    let server = RedisServer::state().config("appendonly", "no").config("maxmemory", "4gb").start().await.unwrap();
    let store = open(&server.url(None), StateOptions::default()).await.unwrap();
    // The first ones load the scripts and grow the buffers.
    create_runs(&store, runs, TASKS * 5).await;
    sweep_all(&server, &store).await;
    let (keys, before) = (server.command(&["DBSIZE"]).await.unwrap(), used(&server).await);

    let began = std::time::Instant::now();
    create_runs(&store, 0, runs).await;
    let (created, most) = (began.elapsed(), used(&server).await);
    let sweeps = sweep_all(&server, &store).await;
    let mut after = most;
    // The server's tables of keys shrink step by step.
    let is_free = async || {
        after = used(&server).await;
        after - before < 0.02 * (most - before)
    };
    wait_until("all but 2 % of what the runs took is free again", Duration::from_secs(60), is_free).await;
    println!(
        "{runs} runs created in {created:?}; {before} bytes before, {most} with them, {after} after {sweeps} sweeps"
    );
    assert_eq!(server.command(&["DBSIZE"]).await.unwrap(), keys);
    assert_eq!(store.get(&id("0")).await.unwrap(), None);
}
