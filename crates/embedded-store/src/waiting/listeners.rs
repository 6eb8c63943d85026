//! The listeners of broadcasts. One store is one process.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use store_core::{BroadcastListener, BroadcastName, BroadcastSender};

use super::Waiting;

/// By name.
#[derive(Default)]
pub(super) struct Listeners(Mutex<State>);

#[derive(Default)]
struct State {
    senders: HashMap<BroadcastName, Vec<Arc<BroadcastSender>>>,
    is_closed: bool,
}

/// Dropping it ends the listener.
struct Listening {
    waiting: Arc<Waiting>,
    name: BroadcastName,
    sender: Arc<BroadcastSender>,
}

impl Listeners {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Delivers a message. Returns the number of listeners; `None` if the store was closed.
    pub(crate) fn broadcast(&self, name: &BroadcastName, message: &Bytes) -> Option<usize> {
        // Sent under the lock: two messages have one order for all listeners.
        let state = self.2.lock();
        let senders = state.senders.get(name).map_or(&[][..], Vec::as_slice);
        senders.iter().for_each(|sender| sender.send(message.clone()));
        (!state.is_closed).then_some(senders.len())
    }

    /// `None` if the store was closed.
    pub(crate) fn listen(self: Arc<Self>, name: &BroadcastName) -> Option<BroadcastListener> {
        let (sender, listener) = BroadcastListener::channel();
        let sender = Arc::new(sender);
        let mut state = self.2.lock();
        if state.is_closed {
            return None;
        }
        state.senders.entry(name.clone()).or_default().push(Arc::clone(&sender));
        drop(state);
        Some(listener.with(Box::new(Listening { waiting: self, name: name.clone(), sender })))
    }

    /// Ends all listeners.
    pub(crate) fn close_listeners(&self) {
        let mut state = self.2.lock();
        state.is_closed = true;
        std::mem::take(&mut state.senders).into_values().flatten().for_each(|sender| sender.close());
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut state = self.waiting.2.lock();
        let Some(senders) = state.senders.get_mut(&self.name) else { return };
        senders.retain(|sender| !Arc::ptr_eq(sender, &self.sender));
        if senders.is_empty() {
            state.senders.remove(&self.name);
        }
    }
}

impl fmt::Debug for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listeners")
    }
}
