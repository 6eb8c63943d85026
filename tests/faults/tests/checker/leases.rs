use faults::checker::Rule;
use faults::history::{Answer, Call, Granted};

use crate::written::{Named, Written};
use crate::{Case, case};

fn acquire(holder: &str, lasting_ms: u64) -> Call {
    let (name, request) = ("l".to_owned(), format!("request of {holder}"));
    Call::Acquire { name, holder: holder.to_owned(), request, lasting_ms }
}

fn lease(mine: bool, holder: &str, fence: u64) -> Answer {
    Answer::Lease { mine, lease: Some(Granted { holder: holder.to_owned(), fence }) }
}

fn renew(fence: u64, lasting_ms: u64) -> Call {
    Call::Renew { name: "l".to_owned(), holder: "a".to_owned(), fence, lasting_ms }
}

fn release(fence: u64) -> Call {
    Call::Release { name: "l".to_owned(), holder: "a".to_owned(), fence }
}

fn write(fence: u64) -> Call {
    Call::Write { name: "l".to_owned(), fence }
}

/// `a` holds the lease from 10 for 1 s.
fn held() -> Written {
    held_in(Written::new())
}

fn held_in(written: Written) -> Written {
    written.ok(10, 11, acquire("a", 1000), lease(true, "a", 5))
}

/// `a` renews its lease at 900 for 1 s, the primary is killed, and `b` takes the lease before its end.
fn overlapping(is_replicated: bool) -> Written {
    let renewed = held_in(Written::with_failovers(is_replicated)).ok(900, 901, renew(5, 1000), Answer::One(true));
    taken_by_b(renewed.fault(1000, 1400, "kill-primary state"), 1500, 9).listed(&[], &[])
}

/// A loss report names the lease.
fn named(written: Written) -> Written {
    written.lost_write_of(1400, 901, &Named::new("lease.renew", "l"))
}

fn taken_by_b(written: Written, at: u64, fence: u64) -> Written {
    written.ok(at, at + 1, acquire("b", 1000), lease(true, "b", fence))
}

pub(crate) fn cases() -> Vec<Case> {
    [terms(), reports(), registers()].into_iter().flatten().collect()
}

fn terms() -> Vec<Case> {
    let yes = || Answer::One(true);
    vec![
        case(Rule::LeasesOverlap, taken_by_b(held(), 900, 9), taken_by_b(held(), 1010, 9)),
        case(
            Rule::LeasesOverlap,
            taken_by_b(held().ok(900, 901, renew(5, 1000), yes()), 1500, 9),
            taken_by_b(held().ok(900, 901, renew(5, 300), yes()), 1500, 9),
        ),
        // a renewal whose reply was lost may have shortened it; one that was not executed has not
        case(
            Rule::LeasesOverlap,
            taken_by_b(held().not_executed(100, 200, renew(5, 300)), 500, 9),
            taken_by_b(held().unknown(100, 200, renew(5, 300)), 500, 9),
        ),
        // a shorter renewal that was acknowledged before a longer one comes late
        case(
            Rule::LeasesOverlap,
            taken_by_b(held().ok(100, 900, renew(5, 300), yes()).ok(901, 902, renew(5, 10_000), yes()), 1300, 9),
            taken_by_b(held().ok(100, 900, renew(5, 300), yes()).ok(901, 902, release(5), yes()), 1300, 9),
        ),
        // a renewal that every replica confirmed is undone by no failover
        case(Rule::LeasesOverlap, overlapping(true), named(overlapping(false))),
        case(Rule::LossUnnamed, overlapping(false), named(overlapping(false))),
        case(
            Rule::LeasesOverlap,
            taken_by_b(held().not_executed(100, 101, release(5)), 500, 9),
            taken_by_b(held().unknown(100, 101, release(5)), 500, 9),
        ),
        case(Rule::LeaseFence, taken_by_b(held(), 2000, 4), taken_by_b(held(), 2000, 6)),
    ]
}

fn reports() -> Vec<Case> {
    let no = || Answer::One(false);
    let inspect = || Call::Inspect { name: "l".to_owned() };
    let nobody = || Answer::Lease { mine: false, lease: None };
    vec![
        case(
            Rule::LeaseLostEarly,
            held().ok(500, 501, renew(5, 1000), no()),
            held().ok(1009, 1015, renew(5, 1000), no()),
        ),
        case(Rule::LeaseLostEarly, held().ok(500, 549, renew(5, 50), no()), held().ok(500, 800, renew(5, 50), no())),
        case(Rule::LeaseLostEarly, held().ok(500, 501, release(5), no()), held().ok(1020, 1021, release(5), no())),
        // the lost first copy of a release let another holder acquire the lease before the second one arrived
        case(
            Rule::LeaseLostEarly,
            held().ok(500, 900, release(5), no()),
            taken_by_b(held().ok(500, 900, release(5), no()), 700, 9),
        ),
        case(
            Rule::LeaseLostEarly,
            taken_by_b(held().ok(500, 600, release(5), no()), 700, 9),
            taken_by_b(held().ok(500, 600, release(5), Answer::One(true)), 700, 9),
        ),
        case(
            Rule::LeaseLostEarly,
            held().ok(500, 501, inspect(), nobody()),
            held().ok(500, 501, inspect(), lease(false, "a", 5)),
        ),
        case(
            Rule::LeaseUnknown,
            taken_by_b(held(), 1500, 9).ok(1600, 1601, release(5), Answer::One(true)),
            taken_by_b(held(), 1500, 9).ok(1600, 1601, release(5), no()),
        ),
        // the late copy of an acquisition undoes a release
        case(
            Rule::LeaseUnknown,
            held().ok(20, 21, release(5), Answer::One(true)).ok(500, 501, inspect(), lease(false, "a", 9)),
            held().ok(20, 21, release(5), Answer::One(true)).ok(500, 501, inspect(), nobody()),
        ),
        case(
            Rule::LeaseUnknown,
            held().ok(20, 21, release(5), Answer::One(true)).ok(500, 501, inspect(), lease(false, "a", 5)),
            held().unknown(20, 21, release(5)).ok(500, 501, inspect(), lease(false, "a", 5)),
        ),
        case(
            Rule::LeaseUnknown,
            Written::new().not_executed(0, 1, acquire("b", 1000)).ok(10, 11, inspect(), lease(false, "b", 5)),
            Written::new().unknown(0, 1, acquire("b", 1000)).ok(10, 11, inspect(), lease(false, "b", 5)),
        ),
        // the lease of a first copy is over before its repetition is carried out
        case(
            Rule::LeaseUnknown,
            taken_by_b(Written::new().ok(10, 11, inspect(), lease(false, "b", 5)), 0, 9),
            Written::new().ok(10, 11, inspect(), lease(false, "b", 5)).ok(
                0,
                1500,
                acquire("b", 1000),
                lease(true, "b", 9),
            ),
        ),
        // and then another one has it
        case(Rule::LeaseUnknown, taken_from_b(900), taken_from_b(1500)),
    ]
}

/// `b` acquires the lease for 1 s, is reported to hold it, and is answered at `end` that `c` holds it.
fn taken_from_b(end: u64) -> Written {
    let reported = Written::new().ok(10, 11, Call::Inspect { name: "l".to_owned() }, lease(false, "b", 5));
    let taken = reported.ok(end - 20, end - 10, acquire("c", 1000), lease(true, "c", 9));
    taken.ok(0, end, acquire("b", 1000), lease(false, "c", 9))
}

fn registers() -> Vec<Case> {
    let (yes, no) = (|| Answer::One(true), || Answer::One(false));
    let two = || taken_by_b(held(), 2000, 9);
    vec![
        case(
            Rule::RegisterOrder,
            two().ok(2010, 2011, write(9), yes()).ok(2020, 2021, write(5), yes()),
            two().ok(2010, 2011, write(9), yes()).ok(2020, 2021, write(5), no()),
        ),
        case(Rule::RegisterRefused, held().ok(500, 501, write(5), no()), held().ok(1500, 1501, write(5), no())),
    ]
}
