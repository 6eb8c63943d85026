//! The rows of runs, and those of sessions, which have the same form. A run has a head, payloads and events in [`Table::Runs`]. In
//! [`Table::RunLists`] it has an entry for each listing that shows it, and one for its end.

use std::ops::ControlFlow;

use bytes::Bytes;
use store_core::{Fence, RequestId, RunEvent, RunEvents, RunFilter, RunId, RunInfo, RunState, SessionId, Timestamp};

use super::super::queue::HomeRows;
use super::Identity;
use crate::encoding::{Decoder, Encoder, name, text};
use crate::fault::Fault;
use crate::moment::Moment;
use crate::rows::{Change, Rows, Table, behind};

/// Kinds of rows of a run.
const HEAD: u8 = 0;
const EVENT: u8 = 5;

#[derive(Clone, Copy)]
pub(super) enum Payload {
    Input = 1,
    Output = 2,
    AwaitRequest = 3,
    Error = 4,
}

/// Kinds of rows in listings.
const ENTRY: u8 = 0;
const END: u8 = 1;

/// Where the entries of a listing begin. No name holds a plus sign or a zero byte.
pub(super) fn listing(tables: &Tables, filter: &RunFilter) -> Vec<u8> {
    let text = match (&filter.agent, &filter.session) {
        (None, None) => String::new(),
        (Some(agent), None) => format!("a{agent}"),
        (None, Some(session)) => format!("s{session}"),
        (Some(agent), Some(session)) => format!("b{agent}+{session}"),
    };
    Encoder::default().tail(tables.home.prefix()).u8(ENTRY).tail(text.as_bytes()).u8(0).finish()
}

/// When the run of an entry was created, in µs: the latest first.
pub(super) fn created_in(entry: &[u8]) -> Option<u64> {
    entry.last_chunk().map(|number| u64::MAX - u64::from_be_bytes(*number))
}

/// Where the entries of runs begin that expire at `until` (ms) or later.
pub(super) fn ends(tables: &Tables, until: u64) -> Vec<u8> {
    Encoder::default().tail(tables.home.prefix()).u8(END).u64(until).finish()
}

/// The run of an entry for its end.
pub(super) fn run_in<'e>(tables: &Tables, entry: &'e [u8]) -> &'e [u8] {
    entry.get(tables.home.prefix().len() + 9..).unwrap_or_default()
}

fn row(tables: &Tables, run: &RunId, kind: u8) -> Vec<u8> {
    Encoder::default().tail(tables.home.prefix()).tail(run.as_str().as_bytes()).u8(0).u8(kind).finish()
}

/// The tables of one kind of records, and where their rows begin.
#[derive(Clone)]
pub(in crate::state) struct Tables {
    pub(in crate::state) rows: Table,
    pub(in crate::state) lists: Table,
    pub(in crate::state) home: HomeRows,
}

pub(in crate::state) const RUNS: Tables = Tables { rows: Table::Runs, lists: Table::RunLists, home: HomeRows::NONE };
pub(super) const SESSIONS: Tables = Tables { rows: Table::Sessions, lists: Table::SessionLists, home: HomeRows::NONE };

/// The head of a run.
pub(super) struct Record {
    pub(super) tables: Tables,
    /// Without its payloads.
    pub(super) info: RunInfo,
    /// When it was created, in µs: its place in listings.
    pub(super) created: u64,
    /// How long it lasts after a write, in ms.
    pub(super) ttl: u64,
    /// The size of its events.
    pub(super) bytes: u64,
    /// How many events it keeps.
    pub(super) most: u32,
    /// The last write that changed it.
    pub(super) request: Identity,
}

impl Record {
    pub(super) fn read(rows: &mut impl Rows, tables: &Tables, run: &RunId) -> Result<Option<Self>, Fault> {
        rows.get(tables.rows, &row(tables, run, HEAD), |head| Self::decode(tables, run, head))
    }

    pub(super) fn is_expired(&self, now: Moment) -> bool {
        self.info.until.as_millis() <= now.millis()
    }

    /// Writes the head, and prolongs the run.
    pub(super) fn put(mut self, change: &mut Change<'_>, now: Moment) -> Result<RunInfo, Fault> {
        let until = now.millis_up().saturating_add(self.ttl).max(self.info.until.as_millis());
        if until != self.info.until.as_millis() {
            change.remove(self.tables.lists, &self.end_row())?;
            self.info.until = Timestamp::from_millis(until);
            change.put(self.tables.lists, &self.end_row(), Vec::new())?;
        }
        change.put(self.tables.rows, &row(&self.tables, &self.info.run, HEAD), self.encode())?;
        Ok(self.info)
    }

    fn end_row(&self) -> Vec<u8> {
        [ends(&self.tables, self.info.until.as_millis()), self.info.run.as_str().as_bytes().to_vec()].concat()
    }

    /// Its entries in listings.
    fn entries(&self) -> Vec<Vec<u8>> {
        let of_agent = RunFilter::default().of_agent(self.info.agent.clone());
        let mut filters = vec![RunFilter::default(), of_agent.clone()];
        if let Some(session) = &self.info.session {
            filters.extend([RunFilter::default(), of_agent].map(|filter| filter.in_session(session.clone())));
        }
        let entry =
            |filter| Encoder::default().tail(&listing(&self.tables, filter)).u64(u64::MAX - self.created).finish();
        filters.iter().map(entry).collect()
    }

    pub(super) fn put_listings(&self, change: &mut Change<'_>) -> Result<(), Fault> {
        let run = self.info.run.as_str().as_bytes();
        self.entries().iter().try_for_each(|entry| change.put(self.tables.lists, entry, run.to_vec()))
    }

    pub(super) fn put_payload(&self, change: &mut Change<'_>, kind: Payload, payload: &[u8]) -> Result<(), Fault> {
        change.put(self.tables.rows, &row(&self.tables, &self.info.run, kind as u8), payload.to_vec())
    }

    /// The run with its payloads.
    pub(super) fn with_payloads(self, rows: &mut impl Rows) -> Result<RunInfo, Fault> {
        let (mut info, tables) = (self.info, self.tables);
        let run = info.run.clone();
        let mut payload = |kind: Payload| {
            rows.get(tables.rows, &row(&tables, &run, kind as u8), |payload| Ok(Bytes::copy_from_slice(payload)))
        };
        (info.input, info.output) = (payload(Payload::Input)?, payload(Payload::Output)?);
        info.await_request = payload(Payload::AwaitRequest)?;
        info.error = payload(Payload::Error)?.map(|error| text(&error).map(str::to_owned)).transpose()?;
        Ok(info)
    }

    /// Appends an event. The caller writes the head.
    pub(super) fn append(
        &mut self,
        change: &mut Change<'_>,
        now: Moment,
        request: &RequestId,
        event: &RunEvent,
    ) -> Result<(), Fault> {
        let value = Encoder::default().u64(now.millis()).tail(request.as_bytes()).bytes(event.kind.as_bytes());
        let value = value.tail(&event.data).finish();
        self.bytes += value.len() as u64;
        change.put(self.tables.rows, &Log::of(&self.tables, &self.info.run).row(self.info.next_event), value)?;
        self.info.next_event += 1;
        Ok(())
    }

    /// Removes the oldest events that are too many. The caller writes the head.
    pub(super) fn trim(&mut self, change: &mut Change<'_>) -> Result<(), Fault> {
        let log = Log::of(&self.tables, &self.info.run);
        while self.info.next_event - self.info.first_event > u64::from(self.most)
            || self.bytes > RunEvents::MAX_RUN_BYTES
        {
            let event = log.row(self.info.first_event);
            let len = change.get(self.tables.rows, &event, |value| Ok(value.len() as u64))?;
            self.bytes = self.bytes.saturating_sub(len.unwrap_or_default());
            change.remove(self.tables.rows, &event)?;
            self.info.first_event += 1;
        }
        Ok(())
    }

    /// Removes the run with its events and its entries in listings.
    pub(super) fn remove(self, change: &mut Change<'_>) -> Result<(), Fault> {
        remove_rows(change, &self.tables, &self.info.run, usize::MAX)?;
        self.remove_entries(change)
    }

    /// Removes its entries in listings.
    pub(super) fn remove_entries(&self, change: &mut Change<'_>) -> Result<(), Fault> {
        for entry in self.entries().into_iter().chain([self.end_row()]) {
            change.remove(self.tables.lists, &entry)?;
        }
        Ok(())
    }

    fn encode(&self) -> Vec<u8> {
        let info = &self.info;
        Encoder::default()
            .u8(u8::try_from(info.state.letter()).expect("invariant: a letter of ASCII"))
            .u64(info.version)
            .u64(self.created)
            .u64(info.updated.as_millis())
            .u64(info.ended.unwrap_or_default().as_millis())
            .u64(info.until.as_millis())
            .u64(self.ttl)
            .u64(info.fence.map_or(0, Fence::get))
            .u64(info.first_event)
            .u64(info.next_event)
            .u64(self.bytes)
            .u32(self.most)
            .tail(&self.request)
            .bytes(info.agent.as_str().as_bytes())
            .tail(info.session.as_ref().map_or("", SessionId::as_str).as_bytes())
            .finish()
    }

    fn decode(tables: &Tables, run: &RunId, head: &[u8]) -> Result<Self, Fault> {
        let mut head = Decoder::new(head);
        let state = RunState::of_letter(head.u8()?).ok_or(Fault::Corrupt("the state of a run is unknown"))?;
        let (version, created) = (head.u64()?, head.u64()?);
        let (updated, ended, until) = (head.u64()?, head.u64()?, head.u64()?);
        let (ttl, fence, first, next) = (head.u64()?, head.u64()?, head.u64()?, head.u64()?);
        let (bytes, most, request) = (head.u64()?, head.u32()?, head.array()?);
        let (agent, session) = (name(head.bytes()?)?, head.tail());
        let session = (!session.is_empty()).then(|| name(session)).transpose()?;
        let mut info = RunInfo::new(run.clone(), agent, session, version, Timestamp::from_millis(created / 1000));
        info.state = state;
        info.updated = Timestamp::from_millis(updated);
        info.ended = (ended > 0).then(|| Timestamp::from_millis(ended));
        info.until = Timestamp::from_millis(until);
        info.fence = (fence > 0).then(|| Fence::new(fence));
        (info.first_event, info.next_event) = (first, next);
        Ok(Self { tables: tables.clone(), info, created, ttl, bytes, most, request })
    }
}

/// Removes the rows of a run, damaged or not. Returns how many; `None` after `most` events, when there may be more.
pub(super) fn remove_rows(
    change: &mut Change<'_>,
    tables: &Tables,
    run: &RunId,
    most: usize,
) -> Result<Option<usize>, Fault> {
    let (head, events) = (row(tables, run, HEAD), row(tables, run, EVENT));
    let mut removed = 0;
    for (start, end, most) in [(&events, &behind(&events), most), (&head, &events, usize::MAX)] {
        let mut keys = Vec::new();
        change.scan(tables.rows, &start[..]..end, |key, _| {
            keys.push(key.to_vec());
            Ok(if keys.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        for key in &keys {
            change.remove(tables.rows, key)?;
        }
        if keys.len() >= most {
            return Ok(None);
        }
        removed += keys.len();
    }
    Ok(Some(removed))
}

/// The events of a run.
pub(super) struct Log(Vec<u8>);

impl Log {
    pub(super) fn of(tables: &Tables, run: &RunId) -> Self {
        Self(row(tables, run, EVENT))
    }

    fn row(&self, sequence: u64) -> Vec<u8> {
        Encoder::default().tail(&self.0).u64(sequence).finish()
    }

    /// The request that appended an event.
    pub(super) fn request(&self, rows: &mut impl Rows, sequence: u64) -> Result<Option<Identity>, Fault> {
        rows.get(Table::Runs, &self.row(sequence), |value| {
            let mut value = Decoder::new(value);
            value.u64()?;
            value.array()
        })
    }

    /// Up to `most` events from `from` on, and about `bytes` of them.
    pub(super) fn read(
        &self,
        rows: &mut impl Rows,
        from: u64,
        most: usize,
        bytes: usize,
    ) -> Result<Vec<RunEvent>, Fault> {
        let (mut events, mut size) = (Vec::new(), 0);
        let range = self.row(from)..behind(&self.0);
        rows.scan(Table::Runs, &range.start..&range.end, |key, value| {
            let value = value?;
            let sequence = key.last_chunk().map(|number| u64::from_be_bytes(*number));
            let sequence = sequence.ok_or(Fault::Corrupt("the row of an event has no number"))?;
            let mut parts = Decoder::new(value);
            let (at, _request): (u64, Identity) = (parts.u64()?, parts.array()?);
            let event = RunEvent::new(text(parts.bytes()?)?, Bytes::copy_from_slice(parts.tail()));
            events.push(event.stored(sequence, Timestamp::from_millis(at)));
            size += value.len();
            let is_full = events.len() == most || size >= bytes;
            Ok(if is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(events)
    }
}
