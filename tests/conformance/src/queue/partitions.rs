//! What holds in a queue of any number of partitions. Order and priorities hold within each partition.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use store_core::{
    Cancelled, ClaimedJob, Counts, Deleted, Extended, Extension, JobId, JobState, NewJob, Op, Outcome, PageRequest,
    Priority, Pushed, Replayed, Retention, Settled, Settlement, Unique, UniqueUntil,
};

use super::queue_fixture::{LEASE, QueueFixture, dead, job, job_id, kept};
use crate::case::cases;
use crate::fixture::{Fixture, secs, unique_key};
use crate::verdict::{BrokenPromise, Verdict, check, check_eq};

cases! { Op::QueueClaim;
    jobs_of_a_partition_come_in_the_order_of_their_push,
    jobs_of_a_partition_come_by_priority,
    one_claim_gets_the_jobs_of_all_partitions,
    a_repeated_claim_finds_what_the_first_still_holds,
    each_settlement_is_answered_for_its_own_job,
    jobs_are_found_in_all_partitions,
    pages_show_the_jobs_of_all_partitions_once,
    counts_and_pause_are_of_all_partitions,
    a_unique_key_holds_over_all_partitions,
    an_id_is_known_among_the_jobs_of_its_unique_key_or_without_one,
    bounds_of_finished_jobs_hold_over_all_partitions,
}

const COUNT: usize = 40;

/// More ids than partitions, of several forms.
static IDS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let form = |number: usize| match number % 4 {
        0 => number.to_string(),
        1 => format!("größe {number}"),
        2 => format!("0192f0c1-2b3c-7d4e-8f50-1a2b3c4d5e{number:02x}"),
        _ => JobId::new_batch(number as u16 % 7).job(0).to_string(),
    };
    (0..COUNT).map(form).collect()
});

fn ids() -> Vec<String> {
    IDS.clone()
}

/// The payloads of each partition, in the order in which they were claimed.
fn by_partition(jobs: &[ClaimedJob]) -> BTreeMap<u16, Vec<Vec<u8>>> {
    let mut all: BTreeMap<u16, Vec<Vec<u8>>> = BTreeMap::new();
    for job in jobs {
        all.entry(job.lease.partition).or_default().push(job.payload.to_vec());
    }
    all
}

async fn claim_all(queue: &QueueFixture, at_once: usize) -> Result<Vec<ClaimedJob>, BrokenPromise> {
    let mut all = Vec::new();
    loop {
        let jobs = queue.claim(at_once).await?.jobs;
        if jobs.is_empty() {
            return Ok(all);
        }
        all.extend(jobs);
    }
}

async fn jobs_of_a_partition_come_in_the_order_of_their_push(queue: QueueFixture) -> Verdict {
    for number in 0..COUNT {
        let new = NewJob::new(format!("{number:02}"));
        queue.push_one(if number % 2 == 0 { new } else { new.with_id(job_id(&number.to_string())) }).await?;
    }
    let claimed = claim_all(&queue, 7).await?;
    check_eq!(claimed.len(), COUNT);
    for (partition, payloads) in by_partition(&claimed) {
        check!(payloads.is_sorted(), "partition {partition}: {payloads:?}");
    }
    Ok(())
}

async fn jobs_of_a_partition_come_by_priority(queue: QueueFixture) -> Verdict {
    let priorities = [Priority::Low, Priority::Critical, Priority::Normal, Priority::High];
    for number in 0..COUNT {
        let priority = priorities[number % 4];
        // The number of a more urgent priority is smaller.
        let new = NewJob::new(format!("{}-{number:02}", priority as u8)).with_priority(priority);
        queue.push_one(new.with_id(job_id(&number.to_string()))).await?;
    }
    let claimed = queue.claim(COUNT).await?.jobs;
    check_eq!(claimed.len(), COUNT);
    for (partition, payloads) in by_partition(&claimed) {
        check!(payloads.is_sorted(), "partition {partition}: {payloads:?}");
    }
    Ok(())
}

async fn one_claim_gets_the_jobs_of_all_partitions(queue: QueueFixture) -> Verdict {
    let pushed = queue.push(&ids().iter().map(|id| job(id)).collect::<Vec<_>>()).await?;
    check!(pushed.iter().all(Pushed::is_new), "{pushed:?}");
    let claimed: BTreeSet<String> = queue.claim_ids(COUNT).await?.into_iter().collect();
    check_eq!(claimed, ids().into_iter().collect::<BTreeSet<_>>());
    Ok(())
}

/// In a queue of several partitions it may claim others, too.
async fn a_repeated_claim_finds_what_the_first_still_holds(queue: QueueFixture) -> Verdict {
    queue.push(&ids().iter().map(|id| job(id)).collect::<Vec<_>>()).await?;
    let request = queue.request(COUNT / 2);
    let first = queue.fixture.state.claim(&request).await?.jobs;
    check_eq!(first.len(), COUNT / 2);
    let again = queue.fixture.state.claim(&request.clone().repeated()).await?.jobs;
    check_eq!(again, first);
    queue.settle(&first[0].lease, Outcome::Complete(None)).await?;
    let again = queue.fixture.state.claim(&request.repeated()).await?.jobs;
    check!(first[1..].iter().all(|job| again.contains(job)), "{again:?}");
    check!(again.iter().all(|job| job.id() != first[0].id()), "{again:?}");
    Ok(())
}

async fn each_settlement_is_answered_for_its_own_job(queue: QueueFixture) -> Verdict {
    queue.push(&ids().iter().map(|id| job(id)).collect::<Vec<_>>()).await?;
    let claimed = queue.claim(COUNT).await?.jobs;
    let is_third = |index: &usize| index.is_multiple_of(3);
    for index in (0..COUNT).filter(is_third) {
        check_eq!(queue.settle(&claimed[index].lease, Outcome::Complete(None)).await?, Settled::Done);
    }
    let extensions: Vec<_> = claimed.iter().map(|job| Extension::new(job.lease.clone())).collect();
    let extended = queue.fixture.state.extend(&queue.name, &extensions, 2 * LEASE).await?;
    let until = Extended::Until(queue.fixture.now().after(2 * LEASE));
    let expected: Vec<_> = (0..COUNT).map(|index| if is_third(&index) { Extended::Lost } else { until }).collect();
    check_eq!(extended, expected);
    let settlements: Vec<_> = claimed.iter().map(|job| Settlement::new(job.lease.clone(), dead("no"))).collect();
    let settled = queue.settle_all(&settlements).await?;
    let expected: Vec<_> =
        (0..COUNT).map(|index| if is_third(&index) { Settled::Lost } else { Settled::Done }).collect();
    check_eq!(settled, expected);
    Ok(())
}

async fn jobs_are_found_in_all_partitions(queue: QueueFixture) -> Verdict {
    let mut jobs: Vec<_> = ids().iter().map(|id| job(id).with_delay(secs(60))).collect();
    let key = |index: usize| Unique::new(unique_key(&format!("key-{index}")), UniqueUntil::Finished);
    // A job with a unique key is in the partition of the key.
    for index in (0..COUNT).step_by(3) {
        jobs[index].unique = Some(key(index));
    }
    queue.push(&jobs).await?;
    let pushed = queue.push(&jobs.iter().map(|job| job.clone().with_delay(secs(30))).collect::<Vec<_>>()).await?;
    check!(pushed.iter().all(|pushed| !matches!(pushed, Pushed::Held { .. })), "{pushed:?}");
    check_eq!(queue.counts().await?.scheduled, COUNT as u64);
    let all: Vec<_> = ids().iter().map(|id| job_id(id)).collect();
    for id in ids() {
        check_eq!(queue.info(&id).await?.payload, id.clone());
    }
    let state = &queue.fixture.state;
    check_eq!(state.promote(&queue.name, &all).await?, vec![true; COUNT]);
    check_eq!(state.promote(&queue.name, &all).await?, vec![false; COUNT]);
    for id in &ids()[..COUNT / 2] {
        check_eq!(queue.cancel(id).await?, Cancelled::Removed);
        check_eq!(queue.cancel(id).await?, Cancelled::Unknown);
    }
    let deleted = state.delete(&queue.name, &all).await?;
    let expected: Vec<_> =
        (0..COUNT).map(|index| if index < COUNT / 2 { Deleted::Unknown } else { Deleted::Deleted }).collect();
    check_eq!(deleted, expected);
    check_eq!(state.replay(&queue.name, &all).await?, vec![Replayed::NotDead; COUNT]);
    Ok(())
}

async fn pages_show_the_jobs_of_all_partitions_once(queue: QueueFixture) -> Verdict {
    queue.push(&ids().iter().map(|id| job(id)).collect::<Vec<_>>()).await?;
    for limit in [1, 7, 100] {
        let (mut seen, mut page) = (Vec::new(), PageRequest::first(limit));
        loop {
            let found = queue.fixture.state.list(&queue.name, JobState::Ready, page).await?;
            check!(found.items.len() <= limit as usize);
            seen.extend(found.items.into_iter().map(|info| info.id.to_string()));
            let Some(next) = found.next else { break };
            page = PageRequest::first(limit).with_cursor(next);
        }
        seen.sort();
        let mut expected = ids();
        expected.sort();
        check_eq!(seen, expected);
    }
    Ok(())
}

async fn counts_and_pause_are_of_all_partitions(queue: QueueFixture) -> Verdict {
    queue.push(&ids().iter().map(|id| job(id)).collect::<Vec<_>>()).await?;
    let claimed = queue.claim(12).await?.jobs;
    queue.settle(&claimed[0].lease, dead("no")).await?;
    queue.settle(&claimed[1].lease, kept("result", secs(60))).await?;
    check_eq!(queue.counts().await?, Counts::new(COUNT as u64 - 12, 0, 10, 1, 1));
    queue.pause().await?;
    check!(queue.counts().await?.paused);
    for _ in 0..24 {
        let claim = queue.claim(1).await?;
        check!(claim.paused && claim.jobs.is_empty(), "a paused queue answered {claim:?}");
    }
    queue.resume().await?;
    check_eq!(claim_all(&queue, 5).await?.len(), COUNT - 12);
    Ok(())
}

async fn a_unique_key_holds_over_all_partitions(queue: QueueFixture) -> Verdict {
    let unique = |id: &str| job(id).with_unique(Unique::new(unique_key("key"), UniqueUntil::Finished));
    let mut created = Vec::new();
    for id in ids() {
        match queue.push_one(unique(&id)).await? {
            Pushed::Created { id } => created.push(id),
            Pushed::Held { by } => check_eq!(Some(&by), created.first()),
            other => return Err(BrokenPromise::new(format!("{other:?}"))),
        }
    }
    check_eq!(created.len(), 1);
    let claimed = queue.claim_one().await?;
    queue.settle(&claimed.lease, dead("no")).await?;
    check!(queue.push_one(unique("next")).await?.is_new());
    let replayed = queue.fixture.state.replay(&queue.name, &created).await?;
    check_eq!(replayed, [Replayed::Held { by: job_id("next") }]);
    Ok(())
}

async fn an_id_is_known_among_the_jobs_of_its_unique_key_or_without_one(queue: QueueFixture) -> Verdict {
    let new = |(index, id): (usize, &String)| match index % 2 {
        0 => job(id),
        _ => job(id).with_unique(Unique::new(unique_key(&format!("key-{index}")), UniqueUntil::Claimed)),
    };
    let pushes = || IDS.iter().enumerate().map(new).collect::<Vec<_>>();
    check!(queue.push(&pushes()).await?.iter().all(Pushed::is_new));
    check_eq!(queue.push(&pushes()).await?, vec![Pushed::Duplicate; COUNT]);
    check_eq!(claim_all(&queue, COUNT).await?.len(), COUNT);
    // The keys are free.
    check_eq!(queue.push(&pushes()).await?, vec![Pushed::Duplicate; COUNT]);
    check_eq!(queue.counts().await?, Counts::new(0, 0, COUNT as u64, 0, 0));
    Ok(())
}

async fn bounds_of_finished_jobs_hold_over_all_partitions(queue: QueueFixture) -> Verdict {
    let retention = Retention::default().with_dead_count(24).with_completed_count(24);
    let queue = QueueFixture::from(Fixture::with_retention(queue.fixture, retention).await?);
    for round in 0..5 {
        let jobs: Vec<_> = (0..COUNT).map(|number| job(&format!("{round}-{number}"))).collect();
        queue.push(&jobs).await?;
        for (number, job) in queue.claim(COUNT).await?.jobs.iter().enumerate() {
            let outcome = if number % 2 == 0 { dead("no") } else { kept("result", secs(60)) };
            queue.settle(&job.lease, outcome).await?;
        }
    }
    let counts = queue.counts().await?;
    check!(counts.dead <= 24 && counts.completed <= 24 && counts.dead > 0 && counts.completed > 0, "{counts:?}");
    Ok(())
}
