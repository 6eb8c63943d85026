//! One call on a shared connection, from its request to its reply.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::waiting::Permit;
use crate::Reply;
use crate::wire::{Answering, Failure};

/// Shared by the caller, who waits for the reply, and the driver of the connection, who ends the call on time-out.
pub(super) struct Call {
    /// When the call was made.
    pub(super) since: Instant,
    /// The number of the connection on which the call was made.
    pub(super) connection: u64,
    is_over: AtomicBool,
    state: Mutex<State>,
}

struct State {
    progress: Progress,
    permit: Option<Permit>,
}

enum Progress {
    /// The caller waits after its first poll. The reply wakes it directly; this waker reports an end without a reply.
    Waiting(Answering, Option<Waker>),
    /// The caller is gone. The reply still shows that the connection works.
    Abandoned(Answering),
    /// The failure that the caller has not read yet.
    Ended(Result<Reply, Failure>),
    Taken,
}

impl Call {
    pub(super) fn new(answering: Answering, permit: Permit, since: Instant, connection: u64) -> Self {
        let state = State { progress: Progress::Waiting(answering, None), permit: Some(permit) };
        Self { since, connection, is_over: AtomicBool::new(false), state: Mutex::new(state) }
    }

    /// Whether the call has ended.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// Polled by the caller: returns the reply when it is there. The first poll sends the command.
    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<Result<Reply, Failure>> {
        let mut state = self.lock();
        match &mut state.progress {
            Progress::Waiting(answering, waker) => {
                if let Poll::Ready(result) = answering.as_mut().poll(context) {
                    self.settle(&mut state, Progress::Taken);
                    return Poll::Ready(result);
                }
                match waker {
                    Some(waker) => waker.clone_from(context.waker()),
                    None => *waker = Some(context.waker().clone()),
                }
                Poll::Pending
            }
            progress => match std::mem::replace(progress, Progress::Taken) {
                Progress::Ended(result) => Poll::Ready(result),
                _ => Poll::Ready(Err(Failure::LOST)),
            },
        }
    }

    /// For a caller that leaves before the reply.
    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        state.progress = match std::mem::replace(&mut state.progress, Progress::Taken) {
            Progress::Waiting(answering, Some(_)) => Progress::Abandoned(answering),
            // It was never polled, so nothing was sent.
            Progress::Waiting(_, None) => {
                self.settle(&mut state, Progress::Taken);
                Progress::Taken
            }
            other => other,
        };
    }

    /// The reply to a call whose caller is gone, if it has come.
    pub(super) fn poll_abandoned(&self) -> Option<Result<Reply, Failure>> {
        let mut state = self.lock();
        let Progress::Abandoned(answering) = &mut state.progress else { return None };
        let result = now_or_never(answering)?;
        self.settle(&mut state, Progress::Taken);
        Some(result)
    }

    /// Ends the call with `failure` if it was sent and has neither ended nor been answered. Returns the reply that may
    /// still come.
    pub(super) fn fail(&self, failure: Failure) -> Option<Answering> {
        let mut state = self.lock();
        match std::mem::replace(&mut state.progress, Progress::Taken) {
            Progress::Waiting(_, None) => {
                self.settle(&mut state, Progress::Ended(Err(Failure::UNSENT)));
                None
            }
            Progress::Waiting(mut answering, waker) => {
                let reply = now_or_never(&mut answering);
                let late = reply.is_none().then_some(answering);
                self.settle(&mut state, Progress::Ended(reply.unwrap_or(Err(failure))));
                drop(state);
                waker.iter().for_each(Waker::wake_by_ref);
                late
            }
            Progress::Abandoned(answering) => {
                self.settle(&mut state, Progress::Taken);
                Some(answering)
            }
            ended => {
                state.progress = ended;
                None
            }
        }
    }

    fn settle(&self, state: &mut State, progress: Progress) {
        state.progress = progress;
        state.permit = None;
        self.is_over.store(true, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reply, if it has come.
pub(super) fn now_or_never(answering: &mut Answering) -> Option<Result<Reply, Failure>> {
    // Unconstrained: a reply that has come is returned also when the task's budget is used up.
    let answering = pin!(tokio::task::unconstrained(answering.as_mut()));
    match answering.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::Wake;

    use tokio::sync::oneshot;

    use super::super::waiting::Waiting;
    use super::*;

    /// A call whose reply the test sends, and the number of waiting calls.
    fn call() -> (Call, oneshot::Sender<Reply>, Arc<Waiting>) {
        let (reply, replied) = oneshot::channel();
        let waiting = Waiting::new(1);
        let answering: Answering = Box::pin(async move { replied.await.map_err(|_| Failure::LOST) });
        (Call::new(answering, waiting.enter().unwrap(), Instant::now(), 1), reply, waiting)
    }

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Release);
        }
    }

    fn poll(call: &Call) -> Poll<Result<Reply, Failure>> {
        call.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_reply_reaches_its_caller_and_ends_the_wait() {
        let (call, reply, waiting) = call();
        assert!(poll(&call).is_pending() && !call.is_over() && waiting.enter().is_none());
        reply.send(Reply::Int(7)).unwrap();
        assert!(matches!(poll(&call), Poll::Ready(Ok(Reply::Int(7)))));
        assert!(call.is_over() && waiting.enter().is_some());
    }

    #[test]
    fn a_timed_out_call_wakes_its_caller_and_may_be_answered_late() {
        let (call, reply, waiting) = call();
        let woken = Arc::new(Woken::default());
        assert!(call.poll(&mut Context::from_waker(&Waker::from(Arc::clone(&woken)))).is_pending());
        let mut late = call.fail(Failure::SILENCE).unwrap();
        assert!(woken.0.load(Ordering::Acquire) && call.is_over() && waiting.enter().is_some());
        assert!(matches!(poll(&call), Poll::Ready(Err(failure)) if failure.is_silence()));
        assert!(now_or_never(&mut late).is_none());
        reply.send(Reply::Nil).unwrap();
        assert!(matches!(now_or_never(&mut late), Some(Ok(Reply::Nil))));
    }

    #[test]
    fn a_reply_is_read_even_if_the_connection_ends_right_after_it() {
        for failure in [Failure::LOST, Failure::SILENCE] {
            let (call, reply, waiting) = call();
            assert!(poll(&call).is_pending());
            reply.send(Reply::Int(7)).unwrap();
            assert!(call.fail(failure).is_none() && call.is_over() && waiting.enter().is_some());
            assert!(matches!(poll(&call), Poll::Ready(Ok(Reply::Int(7)))));
        }
    }

    #[test]
    fn a_call_that_was_not_polled_was_not_sent() {
        let (call, reply, _) = call();
        assert!(call.fail(Failure::SILENCE).is_none() && reply.is_closed());
        let shows_nothing = |failure: &Failure| matches!(failure, Failure::NotSent(_)) && !failure.is_of_connection();
        assert!(matches!(poll(&call), Poll::Ready(Err(failure)) if shows_nothing(&failure)));
        let (call, reply, waiting) = self::call();
        call.abandon();
        assert!(call.is_over() && reply.is_closed() && waiting.enter().is_some());
    }

    #[test]
    fn an_abandoned_call_is_counted_until_its_reply_or_its_time_out() {
        let (call, reply, waiting) = call();
        assert!(poll(&call).is_pending());
        call.abandon();
        assert!(!call.is_over() && call.poll_abandoned().is_none() && waiting.enter().is_none());
        reply.send(Reply::Nil).unwrap();
        assert!(matches!(call.poll_abandoned(), Some(Ok(Reply::Nil))));
        assert!(call.is_over() && waiting.enter().is_some());
        let (call, _reply, waiting) = self::call();
        assert!(poll(&call).is_pending());
        call.abandon();
        assert!(call.fail(Failure::SILENCE).is_some() && call.is_over() && waiting.enter().is_some());
    }
}
