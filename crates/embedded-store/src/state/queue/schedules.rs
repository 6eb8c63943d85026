//! Schedules: a row for each, and a row of an index for the next time of each that is not paused.

use std::ops::ControlFlow;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use store_core::{
    Advance, Advanced, Cursor, DueSchedules, Durability, Error, Firing, JobId, Op, Page, PageRequest, QueueName,
    Receipt, Result, Schedule, ScheduleInfo, ScheduleName, SchedulePut, Schedules, Timestamp,
};

use super::open_queue::OpenQueue;
use super::record::Record;
use crate::EmbeddedState;
use crate::database::Operation;
use crate::encoding::{Decoder, Encoder, name};
use crate::fault::Fault;
use crate::moment::Moment;
use crate::rows::{Rows, Table};

const DAMAGED: Fault = Fault::Corrupt("a row of a schedule cannot be read");

/// The kinds of rows: schedules by name; their names by next time; behind both.
const RECORDS: u8 = 0;
const TIMES: u8 = 1;
const BEHIND: u8 = 2;

/// A row.
struct Stored {
    info: ScheduleInfo,
    /// The identity of the last advance.
    request: [u8; 16],
    /// The time of its row in the index; `None` if it has none.
    indexed: Option<u64>,
}

impl Stored {
    fn read(rows: &mut impl Rows, queue: u32, schedule: &ScheduleName) -> Result<Option<Self>, Fault> {
        rows.get(Table::Schedules, &record_key(queue, schedule.as_str()), |row| Self::decode(schedule.clone(), row))
    }

    fn decode(schedule: ScheduleName, row: &[u8]) -> Result<Self, Fault> {
        let mut row = Decoder::new(row);
        let (paused, version, since) = (row.u8()? == 1, row.u64()?, Timestamp::from_millis(row.u64()?));
        let (request, indexed) = (row.array()?, row.option(Decoder::u64)?);
        let last = row.option(|row| {
            let (due, fired) = (Timestamp::from_millis(row.u64()?), Timestamp::from_millis(row.u64()?));
            let (jobs, missed, job): (_, _, JobId) = (row.u32()?, row.u32()?, name(row.bytes()?)?);
            Ok(Firing::new(due, fired, jobs, missed, job))
        })?;
        let spec = Schedule::decode(Bytes::copy_from_slice(row.tail())).ok_or(DAMAGED)?;
        let mut info = ScheduleInfo::new(schedule, spec, version, since);
        (info.paused, info.last) = (paused, last);
        Ok(Self { info, request, indexed })
    }

    fn encode(&self) -> Vec<u8> {
        let info = &self.info;
        let last = |row: Encoder, last: &Firing| {
            row.u64(last.due.as_millis())
                .u64(last.fired.as_millis())
                .u32(last.jobs)
                .u32(last.missed)
                .bytes(last.job.as_str().as_bytes())
        };
        Encoder::with_capacity(256)
            .u8(u8::from(info.paused))
            .u64(info.version)
            .u64(info.since.as_millis())
            .tail(&self.request)
            .option(self.indexed, Encoder::u64)
            .option(info.last.as_ref(), last)
            .tail(&info.schedule.encode())
            .finish()
    }
}

/// The error of a listing, which names the schedule.
fn damaged(op: Op, schedule: &ScheduleName) -> Error {
    Error::corrupt(op, format!("the row of the schedule `{schedule}` is damaged; delete it, and put it again"))
}

fn record_key(queue: u32, schedule: &str) -> Vec<u8> {
    Encoder::with_capacity(64).u32(queue).u8(RECORDS).tail(schedule.as_bytes()).finish()
}

fn time_key(queue: u32, kind: u8, time: u64, schedule: &str) -> Vec<u8> {
    Encoder::with_capacity(64).u32(queue).u8(kind).u64(time).tail(schedule.as_bytes()).finish()
}

/// `put`, `delete`, `pause`, `resume` and `advance` are one transaction that writes, `get`, `list` and `due` one that reads.
#[async_trait]
impl Schedules for EmbeddedState {
    async fn put(
        &self,
        queue: &QueueName,
        name: &ScheduleName,
        schedule: &Schedule,
        expected: Option<u64>,
        durability: Durability,
    ) -> Result<Receipt<SchedulePut>> {
        let op = Op::SchedulePut;
        let reached = self.database.reach(op, durability)?;
        let (name, schedule) = (name.clone(), schedule.clone());
        let put = self
            .change_queue(Operation::adding(op), queue, move |queue| queue.put_schedule(&name, &schedule, expected));
        let put = put.await?;
        Ok(Receipt::new(put, reached))
    }

    async fn get(&self, queue: &QueueName, name: &ScheduleName) -> Result<Option<ScheduleInfo>> {
        let name = name.clone();
        let found = self.look_at(Op::ScheduleGet, queue, move |view, ledger, _| {
            Ok(Stored::read(view, ledger.number, &name)?.map(|stored| stored.info))
        });
        Ok(found.await?.flatten())
    }

    async fn list(&self, queue: &QueueName, page: PageRequest) -> Result<Page<ScheduleInfo>> {
        let op = Op::ScheduleList;
        let refuse = || Error::invalid_argument(op, "the cursor is not one of this listing");
        let after = match page.cursor().map(Cursor::as_str) {
            None => None,
            Some(text) => Some(text.strip_prefix(' ').filter(|name| !name.is_empty()).ok_or_else(refuse)?.to_owned()),
        };
        let limit = page.limit() as usize;
        let listed = self.look_at(op, queue, move |view, ledger, _| {
            let mut from = record_key(ledger.number, after.as_deref().unwrap_or_default());
            from.extend(after.is_some().then_some(0));
            let to = time_key(ledger.number, TIMES, 0, "");
            let (mut items, mut next) = (Vec::<ScheduleInfo>::new(), None);
            view.scan(Table::Schedules, &from[..]..&to, |key, row| {
                if items.len() == limit {
                    next = items.last().map(|last| Cursor::new(format!(" {}", last.name)));
                    return Ok(ControlFlow::Break(()));
                }
                let schedule: ScheduleName = name(key.get(5..).unwrap_or_default())?;
                match row.and_then(|row| Stored::decode(schedule.clone(), row)) {
                    Err(Fault::Corrupt(_)) => return Err(Fault::Refused(damaged(op, &schedule))),
                    stored => items.push(stored?.info),
                }
                Ok(ControlFlow::Continue(()))
            })?;
            Ok(Page::new(items, next))
        });
        Ok(listed.await?.unwrap_or_else(|| Page::new(Vec::new(), None)))
    }

    async fn delete(&self, queue: &QueueName, name: &ScheduleName) -> Result<()> {
        let name = name.clone();
        let deleted = self.change_existing(Op::ScheduleDelete, queue, move |queue| queue.delete_schedule(&name));
        deleted.await.map(drop)
    }

    async fn pause(&self, queue: &QueueName, name: &ScheduleName) -> Result<bool> {
        let name = name.clone();
        let paused = self.change_existing(Op::SchedulePause, queue, move |queue| queue.set_paused(&name, true));
        Ok(paused.await?.unwrap_or_default())
    }

    async fn resume(&self, queue: &QueueName, name: &ScheduleName) -> Result<bool> {
        let name = name.clone();
        let resumed = self.change_existing(Op::ScheduleResume, queue, move |queue| queue.set_paused(&name, false));
        Ok(resumed.await?.unwrap_or_default())
    }

    async fn due(&self, queue: &QueueName, limit: u32) -> Result<DueSchedules> {
        let limit = limit.clamp(1, DueSchedules::MAX_LIMIT) as usize;
        let due = self.look_at(Op::ScheduleDue, queue, move |view, ledger, now| {
            let now = now.timestamp();
            let (from, to) = (time_key(ledger.number, TIMES, 0, ""), time_key(ledger.number, BEHIND, 0, ""));
            let (mut names, mut next_in) = (Vec::new(), None);
            view.scan(Table::Schedules, &from[..]..&to, |key, _| {
                let mut key = Decoder::new(key);
                let _: (u32, u8) = (key.u32()?, key.u8()?);
                let (time, schedule) = (key.u64()?, name::<ScheduleName>(key.tail())?);
                if time > now.as_millis() || names.len() == limit + DueSchedules::MAX_UNREADABLE as usize {
                    next_in = Some(Duration::from_millis(time.saturating_sub(now.as_millis())));
                    return Ok(ControlFlow::Break(()));
                }
                names.push(schedule);
                Ok(ControlFlow::Continue(()))
            })?;
            let mut due = DueSchedules::new(now, Vec::with_capacity(names.len()), next_in);
            for name in names {
                if due.schedules.len() == limit {
                    due.next_in = Some(Duration::ZERO);
                    break;
                }
                match Stored::read(view, ledger.number, &name) {
                    Ok(Some(stored)) => due.schedules.push(stored.info),
                    Ok(None) | Err(Fault::Corrupt(_)) => due.unreadable.push(name),
                    Err(fault) => return Err(fault),
                }
            }
            Ok(due)
        });
        let none = || DueSchedules::new(Moment::now(&self.options.clock).timestamp(), Vec::new(), None);
        Ok(due.await?.unwrap_or_else(none))
    }

    async fn advance(&self, queue: &QueueName, advance: &Advance, durability: Durability) -> Result<Receipt<Advanced>> {
        let op = Op::ScheduleAdvance;
        advance.validate()?;
        let reached = self.database.reach(op, durability)?;
        let advance = advance.clone();
        let apply = move |queue: &mut OpenQueue<'_, '_>| queue.advance_schedule(&advance);
        let advanced = self.change_existing(Operation::adding(op), queue, apply).await?;
        Ok(Receipt::new(advanced.unwrap_or(Advanced::Superseded), reached))
    }
}

impl OpenQueue<'_, '_> {
    fn put_schedule(
        &mut self,
        name: &ScheduleName,
        schedule: &Schedule,
        expected: Option<u64>,
    ) -> Result<SchedulePut, Fault> {
        let stored = Stored::read(self.change, self.ledger.number, name)?;
        let version = stored.as_ref().map_or(0, |stored| stored.info.version);
        if stored.as_ref().is_some_and(|stored| stored.info.schedule == *schedule) {
            return Ok(SchedulePut::Stored { version });
        }
        if expected.is_some_and(|expected| expected != version) {
            return Ok(SchedulePut::Conflict { version });
        }
        let since = Timestamp::from_millis(self.now.millis_up());
        let mut info = ScheduleInfo::new(name.clone(), schedule.clone(), version + 1, since);
        let (mut request, mut indexed) = ([0; 16], None);
        if let Some(stored) = stored {
            // The clock may have gone back: what has fired does not fire again.
            if stored.info.schedule.to_string() == schedule.to_string() || stored.info.since > since {
                info.since = stored.info.since;
            }
            (info.paused, info.last) = (stored.info.paused, stored.info.last);
            (request, indexed) = (stored.request, stored.indexed);
        }
        self.write_schedule(Stored { info, request, indexed }, Some(self.now.millis()))?;
        Ok(SchedulePut::Stored { version: version + 1 })
    }

    /// Writes a schedule, with its row in the index: at `time`, unless it is paused.
    fn write_schedule(&mut self, mut stored: Stored, time: Option<u64>) -> Result<(), Fault> {
        let (queue, time) = (self.ledger.number, time.filter(|_| !stored.info.paused));
        let name = stored.info.name.clone();
        if let Some(indexed) = stored.indexed {
            self.change.remove(Table::Schedules, &time_key(queue, TIMES, indexed, name.as_str()))?;
        }
        if let Some(time) = time {
            self.change.put(Table::Schedules, &time_key(queue, TIMES, time, name.as_str()), Vec::new())?;
        }
        stored.indexed = time;
        self.change.put(Table::Schedules, &record_key(queue, name.as_str()), stored.encode())
    }

    fn delete_schedule(&mut self, name: &ScheduleName) -> Result<(), Fault> {
        let queue = self.ledger.number;
        match Stored::read(self.change, queue, name) {
            Ok(Some(Stored { indexed: Some(indexed), .. })) => {
                self.change.remove(Table::Schedules, &time_key(queue, TIMES, indexed, name.as_str()))?;
            }
            Ok(Some(_)) => {}
            Ok(None) | Err(Fault::Corrupt(_)) => self.remove_times(name)?,
            Err(fault) => return Err(fault),
        }
        self.change.remove(Table::Schedules, &record_key(queue, name.as_str()))?;
        Ok(())
    }

    /// Removes each row of the index that has this name: its schedule does not tell the time.
    fn remove_times(&mut self, name: &ScheduleName) -> Result<(), Fault> {
        let (from, to) = (time_key(self.ledger.number, TIMES, 0, ""), time_key(self.ledger.number, BEHIND, 0, ""));
        let mut found = Vec::new();
        self.change.scan(Table::Schedules, &from[..]..&to, |key, _| {
            let is_its = key.get(from.len()..).is_some_and(|rest| rest == name.as_str().as_bytes());
            found.extend(is_its.then(|| key.to_vec()));
            Ok(ControlFlow::Continue(()))
        })?;
        found.iter().try_for_each(|key| self.change.remove(Table::Schedules, key).map(drop))
    }

    fn set_paused(&mut self, name: &ScheduleName, paused: bool) -> Result<bool, Fault> {
        let Some(mut stored) = Stored::read(self.change, self.ledger.number, name)? else { return Ok(false) };
        if stored.info.paused != paused {
            if !paused {
                stored.info.since = stored.info.since.max(Timestamp::from_millis(self.now.millis_up()));
            }
            stored.info.paused = paused;
            self.write_schedule(stored, Some(self.now.millis()))?;
        }
        Ok(true)
    }

    fn advance_schedule(&mut self, advance: &Advance) -> Result<Advanced, Fault> {
        let Some(mut stored) = Stored::read(self.change, self.ledger.number, &advance.name)? else {
            return Ok(Advanced::Superseded);
        };
        if stored.request == *advance.request.as_bytes() {
            return Ok(Advanced::Done { jobs: advance.jobs.clone() });
        }
        let info = &mut stored.info;
        if info.paused || info.version != advance.version || info.since != advance.since {
            return Ok(Advanced::Superseded);
        }
        if advance.until > advance.since && advance.until.as_millis() > self.now.millis() {
            let error = Error::invalid_argument(
                Op::ScheduleAdvance,
                "the time of the firing has not come by the server's clock",
            );
            return Err(Fault::Refused(error));
        }
        let jobs = advance.jobs.clone();
        if let (Some(&due), Some(job)) = (advance.due.last(), jobs.last()) {
            // At most 100.
            info.last = Some(Firing::new(due, self.now.timestamp(), jobs.len() as u32, advance.missed, job.clone()));
        }
        (info.since, stored.request) = (advance.until, *advance.request.as_bytes());
        for id in &jobs {
            let place = self.place_after(Duration::ZERO, advance.job.priority)?;
            self.add(id, &Record::new(&advance.job, place, self.now), &advance.job.payload)?;
        }
        self.write_schedule(stored, advance.next.map(Timestamp::as_millis))?;
        Ok(Advanced::Done { jobs })
    }
}
