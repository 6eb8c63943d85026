//! What listings of runs and sessions send: a bounded number of requests and commands for each page, and no command that visits all
//! keys of the server or all members of a key.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use store_core::{AgentName, Durability, PageRequest, RunFilter, RunsRemoved, SessionId, SessionSave, Sessions};
use testkit::RedisServer;

use crate::{Fixture, fixture, runs};
use state_store::StateStore;

/// Commands whose work grows with the number of keys, or with that of the members of a key.
const UNBOUNDED: [&str; 13] = [
    "keys", "scan", "sscan", "hscan", "zscan", "smembers", "hgetall", "hkeys", "hvals", "sort", "zrange", "flushdb",
    "flushall",
];

fn agent() -> AgentName {
    AgentName::new("planner").unwrap()
}

/// Runs and sessions of one agent.
async fn create(store: &StateStore, names: std::ops::Range<usize>) {
    let runs: Vec<_> = names.clone().map(|number| runs::new(&number.to_string())).collect();
    let created = try_join_all(runs.iter().map(|run| runs::create(store, run))).await.unwrap();
    assert!(created.into_iter().all(|outcome| outcome.done().is_some()));
    let session = |number: usize| SessionSave::new(SessionId::new(number.to_string()).unwrap(), agent(), "Hello");
    let sessions: Vec<_> = names.map(session).collect();
    let saved = try_join_all(sessions.iter().map(|it| Sessions::save(store, it, Durability::Accepted))).await.unwrap();
    assert!(saved.into_iter().all(|receipt| receipt.value.saved().is_some()));
}

/// Every listing of runs, by agent and session.
fn filters() -> [RunFilter; 4] {
    let (all, ann) = (RunFilter::default, SessionId::new("ann").unwrap());
    [all(), all().of_agent(agent()), all().in_session(ann.clone()), all().of_agent(agent()).in_session(ann)]
}

/// How often each command was called meanwhile, also inside scripts.
async fn sent(server: &RedisServer, calls: impl Future<Output = ()>) -> BTreeMap<String, u64> {
    let before = server.command_calls().await.unwrap();
    calls.await;
    let mut sent = server.command_calls().await.unwrap();
    sent.retain(|command, count| {
        *count -= before.get(command).copied().unwrap_or_default();
        *count > 0 && command != "info"
    });
    sent
}

async fn clear_all<E: std::fmt::Debug>(
    mut clear: impl AsyncFnMut(Option<store_core::Cursor>) -> Result<RunsRemoved, E>,
) {
    let (mut after, mut removed) = (None, 0);
    loop {
        let cleared = clear(after).await.unwrap();
        removed += cleared.removed;
        after = cleared.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(removed, 50);
}

#[tokio::test]
async fn no_listing_and_no_clearing_sends_keys() {
    let Fixture { server, store, .. } = fixture().await;
    create(&store, 0..50).await;
    let calls = async {
        for filter in filters() {
            let page = store_core::Runs::list(&store, &filter, PageRequest::first(20)).await.unwrap();
            assert_eq!((page.items.len(), page.total), (20, 50));
        }
        for of in [None, Some(&agent())] {
            let page = Sessions::list(&store, of, PageRequest::first(20)).await.unwrap();
            assert_eq!((page.items.len(), page.total), (20, 50));
        }
        clear_all(async |after| store_core::Runs::clear(&store, "", after).await).await;
        clear_all(async |after| Sessions::clear(&store, "", after).await).await;
        assert_eq!(store_core::Runs::sweep(&store).await.unwrap().left, 0);
        assert_eq!(Sessions::sweep(&store).await.unwrap(), 0);
    };
    let sent = sent(&server, calls).await;
    assert!(sent["evalsha"] > 10, "{sent:?}");
    for command in UNBOUNDED {
        assert!(!sent.contains_key(command), "{command} was sent: {sent:?}");
    }
}

/// One script for the ids, and one for up to 128 runs: 2 to 4 requests for up to 100 runs, 11 for 1,000. Each command inside is that of
/// one run.
#[tokio::test]
async fn a_page_costs_a_bounded_number_of_requests_and_commands() {
    let Fixture { server, store, .. } = fixture().await;
    let mut first = BTreeMap::new();
    for (created, before) in [(1000, 0), (3000, 1000)] {
        create(&store, before..created).await;
        for limit in [1, 10, 100, 1000] {
            for (index, filter) in filters().iter().enumerate() {
                let page = PageRequest::first(limit);
                let list = async {
                    let page = store_core::Runs::list(&store, filter, page).await.unwrap();
                    assert_eq!((page.items.len() as u64, page.total), (u64::from(limit), created as u64));
                };
                check(&mut first, &format!("runs {index}"), limit, sent(&server, list).await);
            }
            for of in [None, Some(&agent())] {
                let page = PageRequest::first(limit);
                let list = async {
                    let page = Sessions::list(&store, of, page).await.unwrap();
                    assert_eq!((page.items.len() as u64, page.total), (u64::from(limit), created as u64));
                };
                check(&mut first, &format!("sessions {of:?}"), limit, sent(&server, list).await);
            }
        }
    }
}

/// A page that is read again when there are three times as many runs costs the same.
fn check(first: &mut BTreeMap<(String, u32), u64>, listing: &str, limit: u32, sent: BTreeMap<String, u64>) {
    let (requests, commands) = (sent["evalsha"], sent.values().sum::<u64>());
    assert!(requests <= 6 + u64::from(limit).div_ceil(64), "{limit} of {listing}: {sent:?}");
    assert!(commands <= 3 * requests + u64::from(limit) + 3, "{limit} of {listing}: {sent:?}");
    let before = *first.entry((listing.to_owned(), limit)).or_insert(commands);
    assert!(commands <= before + 12, "{limit} of {listing}: {sent:?}, {before} before");
}
