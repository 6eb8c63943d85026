//! How many finished jobs a queue keeps, given by variables and in code, on both engines.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use store_core::{ClaimRequest, Kept, Outcome};
use testkit::RedisServer;
use twinstore::config::{Retention, StoresOptions};
use twinstore::name::HolderName;
use twinstore::prelude::*;

const HOUR: Duration = Duration::from_secs(3600);

/// What a queue keeps of five completed and five dead jobs.
async fn kept(stores: &Stores) -> (u64, u64) {
    let (queue, name) = (stores.state().queue(), QueueName::new("numbers").unwrap());
    for number in 0..10 {
        queue.push_one(&name, NewJob::new("1")).await.unwrap();
        let request = ClaimRequest::new(name.clone(), HolderName::new("worker").unwrap(), 1, HOUR);
        let job = queue.claim(&request).await.unwrap().jobs.remove(0);
        let outcome = match number % 2 {
            0 => Outcome::Complete(Some(Kept::new("done", HOUR))),
            _ => Outcome::Dead { reason: "failed".to_owned() },
        };
        queue.settle_one(&name, job.lease, outcome).await.unwrap();
    }
    let counts = stores.state().inspect().counts(&name).await.unwrap();
    (counts.completed, counts.dead)
}

async fn assert_bounded(urls: [(&'static str, String); 3]) {
    let with = |more: &[(&'static str, &str)]| {
        let more = more.iter().map(|(name, value)| (*name, (*value).to_owned()));
        let service = ("SERVICE_NAME", "billing".to_owned());
        Environment::from_variables(urls.clone().into_iter().chain([service]).chain(more))
    };
    let in_code = StoresOptions::new().with_retention(Retention::default().with_completed_count(1).with_dead_count(4));
    for (namespace, variables, options, expected) in [
        ("a", &[("REDIS_STATE_RETAIN_DEAD_COUNT", "2")][..], StoresOptions::new(), (5, 2)),
        ("b", &[("REDIS_STATE_RETAIN_COMPLETED_COUNT", "3")][..], StoresOptions::new(), (3, 5)),
        ("c", &[][..], in_code.clone(), (1, 4)),
        ("d", &[("REDIS_STATE_RETAIN_COMPLETED_COUNT", "2")][..], in_code, (2, 4)),
    ] {
        let environment = with(&[variables, &[("REDIS_STATE_NAMESPACE", namespace)]].concat());
        let stores = Stores::open_with(&environment, options).await.unwrap();
        assert_eq!(kept(&stores).await, expected, "{namespace}");
        stores.close().await;
    }
}

#[tokio::test]
async fn a_queue_on_a_server_keeps_what_variables_and_code_say() {
    let (cache, state) = tokio::join!(RedisServer::cache().start(), RedisServer::state().start());
    let (cache, state) = (cache.unwrap(), state.unwrap());
    let urls = [
        ("REDIS_CONN_BASE_URL", cache.url(None)),
        ("REDIS_CACHE_DB", "3".to_owned()),
        ("REDIS_WORKERCACHE_CONN_URL", state.url(None)),
    ];
    assert_bounded(urls).await;
}

#[tokio::test]
async fn an_embedded_queue_keeps_what_variables_and_code_say() {
    let urls = ["REDIS_CONN_BASE_URL", "REDIS_WORKERCACHE_CONN_URL"].map(|name| (name, "embedded:".to_owned()));
    let [cache, state] = urls;
    assert_bounded([cache, state, ("REDIS_CACHE_DB", "3".to_owned())]).await;
}
