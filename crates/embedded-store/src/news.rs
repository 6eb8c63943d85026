//! Waking those who wait for a queue: one of them for each piece of news, and the next who comes when nobody waits.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use store_core::QueueName;
use tokio::sync::Notify;

/// The bells of all queues that were ever waited for or had news, as long as the store is open.
#[derive(Debug, Default)]
pub(crate) struct News {
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

impl News {
    fn bell(&self, queue: &QueueName) -> Arc<Notify> {
        let mut bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        match bells.get(queue) {
            Some(bell) => bell.clone(),
            None => bells.entry(queue.clone()).or_default().clone(),
        }
    }

    /// Wakes one who waits for the queue, or the next who will.
    pub(crate) fn tell(&self, queue: &QueueName) {
        self.bell(queue).notify_one();
    }

    /// Ends all waits, also later ones.
    pub(crate) fn close(&self) {
        self.closed.is_closed.store(true, Ordering::SeqCst);
        self.closed.notify.notify_waiters();
    }

    /// Waits for news of one of the queues, at most `up_to`. News that this call got but did not return, because it was
    /// dropped or another queue came first, go to the next who waits.
    pub(crate) async fn wait(&self, queues: &[QueueName], up_to: Duration) -> Result<Option<QueueName>, StoreClosed> {
        let bells: Vec<_> = queues.iter().map(|queue| self.bell(queue)).collect();
        let mut rings: Vec<_> = bells.iter().map(|bell| Box::pin(bell.notified())).collect();
        let mut time = pin!(tokio::time::sleep(up_to));
        // Registered before the check whether the store is closed, so a close in between is noticed.
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
