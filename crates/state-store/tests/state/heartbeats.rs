//! Heartbeats: their stored form, its bounds, and the repair of partial writes.

use std::time::Duration;

use store_core::{Beat, Cursor, Error, Heartbeats, HolderName, Member, Page, PageRequest, PoolName, Timestamp};
use testkit::{FaultProxy, RedisServer, mentions};

use crate::{Fixture, fixture, open_to_lose};
use state_store::{StateOptions, StateStore};

const LASTING: Duration = Duration::from_secs(10);
const KEYS: [&str; 3] =
    ["test:orders:{p.workers}:details", "test:orders:{p.workers}:until", "test:orders:{p.workers}:names"];

fn pool() -> PoolName {
    PoolName::new("workers").unwrap()
}

fn member(name: &str) -> HolderName {
    HolderName::new(name).unwrap()
}

async fn beat(store: &StateStore, name: &str, lasting: Duration) {
    store.beat(&Beat::new(pool(), member(name), lasting).with_details(format!("of {name}"))).await.unwrap();
}

async fn alive(store: &StateStore) -> Vec<String> {
    let page = store.alive(&pool(), PageRequest::first(1000)).await.unwrap();
    page.items.iter().map(|member| member.name.to_string()).collect()
}

async fn lost(store: &StateStore) -> Vec<String> {
    let page = store.lost(&pool(), Timestamp::default(), PageRequest::first(1000)).await.unwrap();
    page.items.iter().map(|member| member.name.to_string()).collect()
}

async fn counts(server: &RedisServer) -> [i64; 3] {
    let mut counts = [0; 3];
    for (index, command) in ["HLEN", "ZCARD", "ZCARD"].into_iter().enumerate() {
        counts[index] = server.command(&[command, KEYS[index]]).await.unwrap().as_integer().unwrap();
    }
    counts
}

#[tokio::test]
async fn all_keys_of_a_pool_end_a_day_after_its_last_beat() {
    let Fixture { server, store, .. } = fixture().await;
    beat(&store, "long", LASTING * 100).await;
    beat(&store, "short", LASTING).await;
    for name in KEYS {
        let ttl = server.command(&["PTTL", name]).await.unwrap().as_integer().unwrap();
        let longest = i64::try_from((Member::LOST_KEPT_FOR + LASTING * 100).as_millis()).unwrap();
        assert!((longest - 60_000..=longest).contains(&ttl), "{name}: {ttl}");
    }
    assert!(store.leave(&pool(), &member("long")).await.unwrap());
    assert!(store.leave(&pool(), &member("short")).await.unwrap());
    assert!(!store.leave(&pool(), &member("short")).await.unwrap());
    assert_eq!(counts(&server).await, [0; 3]);
}

#[tokio::test]
async fn pages_go_through_all_members_in_order() {
    let Fixture { server: _server, store, clock } = fixture().await;
    // names whose order in a dictionary is another than that of their bytes
    let names = ["B", "a", "b", "a:1", "a-1", "Z/1", "_", "z"];
    for name in names {
        beat(&store, name, LASTING).await;
    }
    let mut by_name = names.map(str::to_owned).to_vec();
    by_name.sort();
    assert_eq!(collect(async |page| store.alive(&pool(), page).await.unwrap()).await, by_name);

    clock.advance(LASTING * 2);
    beat(&store, "later", Duration::from_millis(10)).await;
    clock.advance(LASTING);
    assert!(alive(&store).await.is_empty());
    let by_time = [vec!["later".to_owned()], by_name].concat();
    let since = Timestamp::default();
    assert_eq!(collect(async |page| store.lost(&pool(), since, page).await.unwrap()).await, by_time);
    let foreign = PageRequest::first(1).with_cursor(Cursor::new("canary"));
    let error = store.lost(&pool(), since, foreign).await.unwrap_err();
    assert!(matches!(error, Error::InvalidArgument { .. }) && !error.to_string().contains("canary"));
}

/// All members, three at a time; each of them leaves while it is the cursor.
async fn collect(page: impl AsyncFn(PageRequest) -> Page<store_core::Member>) -> Vec<String> {
    let (mut names, mut request) = (Vec::new(), PageRequest::first(3));
    loop {
        let Page { items, next, .. } = page(request).await;
        names.extend(items.iter().map(|member| member.name.to_string()));
        match next {
            Some(cursor) => request = PageRequest::first(3).with_cursor(cursor),
            None => return names,
        }
    }
}

#[tokio::test]
async fn a_page_continues_after_a_member_that_has_left() {
    let Fixture { server: _server, store, clock } = fixture().await;
    for name in ["a", "b", "c", "d"] {
        beat(&store, name, LASTING).await;
    }
    let first = store.alive(&pool(), PageRequest::first(2)).await.unwrap();
    store.leave(&pool(), &member("b")).await.unwrap();
    let rest = store.alive(&pool(), PageRequest::first(2).with_cursor(first.next.unwrap())).await.unwrap();
    assert_eq!((rest.items.len(), rest.items[0].name.as_str(), rest.next), (2, "c", None));
    clock.advance(LASTING);
    let since = Timestamp::default();
    let first = store.lost(&pool(), since, PageRequest::first(1)).await.unwrap();
    beat(&store, "a", LASTING).await;
    let rest = store.lost(&pool(), since, PageRequest::first(9).with_cursor(first.next.unwrap())).await.unwrap();
    assert_eq!(rest.items.iter().map(|member| member.name.as_str()).collect::<Vec<_>>(), ["c", "d"]);
}

#[tokio::test]
async fn lost_members_are_removed_by_count_and_age() {
    let Fixture { server, store, clock } = fixture().await;
    let kept = i64::try_from(Member::LOST_KEPT_COUNT).unwrap();
    for index in 0..kept + 150 {
        beat(&store, &format!("m{index:04}"), LASTING).await;
        clock.advance(Duration::from_millis(1));
    }
    clock.advance(LASTING);
    for _ in 0..2 {
        beat(&store, "alive", LASTING).await;
    }
    assert_eq!(counts(&server).await, [kept + 1; 3]);
    assert_eq!(lost(&store).await.len(), Member::LOST_KEPT_COUNT);
    assert_eq!(lost(&store).await[0], format!("m{:04}", kept + 149));
    clock.advance(Member::LOST_KEPT_FOR + LASTING);
    for _ in 0..11 {
        beat(&store, "alive", LASTING).await;
    }
    assert_eq!((counts(&server).await, alive(&store).await), ([1; 3], vec!["alive".to_owned()]));
}

#[tokio::test]
async fn the_next_beat_repairs_every_partial_write_of_a_beat() {
    let Fixture { server, store, clock } = fixture().await;
    let until = format!("-{}", clock.now().after(LASTING).as_millis());
    // a first beat that was interrupted before its member was written
    server.command(&["ZADD", KEYS[1], &until, "a"]).await.unwrap();
    server.command(&["ZADD", KEYS[2], "0", "a"]).await.unwrap();
    assert!(alive(&store).await.is_empty());
    clock.advance(LASTING);
    assert!(lost(&store).await.is_empty());
    beat(&store, "a", LASTING).await;
    assert_eq!(alive(&store).await, ["a"]);

    // a beat of a lost member that was interrupted before the member was back
    clock.advance(LASTING * 2);
    let until = format!("-{}", clock.now().after(LASTING).as_millis());
    server.command(&["ZADD", KEYS[1], &until, "a"]).await.unwrap();
    assert!(alive(&store).await.is_empty());
    beat(&store, "a", LASTING).await;
    let page = store.alive(&pool(), PageRequest::default()).await.unwrap();
    assert_eq!((page.items[0].since, page.items[0].details.as_ref()), (clock.now(), &b"of a"[..]));

    // a departure that was interrupted after the member was removed
    server.command(&["HDEL", KEYS[0], "a"]).await.unwrap();
    assert!(alive(&store).await.is_empty());
    clock.advance(LASTING);
    assert!(lost(&store).await.is_empty());
    assert!(!store.leave(&pool(), &member("a")).await.unwrap());
    assert_eq!(counts(&server).await, [0; 3]);
}

#[tokio::test]
async fn a_lost_reply_changes_nothing() {
    let Fixture { server, .. } = fixture().await;
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let store = open_to_lose(&server.url_through(&proxy, None), StateOptions::default()).await;
    beat(&store, "warm", LASTING).await;
    store.leave(&pool(), &member("warm")).await.unwrap();
    proxy.cut_after_request(mentions("of a"));
    beat(&store, "a", LASTING * 100).await;
    assert_eq!((proxy.fired(), alive(&store).await), (1, vec!["a".to_owned()]));
    proxy.cut_after_request(mentions(KEYS[0]));
    store.leave(&pool(), &member("a")).await.unwrap();
    assert_eq!((proxy.fired(), counts(&server).await), (2, [0; 3]));
}

#[tokio::test]
async fn beats_are_bounded_and_work_in_a_full_server() {
    let Fixture { server, store, .. } = fixture().await;
    let large = |bytes| Beat::new(pool(), member("a"), LASTING).with_details(vec![7; bytes]);
    assert!(matches!(store.beat(&large(Beat::MAX_DETAILS_BYTES + 1)).await, Err(Error::InvalidArgument { .. })));
    let short = Beat::new(pool(), member("a"), Duration::from_millis(9));
    assert!(matches!(store.beat(&short).await, Err(Error::InvalidArgument { .. })));
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).await.unwrap();
    store.beat(&large(Beat::MAX_DETAILS_BYTES)).await.unwrap();
    assert_eq!(alive(&store).await, ["a"]);
    assert!(store.leave(&pool(), &member("a")).await.unwrap());
}
