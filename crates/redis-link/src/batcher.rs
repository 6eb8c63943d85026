//! Coalesces calls of one kind: calls that arrive while others are under way share the next one.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use store_core::{Error, Op, Result};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

mod script;
mod size;

#[cfg(test)]
mod tests;

pub use script::SharedScript;
pub use size::SizeSeen;

/// How many callers may wait in one group.
const MAX_WAITING: usize = 10_000;
/// How many calls of one group may be under way when each of them is full.
const MAX_UNDER_WAY: usize = 64;
/// A call with this many items shows that many callers call concurrently. While it is under way, new callers wait and
/// share the next call.
const LARGE: usize = 8;
/// How long callers wait for calls that other callers carry out. Such a call makes no progress while its caller does
/// not poll it.
const PATIENCE: Duration = Duration::from_millis(100);

/// Coalesces calls of one kind: calls on one item become one call on many.
///
/// A call is sent immediately, with its item alone, while fewer than [`Bounds::under_way`] calls of its group are
/// under way and none of them carries eight or more items. Otherwise it waits until one of these ends, or until the
/// waiting items fill a call, which is then sent immediately. So each call waits for at most one other, and separate
/// calls cost the server as little as one batch. Items are sent in the order in which they arrived.
///
/// Only independent calls may be coalesced: the outcome of an item must not depend on the others. `L` is the group:
/// only calls of one group are coalesced. `I` is the item, `A` its answer.
///
/// - If the call fails, each of its items gets the error.
/// - If a caller is dropped while its item waits, the item is not sent. If it is dropped later, the item may have been
///   sent.
/// - If a caller whose call is under way is dropped or panics, the calls behind it are sent immediately. If it is not
///   polled, they are sent after 100 ms.
/// - Coalesced calls run on the runtime in which the batcher was made.
pub struct Batcher<L, I, A> {
    op: Op,
    bounds: Bounds,
    /// Where coalesced calls run. A caller may be on another runtime, which ends earlier.
    runtime: Option<Handle>,
    groups: Arc<Mutex<Groups<L, I, A>>>,
}

/// What one call may carry, and how many calls may be under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// How many calls of a group may be under way before others wait; at least 1.
    pub under_way: usize,
    /// How many items one call carries.
    pub items: usize,
    /// How many bytes one call carries. A larger item is sent alone.
    pub bytes: usize,
}

/// How much of a call's [`Bounds`] an item takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// How many items it counts for.
    pub items: usize,
    /// How many bytes.
    pub bytes: usize,
}

type Groups<L, I, A> = HashMap<L, Group<I, A>>;

struct Group<I, A> {
    under_way: usize,
    /// How many of these run as tasks. A task always ends, and then sends the waiting items.
    tasks: usize,
    /// How many of these carry [`LARGE`] or more items.
    large: usize,
    waiting: VecDeque<Waiting<I, A>>,
    /// The load of all waiting items.
    load: Load,
}

struct Waiting<I, A> {
    item: I,
    load: Load,
    answer: oneshot::Sender<Result<A>>,
}

impl<L, I, A> fmt::Debug for Batcher<L, I, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batcher({})", self.op)
    }
}

impl Load {
    fn add(&mut self, other: Load) {
        self.items += other.items;
        self.bytes += other.bytes;
    }

    fn remove(&mut self, other: Load) {
        self.items -= other.items;
        self.bytes -= other.bytes;
    }

    fn fits(self, bounds: Bounds) -> bool {
        self.items <= bounds.items && self.bytes <= bounds.bytes
    }
}

impl<L, I, A> Batcher<L, I, A>
where
    L: Clone + Eq + Hash + Send + 'static,
    I: Send + 'static,
    A: Send + 'static,
{
    /// A batcher for calls of `op`.
    pub fn new(op: Op, bounds: Bounds) -> Self {
        Self { op, bounds, runtime: Handle::try_current().ok(), groups: Arc::default() }
    }

    /// Sends `item` by `send`, alone or with other items of `group`. `send` returns one answer per item, in order.
    ///
    /// # Errors
    /// The error of the call. [`Error::Unavailable`] if 10,000 callers already wait. [`Error::Indeterminate`] if the
    /// call panicked or its runtime ended.
    pub async fn call<S, F>(&self, group: L, load: Load, item: I, send: S) -> Result<A>
    where
        S: Fn(Vec<I>) -> F + Send + 'static,
        F: Future<Output = Result<Vec<A>>> + Send + 'static,
    {
        let mut own = Some(item);
        match self.enter(&group, load, || own.take())? {
            Entered::First => {
                let in_flight =
                    InFlight { call: self.reference(), group, send: Some(send), is_task: false, is_large: false };
                let sending = in_flight.send.as_ref().map(|send| send(own.into_iter().collect()));
                let sending = sending.expect("invariant: only its end takes `send`");
                // Boxed: most callers wait for the call of another, and their futures would be as large as the call
                // itself.
                let answered = Box::pin(sending).await;
                drop(in_flight);
                answered?.pop().ok_or_else(|| ends_too_early(self.op))
            }
            Entered::Waits(pending) => self.wait(pending, group, send).await,
        }
    }

    /// Like [`Batcher::call`], for operations with a separate call for one item: either `alone` is called immediately,
    /// or `item` is made and coalesced.
    ///
    /// # Errors
    /// As [`Batcher::call`].
    pub async fn call_or_else<S, F, O>(
        &self,
        group: L,
        load: Load,
        alone: impl FnOnce() -> O,
        item: impl FnOnce() -> I,
        send: S,
    ) -> Result<A>
    where
        S: Fn(Vec<I>) -> F + Send + 'static,
        F: Future<Output = Result<Vec<A>>> + Send + 'static,
        O: Future<Output = Result<A>>,
    {
        match self.enter(&group, load, || Some(item()))? {
            Entered::First => {
                let in_flight =
                    InFlight { call: self.reference(), group, send: Some(send), is_task: false, is_large: false };
                let answered = Box::pin(alone()).await;
                drop(in_flight);
                answered
            }
            Entered::Waits(pending) => self.wait(pending, group, send).await,
        }
    }

    fn enter(&self, name: &L, load: Load, item: impl FnOnce() -> Option<I>) -> Result<Entered<A>> {
        let mut groups = lock(&self.groups);
        let Some(group) = groups.get_mut(name) else {
            groups.insert(
                name.clone(),
                Group { under_way: 1, tasks: 0, large: 0, waiting: VecDeque::new(), load: Load::default() },
            );
            return Ok(Entered::First);
        };
        if group.under_way < self.bounds.under_way && group.large == 0 && group.waiting.is_empty() {
            group.under_way += 1;
            return Ok(Entered::First);
        }
        if group.waiting.len() >= MAX_WAITING {
            return Err(Error::unavailable(self.op, "too many calls wait"));
        }
        let (sender, answer) = oneshot::channel();
        group.waiting.extend(item().map(|item| Waiting { item, load, answer: sender }));
        group.load.add(load);
        let is_full = !group.load.fits(self.bounds) && group.under_way < MAX_UNDER_WAY;
        if is_full {
            group.under_way += 1;
        }
        Ok(Entered::Waits(Pending { answer, is_full, is_behind_task: group.tasks > 0 }))
    }

    async fn wait<S, F>(&self, mut pending: Pending<A>, group: L, send: S) -> Result<A>
    where
        S: Fn(Vec<I>) -> F + Send + 'static,
        F: Future<Output = Result<Vec<A>>> + Send + 'static,
    {
        let send = Some(send);
        if pending.is_full {
            drop(InFlight { call: self.reference(), group, send, is_task: false, is_large: false });
        } else if !pending.is_behind_task {
            if let Ok(answered) = tokio::time::timeout(PATIENCE, &mut pending.answer).await {
                return self.received(answered);
            }
            if self.takes_over(&group) {
                drop(InFlight { call: self.reference(), group, send, is_task: false, is_large: false });
            }
        }
        self.received((&mut pending.answer).await)
    }

    fn received(&self, answered: Result<Result<A>, oneshot::error::RecvError>) -> Result<A> {
        answered
            .unwrap_or_else(|_| Err(Error::indeterminate(self.op, "the call was interrupted while it was under way")))
    }

    /// Counts another call as under way, and returns `true`, if items wait and no task will send them.
    fn takes_over(&self, group: &L) -> bool {
        let mut groups = lock(&self.groups);
        let Some(group) = groups.get_mut(group) else { return false };
        let departs = group.tasks == 0 && !group.waiting.is_empty();
        group.under_way += usize::from(departs);
        departs
    }

    fn reference(&self) -> Self {
        let (runtime, groups) = (self.runtime.clone(), Arc::clone(&self.groups));
        Self { op: self.op, bounds: self.bounds, runtime, groups }
    }

    /// Ends a call, which was a `task` and `large` or not, and takes the waiting items that fit the next call, which
    /// runs as a task. Returns `None`, with one call fewer under way, if none wait or if they wait for a large call.
    fn next(&self, group: &L, task: bool, large: bool) -> Option<Vec<Waiting<I, A>>> {
        let mut groups = lock(&self.groups);
        let entry = groups.get_mut(group)?;
        entry.large -= usize::from(large);
        entry.tasks -= usize::from(task);
        if entry.large > 0 && entry.load.fits(self.bounds) {
            entry.under_way -= 1;
            return None;
        }
        let (mut batch, mut load) = (Vec::with_capacity(entry.waiting.len().min(self.bounds.items)), Load::default());
        while let Some(first) = entry.waiting.pop_front() {
            if first.answer.is_closed() {
                entry.load.remove(first.load);
                continue;
            }
            load.add(first.load);
            if !batch.is_empty() && !load.fits(self.bounds) {
                entry.waiting.push_front(first);
                break;
            }
            entry.load.remove(first.load);
            batch.push(first);
        }
        if !batch.is_empty() {
            entry.tasks += 1;
            entry.large += usize::from(is_large_batch(&batch));
            return Some(batch);
        }
        entry.under_way -= 1;
        if entry.under_way == 0 {
            groups.remove(group);
        }
        None
    }
}

fn is_large_batch<T>(batch: &[T]) -> bool {
    batch.len() >= LARGE
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Only a caller's own closure can panic under the lock, and it runs before anything is changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

enum Entered<A> {
    First,
    Waits(Pending<A>),
}

struct Pending<A> {
    answer: oneshot::Receiver<Result<A>>,
    /// The waiting items fill a call, which may be sent.
    is_full: bool,
    /// A task is under way, which sends the waiting items when it ends.
    is_behind_task: bool,
}

/// One call under way in a group. When it is dropped, also because its caller was dropped or panicked, the waiting
/// items are sent.
struct InFlight<L, I, A, S, F>
where
    L: Clone + Eq + Hash + Send + 'static,
    I: Send + 'static,
    A: Send + 'static,
    S: Fn(Vec<I>) -> F + Send + 'static,
    F: Future<Output = Result<Vec<A>>> + Send + 'static,
{
    call: Batcher<L, I, A>,
    group: L,
    /// `None` if the call has ended or another one has taken over.
    send: Option<S>,
    /// Whether the call runs as a task, not in its caller.
    is_task: bool,
    /// Whether the call carries [`LARGE`] or more items.
    is_large: bool,
}

impl<L, I, A, S, F> Drop for InFlight<L, I, A, S, F>
where
    L: Clone + Eq + Hash + Send + 'static,
    I: Send + 'static,
    A: Send + 'static,
    S: Fn(Vec<I>) -> F + Send + 'static,
    F: Future<Output = Result<Vec<A>>> + Send + 'static,
{
    fn drop(&mut self) {
        let Some(send) = self.send.take() else { return };
        while let Some(batch) = self.call.next(&self.group, self.is_task, self.is_large) {
            (self.is_task, self.is_large) = (true, is_large_batch(&batch));
            // Without a runtime no caller can wait: the answers are dropped.
            if let Some(runtime) = self.call.runtime.clone().or_else(|| Handle::try_current().ok()) {
                let (call, group) = (self.call.reference(), self.group.clone());
                let in_flight = InFlight { call, group, send: Some(send), is_task: true, is_large: self.is_large };
                runtime.spawn(in_flight.run(batch));
                return;
            }
        }
    }
}

impl<L, I, A, S, F> InFlight<L, I, A, S, F>
where
    L: Clone + Eq + Hash + Send + 'static,
    I: Send + 'static,
    A: Send + 'static,
    S: Fn(Vec<I>) -> F + Send + 'static,
    F: Future<Output = Result<Vec<A>>> + Send + 'static,
{
    async fn run(mut self, mut batch: Vec<Waiting<I, A>>) {
        while let Some(sending) = self.send.as_ref() {
            let (items, callers): (Vec<_>, Vec<_>) =
                batch.into_iter().map(|waiting| (waiting.item, waiting.answer)).unzip();
            let sending = sending(items);
            answer(self.call.op, callers, sending.await);
            // Callers that were just answered may call again: their items join the next call.
            tokio::task::yield_now().await;
            let Some(next) = self.call.next(&self.group, true, self.is_large) else {
                self.send = None;
                return;
            };
            self.is_large = is_large_batch(&next);
            batch = next;
        }
    }
}

/// Sends each item's answer to its caller. A caller that is gone gets none.
fn answer<A>(op: Op, callers: Vec<oneshot::Sender<Result<A>>>, answered: Result<Vec<A>>) {
    match answered {
        Ok(answers) => {
            let mut answers = answers.into_iter();
            for caller in callers {
                let own = answers.next().ok_or_else(|| ends_too_early(op));
                let _ = caller.send(own);
            }
        }
        Err(error) => {
            for caller in callers {
                let _ = caller.send(Err(error.clone()));
            }
        }
    }
}

fn ends_too_early(op: Op) -> Error {
    Error::corrupt(op, "the reply ends too early")
}
