//! One call on a connection that calls share: from its request to its reply.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::waiting::Permit;
use crate::Reply;
use crate::wire::{Answering, Failure};

/// Shared by its caller, who waits for the reply, and the connection's keeper, who ends it when its time is over.
pub(super) struct Call {
    /// When it was called for.
    pub(super) since: Instant,
    /// The number of the connection that it was called for on.
    pub(super) connection: u64,
    is_over: AtomicBool,
    state: Mutex<State>,
}

struct State {
    stage: Stage,
    permit: Option<Permit>,
}

enum Stage {
    /// The caller waits, once it has polled: the reply wakes it directly, its end without one by this waker.
    Waiting(Answering, Option<Waker>),
    /// Its caller has gone; the reply still says that the connection lives.
    Abandoned(Answering),
    Failed(Failure),
    Taken,
}

impl Call {
    pub(super) fn new(answering: Answering, permit: Permit, since: Instant, connection: u64) -> Self {
        let state = State { stage: Stage::Waiting(answering, None), permit: Some(permit) };
        Self { since, connection, is_over: AtomicBool::new(false), state: Mutex::new(state) }
    }

    /// Whether nothing more will happen to it.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// For the caller: the reply, when it is there. Polled first, it sends the command.
    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<Result<Reply, Failure>> {
        let mut state = self.lock();
        match &mut state.stage {
            Stage::Waiting(answering, waker) => {
                if let Poll::Ready(result) = answering.as_mut().poll(context) {
                    self.settle(&mut state, Stage::Taken);
                    return Poll::Ready(result);
                }
                match waker {
                    Some(waker) => waker.clone_from(context.waker()),
                    None => *waker = Some(context.waker().clone()),
                }
                Poll::Pending
            }
            stage => match std::mem::replace(stage, Stage::Taken) {
                Stage::Failed(failure) => Poll::Ready(Err(failure)),
                _ => Poll::Ready(Err(Failure::LOST)),
            },
        }
    }

    /// For the caller who goes before the reply has come.
    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        state.stage = match std::mem::replace(&mut state.stage, Stage::Taken) {
            Stage::Waiting(answering, Some(_)) => Stage::Abandoned(answering),
            // It was never polled: nothing was sent.
            Stage::Waiting(_, None) => {
                self.settle(&mut state, Stage::Taken);
                Stage::Taken
            }
            other => other,
        };
    }

    /// The reply of a call whose caller has gone, if it has come.
    pub(super) fn poll_abandoned(&self) -> Option<Result<Reply, Failure>> {
        let mut state = self.lock();
        let Stage::Abandoned(answering) = &mut state.stage else { return None };
        let result = now_or_never(answering)?;
        self.settle(&mut state, Stage::Taken);
        Some(result)
    }

    /// Ends it with `failure`, unless it has ended. What may still answer it is given back.
    pub(super) fn fail(&self, failure: Failure) -> Option<Answering> {
        let mut state = self.lock();
        match std::mem::replace(&mut state.stage, Stage::Taken) {
            Stage::Waiting(answering, waker) => {
                self.settle(&mut state, Stage::Failed(failure));
                drop(state);
                waker.iter().for_each(Waker::wake_by_ref);
                Some(answering)
            }
            Stage::Abandoned(answering) => {
                self.settle(&mut state, Stage::Taken);
                Some(answering)
            }
            ended => {
                state.stage = ended;
                None
            }
        }
    }

    fn settle(&self, state: &mut State, stage: Stage) {
        state.stage = stage;
        state.permit = None;
        self.is_over.store(true, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reply, if it has come.
pub(super) fn now_or_never(answering: &mut Answering) -> Option<Result<Reply, Failure>> {
    match answering.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    }
}
