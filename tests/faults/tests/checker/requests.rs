use faults::checker::Rule;
use faults::history::{Answer, Call};

use crate::written::Written;
use crate::{Case, case};

fn begin(store: &str, attempt: &str, content: &str) -> Call {
    let (store, key) = (store.to_owned(), "k".to_owned());
    Call::Begin { store, key, content: content.to_owned(), attempt: attempt.to_owned(), lasting_ms: 1000 }
}

fn finish(store: &str, attempt: &str, response: &str) -> Call {
    let (store, key) = (store.to_owned(), "k".to_owned());
    Call::Finish { store, key, attempt: attempt.to_owned(), response: response.to_owned(), keep_ms: 60_000 }
}

fn abandon(attempt: &str) -> Call {
    Call::Abandon { store: "state".to_owned(), key: "k".to_owned(), attempt: attempt.to_owned() }
}

/// `a` has begun at 10.
fn begun() -> Written {
    Written::new().ok(10, 11, begin("state", "a", "x"), Answer::Started)
}

/// `a` has finished with `one`.
fn finished() -> Written {
    begun().ok(20, 21, finish("state", "a", "one"), Answer::One(true))
}

fn first() -> Call {
    finish("state", "a", "one")
}

/// The response is kept at 50 s, and a request begins at 60.5 s.
fn again(written: Written) -> Written {
    b(written.ok(50_000, 50_001, first(), Answer::One(true)), 60_500, Answer::Started)
}

fn b(written: Written, at: u64, answer: Answer) -> Written {
    written.ok(at, at + 1, begin("state", "b", "x"), answer)
}

pub(crate) fn cases() -> Vec<Case> {
    let one = || Answer::Finished("one".to_owned());
    let cached = || {
        let begun = Written::new().ok(10, 11, begin("cache", "a", "x"), Answer::Started);
        begun.ok(20, 21, finish("cache", "a", "one"), Answer::One(true))
    };
    let begun_again = |written: Written| written.ok(50, 51, begin("cache", "b", "x"), Answer::Started);
    vec![
        case(Rule::TwoAttempts, b(begun(), 500, Answer::Started), b(begun(), 1010, Answer::Started)),
        case(
            Rule::TwoAttempts,
            b(begun().not_executed(20, 21, abandon("a")), 500, Answer::Started),
            b(begun().unknown(20, 21, abandon("a")), 500, Answer::Started),
        ),
        case(Rule::ResponseLost, b(finished(), 30, Answer::Started), b(finished(), 30, one())),
        case(Rule::ResponseLost, b(finished(), 1500, Answer::InProgress), b(finished(), 19, Answer::InProgress)),
        // a copy that may have been executed has begun the time for which the response is kept, and a repetition does not prolong it
        case(Rule::ResponseLost, again(begun().not_executed(12, 14, first())), again(begun().unknown(12, 14, first()))),
        // the cache store forgets when its server dies, and only then
        case(Rule::ResponseLost, begun_again(cached()), begun_again(cached().fault(30, 40, "kill cache"))),
        case(
            Rule::ResponseLost,
            begun_again(cached().fault(30, 40, "stop cache")),
            begun_again(cached().fault(30, 60, "kill cache")),
        ),
        case(
            Rule::ResponseChanged,
            b(finished().unknown(15, 30, finish("state", "c", "two")), 40, Answer::Finished("two".to_owned())),
            b(finished().unknown(15, 30, finish("state", "c", "two")), 40, one()),
        ),
        case(
            Rule::ResponseChanged,
            finished().ok(40, 41, finish("state", "c", "two"), Answer::One(true)),
            finished().ok(40, 41, finish("state", "c", "two"), Answer::One(false)),
        ),
        case(
            Rule::ResponseUnknown,
            b(begun().not_executed(20, 21, finish("state", "a", "one")), 30, one()),
            b(begun().unknown(20, 21, finish("state", "a", "one")), 30, one()),
        ),
        case(
            Rule::InProgressOfNobody,
            b(Written::new().not_executed(0, 1, begin("state", "a", "x")), 10, Answer::InProgress),
            b(Written::new().unknown(0, 1, begin("state", "a", "x")), 10, Answer::InProgress),
        ),
        // the late copy of a begin undoes an abandonment
        case(
            Rule::InProgressOfNobody,
            b(begun().ok(20, 21, abandon("a"), Answer::One(true)), 30, Answer::InProgress),
            b(begun().ok(20, 40, abandon("a"), Answer::One(true)), 30, Answer::InProgress),
        ),
        case(
            Rule::MismatchOfNothing,
            b(begun(), 30, Answer::Mismatch),
            begun().ok(30, 31, begin("state", "b", "y"), Answer::Mismatch),
        ),
    ]
}
