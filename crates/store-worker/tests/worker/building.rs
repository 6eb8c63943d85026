use std::time::Duration;

use store_worker::{Done, Job, QueueOptions};

use crate::fixture::Fixture;

#[tokio::test]
async fn everything_that_is_wrong_is_told_at_once() {
    let done = async |_: Job| Ok(Done::discard());
    let error = Fixture::new()
        .worker()
        .concurrency(0)
        .prefetch(5000)
        .lease(Duration::from_millis(1))
        .handler_timeout(Duration::ZERO)
        .queue("a{b}", done)
        .queue("email", done)
        .queue_with("email", QueueOptions::new().with_weight(0), done)
        .build()
        .unwrap_err();
    assert_eq!(error.problems.len(), 7, "{error}");
}

#[tokio::test]
async fn a_worker_needs_a_queue() {
    let error = Fixture::new().worker().build().unwrap_err();
    assert!(error.to_string().contains("no queue"));
}

#[tokio::test]
async fn workers_have_names_of_their_own() {
    let build = || Fixture::new().worker().queue("email", async |_: Job| Ok(Done::discard())).build().unwrap();
    let (one, two) = (build(), build());
    assert_ne!(one.name(), two.name());
}
