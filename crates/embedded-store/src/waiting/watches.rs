//! The processes' tasks that are notified of writes. One store is one process.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use store_core::Notify;

use super::Waiting;

/// By what is watched: a kind byte and a name.
#[derive(Default)]
pub(super) struct Watches(Mutex<HashMap<Vec<u8>, Vec<Notify>>>);

/// Dropping it ends the notifications.
pub(crate) struct Watch {
    waiting: Arc<Waiting>,
    what: Vec<u8>,
    notify: Notify,
}

impl Watches {
    fn lock(&self) -> MutexGuard<'_, HashMap<Vec<u8>, Vec<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn notify(&self, what: &[u8]) {
        let watching = self.lock().get(what).cloned().unwrap_or_default();
        watching.iter().for_each(|notify| notify());
    }
}

impl Watch {
    /// Also notifies of the beginning.
    pub(crate) fn new(waiting: Arc<Waiting>, what: Vec<u8>, notify: Notify) -> Self {
        waiting.1.lock().entry(what.clone()).or_default().push(Arc::clone(&notify));
        notify();
        Self { waiting, what, notify }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watches = self.waiting.1.lock();
        let Some(watching) = watches.get_mut(&self.what) else { return };
        if let Some(place) = watching.iter().position(|notify| Arc::ptr_eq(notify, &self.notify)) {
            watching.swap_remove(place);
        }
        if watching.is_empty() {
            watches.remove(&self.what);
        }
    }
}

impl fmt::Debug for Watches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watches")
    }
}
