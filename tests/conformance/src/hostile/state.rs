//! Hostile texts as ids, payloads, results, progress, reasons, names, keys and details of the state store.

use std::sync::Arc;

use store_core::{
    AcquireRequest, Acquired, Beat, Cancelled, ClaimRequest, Deleted, Durability, Explanation, Extended, Extension,
    Fence, JobId, JobInfo, JobState, Kept, NewJob, Outcome, PageRequest, Pushed, QueueName, Replayed, SaveRequest,
    Settled, Settlement, Timestamp, TokenOutcome, Ttl, Unique, UniqueUntil,
};

use super::Texts;
use crate::fixture::{Fixture, holder, ms, secs, unique_key};
use crate::verdict::{Verdict, check, check_eq, check_matches};

const TTL: Ttl = Ttl::from_secs(60);

/// Every operation of the state store, twice.
pub(super) async fn play(fixture: Arc<Fixture>, texts: Texts) -> Verdict {
    for round in 0..2 {
        let queue = fixture.queue(&format!("{}-{}-{round}", texts.word(texts.task), texts.task));
        push_and_control(&fixture, &texts, &queue).await?;
        claim_and_settle(&fixture, &texts, &queue).await?;
        finished(&fixture, &texts, &queue).await?;
        leases_and_members(&fixture, &texts).await?;
        tokens(&fixture, &texts).await?;
        idempotency(&fixture, &texts).await?;
        super::steps::play(&fixture, &texts).await?;
        super::runs::play(&fixture, &texts).await?;
        super::schedules::play(&fixture, &texts, &queue).await?;
        super::topics::play(&fixture, &texts).await?;
        super::broadcasts::play(&fixture, &texts).await?;
        super::retries::play(&fixture, &texts).await?;
    }
    let queue = fixture.queue(&format!("{}-{}-home", texts.word(texts.task), texts.task));
    super::homes::play(&fixture, &texts, queue).await
}

/// Four jobs whose ids and payloads are hostile words.
fn jobs(texts: &Texts) -> Vec<NewJob> {
    let job = |index| NewJob::new(texts.bytes(index + 1)).with_id(id(texts, index));
    (0..4).map(job).collect()
}

fn id(texts: &Texts, index: usize) -> JobId {
    JobId::new(texts.word(index)).expect("invariant: words are valid ids")
}

async fn listed(fixture: &Fixture, queue: &QueueName, state: JobState) -> Result<Vec<JobInfo>, crate::BrokenPromise> {
    Ok(fixture.state.list(queue, state, PageRequest::first(10)).await?.items)
}

async fn push_and_control(fixture: &Fixture, texts: &Texts, queue: &QueueName) -> Verdict {
    let key = unique_key(texts.word(0));
    let scheduled = NewJob::new(texts.bytes(5))
        .with_id(id(texts, 5))
        .with_delay(secs(60))
        .with_unique(Unique::new(key.clone(), UniqueUntil::Finished));
    let held = NewJob::new("").with_unique(Unique::new(key, UniqueUntil::Claimed));
    let pushed = fixture.state.push(queue, &[scheduled, held], Durability::Accepted).await?.value;
    check_eq!(pushed, [Pushed::Created { id: id(texts, 5) }, Pushed::Held { by: id(texts, 5) }]);
    check_eq!(listed(fixture, queue, JobState::Scheduled).await?[0].id, id(texts, 5));
    check_matches!(fixture.state.explain(queue, &id(texts, 5)).await?, Explanation::Scheduled { .. });
    fixture.state.pause(queue).await?;
    check_eq!(fixture.state.promote(queue, &[id(texts, 5), id(texts, 6)]).await?, [true, false]);
    let shown = fixture.state.get(queue, &id(texts, 5)).await?;
    check_eq!(shown.map(|job| job.payload), Some(texts.bytes(5)));
    check_eq!(fixture.state.cancel(queue, &id(texts, 5)).await?, Cancelled::Removed);
    check!(fixture.state.counts(queue).await?.paused);
    fixture.state.resume(queue).await?;
    Ok(())
}

async fn claim_and_settle(fixture: &Fixture, texts: &Texts, queue: &QueueName) -> Verdict {
    let pushed = fixture.state.push(queue, &jobs(texts), Durability::Accepted).await?.value;
    check_eq!(pushed, [0, 1, 2, 3].map(|index| Pushed::Created { id: id(texts, index) }));
    let ids: Vec<JobId> = listed(fixture, queue, JobState::Ready).await?.into_iter().map(|job| job.id).collect();
    check_eq!(ids, (0..4).map(|index| id(texts, index)).collect::<Vec<_>>());
    let worker = holder(texts.word(2));
    let claimed = fixture.state.claim(&ClaimRequest::new(queue.clone(), worker.clone(), 4, secs(60))).await?.jobs;
    for (index, job) in claimed.iter().enumerate() {
        check_eq!((job.id(), &job.payload), (&id(texts, index), &texts.bytes(index + 1)));
    }
    let report = |job: &store_core::ClaimedJob| Extension::new(job.lease.clone()).with_progress(texts.bytes(3));
    let extensions: Vec<Extension> = claimed.iter().map(report).collect();
    let extended = fixture.state.extend(queue, &extensions, secs(60)).await?;
    check!(extended.iter().all(|extended| matches!(extended, Extended::Until(_))), "{extended:?}");
    let shown = fixture.state.get(queue, &id(texts, 1)).await?;
    check_eq!(shown.map(|job| (job.worker, job.progress)), Some((Some(worker), Some(texts.bytes(3)))));
    let reason = || texts.word(4).to_owned();
    let outcomes = [
        Outcome::Complete(Some(Kept::new(texts.bytes(2), secs(60)))),
        Outcome::Retry { after: secs(60), error: reason() },
        Outcome::Dead { reason: reason() },
        Outcome::Retry { after: ms(0), error: reason() },
    ];
    let settlements: Vec<Settlement> =
        claimed.iter().zip(outcomes).map(|(job, outcome)| Settlement::new(job.lease.clone(), outcome)).collect();
    check_eq!(fixture.state.settle(queue, &settlements, Durability::Accepted).await?.value, [Settled::Done; 4]);
    Ok(())
}

async fn finished(fixture: &Fixture, texts: &Texts, queue: &QueueName) -> Verdict {
    let reason = texts.word(4);
    let completed = fixture.state.get(queue, &id(texts, 0)).await?;
    check_eq!(completed.and_then(|job| job.result), Some(texts.bytes(2)));
    check_matches!(
        fixture.state.explain(queue, &id(texts, 1)).await?,
        Explanation::Scheduled { last_error: Some(error), .. } if error == reason
    );
    let dead = Explanation::Dead { reason: reason.to_owned() };
    check_eq!(fixture.state.explain(queue, &id(texts, 2)).await?, dead);
    check_eq!(listed(fixture, queue, JobState::Dead).await?[0].last_error.as_deref(), Some(reason));
    check_eq!(listed(fixture, queue, JobState::Completed).await?[0].id, id(texts, 0));
    let again = fixture.state.claim(&ClaimRequest::new(queue.clone(), holder(texts.word(5)), 1, secs(60))).await?.jobs;
    check_eq!(again[0].last_error.as_deref(), Some(reason));
    check_eq!(listed(fixture, queue, JobState::Running).await?[0].worker, Some(holder(texts.word(5))));
    let cancelled = Settlement::new(again[0].lease.clone(), Outcome::Cancelled);
    check_eq!(fixture.state.settle(queue, &[cancelled], Durability::Accepted).await?.value, [Settled::Done]);
    let replayed = fixture.state.replay(queue, &[id(texts, 2), id(texts, 0)]).await?;
    check_eq!(replayed, [Replayed::Replayed, Replayed::NotDead]);
    let all: Vec<JobId> = (0..4).map(|index| id(texts, index)).collect();
    let gone = [Deleted::Deleted, Deleted::Deleted, Deleted::Deleted, Deleted::Unknown];
    check_eq!(fixture.state.delete(queue, &all).await?, gone);
    Ok(())
}

async fn leases_and_members(fixture: &Fixture, texts: &Texts) -> Verdict {
    let request = AcquireRequest::new(fixture.lease(&texts.own(0)), holder(texts.word(0)), secs(60));
    let Acquired::Yes(lease) = fixture.state.acquire(&request, Durability::Accepted).await?.value else {
        return Err(crate::BrokenPromise::new("another task holds this task's lease"));
    };
    check_eq!(lease.holder, holder(texts.word(0)));
    check_eq!(fixture.state.inspect(&request.name).await?, Some(lease.info()));
    check!(fixture.state.renew(&lease, secs(60)).await?.is_some());
    check!(fixture.state.release(&lease).await?);

    let pool = fixture.pool(&texts.own(0));
    for index in 0..4 {
        let beat = Beat::new(pool.clone(), holder(texts.word(index)), secs(60)).with_details(texts.bytes(index + 1));
        fixture.state.beat(&beat).await?;
    }
    for member in fixture.state.alive(&pool, PageRequest::first(10)).await?.items {
        let index = (0..4).find(|index| texts.word(*index) == member.name.as_str());
        check_eq!(index.map(|index| texts.bytes(index + 1)), Some(member.details));
    }
    check_eq!(fixture.state.lost(&pool, Timestamp::default(), PageRequest::first(10)).await?.items.len(), 0);
    check!(fixture.state.leave(&pool, &holder(texts.word(3))).await?);
    Ok(())
}

async fn tokens(fixture: &Fixture, texts: &Texts) -> Verdict {
    let stream = fixture.stream(&format!("{}-{}", texts.word(0), texts.own(0)));
    let resumed = fixture.state.take_over(&stream, Fence::new(1)).await?.done().flatten();
    let mut expected = resumed.map(|token| token.info.version);
    for index in 0..3 {
        let save = SaveRequest::new(stream.clone(), texts.bytes(index), Fence::new(1), expected);
        let saved = fixture.state.save(&save, Durability::Accepted).await?.value;
        check_matches!(&saved, TokenOutcome::Done(info) if info.stream == stream);
        let token = fixture.state.load(&stream).await?;
        check_eq!(token.as_ref().map(|token| &token.token), Some(&texts.bytes(index)));
        let wrong = SaveRequest::new(stream.clone(), texts.bytes(index + 1), Fence::new(1), None);
        check_eq!(fixture.state.save(&wrong, Durability::Accepted).await?.value, TokenOutcome::Conflict(token.clone()));
        let again = fixture.state.take_over(&stream, Fence::new(1)).await?;
        check_eq!(again, TokenOutcome::Done(token.clone()));
        expected = token.map(|token| token.info.version);
    }
    let version = expected.ok_or_else(|| crate::BrokenPromise::new("the stream has no token"))?;
    check_eq!(fixture.state.clear(&stream, version, Some(Fence::new(1))).await?, TokenOutcome::Done(()));
    check!(fixture.state.tokens(None, None).await?.items.iter().all(|info| info.stream != stream));
    Ok(())
}

async fn idempotency(fixture: &Fixture, texts: &Texts) -> Verdict {
    super::cache::idempotency(fixture.state.as_ref(), &fixture.key(&texts.own(1)), texts.bytes(1), TTL).await
}
