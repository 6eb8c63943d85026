use faults::checker::Rule;
use faults::history::{Answer, Call, ReadEvent};

use crate::written::{Named, Written};
use crate::{Case, case};

fn topic() -> String {
    "t".to_owned()
}

fn append(key: &str, events: &[&str]) -> Call {
    Call::Append { topic: topic(), key: key.to_owned(), events: events.iter().map(ToString::to_string).collect() }
}

fn at(partition: u16, numbers: &[u64]) -> Answer {
    Answer::Appended { partition, numbers: numbers.to_vec() }
}

fn read_by(group: &str, consumer: &str) -> Call {
    Call::ReadTopic { topic: topic(), partition: 0, group: group.to_owned(), consumer: consumer.to_owned() }
}

/// Events under a lease of 1 s.
fn events(fence: u64, events: &[(u64, &str)]) -> Answer {
    let events = events.iter().map(|(number, event)| ReadEvent { number: *number, event: (*event).to_owned() });
    Answer::Events { fence, lasts_ms: 1000, truncated: 0, events: events.collect() }
}

fn acknowledge(fence: u64, number: u64) -> Call {
    Call::Acknowledge { topic: topic(), partition: 0, group: "g".to_owned(), fence, number }
}

fn release(fence: u64) -> Call {
    Call::ReleasePartition { topic: topic(), partition: 0, group: "g".to_owned(), fence }
}

/// How a loss report names an append.
fn appended() -> Named<'static> {
    Named { part: Some("0"), ..Named::new("topic.append", "t") }
}

/// The group that reads everything after the run has found these events.
fn log(written: Written, found: &[(u64, &str)]) -> Written {
    let audit = || read_by("audit", "run");
    written.ok(90_000, 90_001, audit(), events(1, found)).ok(90_002, 90_003, audit(), events(1, &[]))
}

pub(crate) fn cases() -> Vec<Case> {
    let one = || Written::new().ok(0, 1, append("k", &["a"]), at(0, &[10]));
    let two = || one().ok(2, 3, append("k", &["b"]), at(0, &[11]));
    let read = || two().ok(4, 5, read_by("g", "c"), events(7, &[(10, "a")]));
    let taken = || read().ok(2000, 2001, read_by("g", "d"), events(8, &[(10, "a")]));
    let replicated = |is_replicated| Written::with_failovers(is_replicated).ok(0, 1, append("k", &["a"]), at(0, &[10]));
    let failed_over = |written: Written| log(written, &[]).fault(100, 200, "kill-primary state");
    vec![
        case(
            Rule::TopicOrder,
            one().ok(2, 3, append("k", &["b"]), at(0, &[9])),
            two().ok(0, 3, append("k", &["c"]), at(0, &[9])),
        ),
        case(
            Rule::TopicOrder,
            one().ok(2, 3, append("k", &["b"]), at(1, &[11])),
            one().ok(2, 3, append("l", &["b"]), at(1, &[11])),
        ),
        case(
            Rule::TopicOrder,
            Written::new().ok(0, 1, append("k", &["a", "b"]), at(0, &[10, 12])),
            Written::new().ok(0, 1, append("k", &["a", "b"]), at(0, &[10, 11])),
        ),
        case(Rule::TopicEventLost, log(two(), &[(10, "a")]), log(two(), &[(10, "a"), (11, "b")])),
        // what all replicas have confirmed is not lost
        case(
            Rule::TopicEventLost,
            failed_over(replicated(true)).lost_write_of(150, 1, &appended()),
            failed_over(replicated(false)).lost_write_of(150, 1, &appended()),
        ),
        case(
            Rule::LossUnnamed,
            failed_over(replicated(false)),
            failed_over(Written::with_failovers(false).unknown(0, 1, append("k", &["a"]))),
        ),
        case(
            Rule::TopicEventSkipped,
            log(read(), &[(10, "a"), (11, "b")]),
            log(read().ok(8, 9, read_by("g", "c"), events(7, &[(11, "b")])), &[(10, "a"), (11, "b")]),
        ),
        case(
            Rule::TopicEventSkipped,
            two().ok(4, 5, read_by("g", "c"), events(7, &[(10, "a"), (12, "b")])),
            two().ok(4, 5, read_by("g", "c"), events(7, &[(10, "a"), (11, "b")])),
        ),
        case(
            Rule::TopicEventRepeated,
            read().ok(6, 7, read_by("g", "c"), events(7, &[(11, "b"), (12, "a")])),
            read().ok(6, 7, read_by("g", "c"), events(7, &[(10, "a"), (11, "b")])),
        ),
        case(
            Rule::TopicEventUnknown,
            read().not_executed(6, 7, append("k", &["x"])).ok(8, 9, read_by("g", "c"), events(7, &[(12, "x")])),
            read().unknown(6, 7, append("k", &["x"])).ok(8, 9, read_by("g", "c"), events(7, &[(12, "x")])),
        ),
        case(
            Rule::TopicEventChanged,
            read().unknown(6, 7, append("k", &["x"])).ok(8, 9, read_by("g", "c"), events(7, &[(11, "x")])),
            read().ok(8, 9, read_by("g", "c"), events(7, &[(11, "b")])),
        ),
        case(
            Rule::TopicEventAgain,
            read().ok(6, 7, acknowledge(7, 10), Answer::One(true)).ok(8, 9, read_by("g", "c"), events(7, &[(10, "a")])),
            read()
                .ok(6, 8, acknowledge(7, 10), Answer::One(true))
                .ok(8, 9, read_by("g", "c"), events(7, &[(10, "a")]))
                .ok(10, 11, acknowledge(7, 9), Answer::One(false)),
        ),
        case(Rule::TopicFence, read().ok(2000, 2001, read_by("g", "d"), events(6, &[(10, "a")])), taken()),
        case(
            Rule::TopicStale,
            taken().ok(2002, 2003, acknowledge(7, 10), Answer::One(true)),
            taken().ok(2002, 2003, acknowledge(7, 10), Answer::One(false)),
        ),
        case(
            Rule::TopicStale,
            taken().ok(2002, 2003, read_by("g", "c"), events(7, &[(10, "a")])),
            taken().ok(2002, 2003, read_by("g", "c"), Answer::Taken),
        ),
        case(
            Rule::TopicOverlap,
            read().ok(900, 901, read_by("g", "d"), events(8, &[(10, "a")])),
            read().ok(500, 501, release(7), Answer::Done).ok(900, 901, read_by("g", "d"), events(8, &[(10, "a")])),
        ),
        // a later read of its own may have shortened the lease
        case(
            Rule::TopicOverlap,
            read().unknown(960, 970, read_by("g", "c")).ok(900, 901, read_by("g", "d"), events(8, &[(10, "a")])),
            read().unknown(800, 810, read_by("g", "c")).ok(900, 901, read_by("g", "d"), events(8, &[(10, "a")])),
        ),
    ]
}
