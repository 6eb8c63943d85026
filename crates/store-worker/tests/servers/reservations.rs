//! What a worker reserves over several queues and partitions: never more than it has free handlers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use store_core::{JobState, NewJob, PageRequest, QueueExt, QueueInspect, QueueName};
use store_worker::{Done, Job, Worker};
use testkit::{DEADLINE, RedisServer, wait_until};
use tokio::sync::Semaphore;

use super::{HOUR, Running, open, queue};

/// Registrations last 10 s: a job that starts within this time did not wait for the end of one, also on a slow machine.
const SOON: Duration = Duration::from_secs(3);

/// A worker that runs as many handlers as it may, and none of which has ended for this long, passes its notification on: it claims the
/// job that waits, and gives it back. This needs no place, and is none of its jobs.
const SATURATED: Duration = Duration::from_millis(50);

/// Counts leased jobs in all queues and partitions. Each job is pushed alone, so it has an entry of its own.
const LEASED: &str = "local n = 0
for _, key in ipairs(redis.call('KEYS', '*:leased')) do n = n + redis.call('ZCARD', key) end
return n";

async fn leased(server: &RedisServer) -> i64 {
    server.command(&["EVAL", LEASED, "0"]).await.unwrap().as_integer().unwrap()
}

/// Of each registration: its key, and how many jobs it reserves.
async fn registrations(server: &RedisServer) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for key in server.command(&["KEYS", "*:waiters"]).await.unwrap().as_strings().unwrap() {
        let values = server.command(&["HVALS", &key]).await.unwrap().into_array();
        // Six bytes for the end of the registration, then two for how many jobs it reserves.
        let reserve = |bytes: &[u8]| usize::from(u16::from_be_bytes([bytes[6], bytes[7]]));
        found.extend(values.iter().map(|value| (key.clone(), reserve(value.as_bytes().unwrap()))));
    }
    found
}

/// How many handlers have begun, and the gate that lets them end.
#[derive(Clone)]
struct Handlers {
    begun: Arc<AtomicU64>,
    gate: Arc<Semaphore>,
}

/// A worker of these queues whose handlers stay until the test lets them end.
fn worker(store: &state_store::StateStore, names: &[&str], concurrency: usize) -> (Running, Handlers) {
    let handlers = Handlers { begun: Arc::default(), gate: Arc::new(Semaphore::new(0)) };
    let builder = Worker::new(Arc::new(store.clone())).with_concurrency(concurrency).with_prefetch(0).with_lease(HOUR);
    let builder = names.iter().fold(builder, |builder, name| {
        let handlers = handlers.clone();
        builder.with_queue(*name, move |_: Job| {
            let handlers = handlers.clone();
            async move {
                handlers.begun.fetch_add(1, Ordering::SeqCst);
                handlers.gate.acquire().await.unwrap().forget();
                Ok(Done::discard())
            }
        })
    });
    (Running::start(builder), handlers)
}

/// Pushes one job more than the worker has handlers, at the same time, again and again, while the worker registers after the jobs
/// before. In each round, no job's handler has ended when the leases are counted. (A job whose handler has ended is leased until
/// its settlement is executed, and the next claim does not wait for that.)
async fn no_more_jobs_are_leased_than_handlers(names: &[&str], partitions: u16, concurrency: usize) {
    let server = RedisServer::state().start().await.unwrap();
    let store = open(&server.url(None), partitions, Duration::from_secs(10)).await;
    let mut producers = Vec::new();
    for _ in 0..=concurrency {
        producers.push(open(&server.url(None), partitions, Duration::from_secs(10)).await);
    }
    let (running, handlers) = worker(&store, names, concurrency);
    let queues: Vec<_> = names.iter().map(|name| QueueName::new(*name).unwrap()).collect();
    let (mut longest, mut begun, most) = (Duration::ZERO, 0, concurrency as u64);
    let mut passed_on = 0;
    for round in 0..150_usize {
        // At another time after the last job in each round.
        let pause = Duration::from_micros(spread(round) % 3000);
        let _ = tokio::time::timeout(pause, std::future::pending::<()>()).await;
        let began = Instant::now();
        let mut pushes = tokio::task::JoinSet::new();
        for (number, producer) in producers.iter().enumerate() {
            let (producer, queue) = (producer.clone(), queues[(round + number) % queues.len()].clone());
            pushes.spawn(async move { producer.push_one(&queue, NewJob::new("")).await.unwrap() });
        }
        while began.elapsed() < Duration::from_millis(4) || handlers.begun.load(Ordering::SeqCst) < begun + most {
            let leased = leased(&server).await;
            let after = began.elapsed();
            let most_leased = concurrency as i64 + i64::from(after >= SATURATED);
            assert!(leased <= most_leased, "{leased} jobs are leased in round {round} after {after:?}");
            assert!(began.elapsed() < DEADLINE, "a handler is free in round {round}");
        }
        longest = longest.max(began.elapsed());
        pushes.join_all().await;
        handlers.gate.add_permits(1);
        let freed = Instant::now();
        begun += most + 1;
        wait_until("the last one begins", DEADLINE, async || handlers.begun.load(Ordering::SeqCst) == begun).await;
        longest = longest.max(freed.elapsed());
        passed_on += began.elapsed().as_millis() / SATURATED.as_millis();
        handlers.gate.add_permits(concurrency);
        wait_until("settled", DEADLINE, async || leased(&server).await == 0).await;
    }
    assert!(longest < SOON, "a job waited for {longest:?} for a free handler");
    let released = running.handle.stats().released;
    assert!(
        u128::from(released) <= passed_on,
        "{released} jobs were given back, and {passed_on} may have been passed on"
    );
    running.shutdown().await;
}

/// Numbers that differ from round to round, the same in each run.
fn spread(round: usize) -> u64 {
    (round as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_two_queues_has_no_more_jobs_than_handlers() {
    no_more_jobs_are_leased_than_handlers(&["mails", "orders"], 1, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_twelve_partitions_has_no_more_jobs_than_handlers() {
    for concurrency in [1, 6] {
        no_more_jobs_are_leased_than_handlers(&["mails"], 12, concurrency).await;
    }
}

#[tokio::test]
async fn a_job_starts_although_another_queue_reserves_the_only_handler() {
    let server = RedisServer::state().start().await.unwrap();
    let store = open(&server.url(None), 1, Duration::from_secs(10)).await;
    let names = ["first", "second", "third"];
    let (running, handlers) = worker(&store, &names, 1);
    wait_until("registered", DEADLINE, async || registrations(&server).await.len() == names.len()).await;
    for job in 1..=6 {
        let reserves = async || registrations(&server).await.iter().map(|(_, reserve)| *reserve).sum::<usize>() == 1;
        wait_until("one reserves the handler", DEADLINE, reserves).await;
        let all = registrations(&server).await;
        let (key, _) = all.iter().find(|(_, reserve)| *reserve == 0).unwrap();
        let name = names.into_iter().find(|name| key.contains(name)).unwrap();
        let pushed = Instant::now();
        store.push_one(&QueueName::new(name).unwrap(), NewJob::new("")).await.unwrap();
        wait_until("begun", DEADLINE, async || handlers.begun.load(Ordering::SeqCst) == job).await;
        assert!(pushed.elapsed() < SOON, "{:?}", pushed.elapsed());
        let reserved: usize = registrations(&server).await.iter().map(|(_, reserve)| *reserve).sum();
        assert_eq!(reserved, 0, "the only handler works");
        handlers.gate.add_permits(1);
        wait_until("settled", DEADLINE, async || leased(&server).await == 0).await;
    }
    running.shutdown().await;
}

/// All handlers but one are reserved; then the jobs of one partition need the places that the others reserve.
#[tokio::test]
async fn partitions_give_up_their_reservations_for_jobs_in_one_of_them() {
    let server = RedisServer::state().start().await.unwrap();
    let store = open(&server.url(None), 12, Duration::from_secs(10)).await;
    let (running, handlers) = worker(&store, &["mails"], 24);
    let reserved = async || registrations(&server).await.iter().map(|(_, reserve)| *reserve).sum::<usize>() == 23;
    wait_until("all handlers but one are reserved", DEADLINE, reserved).await;
    let began = Instant::now();
    // One push is of one partition.
    let jobs: Vec<_> = (0..30).map(|_| NewJob::new("")).collect();
    let _receipt = store_core::Queue::push(&store, &queue(), &jobs, store_core::Durability::Accepted).await.unwrap();
    wait_until("all handlers work", DEADLINE, async || handlers.begun.load(Ordering::SeqCst) == 24).await;
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    let ready = store.list(&queue(), JobState::Ready, PageRequest::default()).await.unwrap().items;
    assert_eq!((ready.len(), store.counts(&queue()).await.unwrap().running), (6, 24));
    assert!(ready.iter().all(|job| job.attempts == 0), "{ready:?}");
    handlers.gate.add_permits(30);
    wait_until("done", DEADLINE, async || running.handle.stats().completed == 30).await;
    running.shutdown().await;
}
