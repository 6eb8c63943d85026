//! The short form of a run of 100 contenders for one resume token; and the checker finds falsified histories.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use faults::checker::{Rule, check};
use faults::history::{Answer, Call, History, Operation, Reply};
use faults::{Options, contend, read_kept};

/// Fixed seeds: the same plans in each run of the tests. The later ones are for slow machines, on which a run may have no operation for
/// some falsification.
const SEEDS: [u64; 5] = [1, 7, 13, 19, 29];

/// How many seeds are always run.
const ALWAYS: usize = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contenders_write_under_no_older_fence_and_no_position_is_skipped_or_repeated() {
    let mut caught = BTreeSet::new();
    for (index, seed) in SEEDS.into_iter().enumerate() {
        if index >= ALWAYS && caught.len() == FALSIFICATIONS.len() {
            break;
        }
        let folder = tempfile::Builder::new().prefix("faults-contention-").tempdir().unwrap();
        let mut options = Options::new(seed, folder.path());
        options.duration = Duration::from_secs(6);
        options.program = Some(env!("CARGO_BIN_EXE_faults").into());
        let verdict = Box::pin(contend(&options)).await.unwrap().verdict;
        println!("seed {seed}\n{}", verdict.tally);
        if !verdict.violations.is_empty() {
            let kept = folder.keep();
            let list: Vec<_> = verdict.violations.iter().map(ToString::to_string).collect();
            panic!("seed {seed}, history kept in {}:\n{}", kept.display(), list.join("\n"));
        }
        let history = read_kept(folder.path()).expect("the history was just read");
        check_activity(seed, &history, folder.path());
        caught.extend(check_falsified(seed, &history));
    }
    assert_eq!(caught.len(), FALSIFICATIONS.len(), "only {caught:?} had an operation to falsify");
}

/// All contenders took part, and tokens were saved under several fences.
#[allow(clippy::print_stdout, reason = "shown when it fails")]
fn check_activity(seed: u64, history: &History, folder: &Path) {
    let saves = || history.operations.iter().filter(|operation| matches!(operation.call, Call::Save { .. }));
    let mut fences: Vec<_> = saves().filter(|save| is_saved(save)).map(fence).collect();
    let saved = fences.len();
    fences.sort_unstable();
    fences.dedup();
    let refused = saves().filter(|save| matches!(save.answer(), Some(Answer::Superseded(_)))).count();
    let conflicts = saves().filter(|save| matches!(save.answer(), Some(Answer::Conflict(_)))).count();
    let acquisitions = history.operations.iter().filter(|operation| matches!(operation.call, Call::Acquire { .. }));
    let contenders: BTreeSet<_> = acquisitions.map(|operation| &operation.actor).collect();
    println!(
        "seed {seed}: {saved} saves under {} fences, {refused} superseded, {conflicts} conflicts, {} contenders",
        fences.len(),
        contenders.len()
    );
    assert!(contenders.len() >= 100, "{} contenders in {}", contenders.len(), folder.display());
    assert!(saved > 30 && fences.len() > 3, "seed {seed}: hardly anything was done");
}

fn is_saved(operation: &Operation) -> bool {
    matches!(operation.answer(), Some(Answer::Saved(_)))
}

fn fence(operation: &Operation) -> u64 {
    match operation.call {
        Call::Save { fence, .. } | Call::TakeOver { fence, .. } | Call::BeginStep { fence, .. } => fence,
        _ => 0,
    }
}

/// A rule, and how a real history is falsified so that it breaks the rule.
type Falsification = (Rule, fn(&History) -> Option<History>);

const FALSIFICATIONS: [Falsification; 6] = [
    (Rule::TokenFence, with_a_stale_save),
    (Rule::PositionSkipped, without_a_position),
    (Rule::PositionRepeated, with_a_repeated_position),
    (Rule::TokenLost, with_a_lost_token),
    (Rule::StepFence, with_a_stale_begin),
    (Rule::StepRepeated, with_a_repeated_step),
];

/// The checker finds that a real history was falsified. Returns the rules for which there was an operation to falsify.
fn check_falsified(seed: u64, history: &History) -> Vec<Rule> {
    let mut caught = Vec::new();
    for (rule, falsify) in FALSIFICATIONS {
        let Some(falsified) = falsify(history) else { continue };
        let found: Vec<_> = check(&falsified).violations.into_iter().map(|violation| violation.rule).collect();
        assert!(found.contains(&rule), "seed {seed}: {rule} is not found, but {found:?}");
        caught.push(rule);
    }
    caught
}

/// Changes the first operation to which `change` applies.
fn changed(history: &History, change: impl Fn(&mut Operation) -> bool) -> Option<History> {
    let mut changed = history.clone();
    changed.operations.iter_mut().any(change).then_some(changed)
}

/// Accepts a save that was refused because of its fence.
fn with_a_stale_save(history: &History) -> Option<History> {
    let take_overs = history.operations.iter().filter(|operation| {
        matches!((&operation.call, operation.answer()), (Call::TakeOver { .. }, Some(Answer::Token(_))))
    });
    let take_overs: Vec<_> = take_overs.map(|operation| (fence(operation), operation.end)).collect();
    changed(history, |operation| {
        let is_refused =
            matches!((&operation.call, operation.answer()), (Call::Save { .. }, Some(Answer::Superseded(_))))
                && take_overs.iter().any(|(later, end)| *later > fence(operation) && *end < operation.start);
        if is_refused {
            operation.reply = Some(Reply::Ok(Answer::Saved(u64::MAX)));
        }
        is_refused
    })
}

/// Drops an acknowledged save in the middle.
fn without_a_position(history: &History) -> Option<History> {
    let mut changed = history.clone();
    let saved: Vec<_> = history.operations.iter().filter(|operation| is_saved(operation)).collect();
    let dropped = saved.get(saved.len() / 2)?;
    let Call::Save { token, .. } = &dropped.call else { return None };
    let position = format!("{} ", token.split(' ').next()?);
    // also other saves of the position, which may have been executed
    changed.operations.retain(|operation| match &operation.call {
        Call::Save { token, .. } => !token.starts_with(&position),
        _ => true,
    });
    Some(changed)
}

/// Accepts a save that was a conflict.
fn with_a_repeated_position(history: &History) -> Option<History> {
    let expected = |operation: &Operation| match operation.call {
        Call::Save { expected, .. } => expected,
        _ => None,
    };
    let replaced: BTreeSet<_> =
        history.operations.iter().filter(|operation| is_saved(operation)).filter_map(expected).collect();
    changed(history, |operation| {
        let is_conflict = matches!(operation.answer(), Some(Answer::Conflict(_)))
            && expected(operation).is_some_and(|version| replaced.contains(&version));
        if is_conflict {
            operation.reply = Some(Reply::Ok(Answer::Saved(u64::MAX)));
        }
        is_conflict
    })
}

/// The last take-over or load returns the first token that was saved.
fn with_a_lost_token(history: &History) -> Option<History> {
    let mut changed = history.clone();
    let first = history.operations.iter().find_map(|operation| match operation.answer() {
        Some(Answer::Token(Some(token))) => Some(token.clone()),
        _ => None,
    });
    let last =
        changed.operations.iter_mut().rev().find(|operation| matches!(operation.answer(), Some(Answer::Token(_))));
    last?.reply = Some(Reply::Ok(Answer::Token(Some(first?))));
    Some(changed)
}

/// Lets a stale holder begin a step.
fn with_a_stale_begin(history: &History) -> Option<History> {
    let begun: Vec<_> =
        history.operations.iter().filter(|operation| operation.answer() == Some(&Answer::Started)).collect();
    let run = |operation: &Operation| match &operation.call {
        Call::BeginStep { run, .. } => Some(run.clone()),
        _ => None,
    };
    changed(history, |operation| {
        let is_later = |begun: &&Operation| fence(begun) > fence(operation) && begun.end < operation.start;
        let is_refused = run(operation).is_some()
            && matches!(operation.answer(), Some(Answer::Superseded(_)))
            && begun.iter().any(|begun| run(begun) == run(operation) && is_later(begun));
        if is_refused {
            operation.reply = Some(Reply::Ok(Answer::Started));
        }
        is_refused
    })
}

/// Lets a step begin whose output was recorded and acknowledged.
fn with_a_repeated_step(history: &History) -> Option<History> {
    let is_recorded = |begin: &Operation, of: &str, output: &str| {
        history.operations.iter().any(|finish| match &finish.call {
            Call::FinishStep { step, output: recorded, .. } => {
                let is_it = step == of && recorded == output && finish.answer() == Some(&Answer::One(true));
                is_it && finish.end < begin.start
            }
            _ => false,
        })
    };
    changed(history, |operation| {
        let (Call::BeginStep { step, .. }, Some(Answer::Finished(output))) = (&operation.call, operation.answer())
        else {
            return false;
        };
        let is_it = is_recorded(operation, step, output);
        if is_it {
            operation.reply = Some(Reply::Ok(Answer::Started));
        }
        is_it
    })
}
