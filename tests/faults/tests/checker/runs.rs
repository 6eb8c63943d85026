use faults::checker::Rule;
use faults::history::{Answer, Call};

use crate::written::{Named, Written};
use crate::{Case, case};

fn run() -> String {
    "r".to_owned()
}

fn create() -> Call {
    Call::CreateRun { run: run() }
}

fn to(state: &str, version: u64) -> Call {
    Call::WriteRun { run: run(), state: Some(state.to_owned()), version: Some(version), event: None }
}

fn append(event: &str) -> Call {
    Call::WriteRun { run: run(), state: None, version: None, event: Some(event.to_owned()) }
}

fn is(state: &str, version: u64) -> Answer {
    Answer::Run { version, state: state.to_owned() }
}

fn read(written: Written, at: u64, events: &[&str]) -> Written {
    let names = events.iter().map(ToString::to_string).collect();
    written.ok(at, at + 1, Call::ReadRun { run: run() }, Answer::Names(names))
}

/// A failover has undone the write, and a report names it.
fn undone(written: Written) -> Written {
    let report = Named::new("run.write", "r");
    written.fault(1000, 4000, "kill-primary state").lost_write_of(3000, 901, &report)
}

pub(crate) fn cases() -> Vec<Case> {
    let created = || Written::new().ok(0, 1, create(), is("created", 10));
    let cancelled = || created().ok(2, 3, to("cancelled", 10), is("cancelled", 11));
    let refused = || Answer::RunRefused { version: 11, state: "cancelled".to_owned() };
    let noted = || created().ok(2, 3, append("a"), is("created", 10));
    vec![
        case(
            Rule::RunVersion,
            created().ok(2, 3, to("in-progress", 10), is("in-progress", 10)),
            created().ok(2, 3, to("in-progress", 10), is("in-progress", 11)),
        ),
        // a completion that presents the version before a cancellation
        case(
            Rule::RunOverwritten,
            cancelled().ok(2, 4, to("completed", 10), is("completed", 12)),
            cancelled().ok(2, 4, to("completed", 10), refused()),
        ),
        case(
            Rule::RunOverwritten,
            Written::with_failovers(true).ok(0, 1, to("awaiting", 10), is("awaiting", 11)).ok(
                0,
                1,
                to("awaiting", 10),
                is("awaiting", 12),
            ),
            // a failover has undone the first one
            undone(Written::with_failovers(false).ok(900, 901, to("awaiting", 10), is("awaiting", 11))).ok(
                4100,
                4101,
                to("awaiting", 10),
                is("awaiting", 12),
            ),
        ),
        case(
            Rule::RunRevived,
            cancelled().ok(4, 5, append("a"), is("cancelled", 11)),
            cancelled().ok(4, 5, append("a"), refused()).ok(2, 5, append("b"), is("created", 10)),
        ),
        case(Rule::EventLost, read(noted(), 4, &["run.created"]), read(noted(), 2, &["run.created"])),
        case(
            Rule::EventLost,
            read(noted().ok(2, 3, append("b"), is("created", 10)), 4, &["run.created", "b"]),
            read(noted().unknown(2, 3, append("b")), 4, &["run.created", "a"]),
        ),
        case(
            Rule::EventRepeated,
            read(noted(), 4, &["run.created", "a", "a"]),
            read(noted(), 4, &["run.created", "a", "run.awaiting", "run.in-progress", "run.awaiting"]),
        ),
        case(
            Rule::LogChanged,
            read(read(noted(), 4, &["run.created", "a"]), 6, &["run.created", "b", "a"]),
            read(read(noted(), 4, &["run.created", "a"]), 6, &["run.created", "a", "b"]),
        ),
    ]
}
