//! Schedules push jobs at recurring times, once in the whole fleet.
//!
//! A [`Schedule`] has a cron expression with a time zone, or an interval, and a job. [`State::schedules`](crate::State::schedules)
//! creates, changes, pauses, lists and deletes schedules. Each process runs a [`Scheduler`]
//! ([`State::scheduler`](crate::State::scheduler)); no leader is elected.

pub use store_core::{
    Advance, Advanced, CatchUp, DueSchedules, Firing, Schedule, ScheduleInfo, ScheduleName, SchedulePut, Schedules,
};
pub use store_worker::{Scheduler, Scheduling};
