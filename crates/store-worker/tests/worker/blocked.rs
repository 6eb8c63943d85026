//! Handlers that block and cannot be stopped.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use store_core::{NewJob, QueueControl};
use store_worker::{Done, Job, WorkerBuilder};
use tracing::Level;
use tracing_subscriber::layer::SubscriberExt;

use crate::captured::Captured;
use crate::fixture::{Fixture, Running, eventually};

const GRACE: Duration = Duration::from_millis(50);

/// Blocks the threads of handlers until it is open.
#[derive(Clone, Default)]
struct Block(Arc<(Mutex<bool>, Condvar)>);

impl Block {
    fn pass(&self) {
        let (is_open, opened) = &*self.0;
        let _open = opened.wait_while(is_open.lock().unwrap(), |is_open| !*is_open).unwrap();
    }

    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
}

/// A worker with one handler, which blocks at jobs with the payload "block".
fn blocking(fixture: &Fixture, block: &Block) -> WorkerBuilder {
    let block = block.clone();
    let handler = move |job: Job| {
        let block = block.clone();
        async move {
            if &job.payload()[..] == b"block" {
                block.pass();
            }
            Ok(Done::discard())
        }
    };
    fixture.worker().with_concurrency(1).with_cancel_grace(GRACE).with_queue("email", handler)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_handler_that_blocks_after_its_time_keeps_its_place_until_it_ends() {
    let fixture = Fixture::new();
    let block = Block::default();
    fixture.push(NewJob::new("block")).await;
    let worker = Running::start(blocking(&fixture, &block).with_handler_timeout(Duration::from_millis(20)));
    eventually("it is stuck", async || worker.handle.stats().stuck == 1).await;
    fixture.push_many(1).await;
    let stats = worker.handle.stats();
    assert_eq!((stats.running, stats.completed, fixture.counts().await.ready), (1, 0, 1));
    assert!(!worker.handle.is_claiming_within(Duration::ZERO), "all its handlers are stuck");
    block.open();
    eventually("both are done", async || worker.handle.stats().completed == 2).await;
    let report = worker.shutdown().await;
    assert_eq!((report.stats.stuck, report.clean), (0, true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_handler_that_blocks_after_its_job_was_cancelled_is_reported() {
    let fixture = Fixture::new();
    let block = Block::default();
    let id = fixture.push(NewJob::new("block")).await;
    let worker = Running::start(blocking(&fixture, &block).with_lease(Duration::from_millis(900)));
    fixture.until("running", |counts| counts.running == 1).await;
    fixture.state.cancel(&fixture.queue, &id).await.unwrap();
    eventually("it is stuck", async || worker.handle.stats().stuck == 1).await;
    block.open();
    eventually("it has ended", async || worker.handle.stats().running == 0).await;
    worker.shutdown().await;
}

#[test]
fn a_handler_that_blocks_is_logged_once() {
    testkit::open_call_sites();
    let captured = Captured::default();
    let dispatch = tracing::Dispatch::new(tracing_subscriber::registry().with(captured.clone()));
    let capture = move || std::mem::forget(tracing::dispatcher::set_default(&dispatch));
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(3).enable_all().on_thread_start(capture).build().unwrap();
    runtime.block_on(async {
        let fixture = Fixture::new();
        let block = Block::default();
        let id = fixture.push(NewJob::new("block")).await;
        let worker = Running::start(blocking(&fixture, &block).with_handler_timeout(Duration::from_millis(20)));
        eventually("it is stuck", async || worker.handle.stats().stuck == 1).await;
        (0..9).for_each(|_| worker.handle.resume());
        block.open();
        eventually("done", async || worker.handle.stats().completed == 1).await;
        let errors = captured.of_level(Level::ERROR);
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!((errors[0].get("id"), errors[0].get("reason")), (Some(id.as_str()), Some("its time was over")));
        worker.shutdown().await;
    });
}
