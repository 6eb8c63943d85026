use faults::checker::{Lost, Rule, check};
use faults::history::{Answer, Call, Outcome};

use crate::written::{QUEUE, Written, push};
use crate::{Case, case};

const KILL: &str = "kill-primary state";

/// A job is pushed from 900 to 901, and the primary is killed from 1000 to 4000.
fn killed(is_replicated: bool) -> Written {
    Written::with_failovers(is_replicated).created(900, 901, "a").fault(1000, 4000, KILL)
}

/// The same, and a loss report names the push, in a run that pushes again what reports name.
fn repairing() -> Written {
    Written::pushing_again().created(900, 901, "a").fault(1000, 4000, KILL).lost(3000, 901, "a")
}

/// The primary is killed at 1000. The independent client writes again from `back` on, the library at `later` first.
fn recovering(back: u64, later: u64) -> Written {
    let written = killed(true).probed(500..1000).probed(back..later + 1000);
    written.created(later - 1, later, "b").listed(&[], &["a", "b"])
}

/// Two jobs are claimed one after the other under fences that fall, and end.
fn two_claims(written: Written) -> Written {
    let mut written = written.created(100, 101, "a").created(102, 103, "b");
    for (at, id, fence) in [(200, "a", 9), (300, "b", 5)] {
        written = written.claimed(at, at + 1, id, fence).settled(at + 10, at + 11, id, fence, Outcome::Complete, true);
    }
    written.listed(&[], &[])
}

/// A job is completed with a result, and its push is repeated and acknowledged.
fn repeated(written: Written) -> Written {
    let kept = written.unknown(900, 905, push("a")).claimed(910, 911, "a", 5);
    let kept = kept.settled(920, 921, "a", 5, Outcome::CompleteKept, true).created(2000, 2001, "a");
    kept.listed(&[], &[])
}

fn handle() -> Call {
    Call::Handle { queue: QUEUE.to_owned(), job: "a".to_owned(), fence: 5 }
}

/// Acknowledged writes of other capabilities than queues that a failover has undone; the operations and the names that a report has.
fn vanished() -> [(&'static str, &'static str, Written); 4] {
    let text = str::to_owned;
    let killed = |write: Call, answer: Answer, read: Call, shown: Answer| {
        let written = Written::with_failovers(false).ok(900, 921, write, answer).fault(1000, 4000, KILL);
        written.ok(4100, 4101, read, shown).listed(&[], &[])
    };
    let token = Call::Save { stream: text("s"), token: text("1 x"), fence: 5, expected: None, request: text("r") };
    let token = killed(token, Answer::Saved(1), Call::Load { stream: text("s") }, Answer::Token(None));
    let step = Call::FinishStep { run: text("r"), step: text("one"), fence: 5, output: text("x") };
    let begin = Call::BeginStep { run: text("r"), step: text("one"), fence: 5 };
    let step = killed(step, Answer::One(true), begin, Answer::Started);
    let beat = Call::Beat { pool: text("p"), member: text("a"), lasting_ms: 10_000 };
    let beat = killed(beat, Answer::Done, Call::Alive { pool: text("p") }, Answer::Names(Vec::new()));
    let (store, key, attempt) = (text("state"), text("k"), text("a"));
    let finish = Call::Finish { store, key, attempt, response: text("one"), keep_ms: 60_000 };
    let (store, key, content, attempt) = (text("state"), text("k"), text("x"), text("b"));
    let begin = Call::Begin { store, key, content, attempt, lasting_ms: 1000 };
    let response = killed(finish, Answer::One(true), begin, Answer::Started);
    [
        ("resume_token.save", "s", token),
        ("step.finish", "one", step),
        ("heartbeat.beat", "p", beat),
        ("idempotency.finish", "k", response),
    ]
}

pub(crate) fn cases() -> Vec<Case> {
    let of_others = vanished().map(|(op, name, written)| {
        let of_another = written.clone().lost_write_of(3000, 921, "other", &[], op);
        case(Rule::LossUnnamed, of_another, written.lost_write_of(3000, 921, name, &[], op))
    });
    of_jobs().into_iter().chain(of_others).collect()
}

fn of_jobs() -> Vec<Case> {
    let early = |acknowledged| {
        let late = Written::with_failovers(false).fault(2000, 4000, KILL).lost(3000, acknowledged, "b");
        late.listed(&[], &[])
    };
    let delivered = |written: Written| written.claimed(910, 911, "a", 5);
    let unconfirmed = || Written::with_failovers(true).unknown(900, 905, push("a")).fault(1000, 4000, KILL);
    let ended = |written: Written| {
        delivered(written).settled(920, 921, "a", 5, Outcome::Complete, true).fault(1000, 4000, KILL)
    };
    let created = |is_replicated| Written::with_failovers(is_replicated).created(900, 901, "a");
    let again = |written: Written| {
        let again = written.claimed(4100, 4101, "a", 9).settled(4200, 4201, "a", 9, Outcome::Complete, true);
        again.listed(&[], &[])
    };
    let named = |written: Written| written.lost_write(3000, 921, "a", "queue.settle");
    vec![
        // every replica confirmed it
        case(Rule::JobLost, killed(true).listed(&[], &[]), killed(true).listed(&[], &["a"])),
        // no replica confirmed it, and a report names it
        case(Rule::LossUnnamed, killed(false).listed(&[], &[]), killed(false).lost(3000, 901, "a").listed(&[], &[])),
        case(Rule::LossTooOld, early(999), early(1001)),
        // it was delivered, but its push was not confirmed
        case(Rule::JobLost, delivered(killed(true)).listed(&[], &[]), delivered(unconfirmed()).listed(&[], &[])),
        // no failover lies between the push and the listing
        case(
            Rule::JobLost,
            Written::with_failovers(false).fault(0, 800, KILL).created(900, 901, "a").listed(&[], &[]),
            killed(false).lost(3000, 901, "a").listed(&[], &[]),
        ),
        // a confirmed settlement does not vanish, and a report names one that was not confirmed
        case(Rule::JobRevived, again(ended(created(true))), again(named(ended(created(false))))),
        case(Rule::LossUnnamed, again(ended(created(false))), again(named(ended(created(false))))),
        // it was delivered after the failover, so the failover explains nothing
        case(
            Rule::JobLost,
            killed(false).claimed(4100, 4101, "a", 9).listed(&[], &[]),
            killed(false).lost(3000, 901, "a").listed(&[], &[]),
        ),
        // what a report names is pushed again, and what is pushed again ends
        case(Rule::LossNotRepaired, repairing().listed(&[], &[]), again(repairing().pushed_again(4050, 4060, "a"))),
        case(
            Rule::JobLost,
            repairing().pushed_again(4050, 4060, "a").listed(&[], &[]),
            repairing().pushed_again(4050, 4060, "a").listed(&[], &["a"]),
        ),
        // the library succeeds again soon after the independent client, and within 5 s if that does
        case(Rule::WritesBehind, recovering(2000, 4050), recovering(2000, 3950)),
        case(Rule::WritesLate, recovering(5500, 6050), recovering(5500, 5950)),
        case(Rule::WritesBehind, recovering(6500, 8550), recovering(6500, 8450)),
        // while slots move, a handler keeps its lease, and its pushes are answered
        case(
            Rule::HandlerDisturbed,
            Written::moving_slots().op(900, 0, handle(), None),
            Written::moving_slots().ok(900, 901, handle(), Answer::Done),
        ),
        // the push was repeated while the result was kept, which was removed later
        case(Rule::JobLost, repeated(Written::with_failovers(false)), repeated(Written::keeping_briefly())),
        // partitions have fences of their own
        case(Rule::ClaimFence, two_claims(Written::with_failovers(false)), two_claims(Written::moving_slots())),
    ]
}

#[test]
fn what_was_pushed_again_and_what_was_undone_is_counted() {
    let again = repairing().pushed_again(4050, 4060, "a").listed(&[], &["a"]);
    let tally = check(&again.history()).losses;
    assert_eq!((tally.pushes, tally.pushed_again), (Lost { lost: 1, named: 1, reported: 1 }, 1));
    let settled = Written::with_failovers(false).created(900, 901, "a").claimed(910, 911, "a", 5);
    let settled = settled.settled(920, 921, "a", 5, Outcome::Complete, true).fault(1000, 4000, KILL);
    let undone = settled.clone().lost_write(3000, 921, "a", "queue.settle").listed(&[], &["a"]);
    assert_eq!(check(&undone.history()).losses.settlements, Lost { lost: 1, named: 1, reported: 1 });
    assert_eq!(check(&settled.listed(&[], &[]).history()).losses.settlements, Lost::default());
}

#[test]
fn what_a_failover_explains_is_counted() {
    let tally = check(&killed(false).lost(3000, 901, "a").listed(&[], &[]).history()).losses;
    assert_eq!(tally.pushes, Lost { lost: 1, named: 1, reported: 1 });
    assert_eq!(tally.explained.get(&Rule::JobLost), Some(&1));
    let tally = check(&killed(true).created(5000, 5001, "b").listed(&[], &["a", "b"]).history()).losses;
    assert_eq!(tally.pauses[KILL].load, 4_100_000, "from the push to {QUEUE} before to the one after");
}
