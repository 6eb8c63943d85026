//! Compares the clocks of the servers with this machine's and with each other.

use std::time::Instant;

use redis_link::Fact;
use store_core::Timestamp;

use super::visit::Visit;
use crate::{Code, Finding};

/// The tolerated difference between two clocks in milliseconds, besides the round-trip times.
const TOLERATED_MS: u64 = 1_000;

/// The clock of one of several servers.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    server: String,
    /// How far it is ahead of this machine's clock, in milliseconds.
    ahead: i64,
    round_trip: u64,
}

impl Clock {
    /// `None` if the server does not report its time. The scripts need `TIME`, too: the check of rights reports a user who may not
    /// send it.
    pub(super) async fn of(visit: &Visit<'_>) -> Option<Self> {
        let ours = Timestamp::system_now();
        let asked = Instant::now();
        let Fact::Known(theirs) = visit.probe.time().await else { return None };
        let signed = |time: Timestamp| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let server = match &visit.at {
            Some(at) => at.to_string(),
            None => format!("the primary {}", visit.probe.endpoint()),
        };
        let round_trip = u64::try_from(asked.elapsed().as_millis()).unwrap_or(u64::MAX);
        Some(Self { server, ahead: signed(theirs).saturating_sub(signed(ours)), round_trip })
    }
}

pub(super) async fn check(visit: &Visit<'_>) -> Option<Finding> {
    let clock = Clock::of(visit).await?;
    let apart = clock.ahead.unsigned_abs();
    (apart > TOLERATED_MS.saturating_add(clock.round_trip))
        .then(|| visit.finding(Code::ClockSkew, format!("the server's clock and this machine's are {apart} ms apart")))
}

/// Reports the two clocks that differ most, if they differ by more than is tolerated.
pub(super) fn between(visit: &Visit<'_>, clocks: &[Clock]) -> Option<Finding> {
    furthest(clocks).map(|what| visit.connection.finding(Code::ClockSkew, what))
}

fn furthest(clocks: &[Clock]) -> Option<String> {
    let behind = clocks.iter().min_by_key(|clock| clock.ahead)?;
    let ahead = clocks.iter().max_by_key(|clock| clock.ahead)?;
    let apart = ahead.ahead.abs_diff(behind.ahead);
    let tolerated = TOLERATED_MS.saturating_add(ahead.round_trip).saturating_add(behind.round_trip);
    (apart > tolerated).then(|| {
        format!(
            "the clock of {} is {apart} ms behind that of {}: after a failover from the latter to the former, leases and \
             deadlines end later by as much",
            behind.server, ahead.server
        )
    })
}

#[cfg(test)]
mod tests {
    use super::{Clock, furthest};

    fn clock(server: &str, ahead: i64, round_trip: u64) -> Clock {
        Clock { server: server.into(), ahead, round_trip }
    }

    #[test]
    fn clocks_are_compared_with_each_other_and_round_trips_excuse_a_difference() {
        let near = [clock("a", 5000, 10), clock("b", 4000, 10), clock("c", 4500, 10)];
        assert_eq!(furthest(&near), None, "all are wrong by the same time: another finding");
        let apart = [clock("a", 700, 10), clock("b", -600, 10)];
        let text = furthest(&apart).unwrap();
        assert!(text.starts_with("the clock of b is 1300 ms behind that of a"), "{text}");
        assert_eq!(furthest(&[clock("a", 700, 10), clock("b", -600, 290)]), None);
        assert_eq!(furthest(&[]), None);
    }
}
