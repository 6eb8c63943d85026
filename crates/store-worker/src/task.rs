//! The task that runs one handler, and how its end is told.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use store_core::TraceContext;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::AbortHandle;
use tracing::{Instrument, Span};

use crate::driver::Event;
use crate::handler::{Handler, HandlerResult};
use crate::job::Job;

/// How a handler ended.
pub(crate) enum Ended {
    /// It answered.
    Returned(HandlerResult),
    /// It panicked, with this message.
    Panicked(String),
    /// It was dropped before it answered.
    Dropped,
}

/// Starts a handler of one type.
pub(crate) trait Start: Send + Sync {
    /// Runs the handler in a task of its own, which tells `events` once how it ended, whatever happens to it.
    fn start(&self, id: u64, job: Job, events: &UnboundedSender<Event>) -> AbortHandle;
}

impl<H: Handler> Start for Arc<H> {
    fn start(&self, id: u64, job: Job, events: &UnboundedSender<Event>) -> AbortHandle {
        let span = job.trace().map(|trace| span_of(&job, trace));
        let mut end = End { id, events: events.clone(), ended: Ended::Dropped };
        let handler = Arc::clone(self);
        let work = async move {
            // The handler's future is gone before its end is told.
            let ended = {
                let call = async { handler.call(job).await };
                catch_panic(call).await
            };
            end.set(match ended {
                Ok(result) => Ended::Returned(result),
                Err(message) => Ended::Panicked(message),
            });
        };
        match span {
            Some(span) => tokio::spawn(work.instrument(span)).abort_handle(),
            None => tokio::spawn(work).abort_handle(),
        }
    }
}

/// Tells the end of a task when it is dropped, which nothing can prevent.
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
        // Without a receiver the worker is gone, and its leases run out.
        let _ = self.events.send(Event::Finished { id: self.id, ended });
    }
}

fn span_of(job: &Job, trace: &TraceContext) -> Span {
    tracing::info_span!(
        "job",
        queue = %job.queue(),
        id = %job.id(),
        attempt = job.attempt(),
        traceparent = trace.traceparent(),
        tracestate = trace.tracestate(),
    )
}

/// Runs a future; a panic is its message.
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
