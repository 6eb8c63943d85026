use faults::checker::Rule;
use faults::history::{Answer, Call, Outcome, PushedJob};

use crate::written::{Named, QUEUE, Written};
use crate::{Case, case};

/// Ends the job `a` under a fence, and pushes this job.
fn commit(fence: u64, next: &str) -> Call {
    let next = PushedJob { id: next.to_owned(), request: 3, delay_ms: 0, max_attempts: 12, unique: None };
    Call::Commit { queue: QUEUE.to_owned(), job: "a".to_owned(), fence, next, sent: Vec::new() }
}

/// After the run: which parts of the commit with this name are there.
fn read(written: Written, next: &str, parts: [bool; 4]) -> Written {
    let call = Call::ReadCommit { queue: QUEUE.to_owned(), next: next.to_owned() };
    let left: &[&str] = if parts[0] { &["b"] } else { &[] };
    written.ok(90_000, 90_001, call, Answer::Each(parts.to_vec())).listed(&[], left)
}

pub(crate) fn cases() -> Vec<Case> {
    let (done, refused) = (|| Answer::One(true), || Answer::One(false));
    let claimed = |written: Written| written.created(800, 801, "a").claimed(810, 811, "a", 5);
    let began = || claimed(Written::new());
    let (all, none) = ([true; 4], [false; 4]);
    let committed = |written: Written| claimed(written).ok(900, 901, commit(5, "b"), done());
    let later = |written: Written| {
        written.claimed(960, 961, "a", 9).ok(970, 971, commit(9, "c"), done()).listed(&[], &["b", "c"])
    };
    let ended = |written: Written| written.settled(950, 951, "a", 5, Outcome::Complete, true);
    let failed = |written: Written| committed(written).fault(1000, 4000, "kill-primary state");
    let named = |job| Named { job: Some(job), ..Named::new("home.commit", QUEUE) };
    // the job is delivered again, and another commit ends it
    let again = |written: Written| written.claimed(4100, 4101, "a", 9).ok(4200, 4201, commit(9, "c"), done());
    let twice = |written: Written| read(again(written), "b", none).listed(&[], &["c"]);
    vec![
        case(
            Rule::CommitPartial,
            read(committed(Written::new()), "b", [true, true, false, true]),
            read(committed(Written::new()), "b", all),
        ),
        // without an answer all of it or nothing
        case(
            Rule::CommitPartial,
            read(ended(began().unknown(900, 901, commit(5, "b"))), "b", [true, false, false, false]),
            read(ended(began().unknown(900, 901, commit(5, "b"))), "b", none),
        ),
        case(
            Rule::CommitLost,
            read(committed(Written::new()), "b", none),
            read(began().unknown(900, 901, commit(5, "b")), "b", all),
        ),
        case(
            Rule::CommitRefused,
            read(ended(began().ok(900, 901, commit(5, "b"), refused())), "b", all),
            read(ended(began().ok(900, 901, commit(5, "b"), refused())), "b", none),
        ),
        case(
            Rule::CommitTwice,
            read(committed(Written::new()), "b", all).ok(902, 903, commit(5, "c"), done()).listed(&[], &["b", "c"]),
            read(committed(Written::new()), "b", all).ok(902, 903, commit(5, "c"), refused()),
        ),
        // a producer pushes a job again that has ended
        case(
            Rule::CommitTwice,
            later(read(committed(Written::new()), "b", all)),
            later(read(committed(Written::new()), "b", all).created(950, 951, "a")),
        ),
        // a holder whose lease another one has
        case(
            Rule::StaleSettlement,
            read(began().claimed(2000, 2001, "a", 6).ok(2100, 2101, commit(5, "b"), done()), "b", all),
            read(began().claimed(2000, 2001, "a", 6).ok(2100, 2101, commit(6, "b"), done()), "b", all),
        ),
        // the job does not run again
        case(
            Rule::JobRevived,
            read(committed(Written::new()), "b", all).claimed(2000, 2001, "a", 6),
            read(committed(Written::new()), "b", all),
        ),
        // what every replica has confirmed is not lost, and what is lost is named
        case(
            Rule::CommitLost,
            twice(failed(Written::with_failovers(true)).lost_write_of(3000, 901, &named("a"))),
            twice(failed(Written::with_failovers(false)).lost_write_of(3000, 901, &named("a"))),
        ),
        case(
            Rule::LossUnnamed,
            twice(failed(Written::with_failovers(false)).lost_write_of(3000, 901, &named("x"))),
            twice(failed(Written::with_failovers(false)).lost_write_of(3000, 901, &named("a"))),
        ),
    ]
}
