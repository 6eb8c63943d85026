//! Hostile texts in commits.

use std::time::{Duration, Instant};

use store_core::{
    ClaimRequest, Commit, Delivered, Delivery, Durability, Fence, JobId, NewJob, NewRun, OutboxEntry, Outcome,
    QueueName, RunEvent, RunId, RunWrite, SaveRequest, StepAttempt, StepName, StreamName, Unique, UniqueUntil,
    WorkflowRun,
};

use super::Texts;
use crate::fixture::{Fixture, holder, unique_key};
use crate::verdict::{BrokenPromise, Verdict, check, check_eq, check_matches};

/// A commit of all parts, done and refused.
pub(super) async fn play(fixture: &Fixture, texts: &Texts, queue: QueueName) -> Verdict {
    let accepted = Durability::Accepted;
    let home = fixture.state.home(&queue, &unique_key(texts.word(0)));
    let job = || {
        let unique = Unique::new(unique_key(texts.word(0)), UniqueUntil::Finished);
        NewJob::new(texts.bytes(1)).with_unique(unique)
    };
    let _ = fixture.state.push(&queue, &[job()], accepted).await?;
    let run = NewRun::new(RunId::new(texts.word(2))?, texts.word(3).try_into()?);
    check!(home.runs().create(&run, accepted).await?.value.done().is_some());
    let workflow = WorkflowRun::named(texts.own(0))?;
    let attempt = StepAttempt::new(workflow.clone(), StepName::new(texts.word(4))?, Fence::new(1));
    check!(home.steps().begin(&attempt, accepted).await?.value.is_started());
    let request = ClaimRequest::new(queue.clone(), holder("worker"), 1, Duration::from_secs(60));
    let lease = fixture.state.claim(&request).await?.jobs.pop().map(|job| job.lease);
    let lease = lease.ok_or_else(|| BrokenPromise::new("the job was not claimed"))?;
    let stream = StreamName::new(texts.word(5))?;
    let commit = Commit::new(lease, Outcome::Complete(None))
        .with_job(job())
        .with_step(attempt.clone(), texts.bytes(6))
        .with_run(RunWrite::new(run.run.clone()).with_event(RunEvent::new(texts.word(7), texts.bytes(8))))
        .with_token(SaveRequest::new(stream.clone(), texts.bytes(9), Fence::new(1), None))
        .with_delivery(Delivery::job(
            QueueName::new(format!("{queue}-target"))?,
            job().with_id(JobId::new(texts.own(1))?),
        ));
    let done = home.commit(&commit, accepted).await?.value.done();
    check_eq!(home.commit(&commit, accepted).await?.value.done(), done);
    check!(done.is_some_and(|parts| parts.pushed[0].is_new()));
    let step = home.steps().get(&workflow, &attempt.step).await?;
    check_eq!(step.and_then(|step| step.output), Some(texts.bytes(6)));
    check_eq!(home.resume_tokens().load(&stream).await?.map(|token| token.token), Some(texts.bytes(9)));
    let (since, lease, outbox) = (Instant::now(), Duration::from_secs(60), queue.outbox());
    let request = ClaimRequest::new(outbox.clone(), holder("deliverer"), 10, lease);
    for entry in fixture.state.claim(&request).await?.jobs {
        let entry = OutboxEntry::new(outbox.clone(), entry, since, lease);
        check_matches!(fixture.state.deliver(&entry, accepted).await?, Delivered::Done | Delivered::Refused(_));
    }
    let late = Commit::new(commit.settlement.lease.clone(), Outcome::Dead { reason: texts.word(1).to_owned() });
    check!(home.commit(&late.with_job(job()), accepted).await?.value.done().is_none());
    Ok(())
}
