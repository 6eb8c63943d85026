//! Jobs that are stored and leased together behave as if each were alone.

use std::collections::BTreeSet;
use std::time::Duration;

use store_core::{
    Cancelled, ClaimedJob, Durability, Extended, Extension, JobState, NewJob, Outcome, PageRequest, Pushed, Queue,
    QueueControl, QueueInspect, Settled, Settlement,
};

use super::{LEASE, are_new, claim, id, job, names, push, queue, settle};
use crate::{Fixture, fixture};

fn jobs(range: std::ops::Range<usize>) -> Vec<NewJob> {
    let numbered = |n| {
        let mut job = job(&format!("{n:03}"));
        job.request = 7;
        job
    };
    range.map(numbered).collect()
}

async fn complete(fixture: &Fixture, jobs: &[ClaimedJob]) -> Vec<Settled> {
    let settlements = jobs.iter().map(|job| Settlement::new(job.lease.clone(), Outcome::Complete(None)));
    fixture.store.settle(&queue(), &settlements.collect::<Vec<_>>(), Durability::Accepted).await.unwrap().value
}

/// The ids on all pages of a listing; `between` acts after each page.
async fn listed(fixture: &Fixture, state: JobState, limit: u32, between: impl AsyncFn(&[String])) -> Vec<String> {
    let (mut all, mut request) = (Vec::new(), PageRequest::first(limit));
    loop {
        let page = fixture.store.list(&queue(), state, request).await.unwrap();
        let ids: Vec<_> = page.items.iter().map(|info| info.id.to_string()).collect();
        between(&ids).await;
        all.extend(ids);
        let Some(cursor) = page.next else { return all };
        request = PageRequest::first(limit).with_cursor(cursor);
    }
}

#[tokio::test]
async fn a_listing_goes_on_behind_jobs_that_have_left_their_parcel() {
    let fixture = fixture().await;
    push(&fixture.store, &jobs(0..60)).await;
    let expected: Vec<_> = (0..60).map(|n| format!("{n:03}")).collect();
    let cancel = async |seen: &[String]| {
        for seen in seen.iter().rev().take(2) {
            assert_eq!(fixture.store.cancel(&queue(), &id(seen)).await.unwrap(), Cancelled::Removed);
        }
    };
    assert_eq!(listed(&fixture, JobState::Ready, 7, cancel).await, expected);

    let claimed = claim(&fixture.store, 42).await.jobs;
    let running: Vec<_> = names(&claimed).into_iter().map(str::to_owned).collect();
    let end = async |seen: &[String]| {
        let last = claimed.iter().filter(|job| seen.last().is_some_and(|id| job.id().as_str() == id));
        assert!(
            complete(&fixture, &last.cloned().collect::<Vec<_>>())
                .await
                .iter()
                .all(|settled| *settled == Settled::Done)
        );
    };
    assert_eq!(listed(&fixture, JobState::Running, 7, end).await, running);
}

#[tokio::test]
async fn a_listing_goes_on_in_a_parcel_of_which_the_first_jobs_were_claimed() {
    let fixture = fixture().await;
    push(&fixture.store, &jobs(0..40)).await;
    let take = async |_: &[String]| {
        claim(&fixture.store, 7).await;
    };
    let expected: Vec<_> = (0..40).map(|n| format!("{n:03}")).collect();
    assert_eq!(listed(&fixture, JobState::Ready, 7, take).await, expected);
}

#[tokio::test]
async fn a_listing_goes_on_behind_thousands_of_empty_parcels() {
    let fixture = fixture().await;
    for part in 0..3 {
        // Ids of another length begin another parcel.
        let name = |n: usize| format!("{part}.{n:04}{}", "x".repeat(n % 2));
        let jobs: Vec<_> = (0..1000).map(|n| job(&name(n))).collect();
        push(&fixture.store, &jobs).await;
        let ids: Vec<_> = jobs.into_iter().map(|job| job.id.unwrap()).collect();
        fixture.store.delete(&queue(), &ids).await.unwrap();
    }
    push(&fixture.store, &jobs(0..2)).await;
    assert_eq!(listed(&fixture, JobState::Ready, 50, async |_| {}).await, ["000", "001"]);
}

#[tokio::test]
async fn a_known_id_is_recognised_wherever_its_parcel_is() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let other = |mut jobs: Vec<NewJob>| {
        jobs.iter_mut().for_each(|job| job.request += 1);
        jobs
    };
    let pushed = push(store, &jobs(0..1000)).await;
    assert_eq!(are_new(&pushed), vec![true; 1000]);
    let claimed = claim(store, 20).await.jobs;
    for first in [0, 100] {
        for count in [1, 30] {
            assert_eq!(are_new(&push(store, &jobs(first..first + count)).await), vec![true; count]);
            assert_eq!(push(store, &other(jobs(first..first + count))).await, vec![Pushed::Duplicate; count]);
        }
    }
    let twice = [jobs(0..5), jobs(995..1005), other(jobs(1000..1005))].concat();
    let answers = [vec![true; 15], vec![false; 5]].concat();
    assert_eq!(are_new(&push(store, &twice).await), answers);
    assert_eq!(store.counts(&queue()).await.unwrap().pending(), 1005);
    assert_eq!(complete(&fixture, &claimed[..10]).await, [Settled::Done; 10]);
    assert_eq!(are_new(&push(store, &other(jobs(0..20))).await), [vec![true; 10], vec![false; 10]].concat());
    // Their first lives are over: the leases of then settle nothing any more.
    assert_eq!(complete(&fixture, &claimed[..10]).await, [Settled::Lost; 10]);
    assert_eq!(complete(&fixture, &claimed[10..]).await, [Settled::Done; 10]);
    let mut seen = BTreeSet::new();
    while let jobs = claim(store, 300).await.jobs
        && !jobs.is_empty()
    {
        assert!(jobs.iter().all(|job| seen.insert(job.id().to_string())), "each once");
        assert!(complete(&fixture, &jobs).await.iter().all(|settled| *settled == Settled::Done));
    }
    assert_eq!((seen.len(), store.counts(&queue()).await.unwrap().pending()), (995, 0));
}

#[tokio::test]
async fn one_settlement_ends_jobs_of_several_parcels_and_lone_ones() {
    let fixture = fixture().await;
    let store = &fixture.store;
    push(store, &jobs(0..30)).await;
    let lone = ["x", "y"].map(|name| job(name).with_start_within(LEASE * 100));
    push(store, &lone).await;
    push(store, &jobs(30..60)).await;
    let mut all = Vec::new();
    while all.len() < 62 {
        let claim = claim(store, 25).await;
        assert!(claim.jobs.len() == 25 || all.len() + claim.jobs.len() == 62 || claim.next == Some(Duration::ZERO));
        all.extend(claim.jobs);
    }
    let every_second: Vec<_> = all.iter().step_by(2).cloned().collect();
    assert_eq!(complete(&fixture, &every_second).await, [Settled::Done; 31]);
    assert_eq!(complete(&fixture, &every_second).await, [Settled::Done; 31], "told again");
    assert_eq!(store.counts(&queue()).await.unwrap().running, 31);
    let mut stale = all[1].clone();
    stale.lease.fence = all[61].lease.fence;
    assert_eq!(settle(store, &stale, Outcome::Complete(None)).await, Settled::Lost);
    let extended = store.extend(&queue(), &[Extension::new(stale.lease)], LEASE * 2).await.unwrap();
    assert_eq!(extended, [Extended::Lost]);
    fixture.clock.advance(LEASE);
    assert_eq!(complete(&fixture, &all[1..2]).await, [Settled::Lost], "its lease has run out");
    let back = [claim(store, 20).await.jobs, claim(store, 20).await.jobs].concat();
    let names = |jobs: &[ClaimedJob]| jobs.iter().map(|job| job.id().to_string()).collect::<BTreeSet<_>>();
    assert_eq!(names(&back), names(&all.into_iter().skip(1).step_by(2).collect::<Vec<_>>()));
    assert!(back.iter().all(|job| job.attempt == 2));
    assert_eq!(complete(&fixture, &back).await, [Settled::Done; 31]);
    assert_eq!(store.counts(&queue()).await.unwrap().pending(), 0);
}

#[tokio::test]
async fn ids_and_payloads_of_every_size_go_together() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let sizes = [0, 0, 1 << 20, 0, 70_000, 1, 64 * 1024, 0, 1 << 20];
    let jobs: Vec<_> = (0..90)
        .map(|n| {
            let name = format!("{n:0>width$}", width = if n % 9 < 4 { 256 } else { 2 + n % 3 });
            NewJob::new(vec![b'x'; if n < 9 { sizes[n % 9] } else { n }]).with_id(id(&name))
        })
        .collect();
    push(store, &jobs).await;
    let mut seen = Vec::new();
    while let claimed = claim(store, 7).await.jobs
        && !claimed.is_empty()
    {
        seen.extend(claimed.iter().map(|job| (job.id().to_string(), job.payload.len())));
        assert!(complete(&fixture, &claimed).await.iter().all(|settled| *settled == Settled::Done));
    }
    let expected: Vec<_> = jobs.iter().map(|job| (job.id.as_ref().unwrap().to_string(), job.payload.len())).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_thousand_jobs_are_extended_settled_and_removed_at_once() {
    let fixture = fixture().await;
    let store = &fixture.store;
    push(store, &jobs(0..1000)).await;
    let mut all = Vec::new();
    while all.len() < 1000 {
        all.extend(claim(store, 1000).await.jobs);
    }
    let progress = all.iter().map(|job| Extension::new(job.lease.clone()).with_progress("half"));
    let extended = store.extend(&queue(), &progress.collect::<Vec<_>>(), LEASE).await.unwrap();
    assert!(extended.iter().all(|extended| matches!(extended, Extended::Until(_))));
    let retry = Outcome::Retry { after: Duration::from_secs(1), error: "no".into() };
    let retries: Vec<_> = all.iter().map(|job| Settlement::new(job.lease.clone(), retry.clone())).collect();
    let settled = store.settle(&queue(), &retries, Durability::Accepted).await.unwrap().value;
    assert_eq!(settled, vec![Settled::Done; 1000]);
    assert_eq!(store.counts(&queue()).await.unwrap().scheduled, 1000);
    push(store, &jobs(1000..2000)).await;
    assert_eq!(are_new(&push(store, &jobs(1000..2000)).await), vec![true; 1000]);
    let ids: Vec<_> = jobs(0..2000).into_iter().map(|job| job.id.unwrap()).collect();
    for ids in ids.chunks(1000) {
        store.delete(&queue(), ids).await.unwrap();
    }
    assert_eq!(store.counts(&queue()).await.unwrap().pending(), 0);
}

/// Both take 17 bytes on the server.
#[tokio::test]
async fn uuids_and_ids_of_the_same_length_do_not_get_in_each_other_s_way() {
    let fixture = fixture().await;
    let uuids = ["00", "05", "3f", "40"].map(|last| format!("018f6d2a-1b2c-7d3e-8f90-a1b2c3d4e5{last}"));
    let texts = ["customer-00000017", "018f6d2a-1b2c-4d3e-8f90-a1b2c3d4e500"].map(str::to_owned);
    let all = [&uuids[0], &texts[0], &uuids[1], &uuids[2], &texts[1], &uuids[3]];
    let jobs: Vec<_> = all.iter().map(|id| job(id)).collect();
    assert_eq!(are_new(&push(&fixture.store, &jobs).await), [true; 6]);
    let mut again = jobs.clone();
    again.iter_mut().for_each(|job| job.request = 9);
    assert_eq!(push(&fixture.store, &again).await, [const { Pushed::Duplicate }; 6]);
    for id in all {
        assert_eq!(fixture.store.get(&queue(), &self::id(id)).await.unwrap().unwrap().state, JobState::Ready);
    }
    for settled in [false, true] {
        let claimed = claim(&fixture.store, 10).await.jobs;
        assert_eq!(names(&claimed).into_iter().collect::<BTreeSet<_>>(), all.iter().map(|id| id.as_str()).collect());
        if settled {
            assert_eq!(complete(&fixture, &claimed).await, [const { Settled::Done }; 6]);
        }
        fixture.clock.advance(LEASE);
    }
    assert_eq!(fixture.store.counts(&queue()).await.unwrap(), store_core::Counts::default());
}

/// By ids with families, and by others.
#[tokio::test]
async fn a_settlement_sent_again_spares_jobs_that_are_in_another_parcel_since() {
    let fixture = fixture().await;
    let uuids = ["00", "1f", "3f"].map(|last| format!("018f6d2a-1b2c-7d3e-8f90-a1b2c3d4e5{last}"));
    for ids in [uuids, ["a", "b", "c"].map(str::to_owned)] {
        let jobs: Vec<_> = ids.iter().map(|id| job(id)).collect();
        push(&fixture.store, &jobs).await;
        let first = claim(&fixture.store, 3).await.jobs;
        assert_eq!(complete(&fixture, &first).await, [const { Settled::Done }; 3]);
        push(&fixture.store, &jobs).await;
        let second = claim(&fixture.store, 3).await.jobs;
        assert_eq!(complete(&fixture, &first).await, [const { Settled::Lost }; 3]);
        assert_eq!(fixture.store.counts(&queue()).await.unwrap().running, 3);
        assert_eq!(complete(&fixture, &second).await, [const { Settled::Done }; 3]);
    }
}
