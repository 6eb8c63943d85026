//! The worker on a real server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in what the cases share")]

mod failing_partitions;
mod lost_claims;
mod partitions;
mod reservations;
mod scheduling;
mod slow_line;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis_link::{Link, LinkConfig, ServerUrl};
use state_store::{StateOptions, StateStore};
use store_core::{JobId, Namespace, QueueName, ServiceName};
use store_worker::{Done, Job, Worker, WorkerBuilder, WorkerHandle, WorkerReport};
use tokio::task::JoinHandle;

/// Longer than any test takes: no job is there again because its lease has ended.
const HOUR: Duration = Duration::from_secs(3600);

fn queue() -> QueueName {
    QueueName::new("mails").unwrap()
}

/// A store whose queue has so many partitions.
async fn open(url: &str, partitions: u16, command_timeout: Duration) -> StateStore {
    let config = LinkConfig::new(ServerUrl::parse(url).unwrap(), "tests:worker");
    let link = Link::connect(config.with_command_timeout(command_timeout)).await.unwrap();
    let options = StateOptions::default().with_partitions(queue(), partitions);
    let (namespace, service) = (Namespace::new("test").unwrap(), ServiceName::new("mailer").unwrap());
    StateStore::open(link, namespace, service, options).await.unwrap()
}

/// How often each job ran, and how many ran at the same time at most.
#[derive(Clone, Default)]
struct Ran(Arc<Mutex<Record>>);

#[derive(Default)]
struct Record {
    times: BTreeMap<JobId, u32>,
    now: u32,
    most: u32,
}

impl Ran {
    fn begin(&self, job: &Job) {
        let record = &mut *self.0.lock().unwrap();
        *record.times.entry(job.id().clone()).or_default() += 1;
        record.now += 1;
        record.most = record.most.max(record.now);
    }

    fn end(&self) {
        self.0.lock().unwrap().now -= 1;
    }

    fn jobs(&self) -> usize {
        self.0.lock().unwrap().times.len()
    }

    fn most_at_a_time(&self) -> u32 {
        self.0.lock().unwrap().most
    }

    fn assert_each_once(&self) {
        let times = &self.0.lock().unwrap().times;
        assert!(times.values().all(|times| *times == 1), "{times:?}");
    }
}

/// A worker of the queue that records its jobs.
fn recording(store: &StateStore, ran: &Ran) -> WorkerBuilder {
    let ran = ran.clone();
    Worker::new(Arc::new(store.clone())).with_queue("mails", move |job: Job| {
        ran.begin(&job);
        ran.end();
        async { Ok(Done::discard()) }
    })
}

/// A worker that runs.
struct Running {
    handle: WorkerHandle,
    task: JoinHandle<std::io::Result<WorkerReport>>,
}

impl Running {
    fn start(builder: WorkerBuilder) -> Self {
        let worker = builder.build().unwrap();
        Self { handle: worker.handle(), task: tokio::spawn(worker.run()) }
    }

    async fn shutdown(self) -> WorkerReport {
        self.handle.shutdown();
        tokio::time::timeout(testkit::DEADLINE, self.task).await.expect("the worker ends").unwrap().unwrap()
    }
}
