//! Runs: their stored form, a full server, foreign data, coalesced calls, a suspended process.

use std::time::Duration;

use store_core::{
    AgentName, Clock, Durability, Error, ManualClock, NewRun, PageRequest, Result, RunEvent, RunFilter, RunId, RunInfo,
    RunOutcome, RunState, RunWrite, Runs, SessionId, Timestamp, Ttl,
};
use testkit::{DEADLINE, FaultProxy, RedisServer, wait_until};

use crate::{Fixture, fixture, fixture_with, open_to_lose};
use state_store::{StateOptions, StateStore};

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
const KEY: &str = "test:{r.7}:run";
const INDEX: [&str; 5] = [
    "test:{x.runs}:agent:planner",
    "test:{x.runs}:all",
    "test:{x.runs}:both:planner+ann",
    "test:{x.runs}:ends",
    "test:{x.runs}:session:ann",
];

pub(crate) fn id(name: &str) -> RunId {
    RunId::new(name).unwrap()
}

pub(crate) fn new(name: &str) -> NewRun {
    let run = NewRun::new(id(name), AgentName::new("planner").unwrap()).with_ttl(Ttl::from_secs(60));
    run.in_session(SessionId::new("ann").unwrap())
}

pub(crate) fn note(name: &str) -> RunWrite {
    RunWrite::new(id(name)).with_event(RunEvent::new("note", "a\0b"))
}

pub(crate) async fn create(store: &StateStore, run: &NewRun) -> Result<RunOutcome> {
    Ok(store.create(run, Durability::Accepted).await?.value)
}

pub(crate) async fn created(store: &StateStore, name: &str) -> RunInfo {
    create(store, &new(name)).await.unwrap().done().unwrap()
}

pub(crate) async fn write(store: &StateStore, write: &RunWrite) -> Result<RunOutcome> {
    Ok(store.write(write, Durability::Accepted).await?.value)
}

async fn list(store: &StateStore) -> store_core::RunPage {
    Runs::list(store, &RunFilter::default(), PageRequest::default()).await.unwrap()
}

/// Without the remembered calls, which last for seconds.
async fn keys(server: &RedisServer) -> Vec<String> {
    let mut keys = server.command(&["KEYS", "test:*{*"]).await.unwrap().as_strings().unwrap();
    for call in keys.extract_if(.., |key| key.contains(":call:")) {
        let ttl = server.command(&["PTTL", &call]).await.unwrap().as_integer().unwrap();
        assert!(ttl <= 60_000 && ttl != -1, "{call}: {ttl}");
    }
    keys.sort();
    keys
}

#[tokio::test]
async fn a_run_is_one_hash_that_expires_and_an_entry_in_each_listing() {
    let Fixture { server, store, .. } = fixture().await;
    created(&store, "7").await;
    let mut expected = vec![KEY.to_owned()];
    expected.extend(INDEX.map(str::to_owned));
    assert_eq!(keys(&server).await, expected);
    let margin = Duration::from_secs(3600);
    let ttl = async || {
        let millis = server.command(&["PTTL", KEY]).await.unwrap().as_integer().unwrap();
        Duration::from_millis(u64::try_from(millis).expect("the key has a TTL"))
    };
    assert!(ttl().await > margin && ttl().await <= margin + MINUTE);
    for _ in 0..3 {
        assert!(write(&store, &note("7")).await.unwrap().done().is_some());
    }
    // the run, its input, four events
    assert_eq!(server.command(&["HLEN", KEY]).await.unwrap().as_integer(), Some(6));
    assert_eq!(keys(&server).await, expected);
    assert!(store.delete(&id("7")).await.unwrap());
    assert_eq!(keys(&server).await, Vec::<String>::new());
}

#[tokio::test]
async fn events_that_are_removed_leave_no_field() {
    let Fixture { server, store, .. } = fixture().await;
    assert!(create(&store, &new("7").with_max_events(100)).await.unwrap().done().is_some());
    let many = (0..50).fold(note("7"), |write, _| write.with_event(RunEvent::new("note", "")));
    assert!(matches!(write(&store, &many).await, Err(Error::InvalidArgument { .. })));
    for _ in 0..150 {
        assert!(write(&store, &note("7")).await.unwrap().done().is_some());
    }
    assert_eq!(server.command(&["HLEN", KEY]).await.unwrap().as_integer(), Some(102));
}

#[tokio::test]
async fn a_run_can_be_cancelled_and_deleted_on_a_full_server() {
    let Fixture { server, store, .. } = fixture_with(StateOptions::default()).await;
    let runs = [created(&store, "1").await, created(&store, "2").await, created(&store, "3").await];
    let to = |run: &RunInfo, state| RunWrite::new(run.run.clone()).to(state, run.version);
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).await.unwrap();
    let refused = [
        create(&store, &new("4")).await,
        write(&store, &note("1")).await,
        write(&store, &to(&runs[0], RunState::InProgress)).await,
    ];
    for refused in refused {
        assert!(matches!(refused, Err(Error::Limit { .. })), "{refused:?}");
    }
    for (run, state) in runs.iter().zip([RunState::Cancelling, RunState::Cancelled, RunState::Failed]) {
        assert!(write(&store, &to(run, state)).await.unwrap().done().is_some());
        assert!(store.delete(&run.run).await.unwrap());
    }
    assert_eq!(store.sweep().await.unwrap().left, 0);
    assert_eq!(keys(&server).await, Vec::<String>::new());
}

#[tokio::test]
async fn foreign_data_is_corrupt_and_not_shown() {
    let Fixture { server, store, .. } = fixture().await;
    let head = "1c".to_owned() + &"9".repeat(153) + "0123456789abcdef";
    let damages: [&[&str]; 4] = [
        &["SET", KEY, "canary"],
        &["HSET", KEY, "run", "canary"],
        &["HSET", KEY, "run", "1canary"],
        &["HSET", KEY, "run", &(head.clone() + "006canary")[..120]],
    ];
    for damage in damages {
        server.command(&["DEL", KEY]).await.unwrap();
        server.command(damage).await.unwrap();
        let refusals = [
            create(&store, &new("7")).await.map(drop),
            write(&store, &note("7")).await.map(drop),
            store.get(&id("7")).await.map(drop),
            store.events(&id("7"), 0, 1).await.map(drop),
        ];
        for error in refusals.map(Result::unwrap_err) {
            assert!(matches!(error, Error::Corrupt { .. }), "{damage:?}: {error:?}");
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
        assert!(store.delete(&id("7")).await.unwrap(), "{damage:?}");
        assert_eq!(server.command(&["EXISTS", KEY]).await.unwrap().as_integer(), Some(0));
    }
    server.command(&["HSET", KEY, "run", &(head + "099canary")]).await.unwrap();
    let error = store.get(&id("7")).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("canary"));
    assert!(store.delete(&id("7")).await.unwrap());
    assert_eq!(server.command(&["EXISTS", KEY]).await.unwrap().as_integer(), Some(0));
}

#[tokio::test]
async fn concurrent_calls_are_coalesced_and_each_gets_its_own_answer() {
    const TASKS: u64 = 50;
    let Fixture { server, store, .. } = fixture_with(StateOptions::default()).await;
    server.command(&["SET", "test:{r.bad}:run", "canary"]).await.unwrap();
    let calls = async || server.command_calls().await.unwrap().get("evalsha").copied().unwrap_or(0);
    let before = calls().await;
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                assert!(matches!(write(&store, &note("bad")).await, Err(Error::Corrupt { .. })));
                let name = task.to_string();
                assert_eq!(created(&store, &name).await.run, id(&name));
                let first = note(&name).with_event(RunEvent::new("note", name.clone()));
                assert_eq!(write(&store, &first).await.unwrap().done().map(|run| run.next_event), Some(3));
                assert!(store.delete(&id(&name)).await.unwrap());
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    // Each task needs seven: one for each write, two more for a creation and for a deletion.
    let sent = calls().await - before;
    assert!(sent < 2 * TASKS, "{sent} calls for {}", 7 * TASKS);
    assert_eq!(list(&store).await.total, 0);
}

/// A process is suspended after it has written the entries of a run: they may have been swept before the run is created.
#[tokio::test]
async fn a_run_whose_process_was_suspended_for_longer_than_it_lasts_is_listed() {
    let server = RedisServer::state().start().await.unwrap();
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let clock = ManualClock::new(Timestamp::from_millis(1_700_000_000_000));
    let options = StateOptions::default().with_clock(Clock::Manual(clock.clone()));
    let store = open_to_lose(&server.url_through(&proxy, None), options).await;
    created(&store, "warm").await; // loads the scripts
    let has = |request: &[u8], text: &[u8]| request.windows(text.len()).any(|part| part == text);
    proxy.hold_at_request(move |request| has(request, b"7 planner ann"));
    let creating = tokio::spawn({
        let store = store.clone();
        async move { create(&store, &new("7")).await.unwrap().done().is_some() }
    });
    wait_until("the entries are held", DEADLINE, async || proxy.fired() == 1).await;
    clock.advance(2 * MINUTE);
    assert!(creating.await.unwrap());
    // Those that were too old, and new ones. A creation sweeps too: the run that loaded the scripts.
    let ends = server.command(&["ZRANGE", INDEX[3], "0", "-1"]).await.unwrap().as_strings().unwrap();
    assert!(ends.len() == 1 && ends[0].starts_with("7 planner ann "), "{ends:?}");
    let page = list(&store).await;
    assert_eq!((page.items.len(), page.total), (1, 1));
    assert_eq!(page.items[0].created, clock.now());
    clock.advance(2 * MINUTE);
    assert_eq!(store.sweep().await.unwrap().removed, 1);
    assert_eq!(keys(&server).await, Vec::<String>::new());
}

/// A run of a newer layout is a good run of a newer version.
#[tokio::test]
async fn runs_that_cannot_be_read_hold_up_no_listing_and_no_deletion() {
    let Fixture { server, store, .. } = fixture().await;
    for name in ["1", "damaged", "3", "newer", "5"] {
        created(&store, name).await;
    }
    make_unreadable(&server).await;
    let page = list(&store).await;
    let ids: Vec<_> = page.items.iter().map(|run| run.run.as_str()).collect();
    assert_eq!((ids, page.total), (vec!["5", "3", "1"], 5));
    assert_eq!(page.unreadable, [id("newer"), id("damaged")]);
    let cleared = store.clear("", None).await.unwrap();
    assert_eq!((cleared.removed, cleared.left, cleared.skipped), (4, 0, 1));
    let refused = store.delete(&id("newer")).await.unwrap_err();
    assert!(matches!(refused, Error::Unsupported { .. }), "{refused:?}");
    let mut left = keys(&server).await;
    left.retain(|key| key.starts_with("test:{r"));
    assert_eq!(left, ["test:{r.newer}:run"]);
    // Its id is free again.
    created(&store, "damaged").await;
}

#[tokio::test]
async fn runs_that_cannot_be_read_hold_up_no_sweep() {
    let Fixture { server, store, clock } = fixture().await;
    for name in ["damaged", "newer", "3"] {
        created(&store, name).await;
    }
    make_unreadable(&server).await;
    server.command(&["ZADD", INDEX[3], "1", "no run"]).await.unwrap();
    clock.advance(MINUTE + Duration::from_secs(11));
    let due = async || {
        let now = clock.now().as_millis().to_string();
        server.command(&["ZCOUNT", INDEX[3], "2", &now]).await.unwrap().as_integer().unwrap()
    };
    assert_eq!(due().await, 3);
    assert_eq!(store.sweep().await.unwrap().removed, 1);
    assert_eq!(due().await, 0, "they are first again in the next sweep");
    // Their keys have TTLs of their own.
    server.command(&["DEL", "test:{r.damaged}:run", "test:{r.newer}:run"]).await.unwrap();
    clock.advance(60 * MINUTE + Duration::from_secs(11));
    assert_eq!(store.sweep().await.unwrap().removed, 2);
    assert_eq!(list(&store).await.total, 0);
}

/// Damages the run `damaged`, and gives the run `newer` a newer layout.
async fn make_unreadable(server: &RedisServer) {
    server.command(&["HSET", "test:{r.damaged}:run", "run", "1canary"]).await.unwrap();
    let head = server.command(&["HGET", "test:{r.newer}:run", "run"]).await.unwrap();
    let newer = [b"9", &head.as_bytes().unwrap()[1..]].concat();
    server.command(&[&b"HSET"[..], b"test:{r.newer}:run", b"run", &newer]).await.unwrap();
}
