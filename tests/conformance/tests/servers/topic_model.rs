//! Random sequences of operations on a topic have the same outcomes on the embedded engine, which is the model, and on Redis: appends,
//! reads of several consumers of two groups, acknowledgements by old and new leases, releases, seeks, removed groups, and times at
//! which leases, events or the partition expire. The bounds of the topic are so small that appends remove events.
//!
//! The seeds are fixed, and `CONFORMANCE_SEED` and `CONFORMANCE_SEQUENCES` choose others, as in `model.rs`. The topic has one
//! partition: engines may distribute keys differently.

use std::sync::Arc;
use std::time::Duration;

use conformance::{EmbeddedMemory, Engine, Options, RedisEngine, Stores};
use fastrand::Rng;
use store_core::{
    Clock, Durability, EventBatch, EventId, GroupName, HolderName, Key, ManualClock, NewEvent, ReadOutcome,
    ReadRequest, RequestId, Result, SeekTo, Timestamp, TopicConfig, TopicName,
};
use testkit::RedisServer;
use tokio::task::JoinSet;

use crate::model::number;

const SEQUENCES: u64 = 250;
/// How many steps a sequence has.
const STEPS: usize = 80;
/// How many sequences are played at a time.
const TASKS: usize = 4;

const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const GROUPS: [&str; 2] = ["billing", "search"];

#[derive(Debug, Clone)]
enum Step {
    /// The payload lengths of events, each with or without a key.
    Append(Vec<(usize, bool)>),
    Read {
        consumer: u8,
        group: usize,
        max: u32,
        holding: u32,
        lease: Duration,
    },
    /// Acknowledges all events of one of the last batches but these.
    Acknowledge {
        batch: usize,
        but: u64,
    },
    /// Acknowledges a number that the consumer has not read.
    AcknowledgeMore {
        batch: usize,
        by: u64,
    },
    Release(usize),
    SeekStart(usize),
    SeekEnd(usize),
    /// To one of the last events.
    SeekEvent(usize, usize),
    /// To this long ago.
    SeekTime(usize, Duration),
    RemoveGroup(usize),
    Inspect,
    Advance(Duration),
}

fn config() -> TopicConfig {
    TopicConfig::default().with_max_events(20).with_max_bytes(1_500).with_max_age(Duration::from_secs(60))
}

fn sequence(seed: u64) -> Vec<Step> {
    let mut rng = Rng::with_seed(seed);
    let seconds = |rng: &mut Rng| Duration::from_millis([1, 500, 999, 1_000, 5_000, 30_000][rng.usize(..6)]);
    let step = |_| {
        let (batch, group) = (rng.usize(..4), rng.usize(..2));
        match rng.u8(..24) {
            0..=5 => Step::Append((0..rng.usize(1..8)).map(|_| (rng.usize(..120), rng.bool())).collect()),
            6..=11 => Step::Read {
                consumer: rng.u8(..3),
                group,
                max: [0, 1, 3, 100][rng.usize(..4)],
                holding: rng.u32(..3),
                lease: seconds(&mut rng).max(Duration::from_millis(10)),
            },
            12..=14 => Step::Acknowledge { batch, but: [0, 0, 1, 2][rng.usize(..4)] },
            15 => Step::AcknowledgeMore { batch, by: rng.u64(1..4) },
            16 => Step::Release(batch),
            17 => match rng.u8(..4) {
                0 => Step::SeekStart(group),
                1 => Step::SeekEnd(group),
                2 => Step::SeekEvent(group, rng.usize(..30)),
                _ => Step::SeekTime(group, seconds(&mut rng)),
            },
            18 => Step::RemoveGroup(group),
            19 => Step::Inspect,
            // The partition expires.
            20 if rng.u8(..4) == 0 => Step::Advance(Duration::from_secs(3 * 24 * 3600)),
            _ => Step::Advance(seconds(&mut rng)),
        }
    };
    (0..STEPS).map(step).collect()
}

/// One engine, and what it has returned so far.
struct World {
    stores: Stores,
    topic: TopicName,
    batches: Vec<EventBatch>,
    ids: Vec<EventId>,
}

fn from_end<T: Clone>(all: &[T], index: usize) -> Option<T> {
    all.len().checked_sub(index + 1).map(|index| all[index].clone())
}

fn group(number: usize) -> GroupName {
    GroupName::new(GROUPS[number]).unwrap()
}

impl World {
    /// Carries out a step. Equal outcomes have equal texts; errors of one kind are equal.
    async fn play(&mut self, step: &Step, now: Timestamp) -> String {
        self.outcome(step, now).await.unwrap_or_else(|error| format!("error: {}", error.kind()))
    }

    async fn outcome(&mut self, step: &Step, now: Timestamp) -> Result<String> {
        let (topics, topic) = (self.stores.state.topics(), &self.topic);
        let seek = async |of: usize, to: SeekTo| topics.seek(topic, &group(of), to).await.map(|()| "moved".to_owned());
        let acknowledge = async |batch: &EventBatch, number: u64| {
            let acknowledged = topics.acknowledge(&batch.lease, number, Durability::Accepted).await?.value;
            Ok(format!("acknowledged: {acknowledged}"))
        };
        match step {
            Step::Append(events) => {
                let event = |(length, has_key): &(usize, bool)| {
                    let event = NewEvent::new(vec![b'x'; *length]);
                    if *has_key { event.with_key(Key::new("order-7").unwrap()) } else { event }
                };
                let events: Vec<_> = events.iter().map(event).collect();
                let ids = topics.append(topic, &events, Durability::Accepted).await?.value;
                self.ids.extend(&ids);
                Ok(format!("{ids:?}"))
            }
            Step::Read { consumer, group: of, max, holding, lease } => {
                let name = HolderName::new(format!("consumer-{consumer}")).unwrap();
                let request = ReadRequest::new(topic.clone(), 0, group(*of), name)
                    .with_lease(*lease)
                    .with_max(*max)
                    .with_holding(*holding)
                    .with_request(RequestId::from_bytes([*consumer + 1; 16]));
                let outcome = topics.read(&request).await?;
                let text = format!("{outcome:?}");
                if let ReadOutcome::Events(batch) = outcome {
                    self.batches.push(batch);
                }
                Ok(text)
            }
            Step::Acknowledge { batch, but } => match from_end(&self.batches, *batch) {
                Some(batch) => acknowledge(&batch, batch.last().unwrap_or_default().saturating_sub(*but)).await,
                None => Ok("no batch".to_owned()),
            },
            Step::AcknowledgeMore { batch, by } => match from_end(&self.batches, *batch) {
                Some(batch) => acknowledge(&batch, batch.last().unwrap_or_default() + by).await,
                None => Ok("no batch".to_owned()),
            },
            Step::Release(batch) => match from_end(&self.batches, *batch) {
                Some(batch) => topics.release(&batch.lease).await.map(|()| "released".to_owned()),
                None => Ok("no batch".to_owned()),
            },
            Step::SeekStart(of) => seek(*of, SeekTo::Start).await,
            Step::SeekEnd(of) => seek(*of, SeekTo::End).await,
            Step::SeekEvent(of, index) => match from_end(&self.ids, *index) {
                Some(id) => seek(*of, SeekTo::Event(id)).await,
                None => Ok("no event".to_owned()),
            },
            Step::SeekTime(of, ago) => {
                let time = Timestamp::from_millis(now.as_millis() - ago.as_millis() as u64);
                seek(*of, SeekTo::Time(time)).await
            }
            Step::RemoveGroup(of) => topics.remove_group(topic, &group(*of)).await.map(|()| "removed".to_owned()),
            Step::Inspect => Ok(format!("{:?}", topics.inspect(topic).await?)),
            Step::Advance(_) => Ok(String::new()),
        }
    }
}

async fn open(engine: &dyn Engine, place: &str, clock: &ManualClock) -> World {
    let options = Options { clock: Clock::Manual(clock.clone()), ..Options::default() };
    let stores = engine.open(place, &options).await.unwrap();
    let topic = TopicName::new(format!("{place}-orders")).unwrap();
    stores.state.topics().declare(&topic, &config()).await.unwrap();
    World { stores, topic, batches: Vec::new(), ids: Vec::new() }
}

/// After how many steps the engines differ, and their outcomes.
async fn difference(engines: &[Arc<dyn Engine>; 2], steps: &[Step]) -> Option<(usize, [String; 2])> {
    let (place, clock) = (testkit::random_prefix(), ManualClock::new(START));
    let mut model = open(engines[0].as_ref(), &place, &clock).await;
    let mut other = open(engines[1].as_ref(), &place, &clock).await;
    for (index, step) in steps.iter().chain(&[Step::Inspect]).enumerate() {
        if let Step::Advance(time) = step {
            clock.advance(*time);
        }
        let outcomes = [model.play(step, clock.now()).await, other.play(step, clock.now()).await];
        if outcomes[0] != outcomes[1] {
            return Some((index + 1, outcomes));
        }
    }
    None
}

/// Plays the sequence of a seed. Reports a difference without the steps that it does not need.
async fn play(engines: &[Arc<dyn Engine>; 2], seed: u64) {
    let mut steps = sequence(seed);
    let Some(mut found) = difference(engines, &steps).await else { return };
    steps.truncate(found.0);
    for index in (0..steps.len()).rev() {
        if index >= steps.len() {
            continue; // a shorter sequence differs earlier
        }
        let mut fewer = steps.clone();
        fewer.remove(index);
        if let Some(again) = difference(engines, &fewer).await {
            fewer.truncate(again.0);
            (steps, found) = (fewer, again);
        }
    }
    let steps: Vec<String> = steps.iter().map(|step| format!("{step:?}")).collect();
    panic!("seed {seed}:\n{}\nembedded: {}\nredis:    {}", steps.join("\n"), found.1[0], found.1[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn random_sequences_on_a_topic_have_the_same_outcomes() {
    let (cache, state) = tokio::join!(RedisServer::cache().start(), RedisServer::state().start());
    let (cache, state) = (cache.unwrap(), state.unwrap());
    let redis = RedisEngine::connect("redis", &cache.url(None), &state.url(None)).await.unwrap();
    let engines: Arc<[Arc<dyn Engine>; 2]> = Arc::new([Arc::new(EmbeddedMemory::new()), Arc::new(redis)]);
    let first = number("CONFORMANCE_SEED", 1);
    let end = first + number("CONFORMANCE_SEQUENCES", SEQUENCES);
    let mut tasks = JoinSet::new();
    for task in 0..TASKS as u64 {
        let engines = Arc::clone(&engines);
        tasks.spawn(async move {
            for seed in (first + task..end).step_by(TASKS) {
                play(&engines, seed).await;
            }
        });
    }
    tasks.join_all().await;
}
