//! Pipelines in this process.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use rigatoni_core::state::StateStore;
use rigatoni_core::watch_level::WatchLevel;
use store_rigatoni::RigatoniStore;
use testkit::{DEADLINE, RedisServer, wait_until};

use crate::instance::{Instance, Journal, config, open, pipeline};
use crate::mongo::{Mongo, token_of};

/// No save of any instance goes back or is repeated, and no event is missing.
fn assert_nothing_is_lost_or_saved_twice(journal: &Journal, mongo: &Mongo, first: u32) {
    let saved = journal.saved();
    let rises = saved.windows(2).all(|pair| pair[0].1 < pair[1].1);
    assert!(rises, "a position was saved twice, or went back: {saved:?}");
    let written: BTreeSet<u32> = journal.written().into_iter().map(|(_, event)| event).collect();
    let missing: Vec<u32> = (first..=mongo.last()).filter(|event| !written.contains(event)).collect();
    assert_eq!(missing, [0; 0], "events that no instance has written");
}

#[tokio::test]
async fn a_standby_continues_where_a_killed_instance_has_saved_last() {
    let (server, mongo) = (RedisServer::state().start().await.unwrap(), Mongo::start().await);
    let journal = Journal::default();
    let start = |number| Instance::start(number, server.url(None), &mongo.uri(), &journal);
    let mut first = start(1);
    wait_until("the first instance watches", DEADLINE, async || mongo.opened().len() == 1).await;
    let _second = start(2);
    for _ in 0..20 {
        mongo.insert(3);
        tokio::task::yield_now().await;
    }
    wait_until("some batches are saved", DEADLINE, async || journal.saved().len() >= 3).await;
    mongo.insert(20);
    first.kill();
    mongo.insert(17);
    wait_until("the second instance watches", DEADLINE, async || mongo.opened().len() == 2).await;
    let at_takeover = mongo.opened()[1];
    mongo.insert(9);
    let is_done = async || journal.last_saved() == Some((2, mongo.last()));
    wait_until("the second instance has saved the last event", DEADLINE, is_done).await;

    assert_nothing_is_lost_or_saved_twice(&journal, &mongo, 1);
    let of_first: Vec<_> = journal.saved().into_iter().filter(|(instance, _)| *instance == 1).collect();
    assert!(!of_first.is_empty() && at_takeover >= Some(of_first.last().unwrap().1), "{of_first:?} {at_takeover:?}");
    let store = RigatoniStore::new(open(&server.url(None)).await.state(), &config(&mongo.uri()));
    assert_eq!(store.get_resume_token("users").await.unwrap(), Some(token_of(mongo.last())));
}

#[tokio::test]
async fn instances_that_are_killed_one_after_the_other_lose_nothing() {
    let (server, mongo) = (RedisServer::state().start().await.unwrap(), Mongo::start().await);
    let journal = Journal::default();
    let start = |number| Instance::start(number, server.url(None), &mongo.uri(), &journal);
    let mut active = start(0);
    wait_until("the first instance watches", DEADLINE, async || mongo.opened().len() == 1).await;
    for number in 1..=4 {
        let standby = start(number);
        mongo.insert(11 + number);
        let saves = journal.saved().len();
        wait_until("it saves", DEADLINE, async || journal.saved().len() > saves).await;
        mongo.insert(8);
        std::mem::replace(&mut active, standby).kill();
        let opened = usize::try_from(number).unwrap() + 1;
        wait_until("the standby watches", DEADLINE, async || mongo.opened().len() == opened).await;
    }
    mongo.insert(1);
    let is_done = async || journal.last_saved() == Some((4, mongo.last()));
    wait_until("the last instance has saved the last event", DEADLINE, is_done).await;
    assert_nothing_is_lost_or_saved_twice(&journal, &mongo, 1);
}

#[tokio::test]
async fn a_batch_that_the_destination_refuses_is_written_later_and_its_position_is_not_saved_before() {
    let (stores, mongo) = (open("embedded:").await, Mongo::start().await);
    let (config, journal) = (config(&mongo.uri()), Journal::default());
    let store = RigatoniStore::new(stores.state(), &config);
    let mut pipeline = pipeline(config, &store, 1, &journal).await;
    pipeline.start().await.unwrap();
    wait_until("it watches", DEADLINE, async || mongo.opened().len() == 1).await;
    mongo.insert(5);
    wait_until("the first batch is saved", DEADLINE, async || journal.last_saved() == Some((1, 5))).await;
    journal.refuses.store(true, Ordering::Relaxed);
    mongo.insert(5);
    wait_until("writes fail", DEADLINE, async || pipeline.stats().await.write_errors >= 2).await;
    assert_eq!(store.get_resume_token("resume_token:shop:users").await.unwrap(), Some(token_of(5)));
    journal.refuses.store(false, Ordering::Relaxed);
    wait_until("the second batch is saved", DEADLINE, async || journal.last_saved() == Some((1, 10))).await;
    pipeline.stop().await.unwrap();
    assert_nothing_is_lost_or_saved_twice(&journal, &mongo, 1);
    assert!(!store.is_locked("rigatoni:lock:shop:users").await.unwrap(), "a pipeline that stops releases its lock");
}

#[tokio::test]
async fn pipelines_of_a_database_and_of_a_deployment_resume_without_a_standby() {
    for (level, read) in
        [(WatchLevel::Database, "resume_token:database:shop"), (WatchLevel::Deployment, "resume_token:deployment")]
    {
        let (stores, mongo) = (open("embedded:").await, Mongo::start().await);
        let mut config = config(&mongo.uri());
        config.watch_level = level;
        let (store, journal) = (RigatoniStore::new(stores.state(), &config), Journal::default());
        for instance in 1..=3 {
            let mut pipeline = pipeline(config.clone(), &store, instance, &journal).await;
            pipeline.start().await.unwrap();
            let opened = usize::try_from(instance).unwrap();
            wait_until("it watches", DEADLINE, async || mongo.opened().len() == opened).await;
            mongo.insert(7);
            let is_saved = async || journal.last_saved() == Some((instance, mongo.last()));
            wait_until("the last event is saved", DEADLINE, is_saved).await;
            pipeline.stop().await.unwrap();
            mongo.insert(2); // nobody watches
        }
        assert_eq!(mongo.opened(), [None, Some(7), Some(16)]);
        assert_eq!(store.get_resume_token(read).await.unwrap(), Some(token_of(25)));
    }
}

#[tokio::test]
async fn a_pipeline_without_locks_resumes_after_a_restart() {
    let (stores, mongo) = (open("embedded:").await, Mongo::start().await);
    let mut config = config(&mongo.uri());
    config.distributed_lock.enabled = false;
    let journal = Journal::default();
    for instance in 1..=2 {
        let store = RigatoniStore::new(stores.state(), &config); // as after a restart of the process
        let resumed = store.stand_by(&config).await.unwrap();
        let mut pipeline = pipeline(resumed, &store, instance, &journal).await;
        pipeline.start().await.unwrap();
        let opened = usize::try_from(instance).unwrap();
        wait_until("it watches", DEADLINE, async || mongo.opened().len() == opened).await;
        mongo.insert(7);
        let is_saved = async || journal.last_saved() == Some((instance, mongo.last()));
        wait_until("the last event is saved", DEADLINE, is_saved).await;
        pipeline.stop().await.unwrap();
        mongo.insert(2);
    }
    assert_eq!(mongo.opened(), [None, Some(7)]);
}
