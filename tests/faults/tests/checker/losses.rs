use faults::checker::{Lost, Rule, check};
use faults::history::{Answer, Call, Granted, Outcome, PushedJob};

use crate::written::{Named, QUEUE, Written, push};
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

/// Acknowledged writes of other capabilities than queues that a failover has undone; and how a report names each.
fn vanished() -> Vec<(Named<'static>, Written)> {
    let text = str::to_owned;
    let killed = |write: Call, answer: Answer, read: Call, shown: Answer| {
        let written = Written::with_failovers(false).ok(900, 921, write, answer).fault(1000, 4000, KILL);
        written.ok(4100, 4101, read, shown).listed(&[], &[])
    };
    let of = |op, name| Named::new(op, name);
    let part = |op, name, part| Named { part: Some(part), ..Named::new(op, name) };
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
    let is = |version| Answer::Run { version, state: text("saved") };
    let write = |run, version| Call::WriteRun { run: text(run), state: Some(text("saved")), version, event: None };
    let run = killed(write("r", Some(10)), is(11), write("r", Some(10)), is(12));
    let session = killed(write("session/s", Some(10)), is(11), write("session/s", Some(10)), is(12));
    let noted = Call::WriteRun { run: text("r"), state: None, version: None, event: Some(text("a")) };
    let noted = killed(noted, is(11), Call::ReadRun { run: text("r") }, Answer::Names(Vec::new()));
    let begin = |request| Call::BeginTry { operation: text("o"), request: text(request), max: 3, lasting_ms: 10_000 };
    let begun = |fence| Answer::Try { number: 1, fence };
    let attempt = killed(begin("a"), begun(5), begin("b"), begun(6));
    let fail = Call::FailTry { operation: text("o"), fence: 5 };
    let failed = killed(fail, Answer::Exhausted, begin("b"), begun(6));
    let fire = |id: &str| {
        let (queue, schedule, due_ms) = (text(QUEUE), text("nightly"), vec![1000]);
        let job = PushedJob { id: text(id), request: 1, delay_ms: 0, max_attempts: 1, unique: None };
        Call::Advance { queue, schedule, due_ms, jobs: vec![job] }
    };
    let fired = killed(fire("one"), Answer::One(true), fire("two"), Answer::One(true));
    let fired = fired.listed(&[], &["two"]);
    let append = Call::Append { topic: text("t"), key: text("k"), events: vec![text("e")] };
    let read = Call::ReadTopic { topic: text("t"), partition: 3, group: text("audit"), consumer: text("c") };
    let (appended, events) = (Answer::Appended { partition: 3, numbers: vec![1] }, Vec::new());
    let appended = killed(append, appended, read, Answer::Events { fence: 1, lasts_ms: 1, truncated: 0, events });
    vec![
        (of("resume_token.save", "s"), token),
        (part("step.finish", "r", "one"), step),
        (part("heartbeat.beat", "p", "a"), beat),
        (of("idempotency.finish", "k"), response),
        (of("run.write", "r"), run),
        (of("run.write", "r"), noted),
        (of("session.save", "s"), session),
        (of("retry.begin", "o"), attempt),
        (of("retry.fail", "o"), failed),
        (part("schedule.advance", QUEUE, "nightly"), fired),
        (part("topic.append", "t", "3"), appended),
    ]
}

/// Acknowledged writes that request no durability, undone although every replica has the others; and how a report names each.
fn unconfirmed() -> Vec<(Named<'static>, Written)> {
    let text = str::to_owned;
    let killed = |written: Written| written.fault(1000, 4000, KILL);
    let start = || Written::with_failovers(true).created(800, 801, "a");
    let job = |op| Named { job: Some("a"), ..Named::new(op, QUEUE) };
    // the newer claim has vanished: the holder of the older one settles
    let stale = killed(start().claimed_for(50, 810, 811, "a", 5, 1).claimed_for(9000, 900, 901, "a", 6, 2));
    let stale = stale.settled(4100, 4101, "a", 5, Outcome::Snooze, true).listed(&[], &["a"]);
    let twice = killed(start().claimed_for(9000, 900, 901, "a", 5, 1)).claimed(4100, 4101, "a", 6);
    let twice = twice.settled(4200, 4201, "a", 6, Outcome::Complete, true).listed(&[], &[]);
    let pause = Call::Pause { queue: text(QUEUE) };
    let paused = killed(start().ok(900, 901, pause, Answer::Done)).claimed(4100, 4101, "a", 5);
    let paused = paused.settled(4200, 4201, "a", 5, Outcome::Complete, true).listed(&[], &[]);
    let empty = || Written::with_failovers(true);
    let (pool, member) = (|| text("p"), || text("m"));
    let beat = Call::Beat { pool: pool(), member: member(), lasting_ms: 9000 };
    let left = empty().ok(800, 801, beat, Answer::Done);
    let left = killed(left.ok(900, 901, Call::Leave { pool: pool(), member: member() }, Answer::One(true)));
    let left = left.ok(4100, 4101, Call::Alive { pool: pool() }, Answer::Names(vec![member()]));
    let begin = |attempt: &str| {
        let (store, key, content, attempt) = (text("state"), text("k"), text("x"), text(attempt));
        Call::Begin { store, key, content, attempt, lasting_ms: 9000 }
    };
    let abandon = Call::Abandon { store: text("state"), key: text("k"), attempt: text("a") };
    let abandoned = killed(empty().ok(800, 801, begin("a"), Answer::Started).ok(900, 901, abandon, Answer::One(true)));
    let abandoned = abandoned.ok(4100, 4101, begin("b"), Answer::InProgress);
    let lease = || text("l");
    let acquire = Call::Acquire { name: lease(), holder: text("h"), request: text("r"), lasting_ms: 9000 };
    let held = || Some(Granted { holder: text("h"), fence: 5 });
    let released = empty().ok(800, 801, acquire, Answer::Lease { mine: true, lease: held() });
    let release = Call::Release { name: lease(), holder: text("h"), fence: 5 };
    let released = killed(released.ok(900, 901, release, Answer::One(true)));
    let inspected = Answer::Lease { mine: false, lease: held() };
    let released = released.ok(4100, 4101, Call::Inspect { name: lease() }, inspected);
    vec![
        (job("queue.claim"), stale),
        (job("queue.claim"), twice),
        (Named::new("queue.pause", QUEUE), paused),
        (Named { part: Some("m"), ..Named::new("heartbeat.leave", "p") }, left),
        (Named::new("idempotency.abandon", "k"), abandoned),
        (Named::new("lease.release", "l"), released),
    ]
}

pub(crate) fn cases() -> Vec<Case> {
    let all = vanished().into_iter().chain(unconfirmed());
    let of_others = all.flat_map(|(named, written)| {
        let right = written.clone().lost_write_of(3000, 901, &named);
        let mut others = vec![Named { name: "other", ..named }, Named { process: "another", ..named }];
        others.extend(named.part.map(|_| Named { part: Some("other"), ..named }));
        others.extend(named.job.map(|_| Named { job: Some("other"), ..named }));
        let wrong = move |other: Named<'_>| written.clone().lost_write_of(3000, 901, &other);
        let cases: Vec<_> =
            others.into_iter().map(|other| case(Rule::LossUnnamed, wrong(other), right.clone())).collect();
        cases
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
