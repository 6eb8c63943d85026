use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use store_core::{Backoff, JobState, JobType, NewJob, QueueInspect, RetryPolicy, TypedQueue};
use store_worker::{Done, HandlerResult, Job, JobHandler, QueueOptions};

use crate::fixture::{Fixture, Running, eventually};

/// The jobs of the fixture's queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Mail {
    to: String,
}

impl JobType for Mail {
    const QUEUE: &'static str = "email";
    const VERSION: u16 = 2;

    fn retry_policy() -> RetryPolicy {
        RetryPolicy::new(3, Backoff::Fixed(Duration::from_secs(7)))
    }
}

/// The same jobs as later code declares them.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct NewMail {
    to: Vec<String>,
}

impl JobType for NewMail {
    const QUEUE: &'static str = "email";
    const VERSION: u16 = 3;
}

fn ann() -> Mail {
    Mail { to: "ann".to_owned() }
}

/// Keeps what it gets.
struct Keep<T>(Arc<Mutex<Vec<T>>>);

impl<T: Send + Sync + DeserializeOwned + 'static> JobHandler<T> for Keep<T> {
    async fn call(&self, payload: T, _job: Job) -> HandlerResult {
        self.0.lock().unwrap().push(payload);
        Ok(Done::discard())
    }
}

/// What the handlers of a worker got, after it has settled so many deliveries.
async fn handled<T: JobType>(fixture: &Fixture, deliveries: u64) -> Vec<T> {
    let handled = Arc::new(Mutex::new(Vec::new()));
    let worker = Running::start(fixture.worker().with_handler(Keep(handled.clone())));
    let settled = async || {
        let stats = worker.handle.stats();
        stats.completed + stats.snoozed + stats.failed == deliveries
    };
    eventually("the deliveries are settled", settled).await;
    worker.shutdown().await;
    std::mem::take(&mut *handled.lock().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_typed_job_reaches_the_handler_of_its_type() {
    let fixture = Fixture::new();
    let mails = TypedQueue::<Mail>::new(Arc::new(fixture.state.clone()));
    assert_eq!(mails.name(), &fixture.queue);
    mails.push(&ann()).await.unwrap();
    assert_eq!(handled::<Mail>(&fixture, 1).await, [ann()]);
    assert_eq!(fixture.counts().await.pending(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_typed_job_has_the_version_and_the_retry_policy_of_its_type() {
    let fixture = Fixture::new();
    let mails = TypedQueue::<Mail>::new(Arc::new(fixture.state.clone()));
    let job = mails.job(&ann()).unwrap();
    let id = fixture.push(job).await;
    let handler = async |mail: Mail, job: Job| -> HandlerResult {
        assert_eq!((mail, job.schema(), job.is_last_attempt()), (ann(), 2, false));
        Err("no")?
    };
    let worker = Running::start(fixture.worker().with_handler_options(QueueOptions::new(), handler));
    fixture.until("retried", |counts| counts.scheduled == 1).await;
    worker.shutdown().await;
    let info = fixture.state.get(&fixture.queue, &id).await.unwrap().unwrap();
    assert_eq!((info.max_attempts, info.last_error.as_deref()), (3, Some("no")));
    assert_eq!(info.at, Some(fixture.clock.now().after(Duration::from_secs(7))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_a_newer_version_waits_for_a_newer_worker_and_uses_no_attempt() {
    let fixture = Fixture::new();
    let new = NewMail { to: vec!["ann".to_owned()] };
    let queue = TypedQueue::<NewMail>::new(Arc::new(fixture.state.clone()));
    let id = fixture.push(queue.job(&new).unwrap().with_retry(RetryPolicy::never())).await;
    for _ in 0..3 {
        assert_eq!(handled::<Mail>(&fixture, 1).await, []);
        let info = fixture.state.get(&fixture.queue, &id).await.unwrap().unwrap();
        assert_eq!((info.state, info.attempts), (JobState::Scheduled, 0));
        fixture.clock.advance(Duration::from_secs(10));
    }
    assert_eq!(handled::<NewMail>(&fixture, 1).await, [new]);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_older_versions_and_without_a_version_are_read() {
    let fixture = Fixture::new();
    for version in [0, 1, 2] {
        fixture.push(NewJob::new(format!("{{\"to\":\"{version}\"}}")).with_schema(version)).await;
    }
    let mut handled: Vec<String> = handled::<Mail>(&fixture, 3).await.into_iter().map(|mail| mail.to).collect();
    handled.sort();
    assert_eq!(handled, ["0", "1", "2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_that_is_not_of_the_type_is_dead_with_a_reason_and_without_its_text() {
    let fixture = Fixture::new();
    let id = fixture.push(NewJob::new("{\"to\":\n 7, \"canary\": 1}").with_schema(1)).await;
    assert_eq!(handled::<Mail>(&fixture, 1).await, []);
    let info = fixture.state.get(&fixture.queue, &id).await.unwrap().unwrap();
    assert_eq!((info.state, info.attempts), (JobState::Dead, 1));
    let reason = info.last_error.unwrap();
    assert!(reason.contains("version 1 ") && reason.contains("version 2") && reason.contains("line 2"), "{reason}");
    assert!(!reason.contains("canary"), "{reason}");
}
