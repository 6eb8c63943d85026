//! Pushes that are called for while another push to the same queue is under way travel together in the next one.
//!
//! So a push is one round trip where nobody else pushes, and many tasks that push one job each share scripts: the server
//! does a batch's work instead of fifty single ones. Nothing is delayed but by the calls before it: by one, unless more
//! wait than one call carries.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use store_core::{Durability, Error, MAX_BATCH, MAX_BATCH_BYTES, NewJob, Op, Pushed, QueueName, Receipt, Result};
use tokio::sync::oneshot;

use super::push;
use crate::StateStore;

/// How many pushes may wait for one queue's call under way.
const MAX_WAITING: usize = 10_000;

/// Pushes travel together when they go to one queue with one durability.
type Lane = (QueueName, Durability);

/// The lanes with a call under way, and the pushes that wait for it to end.
#[derive(Default)]
pub(crate) struct PushGroups(Mutex<HashMap<Lane, Vec<Waiting>>>);

/// A push that waits to travel.
struct Waiting {
    jobs: Vec<NewJob>,
    answer: oneshot::Sender<Result<Receipt<Vec<Pushed>>>>,
}

impl Waiting {
    fn bytes(&self) -> usize {
        self.jobs.iter().map(|job| job.payload.len()).sum()
    }
}

impl fmt::Debug for PushGroups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PushGroups")
    }
}

impl PushGroups {
    fn lanes(&self) -> MutexGuard<'_, HashMap<Lane, Vec<Waiting>>> {
        // Nothing that panics runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pushes that travel next, as many as fit one call; `None`, and the lane is free, when none wait.
    fn next(&self, lane: &Lane) -> Option<Vec<Waiting>> {
        let mut lanes = self.lanes();
        let waiting = lanes.get_mut(lane)?;
        let (mut jobs, mut bytes) = (0, 0);
        let fitting = waiting.iter().take_while(|push| {
            jobs += push.jobs.len();
            bytes += push.bytes();
            jobs <= MAX_BATCH && bytes <= MAX_BATCH_BYTES
        });
        let fitting = fitting.count();
        if waiting.is_empty() {
            lanes.remove(lane);
            return None;
        }
        Some(waiting.drain(..fitting).collect())
    }
}

/// Pushes at once, or together with the others that wait while a call is under way.
pub(super) async fn push(
    store: &StateStore,
    queue: &QueueName,
    jobs: &[NewJob],
    durability: Durability,
) -> Result<Receipt<Vec<Pushed>>> {
    NewJob::validate_all(jobs)?;
    let lane = (queue.clone(), durability);
    let answer = {
        let mut lanes = store.push_groups.lanes();
        match lanes.get_mut(&lane) {
            None => {
                lanes.insert(lane.clone(), Vec::new());
                None
            }
            Some(waiting) if waiting.len() >= MAX_WAITING => {
                return Err(Error::unavailable(Op::QueuePush, "too many pushes wait for this queue"));
            }
            Some(waiting) => {
                let (sender, answer) = oneshot::channel();
                waiting.push(Waiting { jobs: jobs.to_vec(), answer: sender });
                Some(answer)
            }
        }
    };
    match answer {
        None => {
            let turn = Turn { store: store.clone(), lane };
            let pushed = push::push(store, queue, jobs, durability).await;
            drop(turn);
            pushed
        }
        Some(answer) => match answer.await {
            Ok(pushed) => pushed,
            Err(_) => Err(Error::indeterminate(Op::QueuePush, "the runtime ended while the push was under way")),
        },
    }
}

/// The right to have a call under way in a lane. When it ends, also because its caller was dropped or panicked, those who
/// wait travel.
struct Turn {
    store: StateStore,
    lane: Lane,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(group) = self.store.push_groups.next(&self.lane) else { return };
        // Without a runtime there is nobody who could wait: the answers are dropped.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let turn = Turn { store: self.store.clone(), lane: self.lane.clone() };
            runtime.spawn(travel(turn, group));
        } else {
            self.store.push_groups.lanes().remove(&self.lane);
        }
    }
}

async fn travel(turn: Turn, group: Vec<Waiting>) {
    let jobs: Vec<NewJob> = group.iter().flat_map(|push| push.jobs.iter().cloned()).collect();
    let pushed = push::push(&turn.store, &turn.lane.0, &jobs, turn.lane.1).await;
    answer(group, pushed);
}

/// Gives each push of a group its own part of the answer.
fn answer(group: Vec<Waiting>, pushed: Result<Receipt<Vec<Pushed>>>) {
    match pushed {
        Ok(receipt) => {
            let mut answers = receipt.value.into_iter();
            for push in group {
                let own = answers.by_ref().take(push.jobs.len()).collect();
                // A caller that is gone does not hear it.
                let _ = push.answer.send(Ok(Receipt::new(own, receipt.reached)));
            }
        }
        Err(error) => {
            for push in group {
                let _ = push.answer.send(Err(error.clone()));
            }
        }
    }
}
