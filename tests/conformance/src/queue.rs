//! Queues: one file per operation.

mod cancel;
mod claim;
mod claim_lease;
mod claim_repeat;
mod claim_time;
mod claim_unheard;
mod counts;
mod delete;
mod explain;
mod extend;
mod get;
mod list;
mod partitions;
mod pause;
mod promote;
mod push;
mod push_durability;
mod push_unique;
pub(crate) mod queue_fixture;
mod replay;
mod resume;
mod retention;
mod settle;
mod settle_lease;
mod waiter;
mod wakeups;

use crate::case::Case;

/// The cases of every operation of a queue.
pub(crate) const CASES: &[&[Case]] = &[
    push::CASES,
    push_unique::CASES,
    push_durability::CASES,
    claim::CASES,
    claim_time::CASES,
    claim_lease::CASES,
    claim_repeat::CASES,
    claim_unheard::CASES,
    partitions::CASES,
    extend::CASES,
    settle::CASES,
    settle_lease::CASES,
    retention::CASES,
    waiter::CASES,
    wakeups::CASES,
    counts::CASES,
    get::CASES,
    list::CASES,
    explain::CASES,
    cancel::CASES,
    replay::CASES,
    delete::CASES,
    promote::CASES,
    pause::CASES,
    resume::CASES,
];
