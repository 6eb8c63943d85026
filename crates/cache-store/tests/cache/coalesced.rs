//! Concurrent calls share round trips, and each gets its own answer.

use std::sync::Arc;

use bytes::Bytes;
use cache_store::CacheStore;
use store_core::{
    Begun, Entry, Error, Finished, Handoff, HandoffItem, Idempotency, KeyValue, KeyValueExt, Put, RateLimit, RequestId,
    Ttl,
};
use testkit::{FaultProxy, RedisServer, mentions};
use tokio::sync::Barrier;

use crate::{MINUTE, OWN, entry, item, key, link, per_hour, per_minute, request, server, service, store};

const TASKS: usize = 50;
const ROUNDS: usize = 10;

/// Runs `play` in many concurrent tasks. Returns how many scripts and reads were sent to the server.
async fn in_many_tasks<F>(server: &RedisServer, store: &CacheStore, play: impl Fn(CacheStore, usize) -> F) -> u64
where
    F: Future<Output = ()> + Send + 'static,
{
    let sent = async || {
        let calls = server.command_calls().await.unwrap();
        ["evalsha", "mget"].iter().filter_map(|name| calls.get(*name)).sum::<u64>()
    };
    let (before, barrier) = (sent().await, Arc::new(Barrier::new(TASKS)));
    let playing: Vec<_> = (0..TASKS)
        .map(|task| {
            let (barrier, play) = (barrier.clone(), play(store.clone(), task));
            tokio::spawn(async move {
                barrier.wait().await;
                play.await;
            })
        })
        .collect();
    for task in playing {
        task.await.unwrap();
    }
    sent().await - before
}

fn name(task: usize, round: usize) -> String {
    format!("{task}-{round}")
}

fn text(task: usize, round: usize) -> Bytes {
    // of different sizes, and some look like the protocol's own words
    let word = ["message", "subscribe", "pmessage", "x"][(task + round) % 4];
    Bytes::from(format!("{word}{}", "!".repeat(task % 3 * round)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_share_round_trips() {
    let server = server().await;
    let store = store(&server).await;
    let sent = in_many_tasks(&server, &store, |store, task| async move {
        for round in 0..ROUNDS {
            let own = key(name(task, round));
            assert_eq!(store.get(&own).await.unwrap(), None);
            store.set(own.clone(), text(task, round), MINUTE).await.unwrap();
            assert_eq!(store.get(&own).await.unwrap(), Some(text(task, round)));
            let many = [key("none"), own.clone(), key(name(task, 0))];
            let expected = [None, Some(text(task, round)), Some(text(task, 0))];
            assert_eq!(store.get_many(&many).await.unwrap(), expected);
        }
    })
    .await;
    let calls = 4 * ROUNDS * TASKS;
    assert!(sent < calls as u64 / 2, "{sent} commands for {calls} calls");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_and_deletions_share_round_trips_and_count_each_once() {
    let server = server().await;
    let store = store(&server).await;
    let sent = in_many_tasks(&server, &store, |store, task| async move {
        for round in 0..ROUNDS {
            let own = key(format!("own-{task}"));
            assert_eq!(store.add(&own, 3, MINUTE).await.unwrap(), 3 * (1 + round as i64));
            store.add(&key("all"), 1, MINUTE).await.unwrap();
            let value = key(name(task, round));
            store.set_many(&[entry(value.as_str(), "one"), Entry::new(key("same"), "x", MINUTE)]).await.unwrap();
            assert!(!store.delete_if(&value, &Bytes::from_static(b"two")).await.unwrap());
            let deleted = store.delete_many(&[value.clone(), key("none"), value.clone()]).await.unwrap();
            assert_eq!(deleted, 1);
            assert!(!store.delete_if(&value, &Bytes::from_static(b"one")).await.unwrap());
        }
    })
    .await;
    assert_eq!(store.add(&key("all"), 0, MINUTE).await.unwrap(), (ROUNDS * TASKS) as i64);
    let calls = 6 * ROUNDS * TASKS;
    assert!(sent < calls as u64 / 2, "{sent} commands for {calls} calls");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_share_round_trips_and_charge_each_once() {
    let server = server().await;
    let store = store(&server).await;
    let sent = in_many_tasks(&server, &store, |store, task| async move {
        let own = format!("own-{task}");
        for round in 0..ROUNDS as u32 {
            let decision = store.check(&[per_hour(&own, 5), per_hour("all", 1_000_000)]).await.unwrap();
            assert_eq!((decision.allowed, decision.limits.len()), (round < 5, 2));
            assert_eq!(decision.limits[0].remaining, 4_u32.saturating_sub(round));
            let decision = store.check(&[per_minute(&own, 1000).with_cost(1 + task as u32)]).await.unwrap();
            assert_eq!((decision.limits.len(), decision.limits[0].limit), (1, 1000));
        }
    })
    .await;
    let all = store.check(&[per_hour("all", 1_000_000).with_cost(0)]).await.unwrap();
    assert_eq!(all.limits[0].remaining, 1_000_000 - 5 * TASKS as u32, "refused checks were not charged");
    let calls = 2 * ROUNDS * TASKS;
    assert!(sent < calls as u64 / 2, "{sent} commands for {calls} calls");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_and_handoffs_share_round_trips() {
    let server = server().await;
    let store = store(&server).await;
    let sent = in_many_tasks(&server, &store, |store, task| async move {
        for round in 0..ROUNDS {
            let own = request(&name(task, round));
            assert_eq!(store.begin(&own, MINUTE).await.unwrap(), Begun::Started);
            let again = request(&name(task, round));
            assert!(matches!(store.begin(&again, MINUTE).await.unwrap(), Begun::InProgress { .. }));
            assert_eq!(store.finish(&own, &text(task, round), MINUTE).await.unwrap(), Finished::Stored);
            assert_eq!(store.begin(&again, MINUTE).await.unwrap(), Begun::Finished(text(task, round)));
            let handed = HandoffItem::new(service("billing"), key(name(task, round)), text(task, round), MINUTE);
            assert_eq!(store.put(&handed).await.unwrap(), Put::Stored);
            assert_eq!(store.put(&item("billing", &name(task, round), "other")).await.unwrap(), Put::Occupied);
            let taken = store.take(&handed.key, RequestId::generate()).await.unwrap();
            assert_eq!(taken, Some(text(task, round)));
        }
    })
    .await;
    let calls = 7 * ROUNDS * TASKS;
    assert!(sent < calls as u64 / 2, "{sent} commands for {calls} calls");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_caller_wins_when_many_ask_in_one_call() {
    let server = server().await;
    let store = store(&server).await;
    store.put(&item("billing", "one", "value")).await.unwrap();
    let same = request("one");
    let asking: Vec<_> = (0..TASKS)
        .map(|_| {
            let (store, mut own) = (store.clone(), same.clone());
            own.request = RequestId::generate();
            tokio::spawn(async move {
                let begun = store.begin(&own, MINUTE).await.unwrap();
                let taken = store.take(&key("one"), RequestId::generate()).await.unwrap();
                (usize::from(begun == Begun::Started), usize::from(taken.is_some()))
            })
        })
        .collect();
    let (mut started, mut took) = (0, 0);
    for task in asking {
        let own = task.await.unwrap();
        (started, took) = (started + own.0, took + own.1);
    }
    assert_eq!((started, took), (1, 1));
}

/// Values of other programs and refused calls affect only their own caller.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_item_does_not_affect_its_neighbours() {
    let server = server().await;
    let store = store(&server).await;
    for (database, name) in [
        (OWN, "counter:bad"),
        (OWN, "gcra:bad"),
        (OWN, "window:bad"),
        (OWN, "idempotency:bad"),
        (0, "handoff:7:billing:bad"),
    ] {
        server.command_in(database, &["RPUSH", name, "canary"]).await.unwrap();
    }
    server.command_in(OWN, &["SET", "value:bad", "message"]).await.unwrap();
    store.add(&key("full"), i64::MAX, MINUTE).await.unwrap();
    in_many_tasks(&server, &store, |store, task| async move {
        for round in 0..ROUNDS {
            if task % 5 == 0 {
                for error in trouble(&store).await {
                    assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
                    assert!(!format!("{error} {error:?}").contains("canary"));
                }
                let refused = store.add(&key("full"), 1, MINUTE).await.unwrap_err();
                assert!(matches!(refused, Error::InvalidArgument { .. }), "{refused:?}");
            } else {
                let name = name(task, round);
                assert_eq!(store.get(&key(&name)).await.unwrap(), None);
                assert_eq!(store.add(&key(&name), 1, MINUTE).await.unwrap(), 1);
                assert!(store.check(&[per_minute(&name, 5)]).await.unwrap().allowed);
                assert!(store.check(&[per_hour(&name, 5)]).await.unwrap().allowed);
                assert_eq!(store.begin(&request(&name), MINUTE).await.unwrap(), Begun::Started);
                assert_eq!(store.put(&item("billing", &name, "value")).await.unwrap(), Put::Stored);
                assert!(store.take(&key(&name), RequestId::generate()).await.unwrap().is_some());
            }
        }
    })
    .await;
    let checked = store.check(&[per_hour("alone", 5), per_hour("bad", 5)]).await;
    assert!(matches!(checked, Err(Error::Corrupt { .. })), "{checked:?}");
    let alone = store.check(&[per_hour("alone", 5).with_cost(0)]).await.unwrap();
    assert_eq!(alone.limits[0].remaining, 5, "it was charged although its neighbour in the same check failed");
}

async fn trouble(store: &CacheStore) -> [Error; 8] {
    let bad = request("bad");
    [
        store.get(&key("bad")).await.unwrap_err(),
        store.add(&key("bad"), 1, MINUTE).await.unwrap_err(),
        store.check(&[per_minute("bad", 5)]).await.unwrap_err(),
        store.check(&[per_hour("bad", 5)]).await.unwrap_err(),
        store.begin(&bad, MINUTE).await.unwrap_err(),
        store.finish(&bad, &Bytes::new(), MINUTE).await.unwrap_err(),
        store.put(&item("billing", "bad", "value")).await.unwrap_err(),
        store.take(&key("bad"), RequestId::generate()).await.unwrap_err(),
    ]
}

/// All callers of a call whose reply is lost get an error, and each addition was executed as often as its caller was
/// answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_call_of_counters_is_never_repeated() {
    let server = server().await;
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let own = link(&server.url_through(&proxy, Some(OWN))).await;
    let store = CacheStore::new(own.clone(), own, service("billing"), Default::default());
    store.add(&key("warm"), 1, Ttl::from_secs(60)).await.unwrap();
    proxy.cut_after_request(mentions("counter:"));
    let adding: Vec<_> = (0..TASKS)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move { store.add(&key(format!("counter-{task}")), 1, MINUTE).await })
        })
        .collect();
    let mut lost = 0;
    for (task, added) in adding.into_iter().enumerate() {
        let sum = match added.await.unwrap() {
            Ok(sum) => sum,
            Err(error) => {
                assert!(matches!(error, Error::Indeterminate { .. }), "{error:?}");
                lost += 1;
                server
                    .command_in(OWN, &["GET", &format!("counter:counter-{task}")])
                    .await
                    .unwrap()
                    .as_str()
                    .map_or(0, |sum| sum.parse().unwrap())
            }
        };
        assert!(sum <= 1, "counter {task} was counted {sum} times");
    }
    assert!(lost >= 1 && proxy.fired() == 1, "{lost} were told, {} calls were cut", proxy.fired());
}
