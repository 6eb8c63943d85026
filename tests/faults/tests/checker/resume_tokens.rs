use faults::checker::Rule;
use faults::history::{Answer, Call, SavedToken};

use crate::written::Written;
use crate::{Case, case};

fn save(token: &str, fence: u64, expected: Option<u64>) -> Call {
    let (stream, request) = ("s".to_owned(), format!("request of {token}"));
    Call::Save { stream, token: token.to_owned(), fence, expected, request }
}

fn take_over(fence: u64) -> Call {
    Call::TakeOver { stream: "s".to_owned(), fence }
}

fn stored(token: &str, version: u64) -> Option<SavedToken> {
    Some(SavedToken { token: token.to_owned(), version })
}

fn loaded(written: Written, at: u64, token: Option<SavedToken>) -> Written {
    written.ok(at, at + 1, Call::Load { stream: "s".to_owned() }, Answer::Token(token))
}

/// The first position is saved under the fence 5.
fn one() -> Written {
    let begun = Written::new().ok(1, 2, take_over(5), Answer::Token(None));
    begun.ok(10, 11, save("1 a", 5, None), Answer::Saved(100))
}

/// The first two positions.
fn two() -> Written {
    one().ok(20, 21, save("2 a", 5, Some(100)), Answer::Saved(101))
}

/// A later holder has taken over at 30.
fn taken_over() -> Written {
    two().ok(30, 31, take_over(9), Answer::Token(stored("2 a", 101)))
}

pub(crate) fn cases() -> Vec<Case> {
    [fences(), positions(), answers()].into_iter().flatten().collect()
}

fn fences() -> Vec<Case> {
    let third = |written: Written, answer| written.ok(40, 41, save("3 a", 5, Some(101)), answer);
    let superseded = || two().ok(30, 31, save("3 b", 5, Some(101)), Answer::Superseded(9));
    let repeated = |written: Written| {
        let begun = written.ok(30, 31, take_over(9), Answer::Token(stored("1 b", 100)));
        begun.ok(40, 41, save("1 b", 5, None), Answer::Saved(100))
    };
    vec![
        case(Rule::TokenFence, third(taken_over(), Answer::Saved(102)), third(taken_over(), Answer::Superseded(9))),
        case(Rule::TokenFence, third(superseded(), Answer::Saved(102)), third(superseded(), Answer::Superseded(9))),
        // a save that was sent before the take-over was answered
        case(
            Rule::TokenFence,
            taken_over().ok(32, 41, save("3 a", 5, Some(101)), Answer::Saved(102)),
            taken_over().ok(30, 41, save("3 a", 5, Some(101)), Answer::Saved(102)),
        ),
        case(
            Rule::TokenFence,
            taken_over().ok(40, 41, take_over(5), Answer::Token(stored("2 a", 101))),
            taken_over().ok(40, 41, take_over(9), Answer::Token(stored("2 a", 101))),
        ),
        // the repetition of a save gets the answer of its first copy
        case(
            Rule::TokenFence,
            repeated(Written::new().not_executed(10, 11, save("1 b", 5, None))),
            repeated(Written::new().unknown(10, 11, save("1 b", 5, None))),
        ),
    ]
}

fn positions() -> Vec<Case> {
    vec![
        case(
            Rule::PositionRepeated,
            one().ok(20, 21, save("1 b", 5, None), Answer::Saved(101)),
            one().ok(20, 21, save("1 b", 5, None), Answer::Conflict(stored("1 a", 100))),
        ),
        // two saves replace one version
        case(
            Rule::PositionRepeated,
            two().ok(30, 31, save("3 a", 5, Some(100)), Answer::Saved(102)),
            two().ok(30, 31, save("3 a", 5, Some(100)), Answer::Conflict(stored("2 a", 101))),
        ),
        // an answer shows that a save without an answer was executed
        case(
            Rule::PositionRepeated,
            loaded(two().unknown(22, 23, save("2 b", 5, Some(100))), 30, stored("2 b", 102)),
            loaded(two().unknown(22, 23, save("2 b", 5, Some(100))), 30, stored("2 a", 101)),
        ),
        case(
            Rule::PositionSkipped,
            one().ok(30, 31, save("3 a", 5, Some(100)), Answer::Saved(101)),
            one().unknown(20, 21, save("2 a", 5, Some(100))).ok(30, 31, save("3 a", 5, Some(101)), Answer::Saved(102)),
        ),
        case(
            Rule::PositionSkipped,
            Written::new().ok(10, 11, save("2 a", 5, None), Answer::Saved(100)),
            Written::new().ok(10, 11, save("1 a", 5, None), Answer::Saved(100)),
        ),
    ]
}

fn answers() -> Vec<Case> {
    vec![
        case(Rule::TokenLost, loaded(two(), 30, stored("1 a", 100)), loaded(two(), 30, stored("2 a", 101))),
        case(Rule::TokenLost, loaded(one(), 30, None), loaded(one(), 5, None)),
        case(
            Rule::TokenLost,
            taken_over().ok(40, 41, take_over(9), Answer::Token(stored("1 a", 100))),
            taken_over().ok(40, 41, take_over(9), Answer::Token(stored("2 a", 101))),
        ),
        case(
            Rule::TokenUnknown,
            loaded(one().not_executed(20, 21, save("2 b", 5, Some(100))), 30, stored("2 b", 101)),
            loaded(one().unknown(20, 21, save("2 b", 5, Some(100))), 30, stored("2 b", 101)),
        ),
        case(
            Rule::TokenUnknown,
            loaded(one().unknown(20, 21, save("2 b", 5, Some(100))), 30, stored("2 b", 100)),
            loaded(one().unknown(20, 21, save("2 b", 5, Some(100))), 30, stored("1 a", 100)),
        ),
    ]
}
