//! What is known of a queue as a whole, in one row.

use store_core::{Counts, Fence, Priority, QueueName};

use super::life::Place;
use crate::encoding::{Decoder, Encoder};
use crate::fault::Fault;
use crate::rows::{Change, Rows, Table};

/// How many kinds of rows [`Table::Places`] has: four of ready jobs, scheduled, running, completed, dead, and unique keys
/// that are held for a time.
pub(super) const KINDS: usize = 9;

/// The kind of the rows that are no jobs: the ends of unique keys.
pub(super) const UNIQUE_ENDS: u8 = 8;

/// Where the ready lists begin, in both directions.
const MIDDLE: u64 = 1 << 63;

/// The bounds of the names in [`Table::Queues`].
pub(crate) const FIRST_NAME: &[u8] = &[1];
pub(crate) const BEHIND_NAMES: &[u8] = &[0xff];

/// Where the number of the next queue is kept: no queue has an empty name.
const NEXT_NUMBER: &[u8] = &[];

/// What is known of a queue as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ledger {
    /// What its keys begin with.
    pub(super) number: u32,
    /// How many partitions were declared when it began. All are one here.
    pub(super) partitions: u16,
    pub(super) paused: bool,
    /// The last one given out.
    pub(super) fence: Option<Fence>,
    /// The first place of its ready lists that is taken, and the first behind them that is not.
    head: u64,
    tail: u64,
    /// How many rows of each kind it has in [`Table::Places`].
    pub(super) rows: [u64; KINDS],
    pub(super) completed_bytes: u64,
    pub(super) dead_bytes: u64,
}

impl Ledger {
    fn new(number: u32, partitions: u16) -> Self {
        Self {
            number,
            partitions,
            paused: false,
            fence: None,
            head: MIDDLE,
            tail: MIDDLE,
            rows: [0; KINDS],
            completed_bytes: 0,
            dead_bytes: 0,
        }
    }

    /// Reads the ledger of a queue; `None` if nothing was ever written to it.
    pub(super) fn read(rows: &mut impl Rows, queue: &QueueName) -> Result<Option<Self>, Fault> {
        rows.get(Table::Queues, queue.as_str().as_bytes(), Self::decode)
    }

    /// Begins a queue.
    pub(super) fn create(change: &mut Change<'_>, partitions: u16) -> Result<Self, Fault> {
        let number = change.get(Table::Queues, NEXT_NUMBER, |row| Decoder::new(row).u32())?.unwrap_or(0);
        change.put(Table::Queues, NEXT_NUMBER, (number + 1).to_be_bytes().to_vec())?;
        Ok(Self::new(number, partitions))
    }

    pub(super) fn write(&self, change: &mut Change<'_>, queue: &QueueName) -> Result<(), Fault> {
        change.put(Table::Queues, queue.as_str().as_bytes(), self.encode())
    }

    fn encode(&self) -> Vec<u8> {
        let row = Encoder::with_capacity(128)
            .u32(self.number)
            .u16(self.partitions)
            .u8(u8::from(self.paused))
            .u64(self.fence.map_or(0, Fence::get))
            .u64(self.head)
            .u64(self.tail)
            .u64(self.completed_bytes)
            .u64(self.dead_bytes);
        self.rows.iter().fold(row, |row, count| row.u64(*count)).finish()
    }

    pub(super) fn decode(row: &[u8]) -> Result<Self, Fault> {
        let mut row = Decoder::new(row);
        let mut ledger = Self::new(row.u32()?, row.u16()?);
        ledger.paused = row.u8()? == 1;
        ledger.fence = Some(row.u64()?).filter(|number| *number > 0).map(Fence::new);
        ledger.head = row.u64()?;
        ledger.tail = row.u64()?;
        ledger.completed_bytes = row.u64()?;
        ledger.dead_bytes = row.u64()?;
        for count in &mut ledger.rows {
            *count = row.u64()?;
        }
        Ok(ledger)
    }

    /// A place behind all that are ready.
    pub(super) fn last_place(&mut self, priority: Priority) -> Place {
        self.tail += 1;
        Place::Ready(priority, self.tail - 1)
    }

    /// A place before all that are ready.
    pub(super) fn first_place(&mut self, priority: Priority) -> Place {
        self.head -= 1;
        Place::Ready(priority, self.head)
    }

    /// The sum that a job at this place counts in.
    pub(super) fn bytes_at(&mut self, place: Place) -> Option<&mut u64> {
        match place {
            Place::Completed(_) => Some(&mut self.completed_bytes),
            Place::Dead(_) => Some(&mut self.dead_bytes),
            _ => None,
        }
    }

    pub(super) fn count(&mut self, kind: u8) -> &mut u64 {
        &mut self.rows[usize::from(kind)]
    }

    /// How many jobs can be claimed.
    pub(super) fn ready(&self) -> u64 {
        self.rows[..Priority::ALL.len()].iter().sum()
    }

    pub(super) fn counts(&self) -> Counts {
        let [_, _, _, _, scheduled, running, completed, dead, _] = self.rows;
        Counts::new(self.ready(), scheduled, running, completed, dead).with_paused(self.paused)
    }
}
