use faults::checker::Rule;
use faults::history::{Answer, Call};

use crate::written::Written;
use crate::{Case, case};

fn beat(lasting_ms: u64) -> Call {
    Call::Beat { pool: "p".to_owned(), member: "a".to_owned(), lasting_ms }
}

fn leave() -> Call {
    Call::Leave { pool: "p".to_owned(), member: "a".to_owned() }
}

fn alive(written: Written, at: u64, members: &[&str]) -> Written {
    let names = members.iter().map(ToString::to_string).collect();
    written.ok(at, at + 1, Call::Alive { pool: "p".to_owned() }, Answer::Names(names))
}

pub(crate) fn cases() -> Vec<Case> {
    let beaten = || Written::new().ok(0, 1, beat(1000), Answer::Done);
    let left = |written: Written| written.ok(10, 11, leave(), Answer::One(true));
    vec![
        case(Rule::MemberMissing, alive(beaten(), 500, &[]), alive(beaten(), 500, &["a"])),
        case(
            Rule::MemberMissing,
            alive(beaten().not_executed(10, 11, leave()), 500, &[]),
            alive(beaten().unknown(10, 11, leave()), 500, &[]),
        ),
        case(Rule::MemberStale, alive(beaten(), 1500, &["a"]), alive(beaten(), 1500, &[])),
        // the late copy of a beat undoes leaving
        case(Rule::MemberStale, alive(left(beaten()), 500, &["a"]), alive(left(beaten()), 500, &[])),
        case(
            Rule::MemberStale,
            alive(Written::new().not_executed(0, 1, beat(1000)), 500, &["a"]),
            alive(Written::new().unknown(0, 1, beat(1000)), 500, &["a"]),
        ),
    ]
}
