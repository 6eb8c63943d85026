//! The short form of a run; and the checker finds falsified histories.

use std::path::Path;
use std::time::Duration;

use faults::checker::{Rule, check};
use faults::history::{Answer, Call, History, Operation, Outcome, Reply, Settle};
use faults::{Options, read_kept, run};

/// Fixed seeds: the same plans in each run of the tests.
const SEEDS: [u64; 2] = [1, 7];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_run_breaks_no_rule() {
    for seed in SEEDS {
        let folder = tempfile::Builder::new().prefix("faults-short-").tempdir().unwrap();
        let mut options = Options::new(seed, folder.path());
        options.duration = Duration::from_secs(5);
        options.program = Some(env!("CARGO_BIN_EXE_faults").into());
        let verdict = Box::pin(run(&options)).await.unwrap().verdict;
        println!("seed {seed}\n{}", verdict.tally);
        if !verdict.violations.is_empty() {
            let kept = folder.keep();
            let list: Vec<_> = verdict.violations.iter().map(ToString::to_string).collect();
            panic!("seed {seed}, history kept in {}:\n{}", kept.display(), list.join("\n"));
        }
        assert!(verdict.tally.completed > 100, "seed {seed}: hardly anything was done");
        assert!(
            verdict.tally.operations["home.deliver"].acknowledged > 20,
            "seed {seed}: hardly anything was delivered"
        );
        check_falsified(seed, folder.path());
    }
}

/// The checker finds that a real history was falsified.
fn check_falsified(seed: u64, folder: &Path) {
    let history = read_kept(folder).expect("the history was just read");
    let found = |history: &History| -> Vec<Rule> {
        check(history).violations.into_iter().map(|violation| violation.rule).collect()
    };
    assert!(found(&without_a_completion(&history)).contains(&Rule::JobLost), "seed {seed}: a completion is missing");
    assert!(found(&with_swapped_fences(&history)).contains(&Rule::ClaimFence), "seed {seed}: two fences are swapped");
    let lost = found(&without_an_arrival(&history));
    let caught = lost.contains(&Rule::JobLost) && lost.contains(&Rule::TopicEventLost);
    assert!(caught, "seed {seed}: nothing that commits have sent arrived, found {lost:?}");
    let twice = found(&with_a_second_start(&history));
    let caught = twice.iter().any(|rule| matches!(rule, Rule::TwoAttempts | Rule::ResponseLost));
    assert!(caught, "seed {seed}: a request is begun twice, found {twice:?}");
}

/// Drops the settlement of a job that was pushed, claimed once and completed, and nothing else.
fn without_a_completion(history: &History) -> History {
    let mut changed = history.clone();
    let counts = |operation: &Operation| operation.answer() == Some(&Answer::Each(vec![true]));
    let only = |operation: &Operation, id: &str| {
        history
            .operations
            .iter()
            .filter(|other| !matches!(other.call, Call::Push { .. } | Call::Claim { .. }))
            .all(|other| other.id == operation.id || matches!(other.call, Call::Handle { .. }) || !names(other, id))
    };
    let dropped = history.operations.iter().find(|operation| match &operation.call {
        Call::Settle { settlements, .. } => match settlements.as_slice() {
            [Settle { job, outcome: Outcome::Complete, .. }] => counts(operation) && only(operation, job),
            _ => false,
        },
        _ => false,
    });
    let dropped = dropped.expect("a job that is simply completed").id;
    changed.operations.retain(|operation| operation.id != dropped);
    changed
}

fn names(operation: &Operation, id: &str) -> bool {
    format!("{:?} {:?}", operation.call, operation.reply).contains(id)
}

/// Drops everything that happened to the jobs and events that commits have sent.
fn without_an_arrival(history: &History) -> History {
    let is_sent = |text: &str| text.ends_with("-sent");
    let mut changed = history.clone();
    for operation in &mut changed.operations {
        match (&mut operation.call, &mut operation.reply) {
            (Call::Settle { settlements, .. }, Some(Reply::Ok(Answer::Each(answers)))) => {
                let mut kept = settlements.iter().map(|settlement| !is_sent(&settlement.job));
                answers.retain(|_| kept.next().unwrap_or(true));
                settlements.retain(|settlement| !is_sent(&settlement.job));
            }
            (Call::Settle { settlements, .. }, _) => settlements.retain(|settlement| !is_sent(&settlement.job)),
            (Call::List { .. }, Some(Reply::Ok(Answer::Names(names)))) => names.retain(|name| !is_sent(name)),
            (_, Some(Reply::Ok(Answer::Events { events, .. }))) => events.retain(|event| !is_sent(&event.event)),
            _ => {}
        }
    }
    changed
}

/// Swaps the fences of two claims of one queue that followed each other.
fn with_swapped_fences(history: &History) -> History {
    let mut changed = history.clone();
    let fence = |operation: &Operation| match (&operation.call, operation.answer()) {
        (Call::Claim { queue, .. }, Some(Answer::Claimed { jobs, .. })) => Some((queue.clone(), jobs.first()?.fence)),
        _ => None,
    };
    let claims =
        || history.operations.iter().enumerate().filter_map(|(index, claim)| Some((index, claim, fence(claim)?)));
    let (first, claim, (queue, one)) = claims().next().expect("a claim");
    let later = claims().find(|(_, later, (of, _))| later.start > claim.end && *of == queue);
    let (second, _, (_, other)) = later.expect("another claim");
    for (index, fence) in [(first, other), (second, one)] {
        if let Some(Reply::Ok(Answer::Claimed { jobs, .. })) = &mut changed.operations[index].reply {
            jobs.iter_mut().for_each(|job| job.fence = fence);
        }
    }
    changed
}

/// Lets another attempt begin directly after one of the state store has.
fn with_a_second_start(history: &History) -> History {
    let mut changed = history.clone();
    let lasting = history.operations.iter().position(|operation| {
        let is_state = matches!(&operation.call, Call::Begin { store, .. } if store == "state");
        is_state
            && operation.answer() == Some(&Answer::Started)
            && !history.operations.iter().any(|next| {
                next.start >= operation.start
                    && next.start < operation.end + 20_000
                    && next.actor == operation.actor
                    && matches!(next.call, Call::Finish { .. } | Call::Abandon { .. })
            })
    });
    let mut second = history.operations[lasting.expect("a request that was begun")].clone();
    let length = second.end - second.start;
    (second.id, second.start, second.end) = (u64::MAX, second.end + 1, second.end + 1 + length.min(10_000));
    if let Call::Begin { attempt, .. } = &mut second.call {
        attempt.push('x');
    }
    changed.operations.push(second);
    changed.operations.sort_by_key(|operation| operation.start);
    changed
}
