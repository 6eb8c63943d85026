//! A scheduler with schedules and queues that cannot be read.

use std::sync::Arc;
use std::time::Duration;

use store_core::{Durability, Error, NewJob, QueueInspect, QueueName, Schedule, ScheduleName, Schedules};
use store_worker::Scheduler;
use testkit::{DEADLINE, RedisServer, wait_until};

use super::{open, queue};

#[tokio::test]
async fn what_cannot_be_read_does_not_stop_other_schedules_and_queues() {
    let server = RedisServer::state().start().await.unwrap();
    let store = open(&server.url(None), 1, Duration::from_secs(10)).await;
    let (mails, foreign) = (queue(), QueueName::new("foreign").unwrap());
    let often = Schedule::every(Duration::from_millis(20), NewJob::new("x")).unwrap();
    // More than one answer contains.
    let broken: Vec<String> = (0..60).map(|number| format!("broken-{number}")).collect();
    for name in broken.iter().map(String::as_str).chain(["report"]) {
        let name = ScheduleName::new(name).unwrap();
        let _ = store.put(&mails, &name, &often, None, Durability::Accepted).await.unwrap();
    }
    for name in &broken {
        server.command(&["HSET", "test:{q.mails.0}:jobs", &format!("\u{3}{name}"), "x"]).await.unwrap();
    }
    let tick_of = async |queues: &[&QueueName]| {
        let scheduler = Scheduler::new(Arc::new(store.clone()));
        queues.iter().fold(scheduler, |scheduler, queue| scheduler.with_queue((*queue).clone())).tick().await
    };
    let fired = async || store.counts(&mails).await.unwrap().ready;
    wait_until("the other schedule fires", DEADLINE, async || {
        let error = tick_of(&[&mails]).await.unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }) && error.to_string().contains("`broken-"), "{error}");
        fired().await > 0
    })
    .await;

    server.command(&["SET", "test:{q.foreign.0}:schedules", "of something else"]).await.unwrap();
    let before = fired().await;
    wait_until("the other queue fires", DEADLINE, async || {
        let error = tick_of(&[&foreign, &mails]).await.unwrap_err();
        assert!(!error.to_string().contains("`broken-"), "the first error is that of the first queue: {error}");
        fired().await > before
    })
    .await;
}
