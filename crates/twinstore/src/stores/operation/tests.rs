//! What an operation does when its store does not answer, or its caller does not wait.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use embedded_store::{EmbeddedState, StateOptions};
use store_core::{Result, ServiceName};
use testkit::{DEADLINE, wait_until};
use tokio::sync::Notify;
use tokio::time::{advance, timeout};

use super::*;

const TIME: Duration = Duration::from_secs(30);

/// How a call ends.
#[derive(Debug, Clone, Copy)]
enum Answer {
    Own,
    Never,
    Fails(fn(Op) -> Error),
}

/// A store in memory whose calls can hang or fail.
#[derive(Debug)]
struct Faulty {
    inner: EmbeddedState,
    prolong: Answer,
    abandon: Answer,
    prolonged: AtomicUsize,
    finishing: AtomicUsize,
    /// Whether calls of `finish` may continue.
    finishes: watch::Sender<bool>,
}

impl Faulty {
    fn new() -> Self {
        Self {
            inner: EmbeddedState::in_memory(ServiceName::new("shop").unwrap(), StateOptions::default()),
            prolong: Answer::Own,
            abandon: Answer::Own,
            prolonged: AtomicUsize::new(0),
            finishing: AtomicUsize::new(0),
            finishes: watch::Sender::new(true),
        }
    }
}

async fn meet(answer: Answer, op: Op) -> Result<()> {
    match answer {
        Answer::Own => Ok(()),
        Answer::Never => std::future::pending().await,
        Answer::Fails(error) => Err(error(op)),
    }
}

#[async_trait]
impl Idempotency for Faulty {
    async fn begin(&self, request: &IdempotentRequest, in_progress_for: Ttl) -> Result<Begun> {
        self.inner.begin(request, in_progress_for).await
    }

    async fn prolong(&self, request: &IdempotentRequest, in_progress_for: Ttl) -> Result<bool> {
        self.prolonged.fetch_add(1, Ordering::SeqCst);
        meet(self.prolong, Op::IdempotencyProlong).await?;
        self.inner.prolong(request, in_progress_for).await
    }

    async fn finish(&self, request: &IdempotentRequest, response: &Bytes, keep: Ttl) -> Result<Finished> {
        self.finishing.fetch_add(1, Ordering::SeqCst);
        self.finishes.subscribe().wait_for(|may| *may).await.unwrap();
        self.inner.finish(request, response, keep).await
    }

    async fn abandon(&self, request: &IdempotentRequest) -> Result<bool> {
        meet(self.abandon, Op::IdempotencyAbandon).await?;
        self.inner.abandon(request).await
    }
}

fn payments(faulty: &Arc<Faulty>) -> Operation<u64, String> {
    Operation::new(faulty.clone(), HandleName::new("payments").unwrap()).with_in_progress_for(Ttl::new(TIME).unwrap())
}

fn key() -> Key {
    Key::new("order-7").unwrap()
}

fn paid() -> std::result::Result<String, OperationFailure> {
    Ok("paid".to_owned())
}

#[tokio::test]
async fn the_response_of_an_operation_whose_caller_is_gone_is_stored() {
    let faulty = Arc::new(Faulty::new());
    faulty.finishes.send_replace(false);
    let payments = payments(&faulty);
    let running = tokio::spawn({
        let payments = payments.clone();
        async move { payments.run(&key(), &7, async || paid()).await }
    });
    let is_finishing = async || faulty.finishing.load(Ordering::SeqCst) == 1;
    wait_until("the response is being stored", DEADLINE, is_finishing).await;
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    faulty.finishes.send_replace(true);
    let is_stored = async || {
        let again = payments.run(&key(), &7, async || unreachable!("the effect has happened")).await.unwrap();
        matches!(again, Ran::Stored(response) if response == "paid")
    };
    wait_until("the response is stored", DEADLINE, is_stored).await;
}

/// Runs an operation that never ends: how long it was carried out.
async fn stopped_after(faulty: &Arc<Faulty>) -> Duration {
    let began = Instant::now();
    let payments = payments(faulty);
    let (key, hangs) = (key(), async || std::future::pending().await);
    let run = timeout(TIME * 10, payments.run(&key, &7, hangs)).await.expect("it is stopped");
    assert!(matches!(run, Err(OperationError::Lost)), "{run:?}");
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn an_operation_stops_before_its_key_can_be_free_if_the_store_does_not_answer() {
    let faulty = Arc::new(Faulty { prolong: Answer::Never, ..Faulty::new() });
    let stopped = stopped_after(&faulty).await;
    assert!(stopped > TIME / 2 && stopped < TIME - TIME / 20, "{stopped:?}");
}

#[tokio::test(start_paused = true)]
async fn an_operation_asks_an_unavailable_store_for_more_time_a_few_times() {
    let unavailable = Answer::Fails(|op| Error::unavailable(op, "away"));
    let faulty = Arc::new(Faulty { prolong: unavailable, ..Faulty::new() });
    let stopped = stopped_after(&faulty).await;
    assert!(stopped > TIME / 2 && stopped < TIME - TIME / 20, "{stopped:?}");
    let prolonged = faulty.prolonged.load(Ordering::SeqCst);
    assert!((3..10).contains(&prolonged), "{prolonged}");
}

#[tokio::test(start_paused = true)]
async fn an_operation_stops_at_the_first_refusal_of_more_time() {
    let forbidden = Answer::Fails(|op| Error::forbidden(op, "no"));
    let faulty = Arc::new(Faulty { prolong: forbidden, ..Faulty::new() });
    assert!(stopped_after(&faulty).await < TIME / 2);
    assert_eq!(faulty.prolonged.load(Ordering::SeqCst), 1);
}

/// The process is suspended: everything that it waited for has happened when it continues.
#[tokio::test(start_paused = true)]
async fn an_operation_that_wakes_up_late_is_not_continued() {
    let faulty = Arc::new(Faulty::new());
    let (begun, effect) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
    let running = tokio::spawn({
        let (payments, begun, effect) = (payments(&faulty), begun.clone(), effect.clone());
        async move {
            let pays = async || {
                begun.notify_one();
                sleep(TIME / 4).await;
                effect.store(true, Ordering::SeqCst);
                paid()
            };
            payments.run(&key(), &7, pays).await
        }
    });
    begun.notified().await;
    advance(TIME * 2).await;
    let run = running.await.unwrap();
    assert!(matches!(run, Err(OperationError::Lost)), "{run:?}");
    assert!(!effect.load(Ordering::SeqCst), "it was continued when another attempt may have begun");
}

#[tokio::test]
async fn a_failed_operation_whose_key_could_not_be_freed_is_in_progress() {
    let unavailable = Answer::Fails(|op| Error::unavailable(op, "away"));
    let payments = payments(&Arc::new(Faulty { abandon: unavailable, ..Faulty::new() }));
    let fails = async || Err(std::io::Error::other("the bank said no"))?;
    let failed = payments.run(&key(), &7, fails).await;
    assert!(matches!(failed, Err(OperationError::Failed(_))), "{failed:?}");
    let again = payments.run(&key(), &7, async || paid()).await.unwrap();
    assert!(matches!(again, Ran::InProgress { retry_after, .. } if retry_after <= TIME), "{again:?}");
}
