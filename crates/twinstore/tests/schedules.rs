//! Eight processes fire the same 50 schedules through a minute of injected time, and a worker completes the jobs meanwhile. One process
//! is killed, one is suspended, and the server is killed and started again.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "the processes report to the test")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use redis_link::{Link, LinkConfig, ServerUrl};
use state_store::{StateOptions, StateStore};
use store_core::{
    CatchUp, ClaimRequest, Clock, Durability, Firing, HolderName, ManualClock, NewJob, Outcome, Queue, QueueName,
    Schedule, ScheduleName, Schedules, ServiceName, Settled, Settlement, Timestamp,
};
use store_worker::Scheduler;
use testkit::{DEADLINE, Program, RedisServer, RunningProgram, wait_until};

const PROCESSES: usize = 8;
/// The injected time begins at a multiple of 60 s.
const BEGIN: u64 = 1_800_000_000;
const SECONDS: u64 = 60;
/// Nobody fires after the first of these seconds and before the second one.
const OUTAGE: (u64, u64) = (30, 47);
/// How late the last time fires under [`CatchUp::Skip`].
const GRACE: u64 = 2;

/// Half of the schedules catch up all, a quarter once, and a quarter skip, with intervals of 1 to 5 s, and cron expressions.
fn schedules() -> Vec<(String, u64, CatchUp)> {
    let policies = [CatchUp::All(100), CatchUp::All(100), CatchUp::One, CatchUp::Skip];
    (0..50).map(|number| (format!("schedule-{number}"), number % 5 + 1, policies[number as usize % 4])).collect()
}

fn schedule(name: &str, seconds: u64, catch_up: CatchUp) -> Schedule {
    let job = NewJob::new(name.to_owned());
    let schedule = match seconds {
        5 => Schedule::cron("*/5 * * * * *", "Europe/Berlin", job).unwrap(),
        _ => Schedule::every(Duration::from_secs(seconds), job).unwrap(),
    };
    schedule.with_catch_up(catch_up).with_grace(Duration::from_secs(GRACE))
}

fn queue() -> QueueName {
    QueueName::new("reports").unwrap()
}

async fn open(url: &str) -> (Arc<StateStore>, ManualClock) {
    let clock = ManualClock::new(Timestamp::from_millis(BEGIN * 1000));
    let config = LinkConfig::new(ServerUrl::parse(url).unwrap(), "tests:schedules");
    let link = Link::connect(config.with_command_timeout(Duration::from_millis(500))).await.unwrap();
    let options = StateOptions::default().with_clock(Clock::Manual(clock.clone()));
    let (namespace, service) = (store_core::Namespace::new("test").unwrap(), ServiceName::new("reports").unwrap());
    (Arc::new(StateStore::open(link, namespace, service, options).await.unwrap()), clock)
}

/// Not a test: what each process does, if a test has started it. The file has the second of the injected time.
#[tokio::test]
async fn process() {
    let Ok(url) = std::env::var("TEST_SCHEDULES_URL") else { return };
    let file = std::env::var("TEST_SCHEDULES_CLOCK").unwrap();
    let (store, clock) = open(&url).await;
    let scheduler = Scheduler::new(store).with_queue(queue());
    let (mut pace, mut second) = (tokio::time::interval(Duration::from_millis(5)), 0);
    while second < SECONDS {
        pace.tick().await;
        let target = std::fs::read_to_string(&file).unwrap().parse().unwrap();
        if target == second {
            continue;
        }
        clock.advance(Duration::from_secs(target - second));
        second = target;
        while scheduler.tick().await.is_err() {
            pace.tick().await;
        }
        println!("at {second}");
    }
    println!("done");
}

fn start(url: &str, clock: &Path) -> RunningProgram {
    let program = Program::new(std::env::current_exe().unwrap());
    let program = program.args(["--exact", "process", "--nocapture"]);
    program.env("TEST_SCHEDULES_URL", url).env("TEST_SCHEDULES_CLOCK", clock.as_os_str()).start().unwrap()
}

/// The times of the jobs of each schedule.
type Fired = BTreeMap<String, Vec<u64>>;

#[tokio::test(flavor = "multi_thread")]
async fn eight_processes_fire_each_schedule_once_through_a_minute() {
    let server = RedisServer::state().start().await.unwrap();
    let url = server.url(None);
    let (store, clock) = open(&url).await;
    for (name, seconds, catch_up) in schedules() {
        let (schedule, name) = (schedule(&name, seconds, catch_up), ScheduleName::new(&name).unwrap());
        let _ = store.put(&queue(), &name, &schedule, None, Durability::Accepted).await.unwrap();
    }
    let directory = tempfile::tempdir().unwrap();
    let (file, new) = (directory.path().join("clock"), directory.path().join("new"));
    let set = |second: u64| {
        std::fs::write(&new, second.to_string()).unwrap();
        std::fs::rename(&new, &file).unwrap();
    };
    set(0);
    let mut processes: Vec<_> = (0..PROCESSES).map(|_| start(&url, &file)).collect();
    let mut fired = Fired::new();
    for second in (1..=OUTAGE.0).chain(OUTAGE.1..=SECONDS) {
        if second == OUTAGE.1 {
            server.kill().await;
            set(second);
            server.start_again().await.unwrap();
        }
        set(second);
        match second {
            // In the middle of what it fires, perhaps.
            10 => drop(processes[0].kill().await),
            15 => processes[1].pause().unwrap(),
            20 => {
                server.kill().await;
                server.start_again().await.unwrap();
            }
            55 => processes[1].resume().unwrap(),
            _ => {}
        }
        let is_suspended = (15..55).contains(&second);
        let alive = processes.iter().enumerate().filter(|(number, _)| match number {
            0 => second < 10,
            1 => !is_suspended,
            _ => true,
        });
        for (_, process) in alive {
            process.wait_line(|line| line == format!("at {second}")).await;
        }
        clock.advance(Timestamp::from_millis((BEGIN + second) * 1000).since(clock.now()));
        complete_all(&store, &mut fired).await;
        if second == OUTAGE.1 {
            check_missed(&store).await;
        }
    }
    for process in &mut processes[1..] {
        let exit = process.wait_exit(DEADLINE).await;
        assert!(exit.code == Some(0) && exit.stdout.contains("done"), "{}\n{}", exit.stdout, exit.stderr);
    }
    complete_all(&store, &mut fired).await;
    for (name, seconds, catch_up) in schedules() {
        let mut expected: Vec<_> = multiples(1, OUTAGE.0, seconds);
        expected.extend(caught_up(seconds, catch_up));
        expected.extend(multiples(OUTAGE.1 + 1, SECONDS, seconds));
        let mut times = fired.remove(&name).unwrap_or_default();
        times.sort_unstable();
        assert_eq!(times, expected, "{name} {catch_up:?}");
    }
    assert!(fired.is_empty(), "{fired:?}");
}

/// A worker completes what is in the queue. Jobs without a result are discarded.
async fn complete_all(store: &StateStore, fired: &mut Fired) {
    let worker = HolderName::new("worker").unwrap();
    let request = ClaimRequest::new(queue(), worker, 100, Duration::from_secs(600));
    wait_until("the queue is empty", DEADLINE, async || {
        let Ok(claim) = store.claim(&request).await else { return false };
        let is_empty = claim.jobs.is_empty();
        let mut settlements = Vec::new();
        for job in claim.jobs {
            let time = Schedule::time_of(&job.lease.job).unwrap().as_millis();
            assert_eq!(time % 1000, 0);
            fired.entry(String::from_utf8(job.payload.to_vec()).unwrap()).or_default().push(time / 1000 - BEGIN);
            settlements.push(Settlement::new(job.lease, Outcome::Complete(None)));
        }
        if !is_empty {
            let settled = store.settle(&queue(), &settlements, Durability::Accepted).await.unwrap().value;
            assert!(settled.iter().all(|settled| *settled == Settled::Done), "{settled:?}");
        }
        is_empty
    })
    .await;
}

fn multiples(from: u64, to: u64, seconds: u64) -> Vec<u64> {
    (from..=to).filter(|second| second % seconds == 0).collect()
}

/// What fires at the end of the outage.
fn caught_up(seconds: u64, catch_up: CatchUp) -> Vec<u64> {
    let due = multiples(OUTAGE.0 + 1, OUTAGE.1, seconds);
    let last = due.last().copied();
    match catch_up {
        CatchUp::All(_) => due,
        CatchUp::One => last.into_iter().collect(),
        _ => last.filter(|last| OUTAGE.1 - last <= GRACE).into_iter().collect(),
    }
}

/// The first firing after the outage names what was missed.
async fn check_missed(store: &StateStore) {
    let mut skipped = 0;
    for (name, seconds, catch_up) in schedules() {
        let info = Schedules::get(store, &queue(), &ScheduleName::new(&name).unwrap()).await.unwrap().unwrap();
        let (fired, last) = (caught_up(seconds, catch_up), info.last.unwrap());
        let due = |last: &Firing| last.due.as_millis() / 1000 - BEGIN;
        let Some(expected) = fired.last() else {
            // It has not fired since.
            assert!(due(&last) <= OUTAGE.0, "{name}: {last:?}");
            skipped += 1;
            continue;
        };
        let missed = multiples(OUTAGE.0 + 1, OUTAGE.1, seconds).len() - fired.len();
        let found = (due(&last), last.jobs as usize, last.missed as usize);
        assert_eq!(found, (*expected, fired.len(), missed), "{name} {catch_up:?}");
    }
    assert!(skipped > 0, "a schedule skips all that it has missed");
}
