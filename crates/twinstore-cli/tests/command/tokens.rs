//! `twinstore tokens`

use std::time::Duration;

use serde_json::Value;
use state_store::StateStore;
use store_core::{Durability, Fence, ResumeTokens, SaveRequest, StreamName, Ttl};
use testkit::{DEADLINE, wait_until};

use crate::fixture::Fixture;

fn stream(name: &str) -> StreamName {
    StreamName::new(name).unwrap()
}

async fn save(store: &StateStore, name: &str, token: &'static str, ttl: Option<Duration>) {
    let mut request = SaveRequest::new(stream(name), token, Fence::new(7), None);
    request.ttl = ttl.map(|ttl| Ttl::new(ttl).unwrap());
    assert!(store.save(&request, Durability::Accepted).await.unwrap().value.done().is_some());
}

fn streams(tokens: &[Value]) -> Vec<&str> {
    tokens.iter().map(|token| token["stream"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn tokens_are_listed_with_their_ages_and_the_time_that_is_left() {
    let fixture = Fixture::start().await;
    let store = fixture.store().await;
    save(&store, "shop.orders", "12345", None).await;
    save(&store, "shop.mails", "secret", Some(Duration::from_secs(7 * 24 * 3600))).await;
    save(&store, "shop.lost", "1", Some(Duration::from_millis(1))).await;
    save(&store, "billing", "1", Some(Duration::from_secs(600))).await;
    let is_expired = async || store.load(&stream("shop.lost")).await.unwrap().unwrap().info.is_expired();
    wait_until("a token has expired", DEADLINE, is_expired).await;

    let (code, tokens) = fixture.json("tokens").await;
    assert_eq!((code, streams(&tokens)), (Some(0), vec!["billing", "shop.lost", "shop.mails", "shop.orders"]));
    let orders = &tokens[3];
    assert_eq!([&orders["fence"], &orders["bytes"], &orders["until_ms"]], [&7.into(), &5.into(), &Value::Null]);
    let times = |token: &Value| ["saved_ms", "until_ms", "now_ms"].map(|name| token[name].as_u64().unwrap());
    let [saved, until, now] = times(&tokens[2]);
    // The end is rounded up to the next millisecond.
    assert!(saved <= now && (0..=1).contains(&(until - saved - 7 * 24 * 3_600_000)), "{tokens:?}");

    for (line, expected) in [
        ("tokens shop.", &["shop.lost", "shop.mails", "shop.orders"][..]),
        ("tokens --expiring 1h", &["billing", "shop.lost"]),
        ("tokens shop. --expiring 0s", &["shop.lost"]),
        ("tokens shop. --expiring 8d", &["shop.lost", "shop.mails"]),
        ("tokens nothing", &[]),
    ] {
        let (code, tokens) = fixture.json(line).await;
        assert_eq!((code, streams(&tokens)), (Some(0), expected.to_vec()), "{line}");
    }

    let table = fixture.run("tokens shop.").await.stdout;
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["STREAM", "FENCE", "BYTES", "AGE", "LEFT"]);
    assert_eq!((rows[1][0], rows[1][4]), ("shop.lost", "expired"), "{table}");
    assert_eq!((rows[2][0], rows[2][4]), ("shop.mails", "6d"), "{table}");
    assert_eq!((rows[3][0], rows[3][4]), ("shop.orders", "never"), "{table}");
    assert!(!table.contains("secret"), "{table}");
}

/// One step of the store looks at about 1,000 keys.
#[tokio::test]
async fn more_tokens_than_one_step_shows_are_all_listed_once_in_order() {
    let fixture = Fixture::start().await;
    let store = fixture.store().await;
    for number in 0..1500 {
        save(&store, &format!("{number:04}"), "", None).await;
    }
    let (code, tokens) = fixture.json("tokens").await;
    assert_eq!(code, Some(0));
    assert!(streams(&tokens).into_iter().eq((0..1500).map(|number| format!("{number:04}"))), "{}", tokens.len());
}
