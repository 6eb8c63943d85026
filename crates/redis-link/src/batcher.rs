//! Calls of one kind that are made while others are under way travel together in the next one.

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

pub use script::{SharedScript, Slot};
pub use size::SizeSeen;

/// How many callers may wait in one group.
const MAX_WAITING: usize = 10_000;
/// How many calls may be under way in one group when each that departs is full.
const MAX_UNDER_WAY: usize = 64;
/// A call that carries so many shows that many ask at once: who comes meanwhile gains more by company than by leaving first.
const CROWD: usize = 8;
/// How long calls wait behind those that their callers carry out themselves: one whose caller does not poll it never ends.
const PATIENCE: Duration = Duration::from_millis(100);

/// Carries calls of one kind together: a call on one item becomes a part of a call on many.
///
/// A call departs at once while fewer than [`Bounds::under_way`] of its group are under way and none of these carries eight or
/// more, and then it is the call that it would have been alone. Else it waits: for the end of one of these, or until those
/// who wait fill a call, which departs then. So each call is delayed by at most one other, and many tasks that ask for one item each cost the server what one
/// task costs that asks for many. Items travel in the order in which they came.
///
/// Only calls that are right in any company may travel together: each item's outcome must be its own. `L` says which may
/// (one group's calls never travel with another's), `I` is what travels, `A` the answer to one item.
///
/// - An error of the call is the answer to each item in it.
/// - A caller that is dropped while it waits takes its item away; later, its item may have been sent.
/// - The call under way of a caller that is dropped, or panics, ends for those behind it at that moment. One whose caller
///   does not poll it delays them by 100 ms.
/// - What travels together does so on the runtime in which this was made.
pub struct Batcher<L, I, A> {
    op: Op,
    bounds: Bounds,
    /// Where calls travel: other runtimes may be left alone by whoever entered them for one call.
    runtime: Option<Handle>,
    groups: Arc<Mutex<Groups<L, I, A>>>,
}

/// What one call may carry, and how many may be under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// How many calls of a group may be under way before others wait to travel together; at least 1.
    pub under_way: usize,
    /// How many items one call carries.
    pub items: usize,
    /// How many bytes one call carries. An item that has more travels alone.
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
    /// How many of these are tasks: they end by themselves, and then those who wait travel.
    tasks: usize,
    /// How many of these carry a crowd.
    crowded: usize,
    waiting: VecDeque<Waiting<I, A>>,
    /// Of all that wait.
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
    /// Calls of `op`.
    pub fn new(op: Op, bounds: Bounds) -> Self {
        Self { op, bounds, runtime: Handle::try_current().ok(), groups: Arc::default() }
    }

    /// Has `item` travel, alone or with others of `group`, by `send`, which answers each item in order.
    ///
    /// # Errors
    /// Those of the call. [`Error::Unavailable`] where 10,000 wait already. [`Error::Indeterminate`] where the call broke
    /// off: it panicked, or its runtime ended.
    pub async fn call<S, F>(&self, group: L, load: Load, item: I, send: S) -> Result<A>
    where
        S: Fn(Vec<I>) -> F + Send + 'static,
        F: Future<Output = Result<Vec<A>>> + Send + 'static,
    {
        let mut own = Some(item);
        match self.enter(&group, load, || own.take())? {
            Entered::First => {
                let turn = Turn { call: self.reference(), group, send: Some(send), is_task: false, is_crowded: false };
                let sending = turn.send.as_ref().map(|send| send(own.into_iter().collect()));
                let sending = sending.expect("invariant: only its end takes the turn's way of sending");
                // In a box: most callers wait for the call of another, and theirs would be as large as the call itself.
                let answered = Box::pin(sending).await;
                drop(turn);
                answered?.pop().ok_or_else(|| ends_too_early(self.op))
            }
            Entered::Waits(seat) => self.wait(seat, group, send).await,
        }
    }

    /// The same where a call on one item has a way of its own: `alone` is called at once, or `item` is made and travels
    /// with others.
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
                let turn = Turn { call: self.reference(), group, send: Some(send), is_task: false, is_crowded: false };
                let answered = Box::pin(alone()).await;
                drop(turn);
                answered
            }
            Entered::Waits(seat) => self.wait(seat, group, send).await,
        }
    }

    fn enter(&self, name: &L, load: Load, item: impl FnOnce() -> Option<I>) -> Result<Entered<A>> {
        let mut groups = lock(&self.groups);
        let Some(group) = groups.get_mut(name) else {
            groups.insert(
                name.clone(),
                Group { under_way: 1, tasks: 0, crowded: 0, waiting: VecDeque::new(), load: Load::default() },
            );
            return Ok(Entered::First);
        };
        if group.under_way < self.bounds.under_way && group.crowded == 0 && group.waiting.is_empty() {
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
        Ok(Entered::Waits(Seat { answer, is_full, is_behind_task: group.tasks > 0 }))
    }

    async fn wait<S, F>(&self, mut seat: Seat<A>, group: L, send: S) -> Result<A>
    where
        S: Fn(Vec<I>) -> F + Send + 'static,
        F: Future<Output = Result<Vec<A>>> + Send + 'static,
    {
        let send = Some(send);
        if seat.is_full {
            drop(Turn { call: self.reference(), group, send, is_task: false, is_crowded: false });
        } else if !seat.is_behind_task {
            if let Ok(answered) = tokio::time::timeout(PATIENCE, &mut seat.answer).await {
                return self.heard(answered);
            }
            if self.departs_at_last(&group) {
                drop(Turn { call: self.reference(), group, send, is_task: false, is_crowded: false });
            }
        }
        self.heard((&mut seat.answer).await)
    }

    fn heard(&self, answered: Result<Result<A>, oneshot::error::RecvError>) -> Result<A> {
        answered.unwrap_or_else(|_| Err(Error::indeterminate(self.op, "the call broke off while it was under way")))
    }

    /// Whether those who wait depart although calls are under way, none of which is a task.
    fn departs_at_last(&self, group: &L) -> bool {
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

    /// Behind a call that was a `task` and `crowded` or not: those that travel next, as many as fit one call, as a task. `None`,
    /// and one call fewer is under way, when none wait, or when they shall wait for the end of one that carries a crowd.
    fn next(&self, group: &L, task: bool, crowded: bool) -> Option<Vec<Waiting<I, A>>> {
        let mut groups = lock(&self.groups);
        let entry = groups.get_mut(group)?;
        entry.crowded -= usize::from(crowded);
        entry.tasks -= usize::from(task);
        if entry.crowded > 0 && entry.load.fits(self.bounds) {
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
            entry.crowded += usize::from(is_crowd(&batch));
            return Some(batch);
        }
        entry.under_way -= 1;
        if entry.under_way == 0 {
            groups.remove(group);
        }
        None
    }
}

fn is_crowd<T>(batch: &[T]) -> bool {
    batch.len() >= CROWD
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What panics under the lock is a caller's own closure, before anything is changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

enum Entered<A> {
    First,
    Waits(Seat<A>),
}

struct Seat<A> {
    answer: oneshot::Receiver<Result<A>>,
    /// Those who wait fill a call, which may depart.
    is_full: bool,
    /// A task is under way, at whose end they travel.
    is_behind_task: bool,
}

/// The right to have a call under way in a group. When it ends, also because its caller was dropped or panicked, those who
/// wait travel.
struct Turn<L, I, A, S, F>
where
    L: Clone + Eq + Hash + Send + 'static,
    I: Send + 'static,
    A: Send + 'static,
    S: Fn(Vec<I>) -> F + Send + 'static,
    F: Future<Output = Result<Vec<A>>> + Send + 'static,
{
    call: Batcher<L, I, A>,
    group: L,
    /// `None`: it has been given back, or handed on.
    send: Option<S>,
    /// Whether its call is a task of its own, or its caller's.
    is_task: bool,
    /// Whether its call carries a crowd.
    is_crowded: bool,
}

impl<L, I, A, S, F> Drop for Turn<L, I, A, S, F>
where
    L: Clone + Eq + Hash + Send + 'static,
    I: Send + 'static,
    A: Send + 'static,
    S: Fn(Vec<I>) -> F + Send + 'static,
    F: Future<Output = Result<Vec<A>>> + Send + 'static,
{
    fn drop(&mut self) {
        let Some(send) = self.send.take() else { return };
        while let Some(batch) = self.call.next(&self.group, self.is_task, self.is_crowded) {
            (self.is_task, self.is_crowded) = (true, is_crowd(&batch));
            // Without a runtime there is nobody who could wait: the answers are dropped.
            if let Some(runtime) = self.call.runtime.clone().or_else(|| Handle::try_current().ok()) {
                let (call, group) = (self.call.reference(), self.group.clone());
                let turn = Turn { call, group, send: Some(send), is_task: true, is_crowded: self.is_crowded };
                runtime.spawn(turn.travel(batch));
                return;
            }
        }
    }
}

impl<L, I, A, S, F> Turn<L, I, A, S, F>
where
    L: Clone + Eq + Hash + Send + 'static,
    I: Send + 'static,
    A: Send + 'static,
    S: Fn(Vec<I>) -> F + Send + 'static,
    F: Future<Output = Result<Vec<A>>> + Send + 'static,
{
    async fn travel(mut self, mut batch: Vec<Waiting<I, A>>) {
        while let Some(sending) = self.send.as_ref() {
            let (items, callers): (Vec<_>, Vec<_>) =
                batch.into_iter().map(|waiting| (waiting.item, waiting.answer)).unzip();
            let sending = sending(items);
            answer(self.call.op, callers, sending.await);
            // Those who have just been answered may call again: they travel in the next one.
            tokio::task::yield_now().await;
            let Some(next) = self.call.next(&self.group, true, self.is_crowded) else {
                self.send = None;
                return;
            };
            self.is_crowded = is_crowd(&next);
            batch = next;
        }
    }
}

/// Gives each item of a call its own answer. A caller that is gone does not hear it.
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
