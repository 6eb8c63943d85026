//! Rate limits by the server's clock, and their stored state.

use std::time::Duration;

use store_core::{Error, Key, LimitState, Rate, RateCheck, RateLimit, Ttl};

use crate::{OWN, eventually, key, per_hour, per_minute, server, store};

fn only(limits: &[LimitState]) -> LimitState {
    assert_eq!(limits.len(), 1);
    limits[0]
}

#[tokio::test]
async fn exactly_the_burst_passes_under_concurrency() {
    let server = server().await;
    let store = store(&server).await;
    let asking = (0..50).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.check(&[per_minute("a", 20), per_hour("b", 1000)]).await.unwrap().allowed })
    });
    let mut allowed = 0;
    for task in asking.collect::<Vec<_>>() {
        allowed += usize::from(task.await.unwrap());
    }
    // another one passes every 3 s
    assert!((20..=30).contains(&allowed), "{allowed}");
    let window = only(&store.check(&[per_hour("b", 1000).with_cost(0)]).await.unwrap().limits);
    assert_eq!(window.remaining, 1000 - u32::try_from(allowed).unwrap(), "refused checks were not charged");
}

#[tokio::test]
async fn units_come_back_with_time() {
    let server = server().await;
    let store = store(&server).await;
    let fast = RateCheck::new(key("a"), Rate::Gcra { count: 100, period: Duration::from_secs(1), burst: 1 });
    assert!(store.check(std::slice::from_ref(&fast)).await.unwrap().allowed);
    eventually("the unit is back", async || store.check(std::slice::from_ref(&fast)).await.unwrap().allowed).await;
}

#[tokio::test]
async fn a_check_without_cost_stores_nothing() {
    let server = server().await;
    let store = store(&server).await;
    let looks = [per_minute("a", 5).with_cost(0), per_hour("b", 5).with_cost(0)];
    assert!(store.check(&looks).await.unwrap().allowed);
    assert!(!store.check(&[per_minute("a", 5).with_cost(6), per_hour("b", 5)]).await.unwrap().allowed);
    assert_eq!(server.command_in(OWN, &["DBSIZE"]).await.unwrap().as_integer(), Some(0));
}

#[tokio::test]
async fn the_longest_limits_are_counted_exactly() {
    let server = server().await;
    let store = store(&server).await;
    let longest = Rate::Gcra { count: 1, period: Ttl::MAX, burst: 100 };
    let check = RateCheck::new(key("a"), longest).with_cost(99);
    let first = only(&store.check(std::slice::from_ref(&check)).await.unwrap().limits);
    assert_eq!((first.allowed, first.remaining), (true, 1));
    assert_eq!(first.reset_after, Ttl::MAX * 99);
    let second = only(&store.check(&[check.clone().with_cost(2)]).await.unwrap().limits);
    assert!(!second.allowed && second.retry_after.unwrap() <= Ttl::MAX, "{second:?}");
    let third = only(&store.check(&[check.with_cost(1)]).await.unwrap().limits);
    assert_eq!((third.allowed, third.remaining), (true, 0));

    let longer = RateCheck::new(key("b"), Rate::Gcra { count: 1, period: Ttl::MAX, burst: 101 });
    assert!(matches!(store.check(&[longer]).await, Err(Error::InvalidArgument { .. })));
    let window = Rate::FixedWindow { count: u32::MAX, window: Ttl::MAX };
    let full = RateCheck::new(key("c"), window).with_cost(u32::MAX);
    assert_eq!(only(&store.check(std::slice::from_ref(&full)).await.unwrap().limits).remaining, 0);
    assert!(!store.check(&[full.with_cost(1)]).await.unwrap().allowed);
}

#[tokio::test]
async fn a_reset_deletes_both_kinds() {
    let server = server().await;
    let store = store(&server).await;
    let checks = [per_minute("a", 1), per_hour("b", 1)];
    assert!(store.check(&checks).await.unwrap().allowed);
    assert!(!store.check(&checks).await.unwrap().allowed);
    store.reset(&[key("a"), key("b")]).await.unwrap();
    assert!(store.check(&checks).await.unwrap().allowed);
    store.reset(&[]).await.unwrap();
    let many: Vec<Key> = (0..17).map(|index| key(index.to_string())).collect();
    assert!(matches!(store.reset(&many).await, Err(Error::InvalidArgument { .. })));
}

#[tokio::test]
async fn foreign_data_is_corrupt() {
    let server = server().await;
    let store = store(&server).await;
    server.command_in(OWN, &["SET", "gcra:a", "canary"]).await.unwrap();
    server.command_in(OWN, &["RPUSH", "window:a", "canary"]).await.unwrap();
    for check in [per_minute("a", 5), per_hour("a", 5)] {
        let error = store.check(&[check]).await.unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("canary"));
    }
}
