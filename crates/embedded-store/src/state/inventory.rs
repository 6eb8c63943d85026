//! The names in the rows of the store.

use std::ops::ControlFlow;

use async_trait::async_trait;
use store_core::{
    Cursor, Error, Inventory, LeaseName, Op, Page, PoolName, QueueName, Result, Scope, ServiceName, TopicName,
};

use super::EmbeddedState;
use super::heartbeats::Pool;
use super::queue::{BEHIND_NAMES, FIRST_NAME};
use super::topics::next_topic;
use crate::encoding::{Decoder, name};
use crate::fault::Fault;
use crate::moment::Moment;
use crate::rows::{Rows, Table, View, behind};

/// How many rows one step looks at.
const STEP: usize = 1000;

/// Each call is one read transaction over at most 1,000 rows; of pools and topics, over one row each. A damaged row is listed too:
/// its key has the name.
#[async_trait]
impl Inventory for EmbeddedState {
    async fn queues(&self, after: Option<Cursor>) -> Result<Page<QueueName>> {
        let from = after.map_or_else(|| FIRST_NAME.to_vec(), |cursor| next(cursor.as_str().as_bytes()));
        let look = move |view: &mut View<'_>| {
            let mut names = Vec::new();
            view.scan(Table::Queues, &from[..]..BEHIND_NAMES, |key, _| {
                names.push(name::<QueueName>(key)?);
                Ok(unless(names.len() == STEP))
            })?;
            Ok(names)
        };
        let names = self.database.read(Op::InventoryQueues, look).await?;
        let last = names.last().filter(|_| names.len() == STEP).map(|name| Cursor::new(name.as_str()));
        Ok(Page::new(names, last))
    }

    async fn leases(&self, after: Option<Cursor>) -> Result<Page<(Scope, LeaseName)>> {
        let op = Op::InventoryLeases;
        let from = after.map_or(Ok(vec![b'l']), |cursor| Ok(next(&[b"l", &*stored(op, &cursor)?].concat())));
        let (from, clock) = (from?, self.options.clock.clone());
        let look = move |view: &mut View<'_>| {
            let (now, mut steps, mut names) = (Moment::now(&clock), 0, Vec::new());
            let mut last = None;
            view.scan(Table::Entries, &from[..]..b"m", |key, row| {
                let scoped = &key[1..];
                let is_over = row.and_then(|row| Decoder::new(row).u64()).is_ok_and(|end| end <= now.millis());
                if !is_over {
                    names.push(parse::<LeaseName>(scoped)?);
                }
                steps += 1;
                last = (steps == STEP).then(|| scoped.to_vec());
                Ok(unless(last.is_some()))
            })?;
            Ok((names, last))
        };
        let (names, last) = self.database.read(op, look).await?;
        Ok(Page::new(names, last.as_deref().and_then(shown)))
    }

    async fn pools(&self, after: Option<Cursor>) -> Result<Page<(Scope, PoolName)>> {
        let op = Op::InventoryPools;
        let from = after.map_or(Ok(Vec::new()), |cursor| Ok(behind(&[&*stored(op, &cursor)?, &[0]].concat())));
        let (mut from, clock) = (from?, self.options.clock.clone());
        let look = move |view: &mut View<'_>| {
            let (now, mut names, mut last) = (Moment::now(&clock), Vec::new(), None);
            for step in 1..=STEP {
                let mut found = None;
                // The first row of a pool has the latest end.
                view.scan(Table::MemberEnds, &from[..]..BEHIND_NAMES, |key, _| {
                    found = Pool::of_row(key).map(|pool| (pool.is_forgotten(key, now), pool));
                    Ok(ControlFlow::Break(()))
                })?;
                let Some((is_forgotten, pool)) = found else { break };
                if !is_forgotten {
                    names.push(parse::<PoolName>(pool.name())?);
                }
                from = behind(&[pool.name(), &[0]].concat());
                last = (step == STEP).then(|| pool.name().to_vec());
            }
            Ok((names, last))
        };
        let (names, last) = self.database.read(op, look).await?;
        Ok(Page::new(names, last.as_deref().and_then(shown)))
    }

    async fn declared_topics(&self, after: Option<Cursor>) -> Result<Page<TopicName>> {
        let op = Op::InventoryDeclaredTopics;
        // A cursor is a blank and the name of the last topic of the page before.
        let last = after.map(|cursor| cursor.as_str().strip_prefix(' ').and_then(|name| TopicName::new(name).ok()));
        let mut last = match last {
            Some(None) => return Err(Error::invalid_argument(op, "the cursor is not one of this listing")),
            last => last.flatten(),
        };
        let look = move |view: &mut View<'_>| {
            let mut names = Vec::new();
            while names.len() < STEP {
                let Some(topic) = next_topic(view, last.as_ref())? else { return Ok((names, None)) };
                last = Some(topic.clone());
                names.push(topic);
            }
            Ok((names, last))
        };
        let (names, last) = self.database.read(op, look).await?;
        Ok(Page::new(names, last.map(|topic| Cursor::new(format!(" {topic}")))))
    }
}

fn unless(is_done: bool) -> ControlFlow<()> {
    if is_done { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// The first key behind this one.
fn next(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

/// A scoped name, as [`EmbeddedState::scoped`] writes it.
fn parse<'a, N: TryFrom<&'a str>>(scoped: &'a [u8]) -> Result<(Scope, N), Fault> {
    let (service, text) = scoped.split_at(scoped.iter().position(|byte| *byte == 0).unwrap_or(scoped.len()));
    let scope = if service.is_empty() { Scope::Shared } else { Scope::Service(name::<ServiceName>(service)?) };
    Ok((scope, name(text.get(1..).unwrap_or_default())?))
}

/// A scoped name as a cursor: with a blank, which no name contains, for the zero byte.
fn shown(scoped: &[u8]) -> Option<Cursor> {
    let text = std::str::from_utf8(scoped).ok()?;
    Some(Cursor::new(text.replacen('\0', " ", 1)))
}

fn stored(op: Op, cursor: &Cursor) -> Result<Vec<u8>> {
    if !cursor.as_str().contains(' ') {
        return Err(Error::invalid_argument(op, "the cursor is not one of this listing"));
    }
    Ok(cursor.as_str().replacen(' ', "\0", 1).into_bytes())
}
