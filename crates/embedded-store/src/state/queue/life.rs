//! What changes while a job lives.

use bytes::Bytes;
use store_core::{Fence, JobState, Priority, Retention, UniqueKey, UniqueUntil};

use super::record::{Record, priority};
use crate::encoding::{Decoder, Encoder, name};
use crate::fault::Fault;

/// Where a job is: its row in the table of places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In the list of its priority, by a number that grows towards the tail.
    Ready(Priority, u64),
    /// Until it is due, in milliseconds; as all that follow.
    Scheduled(u64),
    /// Until its lease ends.
    Running(u64),
    /// Until it is forgotten.
    Completed(u64),
    /// Since it died.
    Dead(u64),
}

impl Place {
    /// The first part of its row: kinds sort as jobs are claimed, and the ready ones come first.
    pub(super) fn kind(self) -> u8 {
        match self {
            Place::Ready(priority, _) => priority.index(),
            Place::Scheduled(_) => 4,
            Place::Running(_) => 5,
            Place::Completed(_) => 6,
            Place::Dead(_) => 7,
        }
    }

    /// The second part of its row.
    pub(super) fn order(self) -> u64 {
        let (Place::Ready(_, order)
        | Place::Scheduled(order)
        | Place::Running(order)
        | Place::Completed(order)
        | Place::Dead(order)) = self;
        order
    }

    pub(super) fn new(kind: u8, order: u64) -> Result<Self, Fault> {
        Ok(match kind {
            4 => Place::Scheduled(order),
            5 => Place::Running(order),
            6 => Place::Completed(order),
            7 => Place::Dead(order),
            kind => Place::Ready(priority(kind)?, order),
        })
    }

    pub(super) fn state(self) -> JobState {
        match self {
            Place::Ready(..) => JobState::Ready,
            Place::Scheduled(_) => JobState::Scheduled,
            Place::Running(_) => JobState::Running,
            Place::Completed(_) => JobState::Completed,
            Place::Dead(_) => JobState::Dead,
        }
    }

    pub(super) fn encode(self, row: Encoder) -> Encoder {
        row.u8(self.kind()).u64(self.order())
    }

    pub(super) fn decode(row: &mut Decoder<'_>) -> Result<Self, Fault> {
        Self::new(row.u8()?, row.u64()?)
    }
}

/// How many deliveries of a job that its worker probably did not receive do not count as attempts.
const FREE_DELIVERIES: u8 = 3;

/// The state of the last delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    /// There was none since it was pushed or replayed.
    None,
    /// It is under way, as long as its lease lasts.
    Running,
    /// Its holder has settled it.
    Settled,
    /// Its lease has run out.
    RanOut,
}

/// What changes while a job lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) place: Place,
    pub(super) delivery: Delivery,
    /// That of the last delivery.
    pub(super) fence: Fence,
    pub(super) attempts: u32,
    /// Whether its holder has extended the lease, so that the delivery counts as an attempt if the lease expires.
    pub(super) is_heard: bool,
    /// How many deliveries were not heard and did not count: at most [`FREE_DELIVERIES`].
    pub(super) unheard: u8,
    pub(super) cancel_requested: bool,
    /// When it is too late to be claimed; only as long as it was never claimed nor replayed.
    pub(super) start_by: Option<u64>,
    /// Empty unless it runs.
    pub(super) worker: String,
    pub(super) last_error: Option<String>,
    /// Progress while it runs, the result when it is completed.
    pub(super) data: Option<Bytes>,
    // What never changes, but is needed without the record, whose payload may be large.
    pub(super) max_attempts: u16,
    pub(super) priority: Priority,
    /// The unique key that it gives back when it is claimed or ends.
    pub(super) unique: Option<(UniqueKey, UniqueUntil)>,
    pub(super) payload_bytes: u32,
}

impl Life {
    /// The life of a job that is where its push put it.
    pub(super) fn new(record: &Record, payload: &[u8]) -> Self {
        let unique = record.unique.as_ref().filter(|unique| !matches!(unique.until, UniqueUntil::Elapsed(_)));
        Self {
            place: record.place,
            delivery: Delivery::None,
            fence: Fence::new(0),
            attempts: 0,
            is_heard: false,
            unheard: 0,
            cancel_requested: false,
            start_by: record.start_by,
            worker: String::new(),
            last_error: None,
            data: None,
            max_attempts: record.retry.max_attempts,
            priority: record.priority,
            unique: unique.map(|unique| (unique.key.clone(), unique.until)),
            payload_bytes: u32::try_from(payload.len()).unwrap_or(u32::MAX),
        }
    }

    /// The life of a job of which only its place can be read.
    pub(super) fn unreadable(place: Place) -> Self {
        Self {
            place,
            delivery: Delivery::None,
            fence: Fence::new(0),
            attempts: 0,
            is_heard: false,
            unheard: 0,
            cancel_requested: false,
            start_by: None,
            worker: String::new(),
            last_error: None,
            data: None,
            max_attempts: 1,
            priority: Priority::default(),
            unique: None,
            payload_bytes: 0,
        }
    }

    /// Whether the holder of `fence` may still act.
    pub(super) fn is_held_by(&self, fence: Fence, now: u64) -> bool {
        self.delivery == Delivery::Running
            && self.fence == fence
            && matches!(self.place, Place::Running(until) if until > now)
    }

    /// Whether it is completed, and was kept as long as it had to be.
    pub(super) fn is_over(&self, now: u64) -> bool {
        matches!(self.place, Place::Completed(end) if end <= now)
    }

    /// The key that is given back when the job ends, if it has one.
    pub(super) fn unique_until_finished(&self) -> Option<&UniqueKey> {
        self.unique.as_ref().filter(|(_, until)| *until == UniqueUntil::Finished).map(|(key, _)| key)
    }

    /// What it counts among those that are kept.
    pub(super) fn bytes(&self) -> u64 {
        Retention::ENTRY_BYTES + u64::from(self.payload_bytes) + self.data.as_ref().map_or(0, |data| data.len() as u64)
    }

    /// Ends a delivery: nothing of it stays but its fence and the errors.
    pub(super) fn end_delivery(&mut self, delivery: Delivery) {
        self.delivery = delivery;
        self.is_heard = false;
        self.cancel_requested = false;
        self.worker.clear();
        self.data = None;
    }

    /// Ends a delivery whose lease has expired. Returns whether it counts as an attempt.
    pub(super) fn run_out(&mut self) -> bool {
        let is_free = !self.is_heard && self.unheard < FREE_DELIVERIES;
        self.end_delivery(Delivery::RanOut);
        if is_free {
            self.unheard += 1;
            self.attempts = self.attempts.saturating_sub(1);
        }
        !is_free
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let delivery = match self.delivery {
            Delivery::None => 0,
            Delivery::Running => 1,
            Delivery::Settled => 2,
            Delivery::RanOut => 3,
        };
        let finished = |until| u8::from(until == UniqueUntil::Finished);
        self.place
            .encode(Encoder::with_capacity(96 + self.data.as_ref().map_or(0, Bytes::len)))
            .u8(delivery)
            .u64(self.fence.get())
            .u32(self.attempts)
            .u8(u8::from(self.is_heard))
            .u8(self.unheard)
            .u8(u8::from(self.cancel_requested))
            .u16(self.max_attempts)
            .u8(self.priority.index())
            .u32(self.payload_bytes)
            .option(self.start_by, Encoder::u64)
            .option(self.unique.as_ref(), |row, (key, until)| row.u8(finished(*until)).bytes(key.as_str().as_bytes()))
            .option(self.last_error.as_ref(), |row, error| row.bytes(error.as_bytes()))
            .bytes(self.worker.as_bytes())
            .option(self.data.as_ref(), |row, data| row.tail(data))
            .finish()
    }

    pub(super) fn decode(row: &[u8]) -> Result<Self, Fault> {
        let mut row = Decoder::new(row);
        let place = Place::decode(&mut row)?;
        let delivery = match row.u8()? {
            0 => Delivery::None,
            1 => Delivery::Running,
            2 => Delivery::Settled,
            3 => Delivery::RanOut,
            _ => return Err(Fault::Corrupt("a delivery stands in an unknown way")),
        };
        Ok(Self {
            place,
            delivery,
            fence: Fence::new(row.u64()?),
            attempts: row.u32()?,
            is_heard: row.u8()? == 1,
            unheard: row.u8()?,
            cancel_requested: row.u8()? == 1,
            max_attempts: row.u16()?,
            priority: priority(row.u8()?)?,
            payload_bytes: row.u32()?,
            start_by: row.option(Decoder::u64)?,
            unique: row.option(|row| {
                let until = if row.u8()? == 1 { UniqueUntil::Finished } else { UniqueUntil::Claimed };
                Ok((name(row.bytes()?)?, until))
            })?,
            last_error: row.option(|row| row.text().map(str::to_owned))?,
            worker: row.text()?.to_owned(),
            data: row.option(|row| Ok(Bytes::copy_from_slice(std::mem::take(row).tail())))?,
        })
    }
}
