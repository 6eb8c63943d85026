//! Topics: their stored form, a full server, interrupted scripts, coalesced calls.

use std::time::Duration;

use store_core::{
    Clock, Durability, Error, EventBatch, EventId, GroupName, HolderName, Key, ManualClock, NewEvent, PartitionInfo,
    ReadOutcome, ReadRequest, RequestId, Result, SeekTo, Timestamp, TopicConfig, TopicName, Topics,
};
use testkit::{Interrupted, RedisServer, ScriptProxy};

use crate::{Fixture, fixture, fixture_with, open};
use state_store::{StateOptions, StateStore};

pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);
const EVENTS: &str = "test:{e.orders.0}:events";
const GROUPS: &str = "test:{e.orders.0}:groups";

pub(crate) fn topic(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

pub(crate) fn billing() -> GroupName {
    GroupName::new("billing").unwrap()
}

pub(crate) fn consumer(of: &TopicName, number: u8) -> ReadRequest {
    let name = HolderName::new(format!("consumer-{number}")).unwrap();
    let request = ReadRequest::new(of.clone(), 0, billing(), name).with_max(1_000);
    request.with_request(RequestId::from_bytes([number; 16]))
}

pub(crate) async fn append(store: &StateStore, to: &TopicName, payloads: &[&'static str]) -> Result<Vec<EventId>> {
    let events: Vec<_> = payloads.iter().copied().map(NewEvent::new).collect();
    Ok(store.append(to, &events, Durability::Accepted).await?.value)
}

pub(crate) async fn read(store: &StateStore, request: &ReadRequest) -> Result<EventBatch> {
    match store.read(request).await? {
        ReadOutcome::Events(batch) => Ok(batch),
        other => panic!("{other:?}"),
    }
}

async fn ttl(server: &RedisServer, key: &str) -> Duration {
    let millis = server.command(&["PTTL", key]).await.unwrap().as_integer().unwrap();
    Duration::from_millis(u64::try_from(millis).unwrap_or_else(|_| panic!("{key} has no TTL: {millis}")))
}

#[tokio::test]
async fn a_read_of_large_events_stops_near_1_mib() {
    let Fixture { server: _server, store, .. } = fixture().await;
    let orders = topic("orders");
    store.declare(&orders, &TopicConfig::default()).await.unwrap();
    let large = vec![NewEvent::new(vec![b'x'; NewEvent::MAX_BYTES]); 16];
    for _ in 0..3 {
        let _ = store.append(&orders, &large, Durability::Accepted).await.unwrap();
    }
    let bytes = read(&store, &consumer(&orders, 1)).await.unwrap().events.len() * NewEvent::MAX_BYTES;
    assert!((1 << 20..2 << 20).contains(&bytes), "{bytes} bytes");
}

#[tokio::test]
async fn a_partition_is_a_stream_and_a_hash_that_expire() {
    let Fixture { server, store, clock } = fixture().await;
    let (orders, margin) = (topic("orders"), Duration::from_secs(3600));
    store.declare(&orders, &TopicConfig::default().with_max_age(DAY)).await.unwrap();
    // A group may come before the first event.
    read(&store, &consumer(&orders, 1)).await.unwrap();
    let kind = async |key: &str| server.command(&["TYPE", key]).await.unwrap().as_str().unwrap().to_owned();
    assert_eq!((kind(EVENTS).await, kind(GROUPS).await), ("none".to_owned(), "hash".to_owned()));
    append(&store, &orders, &["placed"]).await.unwrap();
    assert_eq!((kind(EVENTS).await, kind(GROUPS).await), ("stream".to_owned(), "hash".to_owned()));
    for key in [EVENTS, GROUPS] {
        assert!(ttl(&server, key).await > 2 * DAY && ttl(&server, key).await <= 2 * DAY + margin, "{key}");
        server.command(&["PEXPIRE", key, "60000"]).await.unwrap();
    }
    // Renewed when a sixteenth has passed.
    for (after, is_renewed) in [(Duration::from_secs(3 * 3600 - 1), false), (Duration::from_secs(2), true)] {
        clock.advance(after);
        append(&store, &orders, &["paid"]).await.unwrap();
        for key in [EVENTS, GROUPS] {
            assert_eq!(ttl(&server, key).await > DAY, is_renewed, "{key}");
        }
    }
    let mut keys = server.command(&["KEYS", "test:*{e.*"]).await.unwrap().as_strings().unwrap();
    keys.retain(|key| !key.contains(":call:"));
    keys.sort_unstable();
    assert_eq!(keys, ["test:{e.orders.0}:events", "test:{e.orders.0}:groups", "test:{e.orders}:topic"]);
    for key in server.command(&["KEYS", "test:*:call:*"]).await.unwrap().as_strings().unwrap() {
        assert!(ttl(&server, &key).await < Duration::from_secs(120), "{key}");
    }
}

#[tokio::test]
async fn a_full_server_refuses_events_alone() {
    let Fixture { server, store, .. } = fixture_with(StateOptions::default()).await;
    let orders = topic("orders");
    store.declare(&orders, &TopicConfig::default()).await.unwrap();
    append(&store, &orders, &["placed", "paid"]).await.unwrap();
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).await.unwrap();
    let refused = append(&store, &orders, &["shipped"]).await;
    assert!(matches!(refused, Err(Error::Limit { .. })), "{refused:?}");
    store.declare(&orders, &TopicConfig::default().with_max_events(9)).await.unwrap();
    let batch = read(&store, &consumer(&orders, 1)).await.unwrap();
    assert!(store.acknowledge(&batch.lease, batch.events[0].id.number, Durability::Accepted).await.unwrap().value);
    store.release(&batch.lease).await.unwrap();
    store.seek(&orders, &billing(), SeekTo::End).await.unwrap();
    assert_eq!(store.inspect(&orders).await.unwrap()[0].groups[0].lag, 0);
    store.remove_group(&orders, &billing()).await.unwrap();
}

/// Appends, which remove the oldest events, are refused there.
#[tokio::test]
async fn consumers_drain_a_full_server() {
    let Fixture { server, store, .. } = fixture_with(StateOptions::default()).await;
    let orders = topic("orders");
    store.declare(&orders, &TopicConfig::default()).await.unwrap();
    append(&store, &orders, &["placed"; 100]).await.unwrap();
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).await.unwrap();
    store.declare(&orders, &TopicConfig::default().with_max_events(9)).await.unwrap();
    let batch = read(&store, &consumer(&orders, 1)).await.unwrap();
    assert!(store.acknowledge(&batch.lease, batch.events[0].id.number, Durability::Accepted).await.unwrap().value);
    assert_eq!(store.inspect(&orders).await.unwrap()[0].events(), 9);
    assert_eq!(server.command(&["XLEN", EVENTS]).await.unwrap().as_integer(), Some(9));
}

#[tokio::test]
async fn foreign_data_is_corrupt_and_not_shown() {
    let Fixture { server, store, .. } = fixture().await;
    let orders = topic("orders");
    store.declare(&orders, &TopicConfig::default()).await.unwrap();
    append(&store, &orders, &["placed"]).await.unwrap();
    let lease = read(&store, &consumer(&orders, 1)).await.unwrap().lease;
    let damages: [(&[&str], bool); 4] = [
        (&["SET", GROUPS, "canary"], true),
        (&["HSET", GROUPS, "head", "canary"], true),
        (&["HSET", GROUPS, "head", "1canary"], true),
        (&["HSET", GROUPS, "gbilling", "1canary"], false),
    ];
    let whole = server.command(&["DUMP", GROUPS]).await.unwrap().as_bytes().unwrap().to_vec();
    for (damage, concerns_appends) in damages {
        server.command(&["DEL", GROUPS]).await.unwrap();
        server.command(&[&b"RESTORE"[..], GROUPS.as_bytes(), b"0", &whole]).await.unwrap();
        if damage[0] == "SET" {
            server.command(&["DEL", GROUPS]).await.unwrap();
        }
        server.command(damage).await.unwrap();
        let mut refusals = vec![
            read(&store, &consumer(&orders, 1)).await.map(drop),
            store.acknowledge(&lease, 1, Durability::Accepted).await.map(drop),
            store.release(&lease).await,
            store.seek(&orders, &billing(), SeekTo::End).await,
            store.inspect(&orders).await.map(drop),
        ];
        let appended = append(&store, &orders, &["paid"]).await.map(drop);
        assert_eq!(appended.is_err(), concerns_appends, "{damage:?}");
        refusals.extend(appended.is_err().then_some(appended));
        for error in refusals.into_iter().map(Result::unwrap_err) {
            assert!(matches!(error, Error::Corrupt { .. }), "{damage:?}: {error:?}");
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
    }
}

/// Each state of a topic before a call.
#[derive(Debug, Clone, Copy)]
enum Before {
    Declared,
    /// Three events, of which a consumer has read all and acknowledged one.
    Read,
    /// The same, and more events than the bound allows.
    Full,
    Expired,
}

/// Each call that writes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Call {
    Append,
    Read,
    Renew,
    Acknowledge,
    Release,
    Seek,
    RemoveGroup,
    Declare,
}

const CALLS: [(&str, Call, Before); 12] = [
    ("topic/append", Call::Append, Before::Declared),
    ("topic/append", Call::Append, Before::Read),
    ("topic/append", Call::Append, Before::Full),
    ("topic/append", Call::Append, Before::Expired),
    ("topic/read", Call::Read, Before::Declared),
    ("topic/read", Call::Renew, Before::Read),
    ("topic/acknowledge", Call::Acknowledge, Before::Read),
    ("topic/release", Call::Release, Before::Read),
    ("topic/seek", Call::Seek, Before::Declared),
    ("topic/seek", Call::Seek, Before::Read),
    ("topic/remove_group", Call::RemoveGroup, Before::Read),
    ("topic/declare", Call::Declare, Before::Read),
];
const BATCH: [&str; 3] = ["new 1", "new 2", "new 3"];

struct Interrupting {
    server: RedisServer,
    proxy: ScriptProxy,
    store: StateStore,
    clock: ManualClock,
}

impl Interrupting {
    async fn start() -> Self {
        let server = RedisServer::state().start().await.unwrap();
        let proxy = ScriptProxy::start(&server).await.unwrap();
        let clock = ManualClock::new(Timestamp::from_millis(1_700_000_000_000));
        let options = StateOptions::default().with_clock(Clock::Manual(clock.clone()));
        let store = open(&proxy.url(), options).await.unwrap();
        Self { server, proxy, store, clock }
    }

    async fn prepare(&self, topic: &TopicName, before: Before) {
        let config = TopicConfig::default().with_max_events(10).with_max_age(DAY);
        self.store.declare(topic, &config).await.unwrap();
        if matches!(before, Before::Declared) {
            return;
        }
        append(&self.store, topic, &["placed", "paid", "shipped"]).await.unwrap();
        let batch = read(&self.store, &consumer(topic, 1)).await.unwrap();
        let first = batch.events[0].id.number;
        assert!(self.store.acknowledge(&batch.lease, first, Durability::Accepted).await.unwrap().value);
        match before {
            Before::Full => drop(append(&self.store, topic, &["more"; 7]).await.unwrap()),
            Before::Expired => self.clock.advance(2 * DAY),
            _ => {}
        }
    }

    async fn call(&self, topic: &TopicName, call: Call) -> Result<()> {
        let lease = async || {
            let info = self.store.inspect(topic).await?.remove(0);
            let fence = info.groups.first().map_or(store_core::Fence::new(0), |group| group.fence);
            Ok::<_, Error>((store_core::PartitionLease::new(topic.clone(), 0, billing(), fence), info))
        };
        match call {
            Call::Append => append(&self.store, topic, &BATCH).await.map(drop),
            Call::Read => read(&self.store, &consumer(topic, 1)).await.map(drop),
            Call::Renew => read(&self.store, &consumer(topic, 1).with_lease(Duration::from_secs(20))).await.map(drop),
            Call::Acknowledge => {
                let (lease, info) = lease().await?;
                self.store
                    .acknowledge(&lease, info.first + 1, Durability::Accepted)
                    .await
                    .map(|done| assert!(done.value))
            }
            Call::Release => {
                let (lease, _) = lease().await?;
                self.store.release(&lease).await
            }
            Call::Seek => self.store.seek(topic, &billing(), SeekTo::End).await,
            Call::RemoveGroup => self.store.remove_group(topic, &billing()).await,
            Call::Declare => self.store.declare(topic, &TopicConfig::default().with_max_age(DAY)).await.map(drop),
        }
    }

    /// The partition, and the payloads of all its events, read by another group.
    async fn shown(&self, topic: &TopicName) -> (PartitionInfo, Vec<String>) {
        let info = self.store.inspect(topic).await.unwrap().remove(0);
        let mut other = consumer(topic, 9);
        other.group = GroupName::new("other").unwrap();
        let batch = read(&self.store, &other).await.unwrap();
        self.store.remove_group(topic, &other.group).await.unwrap();
        let numbers: Vec<_> = batch.events.iter().map(|event| event.id.number).collect();
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
        (info, batch.events.iter().map(|event| String::from_utf8_lossy(&event.payload).into_owned()).collect())
    }
}

/// What has to be the same after each interruption of a call that appends nothing.
fn summary(info: &PartitionInfo) -> String {
    let group = info.groups.first().map(|group| (group.lag, group.holder.clone(), group.until));
    format!("{} events, {} bytes, {group:?}", info.events(), info.bytes)
}

/// Redis runs scripts whole; another server may keep the first writes of one. A repetition leads where the script would have led;
/// some of the events may be there twice.
#[tokio::test]
#[allow(clippy::print_stdout, reason = "shown when it fails")]
async fn a_script_that_is_interrupted_after_any_write_can_be_repeated() {
    let fixture = Interrupting::start().await;
    let mut number = 0;
    for (script, call, before) in CALLS {
        let whole = topic(&format!("whole-{number}"));
        fixture.prepare(&whole, before).await;
        fixture.call(&whole, call).await.unwrap();
        let (end, payloads) = fixture.shown(&whole).await;
        for then in [Interrupted::IsRepeated, Interrupted::Fails] {
            for writes in 0.. {
                number += 1;
                println!("{call:?} {before:?}: interrupted after {writes} writes, then {then:?}");
                let orders = topic(&format!("orders-{number}"));
                fixture.prepare(&orders, before).await;
                fixture.proxy.interrupt(script, writes, then).await.unwrap();
                let outcome = fixture.call(&orders, call).await;
                let was_interrupted = fixture.proxy.heal().await.unwrap() || outcome.is_err();
                // The caller repeats it, if nobody has.
                if outcome.is_err() {
                    fixture.call(&orders, call).await.unwrap();
                }
                let (info, shown) = fixture.shown(&orders).await;
                if call == Call::Append {
                    assert!(shown.ends_with(&BATCH.map(str::to_owned)), "{shown:?}");
                    assert!(info.events() <= 13, "{info:?}");
                    let old =
                        |payloads: &[String]| payloads.iter().filter(|payload| !payload.starts_with("new")).count();
                    assert!(old(&shown) <= old(&payloads), "{shown:?}, not {payloads:?}");
                    // Events that are there twice leave room for fewer old ones.
                    assert!(old(&shown) + BATCH.len() >= old(&payloads), "{shown:?}, not {payloads:?}");
                    for kind in ["events", "groups"] {
                        ttl(&fixture.server, &format!("test:{{e.{orders}.0}}:{kind}")).await;
                    }
                } else {
                    assert_eq!((summary(&info), &shown), (summary(&end), &payloads));
                    ttl(&fixture.server, &format!("test:{{e.{orders}.0}}:groups")).await;
                }
                if !was_interrupted {
                    assert!(writes > 0, "the script writes");
                    break;
                }
            }
        }
    }
}

/// The events that an interrupted append has left belong to the partition as soon as the next one finds them.
#[tokio::test]
async fn the_next_append_counts_what_an_interrupted_one_has_left() {
    let fixture = Interrupting::start().await;
    let orders = topic("orders");
    fixture.prepare(&orders, Before::Read).await;
    fixture.proxy.interrupt("topic/append", 2, Interrupted::Fails).await.unwrap();
    append(&fixture.store, &orders, &BATCH).await.unwrap_err();
    fixture.proxy.heal().await.unwrap();
    assert_eq!(fixture.shown(&orders).await.0.events(), 3);
    append(&fixture.store, &orders, &["another"]).await.unwrap();
    let (info, shown) = fixture.shown(&orders).await;
    assert_eq!(shown, ["placed", "paid", "shipped", "new 1", "new 2", "another"]);
    assert_eq!((info.events(), info.bytes, info.groups[0].lag), (6, 34, 5));
}

#[tokio::test]
async fn concurrent_calls_are_coalesced_and_each_gets_its_own_answer() {
    const TASKS: u8 = 50;
    let Fixture { server, store, .. } = fixture_with(StateOptions::default()).await;
    let orders = topic("orders");
    store.declare(&orders, &TopicConfig::default()).await.unwrap();
    // How many reads share a call depends on the sizes of recent ones.
    for _ in 0..20 {
        read(&store, &consumer(&orders, 100)).await.unwrap();
    }
    let calls = async || server.command_calls().await.unwrap().get("evalsha").copied().unwrap_or(0);
    let before = calls().await;
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (store, orders) = (store.clone(), orders.clone());
            tokio::spawn(async move {
                let event = NewEvent::new(task.to_string()).with_key(Key::new(task.to_string()).unwrap());
                let id = store.append(&orders, &[event], Durability::Accepted).await.unwrap().value[0];
                let mut request = consumer(&orders, task);
                request.group = GroupName::new(task.to_string()).unwrap();
                let batch = read(&store, &request).await.unwrap();
                let own = batch.events.iter().find(|event| event.id == id).unwrap();
                assert_eq!(
                    (own.payload.as_ref(), own.key.as_ref().unwrap().as_str()),
                    (task.to_string().as_bytes(), task.to_string().as_str())
                );
                assert!(store.acknowledge(&batch.lease, id.number, Durability::Accepted).await.unwrap().value);
                assert_eq!(batch.lease.group, request.group);
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let sent = calls().await - before;
    assert!(sent < u64::from(TASKS) * 3 / 2, "{sent} calls for {}", u32::from(TASKS) * 3);
    let info = store.inspect(&orders).await.unwrap().remove(0);
    assert_eq!((info.events(), info.groups.len()), (u64::from(TASKS), usize::from(TASKS) + 1));
}
