use faults::checker::Rule;
use faults::history::{Answer, Call, Outcome, PushedJob};

use crate::written::{Named, QUEUE, Written};
use crate::{Case, case};

/// A firing of these seconds. Each job is named by its time and `by`.
fn advance(due: &[u64], by: &str) -> Call {
    let job = |due| PushedJob { id: format!("{due}-{by}"), request: 0, delay_ms: 0, max_attempts: 12, unique: None };
    Call::Advance {
        queue: QUEUE.to_owned(),
        schedule: "s".to_owned(),
        due_ms: due.iter().map(|due| due * 1000).collect(),
        jobs: due.iter().map(job).collect(),
    }
}

/// A firing, of which all jobs are completed.
fn fired(written: Written, at: u64, due: &[u64], by: &str) -> Written {
    let completed =
        |written: Written, due| written.settled(at + 500, at + 501, &format!("{due}-{by}"), 7, Outcome::Complete, true);
    due.iter().fold(written.ok(at, at + 1, advance(due, by), Answer::One(true)), completed)
}

pub(crate) fn cases() -> Vec<Case> {
    let one = || fired(Written::new(), 1000, &[1], "a");
    let unanswered = || fired(Written::new(), 1000, &[1, 2], "a").unknown(2000, 2001, advance(&[3], "a"));
    vec![
        case(
            Rule::FiringRepeated,
            fired(one(), 1002, &[1], "b"),
            one().ok(1002, 1003, advance(&[1], "b"), Answer::One(false)),
        ),
        // the job of a firing without an answer was delivered
        case(
            Rule::FiringRepeated,
            fired(one().unknown(1002, 1003, advance(&[1], "b")), 2000, &[2], "a").claimed(1200, 1201, "1-b", 7),
            fired(one().unknown(1002, 1003, advance(&[1], "b")), 2000, &[2], "a").claimed(1200, 1201, "1-a", 7),
        ),
        // the same after a failover: only a firing that was not replicated may be repeated
        case(
            Rule::FiringRepeated,
            fired(fired(Written::with_failovers(true), 1000, &[1], "a"), 3000, &[1], "b").fault(
                1500,
                2000,
                "kill-primary state",
            ),
            fired(fired(Written::with_failovers(false), 1000, &[1], "a"), 3000, &[1], "b")
                .fault(1500, 2000, "kill-primary state")
                .lost_write_of(2500, 1001, &Named { part: Some("s"), ..Named::new("schedule.advance", QUEUE) }),
        ),
        // an earlier copy of a firing that was superseded fired, and so did another one
        case(
            Rule::FiringRepeated,
            one().ok(1002, 1003, advance(&[1], "b"), Answer::One(false)).claimed(1200, 1201, "1-b", 7),
            fired(Written::new(), 2000, &[2], "a")
                .ok(1002, 1003, advance(&[1], "b"), Answer::One(false))
                .claimed(1200, 1201, "1-b", 7)
                .settled(1300, 1301, "1-b", 7, Outcome::Complete, true),
        ),
        case(
            Rule::FiringMissed,
            fired(one().ok(2000, 2001, advance(&[2], "b"), Answer::One(false)), 3000, &[3], "a"),
            fired(one().unknown(2000, 2001, advance(&[2], "b")), 3000, &[3], "a"),
        ),
        case(Rule::FiringMissed, fired(one(), 3000, &[3], "a"), fired(one(), 3000, &[2, 3], "a")),
        case(Rule::FiringMissed, fired(unanswered(), 5000, &[5], "a"), fired(unanswered(), 4000, &[4], "a")),
        case(
            Rule::JobLost,
            Written::new().ok(1000, 1001, advance(&[1], "a"), Answer::One(true)),
            Written::new().ok(1000, 1001, advance(&[1], "a"), Answer::One(false)),
        ),
        // the report of a failover names the queue of a firing that it lost
        case(
            Rule::LossUnnamed,
            Written::with_failovers(false).ok(1000, 1001, advance(&[1], "a"), Answer::One(true)).fault(
                1500,
                2000,
                "kill-primary state",
            ),
            Written::with_failovers(false)
                .ok(1000, 1001, advance(&[1], "a"), Answer::One(true))
                .fault(1500, 2000, "kill-primary state")
                .lost_write_of(2500, 1001, &Named { part: Some("s"), ..Named::new("schedule.advance", QUEUE) }),
        ),
    ]
}
