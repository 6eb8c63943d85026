//! Waking those who wait for a queue: one of them for each piece of news, and the next who comes when nobody waits.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use store_core::QueueName;
use tokio::sync::Notify;

/// The bells of all queues that were ever waited for or had news, as long as the store is open.
#[derive(Debug, Default)]
pub(crate) struct News(Mutex<HashMap<QueueName, Arc<Notify>>>);

impl News {
    fn bell(&self, queue: &QueueName) -> Arc<Notify> {
        let mut bells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match bells.get(queue) {
            Some(bell) => bell.clone(),
            None => bells.entry(queue.clone()).or_default().clone(),
        }
    }

    /// Wakes one who waits for the queue, or the next who will.
    pub(crate) fn tell(&self, queue: &QueueName) {
        self.bell(queue).notify_one();
    }

    /// Waits for news of one of the queues, at most `up_to`. News that this call got but did not return, because it was
    /// dropped or another queue came first, go to the next who waits.
    pub(crate) async fn wait(&self, queues: &[QueueName], up_to: Duration) -> Option<QueueName> {
        let bells: Vec<_> = queues.iter().map(|queue| self.bell(queue)).collect();
        let mut rings: Vec<_> = bells.iter().map(|bell| Box::pin(bell.notified())).collect();
        let mut time = pin!(tokio::time::sleep(up_to));
        poll_fn(|context| {
            for (ring, queue) in rings.iter_mut().zip(queues) {
                if ring.as_mut().poll(context).is_ready() {
                    return Poll::Ready(Some(queue.clone()));
                }
            }
            time.as_mut().poll(context).map(|()| None)
        })
        .await
    }
}
