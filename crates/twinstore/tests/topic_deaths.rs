//! Ten producers, and ten consumers in processes of their own, which are killed at random while the oldest events are removed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "the processes report to the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use testkit::{DEADLINE, Program, RedisServer, RunningProgram, wait_until};
use tokio::task::JoinSet;
use tokio::time::Instant;
use twinstore::prelude::*;
use twinstore::topic::{EventId, GroupName, NewEvent, SeekTo, Topic, TopicConfig, TopicName};

const PRODUCERS: usize = 10;
const CONSUMERS: usize = 10;
const PARTITIONS: u16 = 8;
const KEYS: usize = 20;
/// The events of each key. A partition has about 150 of them.
const EVENTS: usize = 60;
/// How many events a partition keeps.
const KEPT: u64 = 40;
const LEASE: Duration = Duration::from_millis(500);

fn billing() -> GroupName {
    GroupName::new("billing").unwrap()
}

async fn topic(stores: &Stores) -> Topic {
    let config = TopicConfig::default().with_partitions(PARTITIONS).with_max_events(KEPT);
    stores.state().topic(TopicName::new("orders").unwrap(), config).await.unwrap()
}

/// The work of a producer or a consumer.
async fn works(time: Duration) {
    tokio::time::sleep_until(Instant::now() + time).await;
}

/// Not a test: a consumer, if a test has started it. It reports each event before it acknowledges it. Some batches take longer than
/// the lease.
#[tokio::test]
async fn process() {
    if std::env::var("TEST_TOPICS").is_err() {
        return;
    }
    let topic = topic(&Stores::from_env().await.unwrap()).await;
    let mut consumer = topic.consumer(billing()).with_lease(LEASE).with_max(7).with_poll(Duration::from_millis(20));
    println!("consuming");
    loop {
        let batch = consumer.next().await.unwrap();
        if batch.truncated > 0 {
            let first = batch.events[0].id;
            println!("gap {} {} {}", first.partition, first.number - batch.truncated, batch.truncated);
        }
        for event in &batch.events {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
            let (key, number) = (event.key.as_ref().unwrap(), std::str::from_utf8(&event.payload).unwrap());
            println!("event {now} {key} {number} {} {}", event.id.partition, event.id.number);
            tokio::task::yield_now().await;
        }
        if fastrand::u8(..) < 8 {
            works(LEASE * 2).await;
        }
        consumer.acknowledge(&batch).await.unwrap();
    }
}

/// The ids of the events of each key, in order.
type Appended = BTreeMap<String, Vec<EventId>>;

/// Appends the events of the producer's own keys, in order.
async fn produce(topic: Topic, producer: usize) -> Appended {
    let mut appended = Appended::new();
    for number in 0..EVENTS {
        for key in (0..KEYS).filter(|key| key % PRODUCERS == producer).map(|key| format!("key-{key}")) {
            let event = NewEvent::new(number.to_string()).with_key(Key::new(key.as_str()).unwrap());
            let ids = topic.append(&[event]).await.unwrap();
            appended.entry(key).or_default().extend(ids);
        }
        works(Duration::from_millis(fastrand::u64(0..80))).await;
    }
    appended
}

/// What all consumers have reported.
#[derive(Default)]
struct Reports {
    /// When which event of which key was handled.
    handled: BTreeSet<(u128, String, usize)>,
    /// The partition and the number of events that were removed before they were read.
    removed: BTreeSet<(u16, u64)>,
}

impl Reports {
    fn read(&mut self, output: &str) {
        // The last line of a process that was killed may be incomplete.
        for line in output.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            let words: Vec<_> = line.split(' ').collect();
            match words[..] {
                ["event", at, key, number, _, _] => {
                    self.handled.insert((at.parse().unwrap(), key.to_owned(), number.parse().unwrap()));
                }
                ["gap", partition, first, count] => {
                    let (first, count): (u64, u64) = (first.parse().unwrap(), count.parse().unwrap());
                    let partition = partition.parse().unwrap();
                    self.removed.extend((first..first + count).map(|number| (partition, number)));
                }
                _ => {}
            }
        }
    }

    /// Each event was handled, not before those of its key that come before it, or it was removed and the group was told.
    fn check(&self, appended: &Appended) {
        let was_removed = |id: &EventId| self.removed.contains(&(id.partition, id.number));
        let mut next = BTreeMap::<&str, usize>::new();
        for (_, key, number) in &self.handled {
            let next = next.entry(key).or_default();
            let skipped = appended[key].get(*next..*number).unwrap_or_default();
            assert!(skipped.iter().all(was_removed), "{key}: {number} was handled before {next}");
            *next = (*next).max(number + 1);
        }
        for (key, ids) in appended {
            let handled: BTreeSet<_> =
                self.handled.iter().filter(|(_, of, _)| of == key).map(|(_, _, number)| *number).collect();
            for (number, id) in ids.iter().enumerate() {
                assert!(handled.contains(&number) || was_removed(id), "{key}: {number} is lost");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_handled_in_order_or_reported_as_removed_while_consumers_are_killed() {
    let (cache, state) = tokio::join!(RedisServer::cache().start(), RedisServer::state().start());
    let (cache, state) = (cache.unwrap(), state.unwrap());
    let variables = [
        ("SERVICE_NAME", "billing".to_owned()),
        ("REDIS_CONN_BASE_URL", cache.url(None)),
        ("REDIS_CACHE_DB", "3".to_owned()),
        ("REDIS_WORKERCACHE_CONN_URL", state.url(None)),
    ];
    let stores = Stores::open(&Environment::from_variables(variables.clone())).await.unwrap();
    let start = || -> RunningProgram {
        let program = Program::new(std::env::current_exe().unwrap()).env("TEST_TOPICS", "1");
        let program = variables.iter().fold(program, |program, (name, value)| program.env(name, value));
        program.args(["--exact", "process", "--nocapture"]).start().unwrap()
    };
    let topic = topic(&stores).await;
    topic.seek(&billing(), SeekTo::Start).await.unwrap();
    let mut consumers: Vec<_> = (0..CONSUMERS).map(|_| start()).collect();
    for consumer in &consumers {
        consumer.wait_line(|line| line == "consuming").await;
    }

    let mut producing: JoinSet<_> = (0..PRODUCERS).map(|producer| produce(topic.clone(), producer)).collect();
    let (mut appended, mut reports, mut killed) = (Appended::new(), Reports::default(), 0);
    wait_until("all events are acknowledged", DEADLINE, async || {
        // It releases nothing. Another one takes its place.
        let mut victim = std::mem::replace(&mut consumers[fastrand::usize(0..CONSUMERS)], start());
        reports.read(&victim.kill().await.stdout);
        killed += 1;
        while let Some(ended) = producing.try_join_next() {
            appended.append(&mut ended.unwrap());
        }
        producing.is_empty() && topic.lag(&billing()).await.unwrap() == 0
    })
    .await;
    for mut consumer in consumers {
        reports.read(&consumer.kill().await.stdout);
    }
    assert!(killed > 3, "{killed} consumers were killed");
    println!("{killed} consumers were killed, and {} events were removed unread", reports.removed.len());
    assert_eq!(appended.values().map(Vec::len).sum::<usize>(), KEYS * EVENTS);
    reports.check(&appended);

    // The events were removed up to one point of each partition, and all after it are there, for a group that has read none.
    let idle = topic.lag(&GroupName::new("idle").unwrap()).await.unwrap();
    let mut left = 0;
    for partition in stores.state().topics().inspect(topic.name()).await.unwrap() {
        let ids = appended.values().flatten().filter(|id| id.partition == partition.partition);
        let (kept, removed): (Vec<&EventId>, Vec<&EventId>) = ids.partition(|id| id.number >= partition.first);
        // A partition has the events of a few keys, or none.
        let (is_full, count) = (kept.len() as u64 >= KEPT, kept.len() + removed.len());
        assert!(count == 0 || is_full && !removed.is_empty(), "{} of {count} are left", kept.len());
        assert!(reports.removed.iter().all(|(of, number)| *of != partition.partition || *number < partition.first));
        left += kept.len() as u64;
    }
    assert_eq!(idle, left);
}
