//! Topics: one file per operation.

mod acknowledge;
mod append;
mod bounds;
mod declare;
mod inspect;
mod notify;
mod read;
mod release;
mod remove_group;
mod seek;
mod sharing;

use store_core::{
    Durability, Event, EventBatch, EventId, GroupName, Key, NewEvent, ReadOutcome, ReadRequest, Result, TopicConfig,
    TopicName,
};

use crate::BrokenPromise;
use crate::case::Case;
use crate::fixture::{Fixture, holder, secs};

/// The cases of every operation on topics.
pub(crate) const CASES: &[&[Case]] = &[
    declare::CASES,
    append::CASES,
    notify::CASES,
    bounds::CASES,
    read::CASES,
    sharing::CASES,
    acknowledge::CASES,
    release::CASES,
    seek::CASES,
    inspect::CASES,
    remove_group::CASES,
];

/// A topic of a case.
struct Orders {
    fixture: Fixture,
    name: TopicName,
}

impl std::ops::Deref for Orders {
    type Target = Fixture;

    fn deref(&self) -> &Fixture {
        &self.fixture
    }
}

fn group(name: &str) -> GroupName {
    GroupName::new(name).expect("invariant: cases use short plain names")
}

fn event(payload: &str) -> NewEvent {
    NewEvent::new(payload.to_owned())
}

fn keyed(key: &str, payload: &str) -> NewEvent {
    event(payload).with_key(Key::new(key).expect("invariant: cases use short plain names"))
}

/// The payloads of events, as text.
fn payloads(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| std::str::from_utf8(&event.payload).unwrap_or("no text")).collect()
}

impl Orders {
    /// A topic of one partition with the default bounds.
    async fn new(fixture: Fixture) -> Result<Self> {
        Self::with(fixture, TopicConfig::default()).await
    }

    async fn with(fixture: Fixture, config: TopicConfig) -> Result<Self> {
        let name = fixture.text("orders");
        let orders = Self { name: TopicName::new(name).expect("invariant: cases use short plain names"), fixture };
        orders.state.topics().declare(&orders.name, &config).await?;
        Ok(orders)
    }

    async fn reopen(self) -> Result<Self, BrokenPromise> {
        Ok(Self { fixture: self.fixture.reopen().await?, name: self.name })
    }

    async fn append_all(&self, events: &[NewEvent]) -> Result<Vec<EventId>> {
        Ok(self.state.topics().append(&self.name, events, Durability::Accepted).await?.value)
    }

    /// Appends these payloads in one call without keys.
    async fn append(&self, payloads: &[&str]) -> Result<Vec<EventId>> {
        self.append_all(&payloads.iter().map(|payload| event(payload)).collect::<Vec<_>>()).await
    }

    /// A new consumer of a group in partition 0, whose leases last 30 s.
    fn consumer(&self, of: &str, name: &str) -> ReadRequest {
        ReadRequest::new(self.name.clone(), 0, group(of), holder(name)).with_lease(secs(30))
    }

    async fn read(&self, request: &ReadRequest) -> Result<ReadOutcome> {
        self.state.topics().read(request).await
    }

    /// Reads a partition that no other consumer holds.
    async fn batch(&self, request: &ReadRequest) -> Result<EventBatch, BrokenPromise> {
        match self.read(request).await? {
            ReadOutcome::Events(batch) => Ok(batch),
            other => Err(BrokenPromise::new(format!("another consumer holds the partition: {other:?}"))),
        }
    }

    async fn acknowledge(&self, batch: &EventBatch, number: u64) -> Result<bool> {
        Ok(self.state.topics().acknowledge(&batch.lease, number, Durability::Accepted).await?.value)
    }

    /// The payloads of the next events of a group, read by a new consumer and acknowledged, after the lease of any earlier consumer.
    async fn consume(&self, of: &str) -> Result<Vec<String>, BrokenPromise> {
        self.advance(secs(60));
        let batch = self.batch(&self.consumer(of, "another")).await?;
        if let Some(last) = batch.last()
            && !self.acknowledge(&batch, last).await?
        {
            return Err(BrokenPromise::new("the consumer has lost its lease"));
        }
        Ok(payloads(&batch.events).into_iter().map(str::to_owned).collect())
    }
}
