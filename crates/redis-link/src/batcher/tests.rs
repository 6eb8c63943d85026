use std::future::{Future, pending};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use store_core::{Error, Op, Result};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use super::{Batcher, Bounds, Load};

const OP: Op = Op::KeyValueAdd;
const ONE: Load = Load { items: 1, bytes: 10 };
const BOUNDS: Bounds = Bounds { under_way: 1, items: 4, bytes: 100 };

/// Calls that report their items when they are sent, and then wait at a gate.
#[derive(Clone)]
struct Fixture {
    batcher: Arc<Batcher<u8, u32, u32>>,
    gate: Arc<Semaphore>,
    sent: mpsc::UnboundedSender<Vec<u32>>,
}

type SentCalls = mpsc::UnboundedReceiver<Vec<u32>>;

fn fixture(bounds: Bounds) -> (Fixture, SentCalls) {
    let (sent, sent_calls) = mpsc::unbounded_channel();
    let gate = Arc::new(Semaphore::new(0));
    (Fixture { batcher: Arc::new(Batcher::new(OP, bounds)), gate, sent }, sent_calls)
}

impl Fixture {
    /// Answers each number with its double; 666 panics, 13 is an error for all.
    async fn send(self, items: Vec<u32>) -> Result<Vec<u32>> {
        let _ = self.sent.send(items.clone());
        self.gate.acquire().await.unwrap().forget();
        assert!(!items.contains(&666), "a call that panics");
        if items.contains(&13) {
            return Err(Error::unavailable(OP, "unavailable on purpose"));
        }
        Ok(items.into_iter().map(|item| 2 * item).collect())
    }

    async fn call(&self, group: u8, item: u32, load: Load) -> Result<u32> {
        let fixture = self.clone();
        self.batcher.call(group, load, item, move |items| fixture.clone().send(items)).await
    }

    /// Calls in a task. Returns once the call was sent or waits.
    async fn start(&self, group: u8, item: u32) -> JoinHandle<Result<u32>> {
        self.start_with(group, item, ONE).await
    }

    async fn start_with(&self, group: u8, item: u32, load: Load) -> JoinHandle<Result<u32>> {
        let fixture = self.clone();
        let task = tokio::spawn(async move { fixture.call(group, item, load).await });
        tokio::task::yield_now().await;
        task
    }

    fn open(&self, calls: usize) {
        self.gate.add_permits(calls);
    }

    fn groups(&self) -> usize {
        self.batcher.groups.lock().unwrap().len()
    }

    async fn until_idle(&self) {
        while self.groups() > 0 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_single_call_is_sent_immediately_and_leaves_nothing_behind() {
    let (fixture, mut sent_calls) = fixture(BOUNDS);
    fixture.open(1);
    assert_eq!(fixture.call(0, 21, ONE).await.unwrap(), 42);
    assert_eq!(sent_calls.recv().await.unwrap(), [21]);
    assert_eq!(fixture.groups(), 0);
}

#[tokio::test]
async fn calls_that_arrive_meanwhile_are_coalesced_in_order() {
    let (fixture, mut sent_calls) = fixture(BOUNDS);
    let mut tasks = vec![fixture.start(0, 1).await];
    for item in 2..=4 {
        tasks.push(fixture.start(0, item).await);
    }
    fixture.open(2);
    for (task, item) in tasks.into_iter().zip(1..) {
        assert_eq!(task.await.unwrap().unwrap(), 2 * item);
    }
    assert_eq!(sent_calls.recv().await.unwrap(), [1]);
    assert_eq!(sent_calls.recv().await.unwrap(), [2, 3, 4]);
    fixture.until_idle().await;
}

#[tokio::test]
async fn groups_do_not_wait_for_each_other() {
    let (fixture, mut sent_calls) = fixture(BOUNDS);
    let tasks = [fixture.start(0, 1).await, fixture.start(1, 2).await];
    assert_eq!((sent_calls.recv().await.unwrap(), sent_calls.recv().await.unwrap()), (vec![1], vec![2]));
    fixture.open(2);
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(fixture.groups(), 0);
}

#[tokio::test]
async fn the_allowed_number_of_calls_is_under_way() {
    let (fixture, mut sent_calls) = fixture(Bounds { under_way: 2, ..BOUNDS });
    let tasks = [fixture.start(0, 1).await, fixture.start(0, 2).await, fixture.start(0, 3).await];
    assert_eq!((sent_calls.recv().await.unwrap(), sent_calls.recv().await.unwrap()), (vec![1], vec![2]));
    assert!(sent_calls.try_recv().is_err(), "a third is under way");
    fixture.open(3);
    assert_eq!(sent_calls.recv().await.unwrap(), [3]);
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    fixture.until_idle().await;
}

#[tokio::test]
async fn a_full_call_is_sent_immediately() {
    let (fixture, mut sent_calls) = fixture(BOUNDS);
    let mut tasks = Vec::new();
    for item in 1..=6 {
        tasks.push(fixture.start(0, item).await);
    }
    assert_eq!(sent_calls.recv().await.unwrap(), [1]);
    assert_eq!(sent_calls.recv().await.unwrap(), [2, 3, 4, 5], "four fill a call");
    assert!(sent_calls.try_recv().is_err(), "one more does not");
    fixture.open(3);
    assert_eq!(sent_calls.recv().await.unwrap(), [6]);
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    fixture.until_idle().await;
}

#[tokio::test]
async fn no_single_item_is_sent_while_a_large_call_is_under_way() {
    let (fixture, mut sent_calls) = fixture(Bounds { under_way: 2, items: 100, bytes: 1000 });
    let mut tasks = Vec::new();
    for item in 1..=10 {
        tasks.push(fixture.start(0, item).await);
    }
    assert_eq!((sent_calls.recv().await.unwrap(), sent_calls.recv().await.unwrap()), (vec![1], vec![2]));
    fixture.open(2);
    assert_eq!(sent_calls.recv().await.unwrap(), [3, 4, 5, 6, 7, 8, 9, 10]);
    for task in tasks.drain(..2) {
        task.await.unwrap().unwrap();
    }
    for item in 11..=12 {
        tasks.push(fixture.start(0, item).await);
    }
    assert!(sent_calls.try_recv().is_err(), "an item was sent although a large call is under way");
    fixture.open(1);
    assert_eq!(sent_calls.recv().await.unwrap(), [11, 12]);
    tasks.push(fixture.start(0, 13).await);
    fixture.open(2);
    for (task, item) in tasks.into_iter().zip(3..) {
        assert_eq!(task.await.unwrap().ok(), (item != 13).then_some(2 * item));
    }
    fixture.until_idle().await;
}

#[tokio::test]
async fn bytes_fill_a_call_and_a_larger_item_is_sent_alone() {
    let (fixture, mut sent_calls) = fixture(BOUNDS);
    let heavy = Load { items: 1, bytes: 60 };
    let mut tasks = vec![fixture.start(0, 1).await, fixture.start_with(0, 2, heavy).await];
    tasks.push(fixture.start_with(0, 3, heavy).await);
    assert_eq!(sent_calls.recv().await.unwrap(), [1]);
    assert_eq!(sent_calls.recv().await.unwrap(), [2], "two are too large for one call");
    tasks.push(fixture.start_with(0, 4, Load { items: 1, bytes: 1000 }).await);
    assert_eq!(sent_calls.recv().await.unwrap(), [3]);
    fixture.open(4);
    assert_eq!(sent_calls.recv().await.unwrap(), [4]);
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    fixture.until_idle().await;
}

#[tokio::test]
async fn an_error_is_returned_to_all_callers_and_the_next_call_is_sent() {
    let (fixture, _departures) = fixture(BOUNDS);
    let first = fixture.start(0, 1).await;
    let unlucky = [fixture.start(0, 12).await, fixture.start(0, 13).await];
    fixture.open(2);
    assert_eq!(first.await.unwrap().unwrap(), 2);
    for task in unlucky {
        assert!(matches!(task.await.unwrap(), Err(Error::Unavailable { .. })));
    }
    fixture.until_idle().await;
    fixture.open(1);
    assert_eq!(fixture.call(0, 5, ONE).await.unwrap(), 10);
}

#[tokio::test]
async fn a_call_that_panics_is_indeterminate_for_all_and_the_next_is_sent() {
    let (fixture, mut sent_calls) = fixture(BOUNDS);
    let first = fixture.start(0, 1).await;
    let broken = [fixture.start(0, 665).await, fixture.start(0, 666).await];
    fixture.open(1);
    first.await.unwrap().unwrap();
    assert_eq!(sent_calls.recv().await.unwrap(), [1]);
    assert_eq!(sent_calls.recv().await.unwrap(), [665, 666]);
    let behind = fixture.start(0, 7).await;
    fixture.open(2);
    for task in broken {
        assert!(matches!(task.await.unwrap(), Err(Error::Indeterminate { .. })));
    }
    assert_eq!(behind.await.unwrap().unwrap(), 14);
    fixture.until_idle().await;
}

#[tokio::test]
async fn a_caller_that_panics_does_not_delay_the_calls_behind_it() {
    let (fixture, _departures) = fixture(BOUNDS);
    let first = fixture.start(0, 666).await;
    let behind = fixture.start(0, 2).await;
    fixture.open(2);
    assert!(first.await.unwrap_err().is_panic());
    assert_eq!(behind.await.unwrap().unwrap(), 4);
    fixture.until_idle().await;
}

#[tokio::test]
async fn a_caller_that_is_dropped_does_not_delay_the_calls_behind_it() {
    let (fixture, mut sent_calls) = fixture(BOUNDS);
    let first = fixture.start(0, 1).await;
    let (dropped, behind) = (fixture.start(0, 2).await, fixture.start(0, 3).await);
    dropped.abort();
    assert!(dropped.await.unwrap_err().is_cancelled());
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    assert_eq!(sent_calls.recv().await.unwrap(), [1]);
    assert_eq!(sent_calls.recv().await.unwrap(), [3], "an item whose caller was dropped is not sent");
    fixture.open(1);
    assert_eq!(behind.await.unwrap().unwrap(), 6);
    fixture.until_idle().await;
}

#[tokio::test]
async fn the_group_is_free_after_all_waiting_callers_were_dropped() {
    let (fixture, mut sent_calls) = fixture(BOUNDS);
    let first = fixture.start(0, 1).await;
    for item in 2..=3 {
        let dropped = fixture.start(0, item).await;
        dropped.abort();
        assert!(dropped.await.unwrap_err().is_cancelled());
    }
    fixture.open(1);
    first.await.unwrap().unwrap();
    assert_eq!((sent_calls.recv().await.unwrap(), sent_calls.try_recv().ok()), (vec![1], None));
    assert_eq!(fixture.groups(), 0);
}

#[tokio::test]
async fn a_missing_answer_is_corrupt() {
    let batcher = Arc::new(Batcher::<(), u32, u32>::new(OP, BOUNDS));
    let short = batcher.call((), ONE, 1, |_| async { Ok(Vec::new()) }).await;
    assert!(matches!(short, Err(Error::Corrupt { .. })));
    let gate = Arc::new(Semaphore::new(0));
    let call = |item| {
        let (batcher, gate) = (Arc::clone(&batcher), Arc::clone(&gate));
        tokio::spawn(async move {
            let send = move |_| {
                let gate = Arc::clone(&gate);
                async move {
                    gate.acquire().await.unwrap().forget();
                    Ok(vec![7])
                }
            };
            batcher.call((), ONE, item, send).await
        })
    };
    let tasks = [call(1), call(2), call(3)];
    tokio::task::yield_now().await;
    gate.add_permits(2);
    let [first, second, third] = tasks;
    assert_eq!((first.await.unwrap().unwrap(), second.await.unwrap().unwrap()), (7, 7));
    assert!(matches!(third.await.unwrap(), Err(Error::Corrupt { .. })));
}

#[tokio::test]
async fn a_single_call_uses_its_own_operation() {
    let batcher = Batcher::<(), u32, &str>::new(OP, BOUNDS);
    let alone = async { Ok("alone") };
    let made = AtomicUsize::new(0);
    let item = || u32::try_from(made.fetch_add(1, Ordering::Relaxed)).unwrap();
    let answer = batcher.call_or_else((), ONE, || alone, item, |_| pending()).await;
    assert_eq!((answer.unwrap(), made.load(Ordering::Relaxed)), ("alone", 0));
}

#[tokio::test]
async fn the_number_of_waiting_callers_is_bounded() {
    let batcher = Arc::new(Batcher::<(), (), ()>::new(OP, Bounds { items: usize::MAX, bytes: usize::MAX, ..BOUNDS }));
    let call = || {
        let batcher = Arc::clone(&batcher);
        tokio::spawn(async move { batcher.call((), ONE, (), |_| pending()).await })
    };
    let waiting: Vec<_> = (0..=super::MAX_WAITING).map(|_| call()).collect();
    while batcher.groups.lock().unwrap().get(&()).map_or(0, |group| group.waiting.len()) < super::MAX_WAITING {
        tokio::task::yield_now().await;
    }
    assert!(matches!(call().await.unwrap(), Err(Error::Unavailable { .. })));
    waiting.iter().for_each(JoinHandle::abort);
}

#[test]
fn the_end_of_the_runtime_is_reported() {
    let (fixture, mut sent_calls) = fixture(BOUNDS);
    let ending = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let lasting = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    ending.block_on(fixture.start(0, 1));
    assert_eq!(sent_calls.blocking_recv().unwrap(), [1]);
    let behind = lasting.block_on(fixture.start(0, 2));
    ending.shutdown_background();
    let answered = lasting.block_on(behind).unwrap();
    assert!(matches!(answered, Err(Error::Indeterminate { .. })), "{answered:?}");
    assert_eq!(fixture.groups(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_is_not_polled_does_not_delay_the_calls_behind_it() {
    let (fixture, mut sent_calls) = fixture(BOUNDS);
    let (first, second) = (fixture.clone(), fixture.clone());
    let (mut first, mut second) = (Box::pin(first.call(0, 1, ONE)), Box::pin(second.call(0, 2, ONE)));
    for call in [&mut first, &mut second] {
        std::future::poll_fn(|context| {
            assert!(call.as_mut().poll(context).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
    }
    fixture.open(3);
    assert_eq!(fixture.call(0, 3, ONE).await.unwrap(), 6);
    assert_eq!((sent_calls.recv().await.unwrap(), sent_calls.recv().await.unwrap()), (vec![1], vec![2, 3]));
    assert_eq!((first.await.unwrap(), second.await.unwrap()), (2, 4));
    fixture.until_idle().await;
}
