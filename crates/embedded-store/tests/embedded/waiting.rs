//! Waiting for work.

use std::time::Duration;

use store_core::{NewJob, Outcome, Queue, QueueControl, QueueExt};
use tokio::task::JoinSet;

use crate::{LEASE, PATIENCE, claim, in_memory, job, job_id, queue};

const NOT_LONG: Duration = Duration::from_millis(1);

#[tokio::test]
async fn each_notification_wakes_one_caller() {
    let store = in_memory();
    let mut waiting = JoinSet::new();
    for _ in 0..3 {
        let store = store.clone();
        waiting.spawn(async move { store.wait(&[queue("other"), queue("mail")], PATIENCE * 100).await.unwrap() });
    }
    for left in (0..3).rev() {
        store.push_one(&queue("mail"), NewJob::new("a")).await.unwrap();
        assert_eq!(waiting.join_next().await.unwrap().unwrap(), Some(queue("mail")));
        assert_eq!(waiting.len(), left);
    }
    assert_eq!(store.wait(&[queue("mail")], NOT_LONG).await.unwrap(), None);
}

#[tokio::test]
async fn a_notification_is_kept_for_the_next_caller() {
    let store = in_memory();
    let woken = async || store.wait(&[queue("mail")], NOT_LONG).await.unwrap().is_some();
    assert!(!woken().await);
    store.push_one(&queue("mail"), job("late").with_delay(LEASE * 2)).await.unwrap();
    assert!(woken().await, "the first that is due");
    store.push_one(&queue("mail"), job("later").with_delay(LEASE * 3)).await.unwrap();
    assert!(!woken().await, "not due before the first");
    store.push_one(&queue("mail"), job("soon").with_delay(LEASE)).await.unwrap();
    assert!(woken().await, "due before the first");
    store.promote(&queue("mail"), &[job_id("late")]).await.unwrap();
    assert!(woken().await, "promoted");
    store.resume(&queue("mail")).await.unwrap();
    assert!(woken().await, "resumed");
    let claimed = claim(&store, "mail", 10).await.jobs.remove(0);
    assert!(!woken().await, "a claim that left nothing");
    store.settle_one(&queue("mail"), claimed.lease, Outcome::Release).await.unwrap();
    assert!(woken().await, "released");
    store.push_one(&queue("mail"), job("second")).await.unwrap();
    assert!(woken().await, "pushed");
    let claimed = claim(&store, "mail", 1).await.jobs.remove(0);
    assert!(woken().await, "a claim that left a job behind");
    store.settle_one(&queue("mail"), claimed.lease, Outcome::Dead { reason: "no".to_owned() }).await.unwrap();
    assert!(!woken().await, "a dead job");
    store.replay(&queue("mail"), &[job_id("late")]).await.unwrap();
    assert!(woken().await, "replayed");
}

#[tokio::test]
async fn a_dropped_caller_passes_its_notification_on() {
    let store = in_memory();
    let mail = [queue("mail")];
    let mut impatient = Box::pin(store.wait(&mail, PATIENCE));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(impatient.as_mut().poll(&mut context).is_pending());
    store.push_one(&queue("mail"), NewJob::new("a")).await.unwrap();
    drop(impatient);
    assert!(store.wait(&[queue("mail")], PATIENCE).await.unwrap().is_some());
}
