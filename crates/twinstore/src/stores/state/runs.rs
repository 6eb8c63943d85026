//! Runs of agents, and sessions.

use std::sync::Arc;

use store_core::{RunId, Runs, Sessions};

use super::State;
use crate::stores::RunWatch;

impl State {
    /// The runs of agents. They belong to the whole namespace, as queues do. Pass the durability that a write needs, for example
    /// [`State::durability`].
    pub fn runs(&self) -> Arc<dyn Runs> {
        self.runs.clone()
    }

    /// The records of sessions: what an agent remembers between its runs. They belong to the whole namespace.
    pub fn sessions(&self) -> Arc<dyn Sessions> {
        self.sessions.clone()
    }

    /// Watches a run of an agent: its events from the sequence `from` on, and each later one.
    pub fn watch_run(&self, run: RunId, from: u64) -> RunWatch {
        RunWatch::new(self.runs(), self.notifications.clone(), run, from)
    }
}
