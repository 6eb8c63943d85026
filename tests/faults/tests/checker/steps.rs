use faults::checker::Rule;
use faults::history::{Answer, Call};

use crate::written::Written;
use crate::{Case, case};

fn begin(step: &str, fence: u64) -> Call {
    Call::BeginStep { run: "r".to_owned(), step: step.to_owned(), fence }
}

fn finish(fence: u64, output: &str) -> Call {
    Call::FinishStep { run: "r".to_owned(), step: "one".to_owned(), fence, output: output.to_owned() }
}

fn fail(fence: u64) -> Call {
    Call::FailStep { run: "r".to_owned(), step: "one".to_owned(), fence }
}

fn output(text: &str) -> Answer {
    Answer::Finished(text.to_owned())
}

/// The first step has begun under the fence 5.
fn begun() -> Written {
    Written::new().ok(10, 11, begin("one", 5), Answer::Started)
}

/// It has finished with `x`.
fn finished() -> Written {
    begun().ok(20, 21, finish(5, "x"), Answer::One(true))
}

/// A later attempt has begun the first step.
fn taken_over() -> Written {
    begun().ok(15, 16, begin("one", 9), Answer::Started)
}

pub(crate) fn cases() -> Vec<Case> {
    let (yes, no) = (|| Answer::One(true), || Answer::One(false));
    // the second attempt begins another step of the run
    let second = |written: Written| written.ok(30, 31, begin("two", 9), Answer::Started);
    let superseded = || begun().ok(30, 31, begin("two", 5), Answer::Superseded(9));
    vec![
        case(
            Rule::StepFence,
            second(finished()).ok(40, 41, begin("three", 5), Answer::Started),
            second(finished()).ok(40, 41, begin("three", 5), Answer::Superseded(9)),
        ),
        case(
            Rule::StepFence,
            superseded().ok(40, 41, begin("three", 5), Answer::Started),
            superseded().ok(30, 41, begin("three", 5), Answer::Started),
        ),
        case(
            Rule::StepFence,
            taken_over().ok(20, 21, finish(5, "x"), yes()),
            taken_over().ok(20, 21, finish(5, "x"), no()),
        ),
        case(Rule::StepFence, taken_over().ok(20, 21, fail(5), yes()), taken_over().ok(20, 21, fail(5), no())),
        // the repetition of an end gets the answer of its first copy
        case(
            Rule::StepFence,
            second(begun().not_executed(20, 21, finish(5, "x"))).ok(40, 41, finish(5, "x"), yes()),
            second(begun().unknown(20, 21, finish(5, "x"))).ok(40, 41, finish(5, "x"), yes()),
        ),
        case(
            Rule::StepRepeated,
            finished().ok(30, 31, begin("one", 9), Answer::Started),
            finished().ok(30, 31, begin("one", 9), output("x")),
        ),
        case(
            Rule::OutputChanged,
            finished().unknown(12, 13, finish(5, "y")).ok(30, 31, begin("one", 9), output("y")),
            finished().unknown(12, 13, finish(5, "y")).ok(30, 31, begin("one", 9), output("x")),
        ),
        case(
            Rule::OutputChanged,
            finished().ok(30, 31, finish(9, "y"), yes()),
            finished().ok(30, 31, finish(9, "y"), no()),
        ),
        case(
            Rule::OutputUnknown,
            begun().not_executed(20, 21, finish(5, "x")).ok(30, 31, begin("one", 9), output("x")),
            begun().unknown(20, 21, finish(5, "x")).ok(30, 31, begin("one", 9), output("x")),
        ),
    ]
}
