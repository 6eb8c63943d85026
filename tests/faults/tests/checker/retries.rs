use faults::checker::Rule;
use faults::history::{Answer, Call};

use crate::written::Written;
use crate::{Case, case};

fn operation() -> String {
    "o".to_owned()
}

/// An attempt for 1 s.
fn begin(request: &str) -> Call {
    Call::BeginTry { operation: operation(), request: request.to_owned(), max: 3, lasting_ms: 1000 }
}

fn fail(fence: u64) -> Call {
    Call::FailTry { operation: operation(), fence }
}

fn succeed(fence: u64) -> Call {
    Call::SucceedTry { operation: operation(), fence }
}

fn clear() -> Call {
    Call::ClearTries { operation: operation() }
}

fn attempt(number: u32, fence: u64) -> Answer {
    Answer::Try { number, fence }
}

/// `a` has begun at 10 under the fence 5.
fn begun() -> Written {
    Written::new().ok(10, 11, begin("a"), attempt(1, 5))
}

/// Another attempt begins.
fn b(written: Written, at: u64, fence: u64) -> Written {
    written.ok(at, at + 1, begin("b"), attempt(2, fence))
}

pub(crate) fn cases() -> Vec<Case> {
    let (yes, no) = (|| Answer::One(true), || Answer::One(false));
    let exhausted = || begun().ok(20, 21, fail(5), Answer::Exhausted);
    vec![
        case(Rule::TriesOverlap, b(begun(), 500, 9), b(begun(), 1010, 9)),
        case(
            Rule::TriesOverlap,
            b(begun().not_executed(20, 21, fail(5)), 500, 9),
            b(begun().unknown(20, 21, fail(5)), 500, 9),
        ),
        case(
            Rule::TriesOverlap,
            b(begun().ok(5, 6, clear(), no()), 500, 9),
            b(begun().ok(20, 21, clear(), yes()), 500, 9),
        ),
        case(
            Rule::TooManyTries,
            Written::new().ok(10, 11, begin("a"), attempt(4, 5)),
            Written::new().ok(10, 11, begin("a"), attempt(3, 5)),
        ),
        case(Rule::TryFence, b(begun(), 1500, 4), b(begun(), 1500, 6)),
        case(
            Rule::StaleTry,
            b(begun(), 1500, 9).ok(1600, 1601, succeed(5), yes()),
            b(begun(), 1500, 9).ok(1600, 1601, succeed(5), no()),
        ),
        case(
            Rule::StaleTry,
            b(begun(), 1500, 9).ok(1600, 1601, fail(5), Answer::Waits),
            b(begun(), 1500, 9).ok(1500, 1601, fail(5), Answer::Waits),
        ),
        case(Rule::TryAfterExhausted, b(exhausted(), 1500, 9), b(exhausted().ok(30, 31, clear(), yes()), 1500, 9)),
        case(
            Rule::TryAfterExhausted,
            b(begun().ok(1400, 1401, begin("c"), Answer::Exhausted).not_executed(1450, 1451, clear()), 1500, 9),
            b(begun().ok(1400, 1401, begin("c"), Answer::Exhausted).unknown(1450, 1451, clear()), 1500, 9),
        ),
    ]
}
