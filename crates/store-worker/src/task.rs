//! The task that runs one handler and sends the event of its end.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::sync::mpsc::UnboundedSender;
use tokio::task::AbortHandle;
use tracing::{Instrument, Span};

use crate::event::{Ended, Event};
use crate::handler::{Handler, HandlerResult, JobError, JobErrorKind};
use crate::job::Job;
use crate::span;
use crate::stats::Ending;

/// Starts a handler of one type.
pub(crate) trait Start: Send + Sync {
    /// Runs the handler in a task of its own, within `span`. The task always sends one event to `events`: how the handler
    /// ended.
    fn start(&self, id: u64, job: Job, span: Span, events: &UnboundedSender<Event>) -> AbortHandle;
}

impl<H: Handler> Start for Arc<H> {
    fn start(&self, id: u64, job: Job, span: Span, events: &UnboundedSender<Event>) -> AbortHandle {
        let mut end = End { id, events: events.clone(), ended: Ended::Dropped };
        let (handler, own) = (Arc::clone(self), span.clone());
        let work = async move {
            // The handler's future is dropped before the event of its end is sent.
            let ended = {
                let call = async { handler.call(job).await };
                catch_panic(call).await
            };
            if let Some(failure) = failure(&ended) {
                span::fail(&own, failure);
            }
            end.set(match ended {
                Ok(result) => Ended::Returned(result),
                Err(message) => Ended::Panicked(message),
            });
        };
        tokio::spawn(work.instrument(span)).abort_handle()
    }
}

/// Sends the event when it is dropped, so that every end of the task sends one.
struct End {
    id: u64,
    events: UnboundedSender<Event>,
    ended: Ended,
}

impl End {
    fn set(&mut self, ended: Ended) {
        self.ended = ended;
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let ended = std::mem::replace(&mut self.ended, Ended::Dropped);
        // If there is no receiver, the worker has ended, and its leases expire.
        let _ = self.events.send(Event::Finished { id: self.id, ended });
    }
}

/// The failure that the span of a handler records.
fn failure(ended: &Result<HandlerResult, String>) -> Option<Ending> {
    match ended {
        Ok(Err(JobError(JobErrorKind::Retry { .. } | JobErrorKind::Dead { .. }))) => Some(Ending::Failed),
        Err(_) => Some(Ending::Panicked),
        Ok(_) => None,
    }
}

/// Runs a future. Returns the message of a panic.
pub(crate) async fn catch_panic<F: Future>(future: F) -> Result<F::Output, String> {
    let mut future = pin!(future);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Err(panic) => Poll::Ready(Err(message(&*panic))),
    })
    .await
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message").to_owned()
}
