//! The copies of one request. An earlier copy may still be under way when a later one is sent.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::wire::Request;

/// The copies that one call has sent.
pub(super) struct Copies {
    lasting: Duration,
    /// The deadline of the last copy that has one.
    over: Mutex<Option<Instant>>,
}

impl Copies {
    /// No copy yet. Each is valid for `lasting`, the command time-out.
    pub(super) fn new(lasting: Duration) -> Self {
        Self { lasting, over: Mutex::new(None) }
    }

    /// Another copy, which is sent now.
    pub(super) fn next(&self, request: &Request) -> Request {
        let now = Instant::now();
        if request.has_deadline() {
            *self.over.lock().unwrap_or_else(PoisonError::into_inner) = Some(now + self.lasting);
        }
        request.copy(now)
    }

    /// Waits until the deadline of the last copy, after which no server executes one.
    pub(super) async fn over(&self) {
        let over = *self.over.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(over) = over {
            tokio::time::sleep_until(over.into()).await;
        }
    }
}
