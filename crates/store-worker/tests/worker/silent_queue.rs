//! A queue that does not answer, beside another one.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use embedded_store::EmbeddedState;
use store_core::{
    Advance, Advanced, Counts, DueSchedules, Durability, Explanation, JobId, JobInfo, JobState, NewJob, Page,
    PageRequest, QueueInspect, QueueName, Receipt, Result, Schedule, ScheduleInfo, ScheduleName, SchedulePut,
    Schedules,
};
use store_worker::{QueueSampler, Scheduler};

use crate::fixture::{Fixture, eventually};

/// A store that never answers what a scheduler or a sampler asks for one of the queues.
#[derive(Debug)]
struct Silent {
    inner: EmbeddedState,
    queue: QueueName,
    /// How many other queues were counted.
    counted: AtomicUsize,
}

impl Silent {
    fn new(fixture: &Fixture) -> Arc<Self> {
        let queue = QueueName::new("silent").unwrap();
        Arc::new(Self { inner: fixture.state.clone(), queue, counted: AtomicUsize::new(0) })
    }

    async fn answers(&self, queue: &QueueName) {
        if *queue == self.queue {
            pending::<()>().await;
        }
    }
}

#[async_trait]
impl Schedules for Silent {
    async fn put(
        &self,
        queue: &QueueName,
        name: &ScheduleName,
        schedule: &Schedule,
        expected: Option<u64>,
        durability: Durability,
    ) -> Result<Receipt<SchedulePut>> {
        self.inner.put(queue, name, schedule, expected, durability).await
    }

    async fn get(&self, queue: &QueueName, name: &ScheduleName) -> Result<Option<ScheduleInfo>> {
        Schedules::get(&self.inner, queue, name).await
    }

    async fn list(&self, queue: &QueueName, page: PageRequest) -> Result<Page<ScheduleInfo>> {
        Schedules::list(&self.inner, queue, page).await
    }

    async fn delete(&self, queue: &QueueName, name: &ScheduleName) -> Result<()> {
        Schedules::delete(&self.inner, queue, name).await
    }

    async fn pause(&self, queue: &QueueName, name: &ScheduleName) -> Result<bool> {
        Schedules::pause(&self.inner, queue, name).await
    }

    async fn resume(&self, queue: &QueueName, name: &ScheduleName) -> Result<bool> {
        Schedules::resume(&self.inner, queue, name).await
    }

    async fn due(&self, queue: &QueueName, limit: u32) -> Result<DueSchedules> {
        self.answers(queue).await;
        self.inner.due(queue, limit).await
    }

    async fn advance(&self, queue: &QueueName, advance: &Advance, durability: Durability) -> Result<Receipt<Advanced>> {
        self.inner.advance(queue, advance, durability).await
    }
}

#[async_trait]
impl QueueInspect for Silent {
    async fn counts(&self, queue: &QueueName) -> Result<Counts> {
        self.answers(queue).await;
        self.counted.fetch_add(1, Ordering::SeqCst);
        self.inner.counts(queue).await
    }

    async fn get(&self, queue: &QueueName, job: &JobId) -> Result<Option<JobInfo>> {
        QueueInspect::get(&self.inner, queue, job).await
    }

    async fn list(&self, queue: &QueueName, state: JobState, page: PageRequest) -> Result<Page<JobInfo>> {
        QueueInspect::list(&self.inner, queue, state, page).await
    }

    async fn explain(&self, queue: &QueueName, job: &JobId) -> Result<Explanation> {
        self.inner.explain(queue, job).await
    }
}

#[tokio::test]
async fn a_queue_that_does_not_answer_delays_no_schedules_of_another_one() {
    let fixture = Fixture::new();
    let (store, hour) = (Silent::new(&fixture), Duration::from_secs(3600));
    let hourly = Schedule::every(hour, NewJob::new("")).unwrap();
    let name = ScheduleName::new("hourly").unwrap();
    let _receipt = store.put(&fixture.queue, &name, &hourly, None, Durability::Accepted).await.unwrap();
    // It computes the first time.
    let alone = Scheduler::new(store.clone()).with_queue(fixture.queue.clone());
    alone.tick().await.unwrap();
    fixture.clock.advance(hour);
    let both = Scheduler::new(store.clone()).with_queue(store.queue.clone()).with_queue(fixture.queue.clone());
    let scheduling = both.start();
    fixture.until("the schedule has fired", |counts| counts.ready == 1).await;
    drop(scheduling);
}

#[tokio::test]
async fn a_queue_that_does_not_answer_delays_no_samples_of_another_one() {
    let fixture = Fixture::new();
    let store = Silent::new(&fixture);
    let sampler = QueueSampler::new(store.clone()).with_queue(store.queue.clone()).with_queue(fixture.queue.clone());
    let sampling = sampler.with_interval(Duration::from_millis(100)).start();
    eventually("it is sampled", async || store.counted.load(Ordering::SeqCst) >= 2).await;
    drop(sampling);
}
