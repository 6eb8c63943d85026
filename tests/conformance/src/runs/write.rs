//! Writing runs: transitions, payloads, versions, fences.

use store_core::{Error, Fence, Op, RequestId, RunEvent, RunInfo, RunOutcome, RunState, RunWrite};

use super::{ACCEPTED, created, id, in_states, kinds, new, note, write, written};
use crate::case::cases;
use crate::fixture::{Fixture, secs};
use crate::verdict::{Verdict, check, check_eq, check_matches};

cases! { Op::RunWrite;
    every_legal_transition_is_done_and_no_other,
    a_completion_never_overwrites_a_cancel,
    another_service_can_cancel_a_run,
    of_two_resumes_one_wins,
    a_run_that_has_ended_takes_no_writes,
    a_repetition_returns_what_the_first_write_returned,
    each_change_raises_the_version_and_an_append_does_not,
    a_write_without_a_transition_appends_no_event_of_its_own,
    a_change_needs_a_version,
    an_earlier_fence_writes_nothing,
    there_is_no_write_of_an_absent_run,
    what_is_too_large_is_refused,
}

use RunState::{Awaiting, Cancelled, Cancelling, Completed, Failed, InProgress};

/// Transitions that lead to a state.
fn path(state: RunState) -> &'static [RunState] {
    match state {
        InProgress => &[InProgress],
        Awaiting => &[InProgress, Awaiting],
        Completed => &[InProgress, Completed],
        Failed => &[Failed],
        Cancelling => &[Cancelling],
        Cancelled => &[Cancelling, Cancelled],
        _ => &[],
    }
}

async fn every_legal_transition_is_done_and_no_other(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    for (number, (from, to)) in RunState::ALL.iter().flat_map(|a| RunState::ALL.map(|b| (*a, b))).enumerate() {
        let run = in_states(&fixture, &number.to_string(), path(from)).await?;
        check_eq!(run.state, from);
        let outcome = write(&fixture, &RunWrite::new(run.run.clone()).to(to, run.version)).await?;
        if from.may_become(to) {
            let events = run.next_event + u64::from(from != to);
            let RunOutcome::Done(now) = outcome else {
                return Err(crate::BrokenPromise::new(format!("{from} to {to}: {outcome:?}")));
            };
            check_eq!((now.state, now.next_event, now.ended.is_some()), (to, events, to.is_ended()));
        } else {
            check_eq!(outcome, RunOutcome::Illegal(run.clone()));
        }
    }
    Ok(())
}

async fn a_completion_never_overwrites_a_cancel(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    let run = in_states(&fixture, "1", &[InProgress]).await?;
    written(&fixture, &RunWrite::new(id("1")).to(Cancelling, run.version)).await?;
    let complete = |version| RunWrite::new(id("1")).to(Completed, version).with_output("done").with_event(note("late"));
    let RunOutcome::Conflict(current) = write(&fixture, &complete(run.version)).await? else {
        return Err(crate::BrokenPromise::new("the completion was done"));
    };
    // Nor with the version of the cancellation.
    check_matches!(write(&fixture, &complete(current.version)).await?, RunOutcome::Illegal(RunInfo { .. }));
    let found = fixture.state.runs().get(&id("1")).await?;
    check_eq!(found.map(|run| (run.state, run.output)), Some((Cancelling, None)));
    check_eq!(kinds(&fixture, "1").await?, ["run.created", "run.in-progress", "run.cancelling"]);
    Ok(())
}

async fn another_service_can_cancel_a_run(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    let run = in_states(&fixture, "1", &[InProgress]).await?;
    let cancel = RunWrite::new(id("1")).to(Cancelling, run.version);
    check!(fixture.other_state.runs().write(&cancel, ACCEPTED).await?.value.done().is_some());
    check_eq!(fixture.state.runs().get(&id("1")).await?.map(|run| run.state), Some(Cancelling));
    Ok(())
}

async fn of_two_resumes_one_wins(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    let run = in_states(&fixture, "1", &[InProgress, Awaiting]).await?;
    let resume = || RunWrite::new(id("1")).to(InProgress, run.version);
    let (one, other) = (resume(), resume());
    let (one, other) = tokio::join!(write(&fixture, &one), write(&fixture, &other));
    let outcomes = [one?, other?];
    let won = outcomes.iter().filter(|outcome| matches!(outcome, RunOutcome::Done(_))).count();
    let lost = outcomes.iter().filter(|outcome| matches!(outcome, RunOutcome::Conflict(_))).count();
    check!((won, lost) == (1, 1), "{outcomes:?}");
    Ok(())
}

async fn a_run_that_has_ended_takes_no_writes(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    for (name, state) in [("1", Completed), ("2", Failed), ("3", Cancelled)] {
        let run = in_states(&fixture, name, path(state)).await?;
        let writes = [
            RunWrite::new(id(name)).with_event(note("late")),
            RunWrite::new(id(name)).with_event(note("late")).at_sequence(run.next_event),
            RunWrite::new(id(name)).at_version(run.version).with_output("late"),
        ];
        for request in writes {
            check_eq!(write(&fixture, &request).await?, RunOutcome::Illegal(run.clone()));
        }
    }
    Ok(())
}

async fn a_repetition_returns_what_the_first_write_returned(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    let run = in_states(&fixture, "1", &[]).await?;
    let begin = RunWrite::new(id("1")).to(InProgress, run.version).with_event(note("one"));
    let begun = written(&fixture, &begin).await?;
    check_eq!(written(&fixture, &begin).await?, begun.clone());
    // The same write of another process is another one.
    let other = begin.clone().with_request(RequestId::generate());
    check_eq!(write(&fixture, &other).await?, RunOutcome::Conflict(begun.clone()));
    let end = RunWrite::new(id("1")).to(Completed, begun.version).with_output("done");
    let ended = written(&fixture, &end).await?;
    check_eq!(written(&fixture, &end).await?, ended);
    check_eq!(kinds(&fixture, "1").await?, ["run.created", "note", "run.in-progress", "run.completed"]);
    Ok(())
}

async fn each_change_raises_the_version_and_an_append_does_not(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    let run = in_states(&fixture, "1", &[InProgress]).await?;
    fixture.advance(secs(1));
    let appended = written(&fixture, &RunWrite::new(id("1")).with_event(note("one"))).await?;
    check_eq!((appended.version, appended.updated), (run.version, run.updated));
    let progress = RunWrite::new(id("1")).at_version(run.version).with_output("so far");
    let changed = written(&fixture, &progress).await?;
    check!(changed.version > run.version);
    check_eq!(changed.updated, fixture.now());
    // An append may present a version too.
    let stale = RunWrite::new(id("1")).with_event(note("two")).at_version(run.version);
    check_eq!(write(&fixture, &stale).await?, RunOutcome::Conflict(changed));
    Ok(())
}

async fn a_write_without_a_transition_appends_no_event_of_its_own(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    let run = in_states(&fixture, "1", &[InProgress]).await?;
    let same = RunWrite::new(id("1")).to(InProgress, run.version).with_output("so far");
    let run = written(&fixture, &same).await?;
    written(&fixture, &RunWrite::new(id("1")).at_version(run.version).with_await_request("yes?")).await?;
    check_eq!(kinds(&fixture, "1").await?, ["run.created", "run.in-progress"]);
    Ok(())
}

async fn a_change_needs_a_version(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    created(&fixture, &new("1")).await?;
    let mut blind = RunWrite::new(id("1"));
    blind.state = Some(InProgress);
    let nothing = [
        blind,
        RunWrite::new(id("1")).with_output("done"),
        RunWrite::new(id("1")),
        RunWrite::new(id("1")).at_version(1),
        RunWrite::new(id("1")).at_version(1).at_sequence(1).with_output("done"),
    ];
    for request in nothing {
        check_matches!(write(&fixture, &request).await, Err(Error::InvalidArgument { op: Op::RunWrite, .. }));
    }
    Ok(())
}

async fn an_earlier_fence_writes_nothing(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    let run = in_states(&fixture, "1", &[]).await?;
    let begin = RunWrite::new(id("1")).to(InProgress, run.version).with_fence(Fence::new(7));
    let run = written(&fixture, &begin).await?;
    check_eq!(run.fence, Some(Fence::new(7)));
    let superseded = RunOutcome::Superseded { by: Fence::new(7) };
    let stale = RunWrite::new(id("1")).to(Completed, run.version).with_fence(Fence::new(6));
    check_eq!(write(&fixture, &stale).await?, superseded.clone());
    let append = RunWrite::new(id("1")).with_event(note("late")).with_fence(Fence::new(6));
    check_eq!(write(&fixture, &append).await?, superseded);
    // The same one and a later one write, and so does a process without a lease, such as one that cancels.
    for fence in [7, 8] {
        let append = RunWrite::new(id("1")).with_event(note("in time")).with_fence(Fence::new(fence));
        check_eq!(written(&fixture, &append).await?.fence, Some(Fence::new(fence)));
    }
    let cancel = RunWrite::new(id("1")).to(Cancelled, run.version);
    check_eq!(written(&fixture, &cancel).await?.fence, Some(Fence::new(8)));
    Ok(())
}

async fn there_is_no_write_of_an_absent_run(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    for request in [RunWrite::new(id("1")).to(InProgress, 1), RunWrite::new(id("1")).with_event(note("one"))] {
        check_eq!(write(&fixture, &request).await?, RunOutcome::Absent);
    }
    check_eq!(fixture.state.runs().get(&id("1")).await?, None);
    Ok(())
}

async fn what_is_too_large_is_refused(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    let run = in_states(&fixture, "1", &[InProgress]).await?;
    let change = || RunWrite::new(id("1")).at_version(run.version);
    let append = || RunWrite::new(id("1"));
    let (payload, data) = (vec![b'x'; RunInfo::MAX_PAYLOAD_BYTES], vec![b'x'; RunEvent::MAX_BYTES]);
    let many = |count| (0..count).fold(append(), |write, _| write.with_event(note("")));
    let long = "x".repeat(RunEvent::MAX_KIND_BYTES);
    let refused = [
        change().with_output([&payload[..], b"x"].concat()),
        change().with_await_request([&payload[..], b"x"].concat()),
        append().with_event(RunEvent::new("note", [&data[..], b"x"].concat())),
        append().with_event(RunEvent::new("", "")),
        append().with_event(RunEvent::new(format!("{long}x"), "")),
        append().with_event(RunEvent::new("run.completed", "")),
        many(RunWrite::MAX_EVENTS + 1),
        append().with_event(note("")).at_sequence(1 << 53),
        append().with_event(note("")).with_fence(Fence::new(1 << 53)),
    ];
    for request in refused {
        check_matches!(write(&fixture, &request).await, Err(Error::InvalidArgument { op: Op::RunWrite, .. }));
    }
    written(&fixture, &append().with_event(RunEvent::new(long, data))).await?;
    written(&fixture, &many(RunWrite::MAX_EVENTS)).await?;
    written(&fixture, &change().with_output(payload.clone()).with_await_request(payload)).await?;
    Ok(())
}
