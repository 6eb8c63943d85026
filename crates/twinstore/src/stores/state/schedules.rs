//! Schedules.

use std::sync::Arc;

use store_core::Schedules;
use store_worker::Scheduler;

use super::State;

impl State {
    /// The schedules of queues. They belong to the whole namespace, as queues do. Pass the durability that they need, for example
    /// [`State::durability`].
    pub fn schedules(&self) -> Arc<dyn Schedules> {
        self.schedules.clone()
    }

    /// The builder of a scheduler, which fires the schedules of queues with [`State::durability`]. Add queues, then call
    /// [`start`](Scheduler::start).
    pub fn scheduler(&self) -> Scheduler {
        Scheduler::new(self.schedules()).with_durability(self.durability)
    }
}
