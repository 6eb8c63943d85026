use faults::checker::Rule;
use faults::history::{Answer, Call, Leased, Outcome, PushAnswer, UniqueEnd};

use crate::written::{QUEUE, Written, push, push_as, settle};
use crate::{Case, case};

fn named(name: &str) -> String {
    name.to_owned()
}

pub(crate) fn cases() -> Vec<Case> {
    [ends(), deliveries(), hand_overs(), pushes(), uniques(), queues()].into_iter().flatten().collect()
}

fn ends() -> Vec<Case> {
    let done = || {
        let begun = Written::new().created(0, 1, "a").claimed(10, 11, "a", 5);
        begun.settled(20, 21, "a", 5, Outcome::Complete, true)
    };
    let removed = || Written::new().created(0, 1, "a").cancelled(10, 11, "a", "removed");
    let replay = Call::Replay { queue: named(QUEUE), jobs: vec![named("a")] };
    let dead = || {
        let begun = Written::new().created(0, 1, "a").claimed(10, 11, "a", 5);
        begun.settled(20, 21, "a", 5, Outcome::Dead, true)
    };
    vec![
        // an acknowledged job is gone
        case(Rule::JobLost, Written::new().created(0, 1, "a").listed(&[], &[]), done().listed(&[], &[])),
        // it was claimed and not settled, or its settlement did not count
        case(
            Rule::JobLost,
            Written::new().created(0, 1, "a").claimed(10, 11, "a", 5).listed(&[], &[]),
            Written::new()
                .created(0, 1, "a")
                .claimed(10, 11, "a", 5)
                .unknown(20, 30, settle("a", 5, Outcome::Complete))
                .listed(&[], &[]),
        ),
        // a settlement that was not executed ends nothing
        case(
            Rule::JobLost,
            Written::new()
                .created(0, 1, "a")
                .claimed(10, 11, "a", 5)
                .not_executed(20, 30, settle("a", 5, Outcome::Complete))
                .listed(&[], &[]),
            removed().listed(&[], &[]),
        ),
        // a dead job is kept
        case(Rule::JobLost, dead().listed(&[], &[]), dead().listed(&["a"], &[])),
        // a completed job runs again, without and with a push that may have made it anew
        case(
            Rule::JobRevived,
            done().claimed(2000, 2001, "a", 9).settled(2010, 2011, "a", 9, Outcome::Complete, true).listed(&[], &[]),
            done()
                .unknown(15, 30, push("a"))
                .claimed(2000, 2001, "a", 9)
                .settled(2010, 2011, "a", 9, Outcome::Complete, true)
                .listed(&[], &[]),
        ),
        // a cancelled job runs
        case(Rule::JobRevived, removed().claimed(2000, 2001, "a", 9).listed(&[], &["a"]), removed().listed(&[], &[])),
        // a cancelled job is there: a push that was answered "not executed" cannot have made it
        case(
            Rule::JobRevived,
            removed().not_executed(20, 30, push("a")).listed(&[], &["a"]),
            removed().created(20, 30, "a").listed(&[], &["a"]),
        ),
        // a dead job runs, without and with a replay
        case(
            Rule::JobRevived,
            dead().claimed(2000, 2001, "a", 9).listed(&["a"], &[]),
            dead().ok(100, 101, replay, Answer::Each(vec![true])).claimed(2000, 2001, "a", 9).listed(&["a"], &[]),
        ),
        // a handler begins after the end
        case(
            Rule::HandledAfterEnd,
            done().handled(30, 40, "a", 5).listed(&[], &[]),
            done().handled(12, 40, "a", 5).listed(&[], &[]),
        ),
    ]
}

fn deliveries() -> Vec<Case> {
    let begun = || Written::new().created(0, 1, "a").claimed(10, 11, "a", 5);
    let again = || begun().claimed(2000, 2001, "a", 9);
    let extend = Call::Extend {
        queue: named(QUEUE),
        leases: vec![faults::history::Leased { job: named("a"), fence: 5, attempt: 0 }],
        lasting_ms: 3000,
    };
    let extended = || begun().ok(500, 501, extend.clone(), Answer::Each(vec![true]));
    vec![
        case(
            Rule::StaleSettlement,
            again().settled(2010, 2011, "a", 5, Outcome::Snooze, true).listed(&[], &["a"]),
            again().settled(2010, 2011, "a", 5, Outcome::Snooze, false).listed(&[], &["a"]),
        ),
        // a settlement whose reply was lost counted before the second claim; its repetition gets the same answer
        case(
            Rule::StaleSettlement,
            again().settled(2010, 2011, "a", 5, Outcome::Retry, true).listed(&[], &["a"]),
            again()
                .unknown(500, 900, settle("a", 5, Outcome::Retry))
                .settled(2010, 2011, "a", 5, Outcome::Retry, true)
                .listed(&[], &["a"]),
        ),
        case(Rule::JobLeasedTwice, begun().claimed(900, 901, "a", 9).listed(&[], &["a"]), again().listed(&[], &["a"])),
        case(
            Rule::JobLeasedTwice,
            extended().claimed(3000, 3001, "a", 9).listed(&[], &["a"]),
            extended().claimed(3510, 3511, "a", 9).listed(&[], &["a"]),
        ),
        case(
            Rule::TooManyAttempts,
            Written::new().created(0, 1, "a").claimed_for(1000, 10, 11, "a", 5, 13).listed(&["a"], &[]),
            Written::new().created(0, 1, "a").claimed_for(1000, 10, 11, "a", 5, 12).listed(&["a"], &[]),
        ),
    ]
}

fn hand_overs() -> Vec<Case> {
    let handed = || Written::new().created(0, 1, "a").handed_over(0, 11, "a", 5);
    let late = || Written::new().created(2000, 2001, "a").handed_over(0, 2500, "a", 5);
    let two = || Written::new().created(0, 1, "a").created(0, 1, "b");
    let pause = || Call::Pause { queue: named(QUEUE) };
    vec![
        // a job that was handed over is not lost with its waiter
        case(Rule::JobLost, handed().listed(&[], &[]), handed().listed(&[], &["a"])),
        // two workers have it within one lease
        case(
            Rule::JobLeasedTwice,
            handed().claimed(900, 901, "a", 9).listed(&[], &["a"]),
            handed().claimed(1000, 1001, "a", 9).listed(&[], &["a"]),
        ),
        // the lease begins after the push, however old the registration is
        case(
            Rule::JobLeasedTwice,
            late().claimed(2900, 2901, "a", 9).listed(&[], &["a"]),
            late().claimed(3000, 3001, "a", 9).listed(&[], &["a"]),
        ),
        // its message arrives long after its lease is over
        case(
            Rule::JobLeasedTwice,
            Written::new().created(0, 1, "a").claimed(10, 11, "a", 5).handed_over(0, 700, "a", 9).listed(&[], &["a"]),
            Written::new()
                .created(0, 1, "a")
                .handed_over(0, 3000, "a", 5)
                .claimed(1500, 1501, "a", 9)
                .listed(&[], &["a"]),
        ),
        // fences rise over claims and hand-overs
        case(
            Rule::ClaimFence,
            two().claimed(10, 11, "a", 9).handed_over(12, 20, "b", 5).listed(&[], &["a", "b"]),
            two().claimed(10, 11, "a", 9).handed_over(5, 20, "b", 5).listed(&[], &["a", "b"]),
        ),
        case(
            Rule::ClaimFence,
            two().handed_over(5, 11, "a", 5).handed_over(5, 20, "b", 5).listed(&[], &["a", "b"]),
            two().handed_over(5, 11, "a", 5).handed_over(5, 20, "b", 9).listed(&[], &["a", "b"]),
        ),
        case(
            Rule::JobRevived,
            handed().settled(20, 21, "a", 5, Outcome::Complete, true).handed_over(12, 30, "a", 9).listed(&[], &[]),
            handed().settled(20, 21, "a", 5, Outcome::Complete, true).listed(&[], &[]),
        ),
        // a paused queue hands nothing over
        case(
            Rule::Paused,
            two().ok(5, 6, pause(), Answer::Done).handed_over(10, 11, "a", 5).listed(&[], &["a", "b"]),
            two().ok(5, 6, pause(), Answer::Done).handed_over(4, 11, "a", 5).listed(&[], &["a", "b"]),
        ),
    ]
}

fn pushes() -> Vec<Case> {
    let other = || push_as("a", 2, None);
    let answered = |answer: PushAnswer| Answer::Pushed(vec![answer]);
    let finished = |written: Written| {
        written.claimed(50, 51, "a", 9).settled(60, 61, "a", 9, Outcome::Complete, true).listed(&[], &[])
    };
    vec![
        case(
            Rule::JobUnknown,
            finished(Written::new().not_executed(0, 1, push("a"))),
            finished(Written::new().unknown(0, 1, push("a"))),
        ),
        case(
            Rule::JobUnknown,
            Written::new().created(0, 1, "b").listed(&["b"], &["a"]),
            Written::new().created(0, 1, "b").listed(&["b"], &[]),
        ),
        case(
            Rule::JobPushedTwice,
            finished(
                Written::new()
                    .created(0, 1, "a")
                    .ok(200_000, 200_001, other(), answered(PushAnswer::Duplicate))
                    .not_executed(10, 11, push("a"))
                    .ok(5, 6, push_as("b", 1, None), answered(PushAnswer::Duplicate)),
            )
            .created(2, 3, "c")
            .cancelled(4, 5, "c", "removed"),
            finished(Written::new().created(0, 1, "a").ok(10, 11, other(), answered(PushAnswer::Duplicate))),
        ),
        case(
            Rule::JobPushedTwice,
            Written::new().created(0, 1, "a").ok(10, 11, other(), answered(PushAnswer::Created)).listed(&[], &["a"]),
            Written::new()
                .created(0, 1, "a")
                .cancelled(5, 6, "a", "removed")
                .ok(10, 11, other(), answered(PushAnswer::Created))
                .listed(&[], &["a"]),
        ),
    ]
}

fn uniques() -> Vec<Case> {
    let push = |id: &str, end: UniqueEnd| push_as(id, 1, Some(("key", end)));
    let created = || Answer::Pushed(vec![PushAnswer::Created]);
    let first = |end: UniqueEnd| Written::new().ok(0, 1, push("a", end), created());
    let second =
        |written: Written, end: UniqueEnd| written.ok(20, 21, push("b", end), created()).listed(&[], &["a", "b"]);
    let held = |id: &str| Answer::Pushed(vec![PushAnswer::Held(named(id))]);
    vec![
        case(
            Rule::UniqueKeyShared,
            second(first(UniqueEnd::Finished), UniqueEnd::Finished),
            first(UniqueEnd::Finished)
                .claimed(5, 6, "a", 3)
                .settled(10, 11, "a", 3, Outcome::Complete, true)
                .ok(20, 21, push("b", UniqueEnd::Finished), created())
                .listed(&[], &["b"]),
        ),
        // the same push again is acknowledged while the job is known: that is not the job again
        case(
            Rule::UniqueKeyShared,
            second(
                first(UniqueEnd::Finished).ok(15, 16, push("a", UniqueEnd::Finished), created()),
                UniqueEnd::Finished,
            ),
            first(UniqueEnd::Finished)
                .claimed(5, 6, "a", 3)
                .settled(10, 11, "a", 3, Outcome::Dead, true)
                .ok(15, 16, push("a", UniqueEnd::Finished), created())
                .ok(20, 21, push("b", UniqueEnd::Finished), created())
                .listed(&["a"], &["b"]),
        ),
        case(
            Rule::UniqueKeyShared,
            second(first(UniqueEnd::Finished).claimed(5, 6, "a", 3), UniqueEnd::Finished),
            second(first(UniqueEnd::Claimed).claimed(5, 6, "a", 3), UniqueEnd::Claimed),
        ),
        // a hand-over whose message was lost may have freed the key, but only if its lease was over before the next claim
        case(
            Rule::UniqueKeyShared,
            second(first(UniqueEnd::Claimed).claimed(900, 901, "a", 3), UniqueEnd::Claimed),
            second(first(UniqueEnd::Claimed).claimed(1100, 1101, "a", 3), UniqueEnd::Claimed),
        ),
        case(
            Rule::UniqueKeyShared,
            second(first(UniqueEnd::Claimed).handed_over(22, 31, "a", 3), UniqueEnd::Claimed),
            second(first(UniqueEnd::Claimed).handed_over(0, 31, "a", 3), UniqueEnd::Claimed),
        ),
        case(
            Rule::UniqueKeyHeldByNobody,
            Written::new().ok(0, 1, push("a", UniqueEnd::Finished), held("c")).listed(&[], &[]),
            first(UniqueEnd::Finished).ok(10, 11, push("b", UniqueEnd::Finished), held("a")).listed(&[], &["a"]),
        ),
        case(
            Rule::UniqueKeyHeldByNobody,
            first(UniqueEnd::Finished)
                .claimed(5, 6, "a", 3)
                .settled(10, 11, "a", 3, Outcome::Complete, true)
                .ok(20, 21, push("b", UniqueEnd::Finished), held("a"))
                .listed(&[], &[]),
            first(UniqueEnd::Finished)
                .claimed(5, 6, "a", 3)
                .ok(8, 21, push("b", UniqueEnd::Finished), held("a"))
                .settled(10, 11, "a", 3, Outcome::Complete, true)
                .listed(&[], &[]),
        ),
    ]
}

fn queues() -> Vec<Case> {
    let pause = || Call::Pause { queue: named(QUEUE) };
    let resume = || Call::Resume { queue: named(QUEUE) };
    let two = || Written::new().created(0, 1, "a").created(0, 1, "b");
    let claim = || Call::Claim { queue: named(QUEUE), request: named("r"), max: 1, reserve: 0, lease_ms: 1000 };
    let first_copy = || Answer::Claimed { jobs: vec![Leased { job: named("a"), fence: 5, attempt: 1 }], paused: false };
    let paused = || Answer::Claimed { jobs: Vec::new(), paused: true };
    let pending = |count: u64, written: Written| {
        let call = Call::Pending { queue: named(QUEUE) };
        written.ok(90_000, 90_001, call, Answer::Number(count)).listed(&[], &["a", "b"])
    };
    vec![
        case(
            Rule::ClaimFence,
            two().claimed(10, 11, "a", 9).claimed(20, 21, "b", 5).listed(&[], &["a", "b"]),
            two().claimed(10, 11, "a", 5).claimed(20, 21, "b", 9).listed(&[], &["a", "b"]),
        ),
        // a repeated claim has the fence of its first copy
        case(
            Rule::ClaimFence,
            two().unknown(5, 9, claim()).claimed(10, 11, "b", 9).claimed(20, 21, "a", 5).listed(&[], &["a", "b"]),
            two()
                .unknown(5, 9, claim())
                .claimed(10, 11, "b", 9)
                .ok(20, 21, claim(), first_copy())
                .listed(&[], &["a", "b"]),
        ),
        // claims at the same time may be executed in any order, but not share a fence
        case(
            Rule::ClaimFence,
            two().claimed(10, 21, "a", 5).claimed(11, 20, "b", 5).listed(&[], &["a", "b"]),
            two().claimed(10, 21, "a", 9).claimed(11, 20, "b", 5).listed(&[], &["a", "b"]),
        ),
        case(
            Rule::Paused,
            two().ok(5, 6, pause(), Answer::Done).claimed(10, 11, "a", 5).listed(&[], &["a", "b"]),
            two()
                .ok(5, 6, pause(), Answer::Done)
                .unknown(7, 8, resume())
                .claimed(10, 11, "a", 5)
                .listed(&[], &["a", "b"]),
        ),
        // the late copy of a pause undoes a resumption
        case(
            Rule::Paused,
            two()
                .ok(5, 6, pause(), Answer::Done)
                .ok(7, 8, resume(), Answer::Done)
                .ok(10, 11, claim(), paused())
                .listed(&[], &["a", "b"]),
            two().ok(5, 6, pause(), Answer::Done).ok(10, 11, claim(), paused()).listed(&[], &["a", "b"]),
        ),
        case(Rule::NotDrained, pending(1, two()), pending(0, two())),
        case(Rule::NotDrained, two(), two().listed(&[], &["a", "b"])),
    ]
}
