//! What follows when a handler has ended.

use tokio::time::Instant;

use super::delivery::Delivery;
use super::reporting::LEASE_LOST;
use super::slot::Phase;
use super::verdict::verdict;
use super::work::Work;
use crate::event::Ended;
use crate::stats::Ending;

impl Work {
    pub(super) fn on_finished(&mut self, id: u64, ended: Ended, now: Instant) {
        let Some(slot) = self.slots.remove(&id) else { return };
        let queue = &mut self.queues[slot.queue];
        queue.handler_ended(slot.is_stuck());
        self.running -= 1;
        self.stuck -= usize::from(slot.is_stuck());
        if let Phase::Running { since, .. } = slot.phase {
            let ran = now.duration_since(since);
            self.pace.handler_ended(ran, now);
            queue.settings.meters.seconds.record(ran.as_secs_f64());
        }
        if matches!(&ended, Ended::Returned(Ok(done)) if done.is_committed) {
            // Its lease has ended by the commit, also if a renewal found it lost.
            return queue.settings.meters.count(&self.tally, Ending::Completed, false);
        }
        match verdict(&slot, ended, queue.settings.timeout) {
            Some(verdict) => self.push_settlement(&slot, verdict),
            None if slot.job.may_be_committed() => {
                self.report_perhaps_settled(slot.queue, slot.job.id(), Delivery::of(&slot.job), now);
            }
            None => self.report_lost(slot.queue, slot.job.id(), Delivery::of(&slot.job), LEASE_LOST, now),
        }
    }
}
