//! Operations take effect once for each idempotency key.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use testkit::{DEADLINE, wait_until};
use tokio::sync::Notify;
use twinstore::idempotency::{OperationError, OperationFailure};
use twinstore::prelude::*;
use twinstore::testing::{self, ManualClock};

type Payments = Operation<u64, String>;

fn payments() -> (Payments, ManualClock) {
    let (stores, clock) = testing::stores();
    (stores.state().operation(HandleName::new("payments").unwrap()), clock)
}

fn key() -> Key {
    Key::new("order-7").unwrap()
}

fn paid() -> Result<String, OperationFailure> {
    Ok("paid".to_owned())
}

#[tokio::test]
async fn a_repeated_request_gets_the_stored_response() {
    let (payments, clock) = payments();
    assert!(matches!(payments.run(&key(), &7, async || paid()).await.unwrap(), Ran::Fresh(_)));
    let repeated = payments.run(&key(), &7, async || unreachable!("it was carried out")).await.unwrap();
    assert!(matches!(&repeated, Ran::Stored(response) if response == "paid"));
    assert_eq!(repeated.response().as_deref(), Some("paid"));
    let other = payments.run(&key(), &8, async || unreachable!("it is another request")).await.unwrap();
    assert!(matches!(other, Ran::Mismatch));
    clock.advance(Duration::from_secs(24 * 3600));
    assert!(matches!(payments.run(&key(), &8, async || paid()).await.unwrap(), Ran::Fresh(_)));
}

#[tokio::test]
async fn a_failed_operation_frees_its_key_and_names_its_cause() {
    let (payments, _) = payments();
    let fails = async || Err(std::io::Error::other("the bank said no"))?;
    let error = payments.run(&key(), &7, fails).await.unwrap_err();
    assert!(matches!(&error, OperationError::Failed(cause) if cause.to_string() == "the bank said no"), "{error}");
    assert!(matches!(payments.run(&key(), &7, async || paid()).await.unwrap(), Ran::Fresh(_)));
}

#[tokio::test]
async fn operations_of_other_names_share_no_keys() {
    let (stores, _) = testing::stores();
    for name in ["payments", "refunds"] {
        let operation: Payments = stores.state().operation(HandleName::new(name).unwrap());
        assert!(matches!(operation.run(&key(), &7, async || paid()).await.unwrap(), Ran::Fresh(_)));
    }
    let cached: Payments = stores.cache().operation(HandleName::new("payments").unwrap());
    assert!(matches!(cached.run(&key(), &7, async || paid()).await.unwrap(), Ran::Fresh(_)));
}

/// An operation that has begun and waits.
struct Waiting {
    task: tokio::task::JoinHandle<Result<Ran<String>, OperationError>>,
    go: Arc<Notify>,
}

async fn begin(payments: &Payments) -> Waiting {
    let (go, begun) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let (payments, waits, begins) = (payments.clone(), go.clone(), begun.clone());
    let task = tokio::spawn(async move {
        let work = async || {
            begins.fetch_add(1, Ordering::SeqCst);
            waits.notified().await;
            paid()
        };
        payments.run(&key(), &7, work).await
    });
    wait_until("the operation has begun", DEADLINE, async || begun.load(Ordering::SeqCst) == 1).await;
    Waiting { task, go }
}

#[tokio::test]
async fn a_request_that_is_carried_out_elsewhere_is_in_progress() {
    let (payments, _) = payments();
    let first = begin(&payments).await;
    let second = payments.run(&key(), &7, async || unreachable!("the first one carries it out")).await.unwrap();
    assert!(matches!(second, Ran::InProgress { retry_after, .. } if retry_after == Duration::from_secs(30)));
    first.go.notify_one();
    assert!(matches!(first.task.await.unwrap().unwrap(), Ran::Fresh(_)));
}

#[tokio::test]
async fn a_dropped_operation_keeps_its_key_until_its_time_is_over() {
    let (payments, clock) = payments();
    let first = begin(&payments).await;
    first.task.abort();
    assert!(first.task.await.unwrap_err().is_cancelled());
    assert!(matches!(payments.run(&key(), &7, async || paid()).await.unwrap(), Ran::InProgress { .. }));
    clock.advance(Duration::from_secs(30));
    assert!(matches!(payments.run(&key(), &7, async || paid()).await.unwrap(), Ran::Fresh(_)));
}

/// The clock of the store jumps by more than the attempt's time, as when the process was suspended.
#[tokio::test]
async fn an_operation_stops_when_another_attempt_may_have_begun() {
    let (payments, clock) = payments();
    let payments = payments.with_in_progress_for(Ttl::new(Duration::from_millis(200)).unwrap());
    let first = begin(&payments).await;
    clock.advance(Duration::from_secs(60));
    assert!(matches!(first.task.await.unwrap(), Err(OperationError::Lost)));
}

#[tokio::test]
async fn a_long_operation_stays_in_progress() {
    let (payments, clock) = payments();
    let payments = payments.with_in_progress_for(Ttl::new(Duration::from_millis(300)).unwrap());
    let first = begin(&payments).await;
    let begun = clock.now();
    let retry_after = async || match payments.run(&key(), &7, async || paid()).await.unwrap() {
        Ran::InProgress { retry_after, .. } => retry_after,
        other => panic!("{other:?}"),
    };
    while clock.now().since(begun) < Duration::from_millis(900) {
        clock.advance(Duration::from_millis(100));
        let is_prolonged = async || retry_after().await == Duration::from_millis(300);
        wait_until("the attempt is prolonged", DEADLINE, is_prolonged).await;
    }
    first.go.notify_one();
    assert!(matches!(first.task.await.unwrap().unwrap(), Ran::Fresh(_)));
}

#[tokio::test]
async fn a_response_that_cannot_be_stored_is_returned_and_marked() {
    let (stores, _) = testing::stores();
    let payments: Payments = stores.state().operation(HandleName::new("payments").unwrap());
    let large = async || Ok("x".repeat(2 << 20));
    let ran = payments.run(&key(), &7, large).await.unwrap();
    assert!(matches!(ran, Ran::Unstored { error: Some(_), .. }), "{ran:?}");
    stores.close().await;
    let error = payments.run(&key(), &8, async || paid()).await.unwrap_err();
    assert!(matches!(error, OperationError::Store(_)), "{error}");
}
