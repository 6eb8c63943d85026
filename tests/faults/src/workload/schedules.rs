//! Processes that fire the same schedules.

use std::time::Duration;

use twinstore::queue::NewJob;
use twinstore::schedule::{CatchUp, Schedule, ScheduleName};

use super::{Actor, QUEUES, queue};

/// Fires a schedule of each of two queues every second, as another actor does. Some firings are late, some are repeated.
pub(crate) async fn fire(mut actor: Actor) {
    let (schedules, durability) = (actor.client.schedules.clone(), actor.client.durability);
    let name = ScheduleName::new("every-second").expect("a valid name");
    let every = Duration::from_millis(crate::FIRES_EVERY_MS);
    let schedule = Schedule::every(every, NewJob::new("scheduled")).expect("a valid schedule");
    let schedule = schedule.with_catch_up(CatchUp::All(CatchUp::MAX_ALL));
    let mut is_put = [false; 2];
    while actor.pause(Duration::from_millis(200)).await {
        let index = actor.random.usize(0..is_put.len());
        let queue = queue(QUEUES[index]);
        // again from time to time: a failover may have lost it
        if !is_put[index] || actor.chance(5) {
            is_put[index] = schedules.put(&queue, &name, &schedule, None, durability).await.is_ok();
        }
        let Ok(due) = schedules.due(&queue, 10).await else { continue };
        for info in &due.schedules {
            let advance = info.plan(due.now);
            if actor.chance(20) {
                // the other actor may fire meanwhile
                actor.pause(Duration::from_millis(400)).await;
            }
            let advanced = schedules.advance(&queue, &advance, durability).await;
            if advanced.is_err() && actor.chance(50) {
                drop(schedules.advance(&queue, &advance, durability).await);
            }
        }
    }
}
