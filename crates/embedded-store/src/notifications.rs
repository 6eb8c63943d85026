//! Wakes callers that wait for a queue. Each notification wakes one of them, or the next one if none waits.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use store_core::QueueName;
use tokio::sync::Notify;

/// One `Notify` per queue that was waited for or notified while the store is open.
#[derive(Debug, Default)]
pub(crate) struct Notifications {
    bells: Mutex<HashMap<QueueName, Arc<Notify>>>,
    closed: Closed,
}

/// Whether the store was closed; notifies all waiters.
#[derive(Debug, Default)]
struct Closed {
    is_closed: AtomicBool,
    notify: Notify,
}

/// The store was closed.
#[derive(Debug)]
pub(crate) struct StoreClosed;

impl Notifications {
    fn bell(&self, queue: &QueueName) -> Arc<Notify> {
        let mut bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        match bells.get(queue) {
            Some(bell) => bell.clone(),
            None => bells.entry(queue.clone()).or_default().clone(),
        }
    }

    /// Wakes one caller that waits for the queue, or else the next one that will.
    pub(crate) fn notify(&self, queue: &QueueName) {
        self.bell(queue).notify_one();
    }

    /// Ends all waits, also later ones.
    pub(crate) fn close(&self) {
        self.closed.is_closed.store(true, Ordering::SeqCst);
        self.closed.notify.notify_waiters();
    }

    /// Waits until the store is closed.
    pub(crate) async fn closed(&self) {
        let mut closed = pin!(self.closed.notify.notified());
        // Registered before `is_closed` is read, so a close in between is noticed.
        closed.as_mut().enable();
        if !self.closed.is_closed.load(Ordering::SeqCst) {
            closed.await;
        }
    }

    /// Waits up to `up_to` for a notification of one of the queues. If the call is dropped, or another queue comes
    /// first, a notification that it received goes to the next waiting caller.
    pub(crate) async fn wait(&self, queues: &[QueueName], up_to: Duration) -> Result<Option<QueueName>, StoreClosed> {
        let bells: Vec<_> = queues.iter().map(|queue| self.bell(queue)).collect();
        let mut rings: Vec<_> = bells.iter().map(|bell| Box::pin(bell.notified())).collect();
        let mut time = pin!(tokio::time::sleep(up_to));
        // Registered before `is_closed` is read, so a close in between is noticed.
        let mut closed = pin!(self.closed.notify.notified());
        closed.as_mut().enable();
        if self.closed.is_closed.load(Ordering::SeqCst) {
            return Err(StoreClosed);
        }
        poll_fn(|context| {
            for (ring, queue) in rings.iter_mut().zip(queues) {
                if ring.as_mut().poll(context).is_ready() {
                    return Poll::Ready(Ok(Some(queue.clone())));
                }
            }
            if closed.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(StoreClosed));
            }
            time.as_mut().poll(context).map(|()| Ok(None))
        })
        .await
    }
}
