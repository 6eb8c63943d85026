use std::time::Duration;

use store_worker::{Done, Job, QueueOptions};

use crate::fixture::Fixture;
use crate::typed::Mail;

#[tokio::test]
async fn everything_that_is_wrong_is_told_at_once() {
    let done = async |_: Job| Ok(Done::discard());
    let error = Fixture::new()
        .worker()
        .with_concurrency(0)
        .with_prefetch(5000)
        .with_lease(Duration::from_millis(1))
        .with_handler_timeout(Duration::ZERO)
        .with_queue("a{b}", done)
        .with_queue("email", done)
        .with_queue_options("email", QueueOptions::new().with_weight(0), done)
        .build()
        .unwrap_err();
    assert_eq!(error.problems.len(), 7, "{error}");
}

#[tokio::test]
async fn a_queue_has_one_handler_typed_or_not() {
    let worker = Fixture::new().worker().with_handler(async |_: Mail, _| Ok(()));
    let error = worker.with_queue("email", async |_| Ok(())).build().unwrap_err();
    assert!(error.to_string().contains("the queue email is given twice"), "{error}");
}

#[tokio::test]
async fn a_worker_needs_a_queue() {
    let error = Fixture::new().worker().build().unwrap_err();
    assert!(error.to_string().contains("no queue"));
}

#[tokio::test]
async fn workers_have_names_of_their_own() {
    let build = || Fixture::new().worker().with_queue("email", async |_: Job| Ok(Done::discard())).build().unwrap();
    let (one, two) = (build(), build());
    assert_ne!(one.name(), two.name());
}
