//! Eight processes fire the same 50 schedules through a minute of injected time. One process is killed, one is suspended, and the
//! server is killed and started again.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "the processes report to the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis_link::{Link, LinkConfig, ServerUrl};
use state_store::{StateOptions, StateStore};
use store_core::{
    CatchUp, Clock, Durability, JobState, ManualClock, NewJob, PageRequest, QueueInspect, QueueName, Schedule,
    ScheduleName, Schedules, ServiceName, Timestamp,
};
use store_worker::Scheduler;
use testkit::{DEADLINE, Program, RedisServer, RunningProgram};

const PROCESSES: usize = 8;
/// The injected time begins at a multiple of 60 s, and passes this many times faster.
const BEGIN: u64 = 1_800_000_000;
const SECONDS: u64 = 60;
const SPEED: u32 = 15;

/// A third of the schedules for each policy, with intervals of 1 to 5 s, and cron expressions.
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
    schedule.with_catch_up(catch_up).with_grace(Duration::from_secs(2))
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

/// Not a test: what each process does, if a test has started it.
#[tokio::test]
async fn process() {
    let Ok(url) = std::env::var("TEST_SCHEDULES_URL") else { return };
    let (store, clock) = open(&url).await;
    let scheduler = Scheduler::new(store).with_queue(queue());
    let (began, end) = (Instant::now(), Timestamp::from_millis((BEGIN + SECONDS) * 1000));
    let (mut pace, mut printed) = (tokio::time::interval(Duration::from_millis(20)), 0);
    loop {
        pace.tick().await;
        let passed = began.elapsed() * SPEED;
        let target = Timestamp::from_millis(BEGIN * 1000).after(passed).min(end);
        clock.advance(target.since(clock.now()));
        let ticked = scheduler.tick().await;
        while printed < target.as_millis() / 1000 - BEGIN {
            printed += 1;
            println!("at {printed}");
        }
        if target == end && ticked.is_ok() {
            break;
        }
    }
    println!("done");
}

fn start(url: &str) -> RunningProgram {
    let program = Program::new(std::env::current_exe().unwrap());
    program.args(["--exact", "process", "--nocapture"]).env("TEST_SCHEDULES_URL", url).start().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_processes_fire_each_schedule_once_through_a_minute() {
    let server = RedisServer::state().start().await.unwrap();
    let url = server.url(None);
    let (store, _) = open(&url).await;
    for (name, seconds, catch_up) in schedules() {
        let (schedule, name) = (schedule(&name, seconds, catch_up), ScheduleName::new(&name).unwrap());
        let _ = store.put(&queue(), &name, &schedule, None, Durability::Accepted).await.unwrap();
    }
    let mut processes: Vec<_> = (0..PROCESSES).map(|_| start(&url)).collect();
    let at = |second: u64| move |line: &str| line == format!("at {second}");
    processes[7].wait_line(at(15)).await;
    processes[0].kill().await;
    processes[1].pause().unwrap();
    processes[7].wait_line(at(25)).await;
    server.kill().await;
    processes[7].wait_line(at(40)).await;
    server.start_again().await.unwrap();
    processes[7].wait_line(at(50)).await;
    processes[1].resume().unwrap();
    for process in &mut processes[1..] {
        let exit = process.wait_exit(DEADLINE).await;
        assert!(exit.code == Some(0) && exit.stdout.contains("done"), "{}\n{}", exit.stdout, exit.stderr);
    }
    check(&store).await;
}

/// Each time has at most one job; every time has one if the policy is to catch up all, and the last time if it is to catch up once.
async fn check(store: &StateStore) {
    let (mut fired, mut request) = (BTreeMap::<String, Vec<u64>>::new(), PageRequest::first(1000));
    loop {
        let page = QueueInspect::list(store, &queue(), JobState::Ready, request).await.unwrap();
        for job in page.items {
            let payload = QueueInspect::get(store, &queue(), &job.id).await.unwrap().unwrap().payload;
            let time = Schedule::time_of(&job.id).unwrap().as_millis();
            assert_eq!(time % 1000, 0);
            fired.entry(String::from_utf8(payload.to_vec()).unwrap()).or_default().push(time / 1000 - BEGIN);
        }
        let Some(next) = page.next else { break };
        request = PageRequest::first(1000).with_cursor(next);
    }
    for (name, seconds, catch_up) in schedules() {
        let times = fired.remove(&name).unwrap_or_default();
        let expected: BTreeSet<u64> = (1..=SECONDS).filter(|second| second % seconds == 0).collect();
        let distinct: BTreeSet<u64> = times.iter().copied().collect();
        assert_eq!(distinct.len(), times.len(), "{name} fired twice for one time: {times:?}");
        match catch_up {
            CatchUp::All(_) => assert_eq!(distinct, expected, "{name}"),
            CatchUp::One => assert!(distinct.is_subset(&expected) && distinct.contains(&SECONDS), "{name}: {times:?}"),
            _ => assert!(distinct.is_subset(&expected), "{name}: {times:?}"),
        }
    }
    assert!(fired.is_empty(), "{fired:?}");
}
