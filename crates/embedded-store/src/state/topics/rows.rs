//! The rows of topics. A topic has a row with its configuration. A partition has a head, and a row for each event and each group.
//!
//! An expired partition is invisible immediately, and so are events before the oldest one of the head. Each append and
//! each read removes some of these.

use std::ops::ControlFlow;
use std::time::Duration;

use bytes::Bytes;
use store_core::{Event, EventId, GroupName, NewEvent, Timestamp, TopicConfig, TopicName, millis_ceil};

use crate::encoding::{Decoder, Encoder, name};
use crate::fault::Fault;
use crate::moment::Moment;
use crate::rows::{Change, Rows, Table, behind};

/// Kinds of rows of a topic.
const CONFIG: u8 = 0;
const PARTITION: u8 = 1;
/// Kinds of rows of a partition.
const HEAD: u8 = 0;
const GROUP: u8 = 1;
const EVENT: u8 = 2;

fn config_row(topic: &TopicName) -> Vec<u8> {
    Encoder::default().bytes(topic.as_str().as_bytes()).u8(CONFIG).finish()
}

/// The configuration of a topic.
pub(super) fn config_of(rows: &mut impl Rows, topic: &TopicName) -> Result<Option<TopicConfig>, Fault> {
    rows.get(Table::Topics, &config_row(topic), |row| {
        let mut row = Decoder::new(row);
        let config = TopicConfig::default()
            .with_partitions(row.u16()?)
            .with_max_age(Duration::from_millis(row.u64()?))
            .with_max_events(row.u64()?)
            .with_max_bytes(row.u64()?);
        let is_valid = config.validate().is_ok();
        is_valid.then_some(config).ok_or(Fault::Corrupt("the configuration of a topic is damaged"))
    })
}

/// The topic whose rows follow those of `last`; without it, the first one. Its configuration is its first row.
pub(in crate::state) fn next_topic(rows: &mut impl Rows, last: Option<&TopicName>) -> Result<Option<TopicName>, Fault> {
    let from = last.map_or_else(Vec::new, |last| behind(&Encoder::default().bytes(last.as_str().as_bytes()).finish()));
    let mut found = None;
    rows.scan(Table::Topics, &from[..]..&[0xff], |key, _| {
        found = Some(name(Decoder::new(key).bytes()?)?);
        Ok(ControlFlow::Break(()))
    })?;
    Ok(found)
}

pub(super) fn put_config(change: &mut Change<'_>, topic: &TopicName, config: &TopicConfig) -> Result<(), Fault> {
    let row = Encoder::default().u16(config.partitions).u64(millis_ceil(config.max_age));
    change.put(Table::Topics, &config_row(topic), row.u64(config.max_events).u64(config.max_bytes).finish())
}

/// The rows of one partition begin with this: the topic with its length, a kind, the number. No such prefix begins with another one.
#[derive(Clone)]
pub(super) struct Partition {
    prefix: Vec<u8>,
    number: u16,
}

/// The head.
#[derive(Clone)]
pub(super) struct Head {
    /// The number of the last event.
    pub(super) last: u64,
    /// All bytes that were appended.
    pub(super) bytes: u64,
    /// When the last event was appended, in ms.
    pub(super) at: u64,
    /// The number of the oldest event that is retained.
    pub(super) first: u64,
    /// The bytes before its append.
    pub(super) before: u64,
    /// When it was appended, in ms.
    pub(super) first_at: u64,
    /// When the partition expires, in ms.
    pub(super) until: u64,
}

/// A group.
#[derive(Clone, Default)]
pub(super) struct Group {
    /// The last event that it has acknowledged.
    pub(super) cursor: u64,
    pub(super) fence: u64,
    /// The end of the lease, in ms.
    pub(super) until: u64,
    /// The end of the wish of another consumer, in ms.
    pub(super) wish_until: u64,
    /// How many partitions that consumer holds.
    pub(super) wish: u32,
    /// The identity of the holder; zeros if it has released the partition.
    pub(super) holder: [u8; 16],
    pub(super) name: String,
}

/// When an event was appended, and the bytes before its append.
#[derive(Clone, Copy)]
pub(super) struct Appended {
    pub(super) at: u64,
    pub(super) before: u64,
}

impl Partition {
    pub(super) fn new(topic: &TopicName, number: u16) -> Self {
        let prefix = Encoder::default().bytes(topic.as_str().as_bytes()).u8(PARTITION).u16(number);
        Self { prefix: prefix.finish(), number }
    }

    fn row(&self, kind: u8, rest: &[u8]) -> Vec<u8> {
        Encoder::with_capacity(self.prefix.len() + 1 + rest.len()).tail(&self.prefix).u8(kind).tail(rest).finish()
    }

    fn end_row(&self, until: u64) -> Vec<u8> {
        Encoder::default().u64(until).u16(self.number).tail(&self.prefix).finish()
    }

    /// The head of a partition that has not expired.
    pub(super) fn head(&self, rows: &mut impl Rows, now: Moment) -> Result<Option<Head>, Fault> {
        Ok(self.stored_head(rows)?.filter(|head| head.until > now.millis()))
    }

    fn stored_head(&self, rows: &mut impl Rows) -> Result<Option<Head>, Fault> {
        rows.get(Table::Topics, &self.row(HEAD, &[]), |row| {
            let mut row = Decoder::new(row);
            Ok(Head {
                last: row.u64()?,
                bytes: row.u64()?,
                at: row.u64()?,
                first: row.u64()?,
                before: row.u64()?,
                first_at: row.u64()?,
                until: row.u64()?,
            })
        })
    }

    /// The head of a partition that has not expired, or that of a new one, which is not written yet. A new one has no groups.
    pub(super) fn open(&self, change: &mut Change<'_>, now: Moment) -> Result<Head, Fault> {
        if let Some(head) = self.head(change, now)? {
            return Ok(head);
        }
        self.remove_groups(change)?;
        let (number, at) = (now.micros(), now.millis());
        Ok(Head { last: number - 1, bytes: 0, at, first: number, before: 0, first_at: at, until: 0 })
    }

    pub(super) fn put_head(&self, change: &mut Change<'_>, head: &Head) -> Result<(), Fault> {
        let until = self.stored_head(change)?.map(|stored| stored.until);
        if until != Some(head.until) {
            if let Some(until) = until {
                change.remove(Table::TopicEnds, &self.end_row(until))?;
            }
            change.put(Table::TopicEnds, &self.end_row(head.until), Vec::new())?;
        }
        let row = Encoder::default().u64(head.last).u64(head.bytes).u64(head.at).u64(head.first);
        let row = row.u64(head.before).u64(head.first_at).u64(head.until);
        change.put(Table::Topics, &self.row(HEAD, &[]), row.finish())
    }

    pub(super) fn group(&self, rows: &mut impl Rows, group: &GroupName) -> Result<Option<Group>, Fault> {
        rows.get(Table::Topics, &self.row(GROUP, group.as_str().as_bytes()), decode_group)
    }

    pub(super) fn put_group(&self, change: &mut Change<'_>, name: &GroupName, group: &Group) -> Result<(), Fault> {
        let row = Encoder::default().u64(group.cursor).u64(group.fence).u64(group.until).u64(group.wish_until);
        let row = row.u32(group.wish).tail(&group.holder).tail(group.name.as_bytes()).finish();
        change.put(Table::Topics, &self.row(GROUP, name.as_str().as_bytes()), row)
    }

    pub(super) fn remove_group(&self, change: &mut Change<'_>, group: &GroupName) -> Result<(), Fault> {
        change.remove(Table::Topics, &self.row(GROUP, group.as_str().as_bytes())).map(drop)
    }

    /// The keys of all groups, damaged or not.
    fn group_rows(&self, rows: &mut impl Rows) -> Result<Vec<Vec<u8>>, Fault> {
        let (mut keys, start) = (Vec::new(), self.row(GROUP, &[]));
        rows.scan(Table::Topics, &start..&behind(&start), |key, _| {
            keys.push(key.to_vec());
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(keys)
    }

    /// How many groups there are.
    pub(super) fn count_groups(&self, rows: &mut impl Rows) -> Result<usize, Fault> {
        Ok(self.group_rows(rows)?.len())
    }

    fn remove_groups(&self, change: &mut Change<'_>) -> Result<(), Fault> {
        self.group_rows(change)?.iter().try_for_each(|key| change.remove(Table::Topics, key).map(drop))
    }

    /// All groups, by name.
    pub(super) fn groups(&self, rows: &mut impl Rows) -> Result<Vec<(GroupName, Group)>, Fault> {
        let (mut groups, start) = (Vec::new(), self.row(GROUP, &[]));
        rows.scan(Table::Topics, &start..&behind(&start), |key, row| {
            groups.push((name(&key[start.len()..])?, decode_group(row?)?));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(groups)
    }

    pub(super) fn put_event(
        &self,
        change: &mut Change<'_>,
        number: u64,
        appended: Appended,
        event: &NewEvent,
    ) -> Result<(), Fault> {
        let row = Encoder::with_capacity(24 + event.bytes()).u64(appended.at).u64(appended.before);
        let key = event.key.as_ref().map_or("", |key| key.as_str());
        let row = row.bytes(key.as_bytes()).tail(&event.payload).finish();
        change.put(Table::Topics, &self.row(EVENT, &number.to_be_bytes()), row)
    }

    /// When an event was appended.
    pub(super) fn appended(&self, rows: &mut impl Rows, number: u64) -> Result<Option<Appended>, Fault> {
        rows.get(Table::Topics, &self.row(EVENT, &number.to_be_bytes()), |row| {
            let mut row = Decoder::new(row);
            Ok(Appended { at: row.u64()?, before: row.u64()? })
        })
    }

    /// Up to `most` events from the number `from` on, and none after 1 MiB.
    pub(super) fn events(&self, rows: &mut impl Rows, from: u64, most: usize) -> Result<Vec<Event>, Fault> {
        let (mut events, mut bytes) = (Vec::new(), 0);
        let (start, end) = (self.row(EVENT, &from.to_be_bytes()), behind(&self.row(EVENT, &[])));
        if most == 0 {
            return Ok(events);
        }
        rows.scan(Table::Topics, &start..&end, |key, row| {
            let number = Decoder::new(&key[start.len() - 8..]).u64()?;
            let mut row = Decoder::new(row?);
            let (at, _) = (row.u64()?, row.u64()?);
            let key = row.bytes()?;
            let key = if key.is_empty() { None } else { Some(name(key)?) };
            let payload = Bytes::copy_from_slice(row.tail());
            bytes += payload.len();
            events.push(Event::new(EventId::new(self.number, number), Timestamp::from_millis(at), key, payload));
            let is_enough = events.len() >= most || bytes >= 1 << 20;
            Ok(if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(events)
    }

    /// Removes up to `most` events before the number `first`. Returns how many.
    pub(super) fn remove_before(&self, change: &mut Change<'_>, first: u64, most: u64) -> Result<u64, Fault> {
        let (start, end) = (self.row(EVENT, &[]), self.row(EVENT, &first.to_be_bytes()));
        let mut keys = Vec::new();
        change.scan(Table::Topics, &start..&end, |key, _| {
            keys.push(key.to_vec());
            let is_enough = keys.len() as u64 >= most;
            Ok(if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        for key in &keys {
            change.remove(Table::Topics, key)?;
        }
        Ok(keys.len() as u64)
    }
}

/// Removes up to `most` events of one expired partition, and then the partition.
pub(super) fn tidy(change: &mut Change<'_>, now: Moment, most: u64) -> Result<(), Fault> {
    let mut expired = None;
    let end = now.millis().saturating_add(1).to_be_bytes();
    change.scan(Table::TopicEnds, &[][..]..&end, |key, _| {
        let mut key = Decoder::new(key);
        let (until, number) = (key.u64()?, key.u16()?);
        expired = Some((until, Partition { prefix: key.tail().to_vec(), number }));
        Ok(ControlFlow::Break(()))
    })?;
    let Some((until, partition)) = expired else { return Ok(()) };
    if partition.remove_before(change, u64::MAX, most)? == most {
        return Ok(());
    }
    partition.remove_groups(change)?;
    change.remove(Table::Topics, &partition.row(HEAD, &[]))?;
    change.remove(Table::TopicEnds, &partition.end_row(until)).map(drop)
}

fn decode_group(row: &[u8]) -> Result<Group, Fault> {
    let mut row = Decoder::new(row);
    Ok(Group {
        cursor: row.u64()?,
        fence: row.u64()?,
        until: row.u64()?,
        wish_until: row.u64()?,
        wish: row.u32()?,
        holder: row.array()?,
        name: crate::encoding::text(row.tail())?.to_owned(),
    })
}
