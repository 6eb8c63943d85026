//! Compares the server's clock with ours.

use std::time::Instant;

use redis_link::Fact;
use store_core::Timestamp;

use super::visit::Visit;
use crate::{Code, Finding};

/// How far the clocks may be apart, in milliseconds, beyond what the round trip explains.
const TOLERATED_MS: u64 = 1_000;

pub(super) async fn check(visit: &Visit<'_>) -> Option<Finding> {
    let ours = Timestamp::system_now();
    let asked = Instant::now();
    let Fact::Known(theirs) = visit.probe.time().await else {
        // the scripts need TIME too: the check of rights reports a user who may not send it
        return None;
    };
    let round_trip = u64::try_from(asked.elapsed().as_millis()).unwrap_or(u64::MAX);
    let apart = theirs.as_millis().abs_diff(ours.as_millis());
    (apart > TOLERATED_MS.saturating_add(round_trip))
        .then(|| visit.finding(Code::ClockSkew, format!("the server's clock and this machine's are {apart} ms apart")))
}
