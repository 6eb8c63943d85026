//! A queue inside a transaction: where jobs are, how they move, and what goes when they end.

use std::ops::{ControlFlow, RangeInclusive};
use std::time::Duration;

use store_core::{JobId, Priority, QueueName, Retention, UniqueKey, UniqueUntil, cut_reason};

use super::ledger::{Ledger, UNIQUE_ENDS};
use super::life::{Life, Place};
use super::record::Record;
use super::settings::Settings;
use crate::encoding::{Decoder, Encoder, name};
use crate::fault::Fault;
use crate::moment::Moment;
use crate::rows::{Change, Rows, Table};

/// Every job that has a place has a record.
pub(super) const NOT_THERE: Fault = Fault::Corrupt(NO_RECORD);
const NO_RECORD: &str = "a job has a place and no record";

/// A queue inside a transaction. [`OpenQueue::close`] writes its ledger.
pub(super) struct OpenQueue<'c, 't> {
    pub(super) change: &'c mut Change<'t>,
    pub(super) ledger: Ledger,
    /// Before `now`, by the clock of the process.
    pub(super) began: std::time::Instant,
    pub(super) now: Moment,
    pub(super) retention: Retention,
    /// How many jobs became completed or dead in this transaction.
    pub(super) kept: usize,
    /// Whether there may be something for a waiting worker.
    notifies: bool,
    pub(super) queue: &'c QueueName,
    stored: Option<Ledger>,
}

impl<'c, 't> OpenQueue<'c, 't> {
    /// Opens a queue that something was written to before.
    pub(super) fn existing(
        change: &'c mut Change<'t>,
        queue: &'c QueueName,
        settings: &Settings,
    ) -> Result<Option<Self>, Fault> {
        let Some(stored) = Ledger::read(change, queue)? else { return Ok(None) };
        let ledger = settings.check(stored)?;
        Ok(Some(Self::new(change, queue, settings, Some(ledger.clone()), ledger)))
    }

    /// Opens a queue, or begins it.
    pub(super) fn open(change: &'c mut Change<'t>, queue: &'c QueueName, settings: &Settings) -> Result<Self, Fault> {
        let stored = Ledger::read(change, queue)?;
        let ledger = match &stored {
            Some(ledger) => settings.check(ledger.clone())?,
            None => Ledger::create(change, settings.partitions()?)?,
        };
        Ok(Self::new(change, queue, settings, stored, ledger))
    }

    fn new(
        change: &'c mut Change<'t>,
        queue: &'c QueueName,
        settings: &Settings,
        stored: Option<Ledger>,
        ledger: Ledger,
    ) -> Self {
        let began = tokio::time::Instant::now().into_std();
        let (now, retention) = (settings.now(), settings.retention());
        Self { change, ledger, began, now, retention, kept: 0, notifies: false, queue, stored }
    }

    /// Hands jobs to waiting workers, keeps finished jobs within their bounds, and writes what has changed of the queue as a whole.
    pub(super) fn close(mut self) -> Result<(), Fault> {
        if self.notifies {
            self.hand_over()?;
        }
        if self.kept > 0 {
            self.collect()?;
            self.keep_within_bounds()?;
        }
        if self.stored.as_ref() == Some(&self.ledger) {
            return Ok(());
        }
        self.ledger.write(self.change, self.queue)
    }

    /// Wakes one who waits for the queue, or hands jobs over, when the operation is complete.
    pub(super) fn notify(&mut self) {
        self.notifies = true;
    }

    /// Reads the life of a job; `None` if the queue has no such job. One whose rows are damaged is set aside first.
    pub(super) fn find(&mut self, job: &JobId) -> Result<Option<Life>, Fault> {
        match find(self.change, self.ledger.number, job) {
            Err(Fault::Corrupt(what)) => match self.place_of(job)? {
                Some(place) => self.set_aside(job, place, what).map(Some),
                None => Err(Fault::Corrupt(what)),
            },
            found => found,
        }
    }

    /// Reads the life of a job that has a place. One whose rows are damaged is set aside first.
    pub(super) fn find_placed(&mut self, job: &JobId, place: Place) -> Result<Life, Fault> {
        match find(self.change, self.ledger.number, job) {
            Err(Fault::Corrupt(what)) => self.set_aside(job, place, what),
            found => match found? {
                Some(life) => Ok(life),
                None => self.set_aside(job, place, NO_RECORD),
            },
        }
    }

    /// Reads the life of a job; `None` also for a completed one whose time is over.
    pub(super) fn find_kept(&mut self, job: &JobId) -> Result<Option<Life>, Fault> {
        let now = self.now.millis();
        Ok(self.find(job)?.filter(|life| !life.is_over(now)))
    }

    /// Reads the life of a job with this record and payload.
    pub(super) fn life(&mut self, job: &JobId, record: &Record, payload: &[u8]) -> Result<Life, Fault> {
        let stored = self.change.get(Table::Lives, &job_key(self.ledger.number, job), Life::decode)?;
        Ok(stored.unwrap_or_else(|| Life::new(record, payload)))
    }

    /// Adds a job at the place that its record names.
    pub(super) fn add(&mut self, job: &JobId, record: &Record, payload: &[u8]) -> Result<(), Fault> {
        self.insert(record.place.kind(), record.place.order(), job.as_str())?;
        self.change.put(Table::Jobs, &job_key(self.ledger.number, job), record.encode(payload))
    }

    /// Moves a job to another place and writes its life.
    pub(super) fn move_to(&mut self, job: &JobId, life: &mut Life, place: Place) -> Result<(), Fault> {
        if life.place != place {
            self.leave(job, life)?;
            self.insert(place.kind(), place.order(), job.as_str())?;
            life.place = place;
            if let Some(bytes) = self.ledger.bytes_at(place) {
                *bytes += life.bytes();
                self.kept += 1;
            }
        }
        self.save(job, life)
    }

    /// Writes the life of a job that stays where it is.
    pub(super) fn save(&mut self, job: &JobId, life: &Life) -> Result<(), Fault> {
        self.change.put(Table::Lives, &job_key(self.ledger.number, job), life.encode())
    }

    /// Forgets a job, whatever its state.
    pub(super) fn forget(&mut self, job: &JobId, life: &Life) -> Result<(), Fault> {
        self.release_unique(job, life)?;
        self.leave(job, life)?;
        let key = job_key(self.ledger.number, job);
        self.change.remove(Table::Lives, &key)?;
        self.change.remove(Table::Jobs, &key)?;
        Ok(())
    }

    /// Makes a job dead, for good reason. Its delivery was ended before.
    pub(super) fn bury(&mut self, job: &JobId, life: &mut Life, reason: &str) -> Result<(), Fault> {
        self.release_unique(job, life)?;
        life.last_error = Some(cut_reason(reason).to_owned());
        self.move_to(job, life, Place::Dead(self.now.millis()))
    }

    /// The place of a job that waits for `after` from now, or is ready at once. Notifies the queue if it had none as early.
    pub(super) fn place_after(&mut self, after: Duration, priority: Priority) -> Result<Place, Fault> {
        if after.is_zero() {
            self.notify();
            return Ok(self.ledger.last_place(priority));
        }
        let due = Place::Scheduled(self.now.after(after));
        if self.first(due.kind())?.is_none_or(|first| due.order() < first) {
            self.notify();
        }
        Ok(due)
    }

    /// The order of the first row of a kind.
    pub(super) fn first(&mut self, kind: u8) -> Result<Option<u64>, Fault> {
        let mut first = None;
        if *self.ledger.count(kind) > 0 {
            self.scan(kind..=kind, u64::MAX, |_, order, _| {
                first = Some(order);
                Ok(ControlFlow::Break(()))
            })?;
        }
        Ok(first)
    }

    /// Up to `max` jobs of some kinds with their places, sorted by order, up to the order `until`.
    pub(super) fn jobs(
        &mut self,
        kinds: RangeInclusive<u8>,
        until: u64,
        max: usize,
    ) -> Result<Vec<(JobId, Place)>, Fault> {
        let mut jobs = Vec::new();
        if max > 0 && kinds.clone().any(|kind| *self.ledger.count(kind) > 0) {
            self.scan(kinds, until, |kind, order, job| {
                jobs.push((name(job)?, Place::new(kind, order)?));
                Ok(if jobs.len() < max { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
            })?;
        }
        Ok(jobs)
    }

    /// Reads places in order and skips damaged ones. Their jobs are reported when no other is left.
    pub(super) fn scan(
        &mut self,
        kinds: RangeInclusive<u8>,
        until: u64,
        mut each: impl FnMut(u8, u64, &[u8]) -> Result<ControlFlow<()>, Fault>,
    ) -> Result<(), Fault> {
        let from = place_key(self.ledger.number, *kinds.start(), 0, &[]);
        let to = match until.checked_add(1) {
            Some(behind) => place_key(self.ledger.number, *kinds.end(), behind, &[]),
            None => place_key(self.ledger.number, *kinds.end() + 1, 0, &[]),
        };
        self.change.scan(Table::Places, &from[..]..&to, |key, row| {
            if row.is_err() {
                return Ok(ControlFlow::Continue(()));
            }
            let (kind, order, rest) = parse_place_key(key)?;
            each(kind, order, rest)
        })
    }

    /// Who holds a unique key now.
    pub(super) fn holder(&mut self, key: &UniqueKey) -> Result<Option<JobId>, Fault> {
        let now = self.now.millis();
        Ok(self.unique(key)?.filter(|(end, _)| *end > now).map(|(_, holder)| holder))
    }

    /// Gives a unique key to a job.
    pub(super) fn hold(&mut self, key: &UniqueKey, until: UniqueUntil, job: &JobId) -> Result<(), Fault> {
        // One that is over may still be written there.
        self.remove_unique(key)?;
        let end = match until {
            UniqueUntil::Elapsed(time) => self.now.after(time),
            UniqueUntil::Claimed | UniqueUntil::Finished => u64::MAX,
        };
        if end < u64::MAX {
            self.insert(UNIQUE_ENDS, end, key.as_str())?;
        }
        let row = Encoder::default().u64(end).tail(job.as_str().as_bytes()).finish();
        self.change.put(Table::Uniques, &self.unique_key(key), row)
    }

    /// Gives the job's unique key back, if it still holds one; keys that are held for a time stay.
    pub(super) fn release_unique(&mut self, job: &JobId, life: &Life) -> Result<(), Fault> {
        let Some((key, _)) = &life.unique else { return Ok(()) };
        match self.unique(key) {
            Ok(Some((end, holder))) if end == u64::MAX && holder == *job => self.remove_unique(key),
            Err(Fault::Corrupt(_)) => self.remove_unique(key),
            found => found.map(drop),
        }
    }

    /// Removes a unique key, even if its row is damaged.
    pub(super) fn remove_unique(&mut self, key: &UniqueKey) -> Result<(), Fault> {
        let end = match self.unique(key) {
            Err(Fault::Corrupt(_)) => u64::MAX,
            found => match found? {
                Some((end, _)) => end,
                None => return Ok(()),
            },
        };
        if end < u64::MAX {
            self.remove_end(end, key)?;
        }
        self.change.remove(Table::Uniques, &self.unique_key(key))?;
        Ok(())
    }

    /// Up to `max` unique keys whose time is over, with the time of their end.
    pub(super) fn uniques_over(&mut self, max: usize) -> Result<Vec<(u64, UniqueKey)>, Fault> {
        let mut keys = Vec::new();
        if *self.ledger.count(UNIQUE_ENDS) > 0 {
            self.scan(UNIQUE_ENDS..=UNIQUE_ENDS, self.now.millis(), |_, end, key| {
                keys.push((end, name(key)?));
                Ok(if keys.len() < max { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
            })?;
        }
        Ok(keys)
    }

    fn unique(&mut self, key: &UniqueKey) -> Result<Option<(u64, JobId)>, Fault> {
        let key = self.unique_key(key);
        self.change.get(Table::Uniques, &key, |row| {
            let mut row = Decoder::new(row);
            Ok((row.u64()?, name(row.tail())?))
        })
    }

    fn unique_key(&self, key: &UniqueKey) -> Vec<u8> {
        Encoder::with_capacity(32).u32(self.ledger.number).tail(key.as_str().as_bytes()).finish()
    }

    fn insert(&mut self, kind: u8, order: u64, rest: &str) -> Result<(), Fault> {
        *self.ledger.count(kind) += 1;
        let key = place_key(self.ledger.number, kind, order, rest.as_bytes());
        self.change.put(Table::Places, &key, Vec::new())
    }

    /// Removes the recorded end of a unique key's time.
    pub(super) fn remove_end(&mut self, end: u64, key: &UniqueKey) -> Result<(), Fault> {
        let place = place_key(self.ledger.number, UNIQUE_ENDS, end, key.as_str().as_bytes());
        if self.change.remove(Table::Places, &place)? {
            let count = self.ledger.count(UNIQUE_ENDS);
            *count = count.saturating_sub(1);
        }
        Ok(())
    }

    /// Removes a job from its place, even if the row of the place is damaged.
    pub(super) fn leave(&mut self, job: &JobId, life: &Life) -> Result<(), Fault> {
        let kind = life.place.kind();
        let count = self.ledger.count(kind);
        *count = count.saturating_sub(1);
        let is_last = *count == 0;
        if let Some(bytes) = self.ledger.bytes_at(life.place) {
            *bytes = if is_last { 0 } else { bytes.saturating_sub(life.bytes()) };
        }
        let key = place_key(self.ledger.number, kind, life.place.order(), job.as_str().as_bytes());
        self.change.remove(Table::Places, &key)?;
        Ok(())
    }
}

/// Reads the life of a job; `None` if the queue has no such job.
pub(super) fn find(rows: &mut impl Rows, queue: u32, job: &JobId) -> Result<Option<Life>, Fault> {
    let key = job_key(queue, job);
    if let Some(life) = rows.get(Table::Lives, &key, Life::decode)? {
        return Ok(Some(life));
    }
    rows.get(Table::Jobs, &key, |row| {
        let (record, payload) = Record::decode(row)?;
        Ok(Life::new(&record, payload))
    })
}

pub(super) fn job_key(queue: u32, job: &JobId) -> Vec<u8> {
    Encoder::with_capacity(48).u32(queue).tail(job.as_str().as_bytes()).finish()
}

pub(super) fn place_key(queue: u32, kind: u8, order: u64, rest: &[u8]) -> Vec<u8> {
    Encoder::with_capacity(56).u32(queue).u8(kind).u64(order).tail(rest).finish()
}

/// Kind, order, and the job or unique key.
pub(super) fn parse_place_key(key: &[u8]) -> Result<(u8, u64, &[u8]), Fault> {
    let mut key = Decoder::new(key);
    key.u32()?;
    Ok((key.u8()?, key.u64()?, key.tail()))
}
