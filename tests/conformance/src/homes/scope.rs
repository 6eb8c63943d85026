//! Steps, runs and tokens of a home: separate from those of the namespace and of other homes, with the same promises.

use bytes::Bytes;
use store_core::{
    Counts, Fence, Home, NewRun, Op, PageRequest, QueueName, ResumeTokens, RunFilter, RunOutcome, RunState, RunWrite,
    Runs, StepBegun, Steps, TokenOutcome,
};

use super::{ACCEPTED, TTL, charge, run_id, stream, token, workflow};
use crate::case::cases;
use crate::fixture::{Fixture, unique_key};
use crate::verdict::{BrokenPromise, Verdict, check, check_eq, check_matches};

cases! { Op::HomeCommit;
    names_in_a_home_are_not_those_of_the_namespace,
    names_in_two_homes_are_separate,
    runs_have_their_whole_life_in_a_home,
    tokens_have_their_whole_life_in_a_home,
    steps_belong_to_the_service_too,
    a_home_comes_before_its_queue,
}

fn home(fixture: &Fixture, queue: &QueueName) -> std::sync::Arc<dyn Home> {
    fixture.state.home(queue, &unique_key(super::KEY))
}

fn new_run() -> Result<NewRun, BrokenPromise> {
    Ok(NewRun::new(run_id(), "importer".try_into()?).with_ttl(TTL))
}

/// Writes one of each.
async fn fill(home: &dyn Home) -> Verdict {
    check!(home.runs().create(&new_run()?, ACCEPTED).await?.value.done().is_some());
    check!(home.steps().begin(&charge(), ACCEPTED).await?.value.is_started());
    check!(home.resume_tokens().save(&token(1), ACCEPTED).await?.value.done().is_some());
    Ok(())
}

async fn is_empty(runs: &dyn Runs, steps: &dyn Steps, tokens: &dyn ResumeTokens) -> Verdict {
    check_eq!(runs.get(&run_id()).await?, None);
    check_eq!(runs.list(&RunFilter::default(), PageRequest::default()).await?.total, 0);
    check_eq!(steps.get(&workflow(), &charge().step).await?, None);
    check_eq!(tokens.load(&stream()).await?, None);
    check_eq!(streams(tokens).await?, 0);
    Ok(())
}

/// How many tokens all pages of the listing have.
async fn streams(tokens: &dyn ResumeTokens) -> Result<usize, BrokenPromise> {
    let (mut after, mut count) = (None, 0);
    loop {
        let page = tokens.tokens(None, after).await?;
        count += page.items.len();
        after = page.next;
        if after.is_none() {
            return Ok(count);
        }
    }
}

async fn names_in_a_home_are_not_those_of_the_namespace(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    let home = home(&fixture, &fixture.queue("queue"));
    fill(&*home).await?;
    is_empty(fixture.state.runs(), fixture.state.steps(), &*fixture.state).await?;
    check_eq!(streams(&*home.resume_tokens()).await?, 1);
    check_eq!(home.runs().list(&RunFilter::default(), PageRequest::default()).await?.total, 1);
    Ok(())
}

async fn names_in_two_homes_are_separate(fixture: Fixture) -> Verdict {
    let (first, second) = (home(&fixture, &fixture.queue("queue")), home(&fixture, &fixture.queue("other")));
    fill(&*first).await?;
    is_empty(&*second.runs(), &*second.steps(), &*second.resume_tokens()).await?;
    fill(&*second).await
}

async fn runs_have_their_whole_life_in_a_home(fixture: Fixture) -> Verdict {
    let runs = home(&fixture, &fixture.queue("queue")).runs();
    let run = runs.create(&new_run()?, ACCEPTED).await?.value.done();
    let run = run.ok_or_else(|| BrokenPromise::new("the home already has the run"))?;
    check_eq!(runs.create(&new_run()?, ACCEPTED).await?.value, RunOutcome::Conflict(run.clone()));
    let write = RunWrite::new(run_id()).to(RunState::InProgress, run.version);
    let begun = runs.write(&write, ACCEPTED).await?.value.done();
    check_eq!(begun.as_ref().map(|run| run.state), Some(RunState::InProgress));
    let of_agent = RunFilter::default().of_agent("importer".try_into()?);
    check_eq!(runs.list(&of_agent, PageRequest::default()).await?.items, begun.into_iter().collect::<Vec<_>>());
    check_eq!(runs.events(&run_id(), 0, 10).await?.map(|events| events.events.len()), Some(2));
    check!(runs.delete(&run_id()).await?);
    check_eq!(runs.list(&of_agent, PageRequest::default()).await?.total, 0);

    check!(runs.create(&new_run()?, ACCEPTED).await?.value.done().is_some());
    fixture.advance(TTL.as_duration() + std::time::Duration::from_secs(60));
    check_eq!(runs.get(&run_id()).await?, None);
    let swept = runs.sweep().await?;
    check_eq!((swept.removed, swept.left), (1, 0));
    check!(runs.create(&new_run()?, ACCEPTED).await?.value.done().is_some());
    check_eq!(runs.clear("", None).await?.removed, 1);
    Ok(())
}

async fn tokens_have_their_whole_life_in_a_home(fixture: Fixture) -> Verdict {
    let tokens = home(&fixture, &fixture.queue("queue")).resume_tokens();
    let saved = tokens.save(&token(1), ACCEPTED).await?.value.done();
    let saved = saved.ok_or_else(|| BrokenPromise::new("the home already has the token"))?;
    check_matches!(tokens.take_over(&stream(), Fence::new(2)).await?, TokenOutcome::Done(Some(_)));
    check_eq!(tokens.save(&token(1), ACCEPTED).await?.value, TokenOutcome::Superseded(Fence::new(2)));
    check_eq!(streams(&*tokens).await?, 1);
    check_eq!(tokens.clear(&stream(), saved.version, None).await?, TokenOutcome::Done(()));
    check_eq!(tokens.load(&stream()).await?, None);
    Ok(())
}

async fn steps_belong_to_the_service_too(fixture: Fixture) -> Verdict {
    let (queue, key) = (fixture.queue("queue"), unique_key(super::KEY));
    let stores = [&fixture.state, &fixture.other_state, &fixture.shared_state];
    let homes = stores.map(|store| store.home(&queue, &key).steps());
    for (index, steps) in (0..).zip(&homes) {
        check_eq!(steps.begin(&charge(), ACCEPTED).await?.value, StepBegun::Started);
        let output = Bytes::from(vec![index]);
        check!(steps.finish(&charge(), &output, ACCEPTED).await?.value);
    }
    for (index, steps) in (0..).zip(&homes) {
        let listed = steps.list(&workflow(), PageRequest::default()).await?.items;
        check_eq!(listed.len(), 1);
        let step = steps.get(&workflow(), &charge().step).await?;
        check_eq!(step.and_then(|step| step.output), Some(Bytes::from(vec![index])));
    }
    Ok(())
}

async fn a_home_comes_before_its_queue(fixture: Fixture) -> Verdict {
    let queue = fixture.queue("queue");
    let home = home(&fixture, &queue);
    is_empty(&*home.runs(), &*home.steps(), &*home.resume_tokens()).await?;
    fill(&*home).await?;
    check_eq!(fixture.state.counts(&queue).await?, Counts::default());
    let at = super::AtHome::new(fixture).await;
    check!(at.is_err(), "the home has the run");
    Ok(())
}
