//! Deliveries: what commits record in the outbox of their queue reaches its destination once.

pub(super) mod refused;

use std::time::Instant;

use store_core::{
    ClaimRequest, Commit, Delivered, Delivery, Event, GroupName, JobState, Key, NewEvent, NewJob, Op, OutboxEntry,
    Outcome, PageRequest, Priority, QueueName, Replayed, Result, RetryPolicy, SeekTo, Settlement, TopicConfig,
    TopicName, Unique, UniqueUntil,
};

use super::{ACCEPTED, AtHome, charge, keyed};
use crate::case::cases;
use crate::fixture::{Fixture, holder, secs, unique_key};
use crate::queue::queue_fixture::{LEASE, QueueFixture, job_id, only};
use crate::verdict::{BrokenPromise, Verdict, check, check_eq};

cases! { Op::HomeDeliver;
    a_job_is_pushed_as_it_was_given,
    a_job_can_go_to_any_partition_of_its_own_queue,
    an_event_is_appended,
    a_commit_records_its_deliveries_once,
    a_refused_commit_records_nothing,
    a_second_holder_pushes_nothing_more,
    a_second_holder_appends_nothing_more,
    it_is_done_once_if_the_first_holder_is_late,
    a_key_that_is_held_counts_as_delivered,
    those_who_wait_are_told_of_recorded_deliveries,
    entries_are_there_when_the_store_is_opened_again: Reopen,
}

impl AtHome {
    fn outbox(&self) -> QueueName {
        self.queue.name.outbox()
    }

    /// Ends the job of the home, and records these deliveries.
    async fn records(&self, deliveries: impl IntoIterator<Item = Delivery>) -> Verdict {
        let commit = deliveries.into_iter().fold(self.bare(), Commit::with_delivery);
        self.done(&commit).await.map(drop)
    }

    /// The same when the store was opened again, and declares these partitions.
    async fn declaring(self, partitions: impl IntoIterator<Item = (QueueName, u16)>) -> Result<Self, BrokenPromise> {
        let Self { queue: QueueFixture { fixture, name }, home, lease, run } = self;
        drop(home);
        let fixture = fixture.declaring(partitions).await?;
        let home = fixture.state.home(&name, &unique_key(super::KEY));
        Ok(Self { queue: QueueFixture { fixture, name }, home, lease, run })
    }

    /// A job for the other queue.
    fn elsewhere(&self, job: NewJob) -> Delivery {
        Delivery::job(self.other_queue(), job)
    }

    async fn entries(&self) -> Result<Vec<OutboxEntry>> {
        let (since, outbox) = (Instant::now(), self.outbox());
        let request = ClaimRequest::new(outbox.clone(), holder("deliverer"), 100, LEASE);
        let jobs = self.queue.fixture.state.claim(&request).await?.jobs;
        Ok(jobs.into_iter().map(|job| OutboxEntry::new(outbox.clone(), job, since, LEASE)).collect())
    }

    async fn entry(&self) -> Result<OutboxEntry, BrokenPromise> {
        only(self.entries().await?)
    }

    async fn deliver(&self, entry: &OutboxEntry) -> Result<Delivered> {
        self.queue.fixture.state.deliver(entry, ACCEPTED).await
    }

    /// How many jobs wait in the other queue.
    async fn arrived(&self) -> Result<u64> {
        Ok(self.queue.fixture.state.counts(&self.other_queue()).await?.pending())
    }

    /// Completes all jobs that wait in the other queue, and returns their payloads.
    async fn taken(&self) -> Result<Vec<Vec<u8>>> {
        let (state, queue, mut payloads) = (&self.queue.fixture.state, self.other_queue(), Vec::new());
        let request = ClaimRequest::new(queue.clone(), holder("worker"), 100, LEASE);
        for claimed in state.claim(&request).await?.jobs {
            let done = [Settlement::new(claimed.lease, Outcome::Complete(None))];
            let _ = state.settle(&queue, &done, ACCEPTED).await?;
            payloads.push(claimed.payload.to_vec());
        }
        payloads.sort();
        Ok(payloads)
    }

    /// The reason of the only dead entry, which is then replayed.
    async fn replays(&self) -> Result<Option<String>, BrokenPromise> {
        let (state, outbox) = (&self.queue.fixture.state, self.outbox());
        let listed = state.list(&outbox, JobState::Dead, PageRequest::first(10)).await?.items;
        let id = only(listed)?.id;
        let info = state.get(&outbox, &id).await?;
        check_eq!(state.replay(&outbox, &[id]).await?, [Replayed::Replayed]);
        Ok(info.and_then(|info| info.last_error))
    }

    fn topic(&self) -> TopicName {
        TopicName::new(self.queue.fixture.text("orders")).expect("invariant: cases use short plain names")
    }

    async fn appended(&self, partitions: u16) -> Result<Vec<Event>> {
        let (topics, group) = (self.queue.fixture.state.topics(), GroupName::new("g").expect("invariant: a name"));
        topics.seek(&self.topic(), &group, SeekTo::Start).await?;
        let mut events = Vec::new();
        for partition in 0..partitions {
            let request = store_core::ReadRequest::new(self.topic(), partition, group.clone(), holder("reader"));
            events.extend(topics.read(&request).await?.events().into_iter().flat_map(|batch| batch.events));
        }
        Ok(events)
    }
}

async fn a_job_is_pushed_as_it_was_given(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    let full = NewJob::new("full")
        .with_id(job_id("own"))
        .with_priority(Priority::Critical)
        .with_unique(Unique::new(unique_key("k"), UniqueUntil::Finished))
        .with_retry(RetryPolicy::new(3, RetryPolicy::default().backoff))
        .with_schema(7);
    at.records([at.elsewhere(full), at.elsewhere(NewJob::new("later").with_delay(secs(60)))]).await?;
    check_eq!(at.arrived().await?, 0);
    for entry in at.entries().await? {
        check_eq!(at.deliver(&entry).await?, Delivered::Done);
    }
    check_eq!(at.queue.fixture.state.counts(&at.outbox()).await?.pending(), 0);
    let counts = at.queue.fixture.state.counts(&at.other_queue()).await?;
    check_eq!((counts.ready, counts.scheduled), (1, 1));
    let request = ClaimRequest::new(at.other_queue(), holder("worker"), 10, LEASE);
    let claimed = only(at.queue.fixture.state.claim(&request).await?.jobs)?;
    check_eq!((claimed.id().as_str(), &claimed.payload[..], claimed.schema), ("own", &b"full"[..], 7));
    check_eq!((claimed.priority, claimed.retry.max_attempts), (Priority::Critical, 3));
    check_eq!(claimed.unique.map(|unique| unique.key), Some(unique_key("k")));
    Ok(())
}

async fn a_job_can_go_to_any_partition_of_its_own_queue(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    let own = |number: u8| {
        let unique = Unique::new(unique_key(&format!("key {number}")), UniqueUntil::Finished);
        Delivery::job(at.queue.name.clone(), NewJob::new(vec![number]).with_unique(unique))
    };
    let plain = Delivery::job(at.queue.name.clone(), NewJob::new("plain"));
    at.records((0..20).map(own).chain([plain])).await?;
    let entries = at.entries().await?;
    check_eq!(entries.len(), 21);
    for entry in &entries {
        check_eq!(at.deliver(entry).await?, Delivered::Done);
    }
    check_eq!((at.queue.counts().await?.ready, at.queue.claim(100).await?.jobs.len()), (21, 21));
    Ok(())
}

async fn an_event_is_appended(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    let config = TopicConfig::default().with_partitions(3);
    at.queue.fixture.state.topics().declare(&at.topic(), &config).await?;
    let keyed = NewEvent::new("paid").with_key(Key::new("order-7")?);
    at.records([Delivery::event(at.topic(), keyed.clone()), Delivery::event(at.topic(), NewEvent::new("all"))]).await?;
    for entry in at.entries().await? {
        check_eq!(at.deliver(&entry).await?, Delivered::Done);
    }
    let ids = at.queue.fixture.state.topics().append(&at.topic(), &[keyed], ACCEPTED).await?.value;
    let events = at.appended(3).await?;
    let paid: Vec<_> = events.iter().filter(|event| event.key.is_some()).map(|event| event.id.partition).collect();
    check_eq!((events.len(), paid), (3, vec![ids[0].partition; 2]));
    check_eq!(at.queue.fixture.state.counts(&at.outbox()).await?.pending(), 0);
    Ok(())
}

async fn a_commit_records_its_deliveries_once(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    let commit = at.whole().with_delivery(at.elsewhere(NewJob::new("a"))).with_delivery(at.elsewhere(NewJob::new("b")));
    let parts = at.done(&commit).await?;
    check_eq!(at.done(&commit).await?, parts);
    let entries = at.entries().await?;
    check_eq!(entries.len(), 2);
    for entry in &entries {
        check_eq!(at.deliver(entry).await?, Delivered::Done);
    }
    check_eq!(at.done(&commit).await?, parts);
    check_eq!((at.entries().await?.len(), at.taken().await?), (0, vec![b"a".to_vec(), b"b".to_vec()]));
    Ok(())
}

async fn a_refused_commit_records_nothing(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    let delivering = |commit: Commit| commit.with_delivery(at.elsewhere(NewJob::new("a")));
    at.refused(&delivering(at.bare().with_job(keyed("1")).with_job(keyed("2")))).await?;
    let mut superseded = charge();
    superseded.attempt = store_core::Fence::new(1);
    at.refused(&delivering(at.bare().with_step(superseded, "paid"))).await?;
    at.queue.fixture.advance(LEASE);
    at.refused(&delivering(at.bare())).await?;
    check_eq!((at.entries().await?.len(), at.arrived().await?), (0, 0));
    Ok(())
}

async fn a_second_holder_pushes_nothing_more(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    at.records([at.elsewhere(NewJob::new("a")), at.elsewhere(NewJob::new("b").with_id(job_id("own")))]).await?;
    let first = at.entries().await?;
    at.queue.fixture.advance(LEASE);
    let second = at.entries().await?;
    check_eq!((first.len(), second.len()), (2, 2));
    for entry in &second {
        check_eq!(at.deliver(entry).await?, Delivered::Done);
    }
    check_eq!(at.taken().await?, [b"a".to_vec(), b"b".to_vec()]);
    // The jobs are gone, and the destination still recognises the entries.
    for entry in first.iter().chain(&second) {
        check_eq!(at.deliver(entry).await?, Delivered::Lost);
    }
    check_eq!(at.arrived().await?, 0);
    Ok(())
}

async fn a_second_holder_appends_nothing_more(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    at.queue.fixture.state.topics().declare(&at.topic(), &TopicConfig::default().with_partitions(3)).await?;
    at.records([Delivery::event(at.topic(), NewEvent::new("paid"))]).await?;
    let first = at.entry().await?;
    at.queue.fixture.advance(LEASE);
    let second = at.entry().await?;
    check_eq!((at.deliver(&second).await?, at.deliver(&first).await?), (Delivered::Done, Delivered::Lost));
    check_eq!(at.appended(3).await?.len(), 1);
    Ok(())
}

async fn it_is_done_once_if_the_first_holder_is_late(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    at.records([at.elsewhere(NewJob::new("a"))]).await?;
    let mut first = at.entry().await?;
    at.queue.fixture.advance(LEASE);
    // Its lease has ended, and nobody else has delivered the entry. An engine may push the job now, but cannot remove the entry.
    check_eq!(at.deliver(&first).await?, Delivered::Lost);
    let pushed = at.taken().await?.len();
    let second = at.entry().await?;
    check_eq!(at.deliver(&second).await?, Delivered::Done);
    check_eq!(pushed + at.taken().await?.len(), 1);
    // By the clock of the process its lease has ended.
    first.since = Instant::now().checked_sub(LEASE).ok_or_else(|| BrokenPromise::new("the clock has just begun"))?;
    check_eq!((at.deliver(&first).await?, at.arrived().await?), (Delivered::Lost, 0));
    Ok(())
}

async fn a_key_that_is_held_counts_as_delivered(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    at.records([at.elsewhere(keyed("a")), at.elsewhere(keyed("b"))]).await?;
    for entry in at.entries().await? {
        check_eq!(at.deliver(&entry).await?, Delivered::Done);
    }
    check_eq!((at.arrived().await?, at.queue.fixture.state.counts(&at.outbox()).await?.pending()), (1, 0));
    Ok(())
}

async fn those_who_wait_are_told_of_recorded_deliveries(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    let (state, queue) = (&at.queue.fixture.state, &at.queue.name);
    let is_recorded = async || {
        tokio::select! { biased; () = state.recorded(queue) => true, () = std::future::ready(()) => false }
    };
    check!(!is_recorded().await);
    at.refused(&at.bare().with_delivery(at.elsewhere(NewJob::new("a"))).with_job(keyed("1")).with_job(keyed("2")))
        .await?;
    check!(!is_recorded().await);
    at.records([at.elsewhere(NewJob::new("a"))]).await?;
    check!(is_recorded().await && !is_recorded().await);
    Ok(())
}

async fn entries_are_there_when_the_store_is_opened_again(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    at.records([at.elsewhere(NewJob::new("a"))]).await?;
    let at = at.declaring([]).await?;
    check_eq!((at.deliver(&at.entry().await?).await?, at.taken().await?), (Delivered::Done, vec![b"a".to_vec()]));
    Ok(())
}
