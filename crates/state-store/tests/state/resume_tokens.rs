//! Resume tokens: their stored form, durable saves, full memory, interrupted scripts, coalesced calls.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use store_core::{
    Clock, Cursor, Durability, Error, Fence, ResumeToken, ResumeTokenInfo, ResumeTokens, SaveRequest, StreamName,
    TokenOutcome, TokenVersion, Ttl,
};
use testkit::{Interrupted, RedisServer, ScriptProxy};
use tokio::sync::Barrier;

use crate::{Fixture, fixture, open};
use state_store::{StateOptions, StateStore};

const KEY: &str = "test:{t.orders}:token";
const FENCE: Fence = Fence::new(1_700_000_000_000_001);
const LATER: Fence = Fence::new(1_700_000_000_000_002);
const MINUTE: Ttl = Ttl::from_secs(60);

fn stream(name: &str) -> StreamName {
    StreamName::new(name).unwrap()
}

fn request(token: &str, fence: Fence, expected: Option<TokenVersion>) -> SaveRequest {
    SaveRequest::new(stream("orders"), token.to_owned(), fence, expected)
}

async fn save(store: &StateStore, request: &SaveRequest) -> TokenOutcome<ResumeTokenInfo> {
    store.save(request, Durability::Accepted).await.unwrap().value
}

async fn saved(store: &StateStore, request: &SaveRequest) -> TokenVersion {
    save(store, request).await.done().expect("nobody else saves").version
}

/// The time to live of the record; `None` if it has none.
async fn ttl(server: &RedisServer) -> Option<Duration> {
    let millis = server.command(&["PTTL", KEY]).await.unwrap().as_integer().unwrap();
    u64::try_from(millis).ok().map(Duration::from_millis)
}

#[tokio::test]
async fn a_record_is_one_string_that_outlasts_its_token_by_30_days() {
    let Fixture { server, store, .. } = fixture().await;
    let (kept, slack) = (ResumeToken::EXPIRED_KEPT_FOR, Duration::from_secs(30));
    let is_about = |ttl: Option<Duration>, wanted| ttl.is_some_and(|ttl| ttl <= wanted && ttl + slack > wanted);
    assert!(store.take_over(&stream("orders"), FENCE).await.unwrap().done().is_some());
    assert!(is_about(ttl(&server).await, kept), "a record without a token");
    let first = saved(&store, &request("1", FENCE, None).with_ttl(MINUTE)).await;
    assert_eq!(server.command(&["TYPE", KEY]).await.unwrap().as_str(), Some("string"));
    assert!(is_about(ttl(&server).await, kept + MINUTE.as_duration()));
    assert!(store.take_over(&stream("orders"), LATER).await.unwrap().done().is_some());
    assert!(is_about(ttl(&server).await, kept + MINUTE.as_duration()), "a raised fence does not change it");
    let second = saved(&store, &request("2", LATER, Some(first))).await;
    assert_eq!(ttl(&server).await, None);
    assert_eq!(store.clear(&stream("orders"), second, None).await.unwrap(), TokenOutcome::Done(()));
    assert!(is_about(ttl(&server).await, kept), "a deleted token");
    let keys = server.command(&["KEYS", "*{t.*"]).await.unwrap().as_strings().unwrap();
    assert_eq!(keys, [KEY]);
}

#[tokio::test]
async fn versions_rise_while_the_clock_stops_or_goes_back() {
    let Fixture { server, store, clock } = fixture().await;
    let first = saved(&store, &request("1", FENCE, None)).await;
    let second = saved(&store, &request("2", FENCE, Some(first))).await;
    assert_eq!((first.get(), second.get()), (1_700_000_000_000_000, 1_700_000_000_000_001));
    let hour_ago = store_core::Timestamp::from_millis(clock.now().as_millis() - 3_600_000);
    let earlier = StateOptions::default().with_clock(Clock::Manual(store_core::ManualClock::new(hour_ago)));
    let store = open(&server.url(None), earlier).await.unwrap();
    assert!(saved(&store, &request("3", FENCE, Some(second))).await > second);
}

#[tokio::test]
async fn a_repeated_save_is_as_durable_as_the_first() {
    let Fixture { server, store, .. } = fixture().await;
    let replica = RedisServer::state().replica_of(&server).start().await.unwrap();
    let durability = Durability::Replicated { replicas: 1, within: Duration::from_secs(20) };
    let asked = request("1", FENCE, None);
    for _ in 0..2 {
        let receipt = store.save(&asked, durability).await.unwrap();
        assert!(receipt.value.done().is_some() && receipt.reached.replicas == 1);
    }
    drop(replica);
    let none = Durability::Replicated { replicas: 1, within: Duration::from_millis(100) };
    let error = store.save(&asked, none).await.unwrap_err();
    assert!(matches!(error, Error::NotDurable { .. }), "a repetition does not claim what it did not reach: {error:?}");
    let refused = store.save(&request("2", FENCE, None), none).await.unwrap().value;
    assert!(matches!(refused, TokenOutcome::Conflict(Some(_))), "a refused save wrote nothing: {refused:?}");
}

#[tokio::test]
async fn tokens_are_saved_taken_over_and_deleted_in_a_full_server() {
    let Fixture { server, store, .. } = fixture().await;
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).await.unwrap();
    let first = saved(&store, &request("1", FENCE, None)).await;
    assert!(store.take_over(&stream("orders"), LATER).await.unwrap().done().is_some());
    let second = saved(&store, &request("2", LATER, Some(first))).await;
    assert_eq!(store.load(&stream("orders")).await.unwrap().unwrap().token, "2");
    assert_eq!(store.clear(&stream("orders"), second, None).await.unwrap(), TokenOutcome::Done(()));
}

#[tokio::test]
async fn foreign_data_is_corrupt_and_not_shown() {
    let Fixture { server, store, .. } = fixture().await;
    let damaged = [&["SET", KEY, "canary"][..], &["SET", KEY, "1tcanary"], &["RPUSH", KEY, "canary"]];
    for write in damaged {
        server.command(&["DEL", KEY]).await.unwrap();
        server.command(write).await.unwrap();
        let orders = stream("orders");
        let errors = [
            store.save(&request("1", FENCE, None), Durability::Accepted).await.map(drop),
            store.take_over(&orders, FENCE).await.map(drop),
            store.load(&orders).await.map(drop),
            store.clear(&orders, TokenVersion::new(1), None).await.map(drop),
            store.tokens(None, None::<Cursor>).await.map(drop),
        ];
        for error in errors.map(Result::unwrap_err) {
            assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
    }
}

/// A save, a take-over, and deletions, each interrupted before its first write and before a second one: there is no second
/// one, and the repetition of an interrupted call has the outcome of the call.
#[tokio::test]
async fn a_script_that_is_interrupted_before_any_of_its_writes_leaves_nothing_to_repair() {
    let server = RedisServer::state().start().await.unwrap();
    let proxy = ScriptProxy::start(&server).await.unwrap();
    let store = open(&proxy.url(), StateOptions::default()).await.unwrap();
    let orders = stream("orders");
    // loads the scripts
    let version = saved(&store, &request("0", FENCE, None)).await;
    assert!(store.take_over(&orders, FENCE).await.unwrap().done().is_some());
    assert!(store.clear(&orders, version, None).await.unwrap().done().is_some());

    for script in ["resume_token/save", "resume_token/take_over", "resume_token/clear"] {
        for (writes, then) in
            [0, 1].into_iter().flat_map(|at| [(at, Interrupted::Fails), (at, Interrupted::IsRepeated)])
        {
            server.command(&["DEL", KEY]).await.unwrap();
            let version = saved(&store, &request("1", FENCE, None)).await;
            let before = server.command(&["GET", KEY]).await.unwrap();
            proxy.interrupt(script, writes, then).await.unwrap();
            let asked = request("2", FENCE, Some(version));
            let call = async || match script {
                "resume_token/save" => {
                    store.save(&asked, Durability::Accepted).await.map(|it| it.value.done().is_some())
                }
                "resume_token/take_over" => store.take_over(&orders, LATER).await.map(|it| it.done().is_some()),
                _ => store.clear(&orders, version, Some(FENCE)).await.map(|it| it.done().is_some()),
            };
            let answer = call().await;
            let context = format!("{script}, {writes} writes, {then:?}: {answer:?}");
            assert_eq!(proxy.heal().await.unwrap(), writes == 0, "one write at most: {context}");
            if writes == 0 && then == Interrupted::Fails {
                assert!(answer.is_err() && server.command(&["GET", KEY]).await.unwrap() == before, "{context}");
                assert!(call().await.unwrap(), "the same call again: {context}");
            } else {
                assert!(answer.unwrap(), "{context}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_saves_are_coalesced_and_each_gets_its_own_answer() {
    const TASKS: usize = 50;
    const ROUNDS: usize = 10;
    let Fixture { server, store, .. } = fixture().await;
    server.command(&["RPUSH", "test:{t.bad}:token", "canary"]).await.unwrap();
    let calls = async || server.command_calls().await.unwrap().get("evalsha").copied().unwrap_or(0);
    let (before, barrier) = (calls().await, Arc::new(Barrier::new(TASKS)));
    let saving: Vec<_> = (0..TASKS)
        .map(|task| {
            let (store, barrier) = (store.clone(), Arc::clone(&barrier));
            tokio::spawn(async move {
                let (own, mut expected) = (stream(&format!("own-{task}")), None);
                barrier.wait().await;
                for round in 0..ROUNDS {
                    let token = format!("{task}:{round}");
                    let asked = SaveRequest::new(own.clone(), token.clone(), FENCE, expected);
                    let info = save(&store, &asked).await.done().unwrap();
                    assert_eq!((&info.stream, info.bytes), (&own, token.len() as u64));
                    expected = Some(info.version);
                    if task % 5 == 0 {
                        let bad = SaveRequest::new(stream("bad"), "x", FENCE, None);
                        let error = store.save(&bad, Durability::Accepted).await.unwrap_err();
                        assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
                    }
                }
                let resumed = store.take_over(&own, LATER).await.unwrap().done().flatten().unwrap();
                assert_eq!(resumed.token, Bytes::from(format!("{task}:{}", ROUNDS - 1)));
            })
        })
        .collect();
    for task in saving {
        task.await.unwrap();
    }
    let (sent, asked) = (calls().await - before, (TASKS * (ROUNDS + 1)) as u64);
    assert!(sent < asked / 2, "{sent} calls for {asked}");
}
