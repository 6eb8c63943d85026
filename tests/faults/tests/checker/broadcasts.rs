use faults::checker::Rule;
use faults::history::{Answer, Call};

use crate::written::Written;
use crate::{Case, case};

fn name() -> String {
    "news".to_owned()
}

/// The message with this number, published at this time.
fn published(written: Written, at: u64, number: u64) -> Written {
    let call = Call::Broadcast { name: name(), message: format!("p {number}") };
    written.ok(at, at + 1, call, Answer::Number(1))
}

fn heard(written: Written, at: u64, number: u64) -> Written {
    written.ok(at, at, Call::Hear { name: name(), message: Some(format!("p {number}")) }, Answer::Done)
}

fn gap(written: Written, at: u64) -> Written {
    written.ok(at, at, Call::Hear { name: name(), message: None }, Answer::Done)
}

fn listening(written: Written, at: u64) -> Written {
    written.ok(at, at, Call::Listen { name: name() }, Answer::Done)
}

pub(crate) fn cases() -> Vec<Case> {
    let three = |written: Written| published(published(published(listening(written, 0), 10, 1), 20, 2), 30, 3);
    let first = || heard(three(Written::new()), 40, 1);
    let slow = |written: Written| {
        written.ok(50, 500, Call::Broadcast { name: name(), message: "p 4".to_owned() }, Answer::Number(1))
    };
    let killed = |written: Written| heard(three(written), 40, 1).fault(15, 25, "kill-primary state");
    vec![
        case(Rule::BroadcastUnknown, heard(first(), 41, 7), heard(first(), 41, 2)),
        case(
            Rule::BroadcastRepeated,
            heard(heard(first(), 41, 2), 42, 2),
            heard(listening(heard(first(), 41, 2), 42), 43, 2),
        ),
        case(Rule::BroadcastOrder, heard(heard(gap(first(), 41), 42, 3), 43, 2), heard(heard(first(), 42, 2), 43, 3)),
        // its first reply was lost
        case(
            Rule::BroadcastOrder,
            heard(heard(published(gap(slow(first()), 600), 610, 5), 620, 5), 630, 3),
            heard(heard(published(gap(slow(first()), 600), 610, 5), 620, 5), 630, 4),
        ),
        case(Rule::BroadcastMissed, heard(first(), 41, 3), heard(gap(first(), 41), 42, 3)),
        // a replaced primary has received it
        case(
            Rule::BroadcastMissed,
            heard(first().fault(15, 25, "close holders"), 41, 3),
            heard(killed(Written::with_failovers(false)), 41, 3),
        ),
    ]
}
