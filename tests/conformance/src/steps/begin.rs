//! Beginning steps.

use store_core::{Durability, Error, Fence, Op, StepAttempt, StepBegun, StepState, WorkflowRun};

use super::{attempt, begin, both, carried_out, fail, finish, finished, get, named, of_temporal, started};
use crate::case::cases;
use crate::fixture::{Fixture, secs};
use crate::verdict::{Verdict, check, check_eq, check_matches};

cases! { Op::StepBegin;
    a_new_step_is_carried_out,
    a_finished_step_returns_its_first_output_to_every_attempt,
    the_same_attempt_again_is_a_repetition,
    a_later_attempt_takes_the_step_over,
    an_earlier_attempt_is_refused,
    a_failed_step_begins_again_by_the_same_attempt,
    a_step_keeps_the_time_at_which_it_first_began,
    attempts_of_temporal_are_counted_for_each_step,
    attempts_of_other_runs_are_counted_for_the_run,
    a_restart_replaces_the_attempt_that_it_names,
    a_restart_that_was_carried_out_is_a_repetition,
    a_restart_does_not_reopen_a_finished_step,
    only_a_step_of_temporal_can_be_restarted,
    two_runs_of_one_workflow_share_no_step,
    runs_with_similar_ids_share_no_step,
    any_text_names_a_step,
    a_run_has_at_most_1000_steps,
    an_attempt_is_at_most_2_to_the_53,
    many_begin_at_once,
    it_can_wait_for_the_disk: Fsync,
}

async fn a_new_step_is_carried_out(fixture: Fixture) -> Verdict {
    for run in both(&fixture) {
        let charge = attempt(&run, "charge", 1);
        started(&fixture, &charge).await?;
        let info = get(&fixture, &charge).await?;
        check_eq!(
            info.map(|info| (info.state, info.attempt, info.attempts)),
            Some((StepState::Running, Fence::new(1), 1))
        );
    }
    Ok(())
}

async fn a_finished_step_returns_its_first_output_to_every_attempt(fixture: Fixture) -> Verdict {
    for run in both(&fixture) {
        carried_out(&fixture, &attempt(&run, "charge", 5), "paid").await?;
        for number in [1, 5, 6] {
            check_eq!(begin(&fixture, &attempt(&run, "charge", number)).await?, finished("paid"));
        }
        check_eq!(get(&fixture, &attempt(&run, "charge", 1)).await?.map(|info| info.attempt), Some(Fence::new(5)));
    }
    Ok(())
}

async fn the_same_attempt_again_is_a_repetition(fixture: Fixture) -> Verdict {
    for run in both(&fixture) {
        let charge = attempt(&run, "charge", 3);
        started(&fixture, &charge).await?;
        let first = get(&fixture, &charge).await?;
        fixture.advance(secs(5));
        started(&fixture, &charge).await?;
        check_eq!(get(&fixture, &charge).await?, first);
    }
    Ok(())
}

async fn a_later_attempt_takes_the_step_over(fixture: Fixture) -> Verdict {
    for run in both(&fixture) {
        let (first, second) = (attempt(&run, "charge", 1), attempt(&run, "charge", 2));
        started(&fixture, &first).await?;
        fixture.advance(secs(5));
        started(&fixture, &second).await?;
        let info = get(&fixture, &first).await?;
        check_eq!(info.map(|info| (info.attempt, info.attempts, info.began)), Some((Fence::new(2), 2, fixture.now())));
        check!(!finish(&fixture, &first, "late").await? && !fail(&fixture, &first, "late").await?);
        check!(finish(&fixture, &second, "paid").await?);
    }
    Ok(())
}

async fn an_earlier_attempt_is_refused(fixture: Fixture) -> Verdict {
    for run in both(&fixture) {
        started(&fixture, &attempt(&run, "charge", 10)).await?;
        let before = get(&fixture, &attempt(&run, "charge", 10)).await?;
        let refused = begin(&fixture, &attempt(&run, "charge", 9)).await?;
        check_eq!(refused, StepBegun::Superseded { by: Fence::new(10) });
        check_eq!(get(&fixture, &attempt(&run, "charge", 10)).await?, before);
    }
    Ok(())
}

async fn a_failed_step_begins_again_by_the_same_attempt(fixture: Fixture) -> Verdict {
    for run in both(&fixture) {
        let charge = attempt(&run, "charge", 1);
        started(&fixture, &charge).await?;
        check!(fail(&fixture, &charge, "closed").await?);
        fixture.advance(secs(1));
        started(&fixture, &charge).await?;
        let info = get(&fixture, &charge).await?.unwrap_or_else(|| unreachable!("it was begun"));
        check_eq!((info.state, info.attempts, info.began, info.ended), (StepState::Running, 2, fixture.now(), None));
        check_eq!(info.last_error.as_deref(), Some("closed"));
        check!(finish(&fixture, &charge, "paid").await?);
    }
    Ok(())
}

async fn a_step_keeps_the_time_at_which_it_first_began(fixture: Fixture) -> Verdict {
    let (run, began) = (named(&fixture), fixture.now());
    for number in 1..=3 {
        started(&fixture, &attempt(&run, "charge", number)).await?;
        let info = get(&fixture, &attempt(&run, "charge", number)).await?;
        check_eq!(info.map(|info| (info.first_began, info.began)), Some((began, fixture.now())));
        fixture.advance(secs(1));
    }
    Ok(())
}

async fn attempts_of_temporal_are_counted_for_each_step(fixture: Fixture) -> Verdict {
    let run = of_temporal(&fixture, "run-1");
    started(&fixture, &attempt(&run, "charge", 7)).await?;
    started(&fixture, &attempt(&run, "ship", 1)).await?;
    check!(finish(&fixture, &attempt(&run, "ship", 1), "shipped").await?);
    check!(finish(&fixture, &attempt(&run, "charge", 7), "paid").await?);
    Ok(())
}

async fn attempts_of_other_runs_are_counted_for_the_run(fixture: Fixture) -> Verdict {
    let run = named(&fixture);
    carried_out(&fixture, &attempt(&run, "reserve", 1), "reserved").await?;
    started(&fixture, &attempt(&run, "charge", 1)).await?;
    // Another delivery of the job begins with the step that has not finished.
    check_eq!(begin(&fixture, &attempt(&run, "reserve", 2)).await?, finished("reserved"));
    started(&fixture, &attempt(&run, "audit", 2)).await?;
    // The first delivery is late: it can neither finish what it has begun nor begin what nobody has.
    check!(!finish(&fixture, &attempt(&run, "charge", 1), "late").await?);
    check!(!fail(&fixture, &attempt(&run, "charge", 1), "late").await?);
    for name in ["charge", "ship"] {
        let refused = begin(&fixture, &attempt(&run, name, 1)).await?;
        check_eq!(refused, StepBegun::Superseded { by: Fence::new(2) });
    }
    check_eq!(begin(&fixture, &attempt(&run, "reserve", 1)).await?, finished("reserved"));
    started(&fixture, &attempt(&run, "charge", 2)).await?;
    Ok(())
}

async fn a_restart_replaces_the_attempt_that_it_names(fixture: Fixture) -> Verdict {
    let run = of_temporal(&fixture, "run-1");
    started(&fixture, &attempt(&run, "charge", 5)).await?;
    let other = attempt(&run, "charge", 1).with_restart_of(Fence::new(4));
    check_eq!(begin(&fixture, &other).await?, StepBegun::Superseded { by: Fence::new(5) });
    started(&fixture, &attempt(&run, "charge", 1).with_restart_of(Fence::new(5))).await?;
    check!(!finish(&fixture, &attempt(&run, "charge", 5), "late").await?);
    started(&fixture, &attempt(&run, "charge", 2)).await?;
    check!(finish(&fixture, &attempt(&run, "charge", 2), "paid").await?);
    Ok(())
}

async fn a_restart_that_was_carried_out_is_a_repetition(fixture: Fixture) -> Verdict {
    let run = of_temporal(&fixture, "run-1");
    started(&fixture, &attempt(&run, "charge", 5)).await?;
    let restart = attempt(&run, "charge", 1).with_restart_of(Fence::new(5));
    started(&fixture, &restart).await?;
    let first = get(&fixture, &restart).await?;
    started(&fixture, &restart).await?;
    check_eq!(get(&fixture, &restart).await?, first);
    started(&fixture, &attempt(&run, "charge", 2)).await?;
    check_eq!(begin(&fixture, &restart).await?, StepBegun::Superseded { by: Fence::new(2) });
    Ok(())
}

async fn a_restart_does_not_reopen_a_finished_step(fixture: Fixture) -> Verdict {
    let run = of_temporal(&fixture, "run-1");
    carried_out(&fixture, &attempt(&run, "charge", 5), "paid").await?;
    let restart = attempt(&run, "charge", 1).with_restart_of(Fence::new(5));
    check_eq!(begin(&fixture, &restart).await?, finished("paid"));
    Ok(())
}

async fn only_a_step_of_temporal_can_be_restarted(fixture: Fixture) -> Verdict {
    let restart = attempt(&named(&fixture), "charge", 1).with_restart_of(Fence::new(5));
    check_matches!(begin(&fixture, &restart).await, Err(Error::InvalidArgument { op: Op::StepBegin, .. }));
    Ok(())
}

async fn two_runs_of_one_workflow_share_no_step(fixture: Fixture) -> Verdict {
    carried_out(&fixture, &attempt(&of_temporal(&fixture, "run-1"), "charge", 1), "first").await?;
    carried_out(&fixture, &attempt(&of_temporal(&fixture, "run-2"), "charge", 1), "second").await?;
    check_eq!(begin(&fixture, &attempt(&of_temporal(&fixture, "run-1"), "charge", 2)).await?, finished("first"));
    Ok(())
}

async fn runs_with_similar_ids_share_no_step(fixture: Fixture) -> Verdict {
    let prefix = fixture.text("ids");
    let temporal = |workflow: &str, run: &str| WorkflowRun::temporal(&prefix, workflow, run);
    let queue = fixture.queue("queue");
    let job = |id: &str, at: u64| WorkflowRun::of_job(&queue, &store_core::JobId::new(id).expect("valid"), at_ms(at));
    let runs = [
        temporal("a:b", "c")?,
        temporal("a", "b:c")?,
        temporal("a%3Ab", "c")?,
        temporal("a}:steps", "{b")?,
        temporal("a}:steps{", "b")?,
        temporal("a\0", "b")?,
        temporal("a", "\0b")?,
        WorkflowRun::named(format!("{prefix}:a:b"))?,
        WorkflowRun::named(format!("{prefix}%3Aa%3Ab"))?,
        job("a:1", 1),
        job("a", 11),
        job("a", 1),
    ];
    for (number, run) in runs.iter().enumerate() {
        carried_out(&fixture, &attempt(run, "charge", 1), &number.to_string()).await?;
    }
    for (number, run) in runs.iter().enumerate() {
        check_eq!(begin(&fixture, &attempt(run, "charge", 2)).await?, finished(&number.to_string()));
    }
    Ok(())
}

fn at_ms(millis: u64) -> store_core::Timestamp {
    store_core::Timestamp::from_millis(millis)
}

async fn any_text_names_a_step(fixture: Fixture) -> Verdict {
    let run = of_temporal(&fixture, "run {1}: \n");
    let long = "é".repeat(500);
    let names = ["run", "s", "n0", "o", "a b", "a\0b", "\n", "{a}", "größe ✓", "message", long.as_str()];
    for name in names {
        carried_out(&fixture, &attempt(&run, name, 1), name).await?;
    }
    for name in names {
        check_eq!(begin(&fixture, &attempt(&run, name, 2)).await?, finished(name));
    }
    check!(store_core::StepName::new("x".repeat(1001)).is_err() && store_core::StepName::new("").is_err());
    check!(WorkflowRun::temporal("default", "", "run").is_err());
    check!(WorkflowRun::temporal("default", "order", &"x".repeat(1001)).is_err());
    Ok(())
}

async fn a_run_has_at_most_1000_steps(fixture: Fixture) -> Verdict {
    let run = named(&fixture);
    for number in 0..1000 {
        started(&fixture, &attempt(&run, &format!("step-{number}"), 1)).await?;
    }
    let refused = begin(&fixture, &attempt(&run, "one-more", 1)).await;
    check_matches!(&refused, Err(error @ Error::InvalidArgument { op: Op::StepBegin, .. }) if error.to_string().contains("1000"));
    started(&fixture, &attempt(&run, "step-7", 2)).await?;
    Ok(())
}

async fn an_attempt_is_at_most_2_to_the_53(fixture: Fixture) -> Verdict {
    for run in both(&fixture) {
        let most = attempt(&run, "charge", StepAttempt::MAX_ATTEMPT.get());
        started(&fixture, &most).await?;
        let refused = begin(&fixture, &attempt(&run, "charge", 7)).await?;
        check_eq!(refused, StepBegun::Superseded { by: StepAttempt::MAX_ATTEMPT });
        let above = attempt(&run, "charge", StepAttempt::MAX_ATTEMPT.get() + 1);
        check_matches!(begin(&fixture, &above).await, Err(Error::InvalidArgument { op: Op::StepBegin, .. }));
    }
    Ok(())
}

async fn many_begin_at_once(fixture: Fixture) -> Verdict {
    let run = of_temporal(&fixture, "run-1");
    let mut tasks = tokio::task::JoinSet::new();
    for number in 1..=20 {
        let (state, charge) = (std::sync::Arc::clone(&fixture.state), attempt(&run, "charge", number));
        tasks.spawn(async move { state.steps().begin(&charge, Durability::Accepted).await });
    }
    while let Some(answer) = tasks.join_next().await {
        check_matches!(answer??.value, StepBegun::Started | StepBegun::Superseded { .. });
    }
    check_eq!(get(&fixture, &attempt(&run, "charge", 1)).await?.map(|info| info.attempt), Some(Fence::new(20)));
    Ok(())
}

async fn it_can_wait_for_the_disk(fixture: Fixture) -> Verdict {
    let durability = Durability::Fsynced { within: secs(10) };
    let charge = attempt(&named(&fixture), "charge", 1);
    let receipt = fixture.state.steps().begin(&charge, durability).await?;
    check!(receipt.value.is_started() && receipt.reached.on_disk);
    Ok(())
}
