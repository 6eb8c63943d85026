//! Creating runs.

use store_core::{Error, Op, RequestId, RunFilter, RunInfo, RunOutcome, RunState, RunWrite, Timestamp};

use super::{TTL, agent, create, created, id, in_states, kinds, listed, new, session, totals};
use crate::case::cases;
use crate::fixture::{Fixture, secs};
use crate::verdict::{BrokenPromise, Verdict, check, check_eq, check_matches};

cases! { Op::RunCreate;
    a_new_run_has_its_names_and_one_event,
    a_repeated_creation_returns_the_same_run,
    a_second_run_with_the_same_id_is_a_conflict,
    of_two_creations_at_the_same_time_one_is_done,
    a_refused_creation_changes_no_listing,
    an_id_is_free_again_after_the_run_has_expired,
    an_input_above_256_kib_is_refused,
    it_is_there_when_the_store_is_opened_again: Reopen,
}

async fn a_new_run_has_its_names_and_one_event(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    let run = created(&fixture, &new("1").in_session(session("ann")).with_input("a trip")).await?;
    check_eq!((run.run.as_str(), run.agent.as_str(), run.session.clone()), ("1", "planner", Some(session("ann"))));
    check_eq!((run.state, run.fence, run.ended), (RunState::Created, None, None));
    check_eq!((run.created, run.updated), (fixture.now(), fixture.now()));
    check_eq!(run.until, fixture.now().after(TTL.as_duration()));
    check_eq!((run.first_event, run.next_event, run.input.clone()), (0, 1, None));
    check_eq!(kinds(&fixture, "1").await?, ["run.created"]);
    check_eq!(totals(&fixture).await?, [1, 1, 1, 1]);
    let alone = created(&fixture, &new("2")).await?;
    check_eq!(alone.session, None);
    check_eq!(totals(&fixture).await?, [2, 2, 1, 1]);
    Ok(())
}

async fn a_repeated_creation_returns_the_same_run(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    let first = new("1").in_session(session("ann"));
    let run = created(&fixture, &first).await?;
    fixture.advance(secs(1));
    created(&fixture, &new("2")).await?;
    let again = created(&fixture, &first).await?;
    check_eq!((again.version, again.created, again.next_event), (run.version, run.created, 1));
    check_eq!(listed(&fixture, &RunFilter::default()).await?, ["2", "1"]);
    check_eq!(totals(&fixture).await?, [2, 2, 1, 1]);
    Ok(())
}

async fn a_second_run_with_the_same_id_is_a_conflict(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    let run = in_states(&fixture, "1", &[RunState::InProgress]).await?;
    check_eq!(create(&fixture, &new("1")).await?, RunOutcome::Conflict(run.clone()));
    check_eq!(fixture.state.runs().get(&id("1")).await?.map(|run| run.version), Some(run.version));
    Ok(())
}

async fn of_two_creations_at_the_same_time_one_is_done(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    for round in 0..20 {
        let (mut one, mut other) = (new(&round.to_string()), new(&round.to_string()));
        (one.agent, other.agent) = (agent(&format!("one-{round}")), agent(&format!("other-{round}")));
        let outcomes = tokio::join!(create(&fixture, &one), create(&fixture, &other));
        let (run, refused, lost) = match (outcomes.0?, outcomes.1?) {
            (RunOutcome::Done(run), refused) => (run, refused, other.agent),
            (refused, RunOutcome::Done(run)) => (run, refused, one.agent),
            neither => return Err(BrokenPromise::new(format!("none was done: {neither:?}"))),
        };
        check_eq!(refused, RunOutcome::Conflict(run.clone()));
        check_eq!(kinds(&fixture, run.run.as_str()).await?, ["run.created"]);
        check_eq!(listed(&fixture, &RunFilter::default().of_agent(run.agent)).await?, [run.run.to_string()]);
        check_eq!(listed(&fixture, &RunFilter::default().of_agent(lost)).await?, Vec::<String>::new());
    }
    check_eq!(totals(&fixture).await?[0], 20);
    Ok(())
}

async fn a_refused_creation_changes_no_listing(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    created(&fixture, &new("1").in_session(session("ann"))).await?;
    created(&fixture, &new("2").in_session(session("ann"))).await?;
    let mut other = new("1").in_session(session("bob"));
    for name in ["booker", "planner"] {
        other.agent = agent(name);
        other.request = RequestId::generate();
        check_matches!(create(&fixture, &other).await?, RunOutcome::Conflict(RunInfo { .. }));
        check_eq!(totals(&fixture).await?, [2, 2, 2, 2]);
        check_eq!(listed(&fixture, &RunFilter::default()).await?, ["2", "1"]);
        check_eq!(listed(&fixture, &RunFilter::default().of_agent(agent("planner"))).await?, ["2", "1"]);
    }
    for filter in [RunFilter::default().of_agent(agent("booker")), RunFilter::default().in_session(session("bob"))] {
        check_eq!(super::list(&fixture, &filter).await?.total, 0);
    }
    Ok(())
}

async fn an_id_is_free_again_after_the_run_has_expired(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    let first = in_states(&fixture, "1", &[RunState::InProgress]).await?;
    fixture.advance(TTL.as_duration());
    let mut other = new("1").in_session(session("ann"));
    other.agent = agent("booker");
    let second = created(&fixture, &other).await?;
    check!(second.version > first.version && second.next_event == 1);
    check_eq!(kinds(&fixture, "1").await?, ["run.created"]);
    // A process that has read the first run does not change the second one.
    let stale = RunWrite::new(id("1")).to(RunState::Completed, first.version);
    check_matches!(super::write(&fixture, &stale).await?, RunOutcome::Conflict(RunInfo { .. }));
    check_eq!(listed(&fixture, &RunFilter::default().of_agent(agent("planner"))).await?, Vec::<String>::new());
    fixture.advance(secs(11));
    while fixture.state.runs().sweep().await?.left > 0 {}
    check_eq!(totals(&fixture).await?, [1, 0, 1, 0]);
    Ok(())
}

async fn an_input_above_256_kib_is_refused(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    let largest = vec![b'x'; RunInfo::MAX_PAYLOAD_BYTES];
    let too_large = create(&fixture, &new("1").with_input([&largest[..], b"x"].concat())).await;
    check_matches!(too_large, Err(Error::InvalidArgument { op: Op::RunCreate, .. }));
    created(&fixture, &new("1").with_input(largest)).await?;
    Ok(())
}

async fn it_is_there_when_the_store_is_opened_again(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    let run = in_states(&fixture, "1", &[RunState::InProgress]).await?;
    let fixture = fixture.reopen().await?;
    let found = fixture.state.runs().get(&id("1")).await?;
    check_eq!(found.map(|found| (found.version, found.state)), Some((run.version, RunState::InProgress)));
    check_eq!(kinds(&fixture, "1").await?, ["run.created", "run.in-progress"]);
    check_eq!(listed(&fixture, &RunFilter::default()).await?, ["1"]);
    check!(run.created > Timestamp::default());
    Ok(())
}
