//! Pushes that travel together.

use std::sync::Arc;
use std::time::Duration;

use redis_link::{Link, LinkConfig, ServerUrl};
use state_store::{StateOptions, StateStore};
use store_core::{Durability, Error, Queue, QueueExt, QueueInspect};
use testkit::{DEADLINE, FaultProxy, RedisServer, mentions, wait_until};
use tokio::sync::Barrier;

use super::{are_new, id, job, queue};
use crate::{fixture, namespace, service};

const TASKS: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_that_push_at_once_share_calls_and_each_gets_its_own_answer() {
    let fixture = fixture().await;
    fixture.store.push_one(&queue(), job("shared")).await.unwrap();
    let calls = async || fixture.server.command_calls().await.unwrap().get("evalsha").copied().unwrap_or(0);
    let (before, barrier) = (calls().await, Arc::new(Barrier::new(TASKS)));
    let pushing = (0..TASKS).map(|task| {
        let (store, barrier) = (fixture.store.clone(), barrier.clone());
        tokio::spawn(async move {
            barrier.wait().await;
            for round in 0..20 {
                let jobs = [job(&format!("{task}-{round}")), job("shared")];
                let pushed = store.push(&queue(), &jobs, Durability::Accepted).await.unwrap().value;
                assert_eq!(are_new(&pushed), [true, false]);
            }
        })
    });
    for task in pushing.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(fixture.store.counts(&queue()).await.unwrap().ready, 1 + 20 * TASKS as u64);
    let sent = calls().await - before;
    assert!(sent < 20 * TASKS as u64 / 2, "{sent} calls for {} pushes", 20 * TASKS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pusher_that_is_dropped_does_not_hold_up_those_behind_it() {
    let server = RedisServer::state().start().await.unwrap();
    let store = crate::open(&server.url(None), StateOptions::default()).await.unwrap();
    store.push_one(&queue(), job("first")).await.unwrap();
    server.pause().unwrap();
    let pushing: Vec<_> = (0..3)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move { store.push_one(&queue(), job(&format!("job-{number}"))).await })
        })
        .collect();
    tokio::task::yield_now().await;
    pushing[0].abort();
    server.resume().unwrap();
    for push in pushing.into_iter().skip(1) {
        assert!(push.await.unwrap().unwrap().is_new());
    }
    assert!(store.push_one(&queue(), job("after")).await.unwrap().is_new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_who_travel_in_a_lost_call_are_told_and_may_push_again() {
    let server = RedisServer::state().start().await.unwrap();
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let url = ServerUrl::parse(&server.url_through(&proxy, None)).unwrap();
    let config = LinkConfig::new(url, "tests:state").with_max_retries(0).with_command_timeout(Duration::from_secs(2));
    let link = Link::connect(config).await.unwrap();
    let store = StateStore::open(link, namespace(), service(), StateOptions::default()).await.unwrap();
    store.push_one(&queue(), job("first")).await.unwrap();
    proxy.cut_after_request(mentions("EVALSHA"));
    let pushing: Vec<_> = (0..10)
        .map(|number| {
            let (store, job) = (store.clone(), job(&format!("job-{number}")));
            tokio::spawn(async move { (store.push_one(&queue(), job.clone()).await, job) })
        })
        .collect();
    for push in pushing {
        let (pushed, job) = push.await.unwrap();
        match pushed {
            Ok(pushed) => assert!(pushed.is_new()),
            Err(error) => {
                assert!(matches!(error, Error::Indeterminate { .. } | Error::Unavailable { .. }), "{error}");
                wait_until("the push goes through", DEADLINE, async || {
                    store.push_one(&queue(), job.clone()).await.is_ok_and(|pushed| pushed.is_new())
                })
                .await;
            }
        }
    }
    assert_eq!(store.counts(&queue()).await.unwrap().ready, 11);
    assert!(store.get(&queue(), &id("job-9")).await.unwrap().is_some());
}
