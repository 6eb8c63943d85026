//! What a service uses to test itself.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use testkit::{DEADLINE, wait_until};
use tokio::sync::Notify;
use twinstore::prelude::*;
use twinstore::queue::{Backoff, RetryPolicy};
use twinstore::testing::{self, NotEmpty};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Order(u32);

impl JobType for Order {
    const QUEUE: &'static str = "orders";

    fn retry_policy() -> RetryPolicy {
        RetryPolicy::new(2, Backoff::Fixed(Duration::from_secs(60)))
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Invoice(u32);

impl JobType for Invoice {
    const QUEUE: &'static str = "invoices";
}

/// A worker whose orders push invoices, and whose invoices push orders until there have been enough.
fn chain(state: &State) -> Worker {
    let (to_invoices, to_orders) = (state.queue_of::<Invoice>(), state.queue_of::<Order>());
    let orders = move |order: Order, _: Job| {
        let invoices = to_invoices.clone();
        async move { Ok(invoices.push(&Invoice(order.0)).await.map(|_| ())?) }
    };
    let invoices = move |invoice: Invoice, _: Job| {
        let orders = to_orders.clone();
        async move {
            if invoice.0 < 20 {
                orders.push(&Order(invoice.0 + 1)).await?;
            }
            Ok(())
        }
    };
    state.worker().with_handler(orders).with_handler(invoices).build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_runs_until_what_its_handlers_push_is_done_too() {
    let (stores, _) = testing::stores();
    let state = stores.state();
    state.queue_of::<Order>().push(&Order(1)).await.unwrap();
    let report = testing::run_until_empty(chain(state), state).await.unwrap();
    assert_eq!((report.stats.completed, report.clean), (40, true));
    testing::assert_nothing_pushed::<Order>(state).await;
    testing::assert_nothing_pushed::<Invoice>(state).await;
}

#[tokio::test]
async fn a_retry_waits_until_the_clock_has_moved() {
    let (stores, clock) = testing::stores();
    let state = stores.state();
    state.queue_of::<Order>().push(&Order(1)).await.unwrap();
    let fails_once = || {
        let worker = state.worker().with_handler(async |_: Order, job: Job| match job.attempt() {
            1 => Err(JobError::retry("no")),
            _ => Ok(()),
        });
        worker.build().unwrap()
    };
    let report = testing::run_until_empty(fails_once(), state).await.unwrap();
    assert_eq!((report.stats.failed, report.stats.completed), (1, 0));
    testing::assert_pushed(state, &Order(1)).await;
    clock.advance(Duration::from_secs(60));
    assert_eq!(testing::run_until_empty(fails_once(), state).await.unwrap().stats.completed, 1);
}

#[tokio::test]
async fn an_error_reports_what_is_left_in_which_queue() {
    let (stores, _) = testing::stores();
    let state = stores.state();
    let orders = state.queue_of::<Order>();
    for order in 0..3 {
        orders.push(&Order(order)).await.unwrap();
    }
    let worker = state.worker().with_concurrency(1).with_prefetch(0);
    let hangs = worker.with_handler(async |_: Order, _: Job| std::future::pending::<Result<(), JobError>>().await);
    let within = Duration::from_millis(100);
    let error = testing::run_until_empty_within(hangs.build().unwrap(), state, within).await.unwrap_err();
    assert_eq!(error.to_string(), "jobs are left: orders: 2 ready, 1 running, 0 due");

    state.control().pause(orders.name()).await.unwrap();
    let error = testing::run_until_empty(chain(state), state).await.unwrap_err();
    assert!(matches!(&error, NotEmpty::Left(left) if left[0].counts.ready == 3), "{error}");
    assert_eq!(error.to_string(), "jobs are left: orders (paused): 3 ready, 0 running, 0 due");
}

/// Is set when it is dropped.
struct Dropped(Arc<AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_run_that_is_dropped_ends_its_worker() {
    let (stores, _) = testing::stores();
    let state = stores.state().clone();
    state.queue_of::<Order>().push(&Order(1)).await.unwrap();
    let (begun, dropped) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
    let hangs = {
        let (begun, dropped) = (begun.clone(), dropped.clone());
        move |_: Order, _: Job| {
            let (begun, dropped) = (begun.clone(), Dropped(dropped.clone()));
            async move {
                let _dropped = dropped;
                begun.notify_one();
                std::future::pending::<Result<(), JobError>>().await
            }
        }
    };
    let worker = state.worker().with_handler(hangs).build().unwrap();
    let running = tokio::spawn(async move { testing::run_until_empty(worker, &state).await });
    begun.notified().await;
    running.abort();
    wait_until("the handler is dropped", DEADLINE, async || dropped.load(Ordering::SeqCst)).await;
}

#[test]
fn the_error_of_a_worker_is_reported_although_jobs_are_left() {
    // without I/O there are no signals, so the worker cannot run
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let (stores, _) = testing::stores();
        let state = stores.state();
        state.queue_of::<Order>().push(&Order(1)).await.unwrap();
        let worker = state.worker().with_handler(async |_: Order, _: Job| Ok(())).with_signals().build().unwrap();
        let error = testing::run_until_empty(worker, state).await.unwrap_err();
        assert!(matches!(error, NotEmpty::Worker(_)), "{error}");
    });
}

#[tokio::test]
async fn queues_that_were_found_empty_once_are_not_reported_as_empty() {
    let (stores, _) = testing::stores();
    let state = stores.state();
    let error = testing::run_until_empty_within(chain(state), state, Duration::ZERO).await.unwrap_err();
    assert!(matches!(error, NotEmpty::Unconfirmed), "{error}");
}

#[tokio::test]
async fn pushed_jobs_are_listed_with_their_payloads_in_the_order_of_claims() {
    let (stores, _) = testing::stores();
    let state = stores.state();
    let orders = state.queue_of::<Order>();
    let delayed = |order: u32, secs: u64| orders.job(&Order(order)).unwrap().with_delay(Duration::from_secs(secs));
    let urgent = orders.job(&Order(0)).unwrap().with_priority(Priority::High);
    let _ = orders.push_all(&[delayed(251, 20), delayed(250, 10)]).await.unwrap();
    for order in 1..250 {
        orders.push(&Order(order)).await.unwrap();
    }
    orders.push_one(urgent).await.unwrap();
    let expected: Vec<Order> = (0..252).map(Order).collect();
    assert_eq!(testing::pushed::<Order>(state).await.unwrap(), expected);
}

#[tokio::test]
async fn a_failed_assertion_names_its_line_and_what_the_queue_holds() {
    let (stores, _) = testing::stores();
    let state = stores.state().clone();
    state.queue_of::<Order>().push(&Order(1)).await.unwrap();
    let missing = tokio::spawn({
        let state = state.clone();
        async move { testing::assert_pushed(&state, &Order(2)).await }
    });
    let message = |error: tokio::task::JoinError| *error.into_panic().downcast::<String>().unwrap();
    let text = message(missing.await.unwrap_err());
    assert!(text.contains("testing.rs:") && text.contains("Order(2)") && text.contains("[Order(1)]"), "{text}");
    let text =
        message(tokio::spawn(async move { testing::assert_nothing_pushed::<Order>(&state).await }).await.unwrap_err());
    assert!(text.contains("testing.rs:") && text.contains("[Order(1)]"), "{text}");
}
