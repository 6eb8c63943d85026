//! The rows of runs. A run has a head, and for each step a row, a row with its number, and one with its output, if it has one.
//!
//! An expired run is invisible immediately. Each write removes one expired run.

use std::ops::ControlFlow;

use bytes::Bytes;
use store_core::{Fence, StepInfo, StepName, StepState, Timestamp, WorkflowRun};

use crate::encoding::{Decoder, Encoder, name, text};
use crate::fault::Fault;
use crate::moment::Moment;
use crate::rows::{Change, Rows, Table, behind};

/// The rows of one run begin with this: the service and a zero byte, the kind and the ids with their lengths. No such prefix begins
/// with another one.
#[derive(Clone)]
pub(in crate::state) struct Run {
    prefix: Vec<u8>,
}

/// The head of a run.
#[derive(Default)]
pub(super) struct Head {
    /// When it expires, in ms.
    pub(super) until: u64,
    /// The latest attempt, in a run that counts its attempts.
    pub(super) latest: u64,
    pub(super) count: u32,
}

/// Kinds of rows.
const HEAD: u8 = 0;
const STEP: u8 = 1;
const NUMBER: u8 = 2;
const OUTPUT: u8 = 3;

impl Run {
    /// The run with the scope's row prefix.
    pub(super) fn new(scope: &[u8], run: &WorkflowRun) -> Self {
        let (kind, ids) = run.parts();
        let prefix = Encoder::default().tail(scope).u8(kind);
        let prefix = ids.iter().fold(prefix, |prefix, id| prefix.bytes(id.as_bytes()));
        Self { prefix: prefix.finish() }
    }

    fn row(&self, kind: u8, rest: &[u8]) -> Vec<u8> {
        Encoder::with_capacity(self.prefix.len() + 1 + rest.len()).tail(&self.prefix).u8(kind).tail(rest).finish()
    }

    fn end_row(&self, until: u64) -> Vec<u8> {
        Encoder::default().u64(until).tail(&self.prefix).finish()
    }

    /// The head of a run that has not expired.
    pub(super) fn head(&self, rows: &mut impl Rows, now: Moment) -> Result<Option<Head>, Fault> {
        Ok(self.stored_head(rows)?.filter(|head| head.until > now.millis()))
    }

    fn stored_head(&self, rows: &mut impl Rows) -> Result<Option<Head>, Fault> {
        rows.get(Table::Steps, &self.row(HEAD, &[]), |row| {
            let mut row = Decoder::new(row);
            Ok(Head { until: row.u64()?, latest: row.u64()?, count: row.u32()? })
        })
    }

    /// Writes the head; the run expires at `until` or later.
    pub(super) fn put_head(&self, change: &mut Change<'_>, head: &Head, until: u64) -> Result<(), Fault> {
        let until_max = until.max(head.until);
        if until_max != head.until {
            change.remove(Table::StepEnds, &self.end_row(head.until))?;
            change.put(Table::StepEnds, &self.end_row(until_max), Vec::new())?;
        }
        let row = Encoder::default().u64(until_max).u64(head.latest).u32(head.count).finish();
        change.put(Table::Steps, &self.row(HEAD, &[]), row)
    }

    /// A step of a run that has not expired.
    pub(super) fn step(&self, rows: &mut impl Rows, step: &StepName) -> Result<Option<StepInfo>, Fault> {
        rows.get(Table::Steps, &self.row(STEP, step.as_str().as_bytes()), |row| decode(step.clone(), row))
    }

    pub(super) fn put_step(&self, change: &mut Change<'_>, info: &StepInfo) -> Result<(), Fault> {
        change.put(Table::Steps, &self.row(STEP, info.step.as_str().as_bytes()), encode(info))
    }

    pub(super) fn output(&self, rows: &mut impl Rows, step: &StepName) -> Result<Option<Bytes>, Fault> {
        let row = self.row(OUTPUT, step.as_str().as_bytes());
        rows.get(Table::Steps, &row, |output| Ok(Bytes::copy_from_slice(output)))
    }

    pub(super) fn put_output(&self, change: &mut Change<'_>, step: &StepName, output: &Bytes) -> Result<(), Fault> {
        change.put(Table::Steps, &self.row(OUTPUT, step.as_str().as_bytes()), output.to_vec())
    }

    /// Writes the name of the step with this number.
    pub(super) fn put_number(&self, change: &mut Change<'_>, number: u32, step: &StepName) -> Result<(), Fault> {
        change.put(Table::Steps, &self.row(NUMBER, &number.to_be_bytes()), step.as_str().as_bytes().to_vec())
    }

    /// The names of up to `max` steps from the number `from` on.
    pub(super) fn names(&self, rows: &mut impl Rows, from: u32, max: usize) -> Result<Vec<StepName>, Fault> {
        let mut names = Vec::new();
        let range = self.row(NUMBER, &from.to_be_bytes())..behind(&self.row(NUMBER, &[]));
        rows.scan(Table::Steps, &range.start..&range.end, |_, row| {
            if names.len() < max {
                names.push(name(row?)?);
            }
            Ok(if names.len() < max { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok(names)
    }

    /// Removes the rows of an earlier run with the same ids, and of another expired run.
    pub(super) fn tidy(&self, change: &mut Change<'_>, now: Moment) -> Result<(), Fault> {
        if let Some(head) = self.stored_head(change)?.filter(|head| head.until <= now.millis()) {
            self.remove(change, head.until)?;
        }
        let mut expired = None;
        let end = now.millis().saturating_add(1).to_be_bytes();
        change.scan(Table::StepEnds, &[][..]..&end, |key, _| {
            let mut key = Decoder::new(key);
            expired = Some((key.u64()?, Run { prefix: key.tail().to_vec() }));
            Ok(ControlFlow::Break(()))
        })?;
        expired.map_or(Ok(()), |(until, run)| run.remove(change, until))
    }

    fn remove(&self, change: &mut Change<'_>, until: u64) -> Result<(), Fault> {
        let mut keys = Vec::new();
        let range = self.row(HEAD, &[])..behind(&self.row(OUTPUT, &[]));
        change.scan(Table::Steps, &range.start..&range.end, |key, _| {
            keys.push(key.to_vec());
            Ok(ControlFlow::Continue(()))
        })?;
        for key in keys {
            change.remove(Table::Steps, &key)?;
        }
        change.remove(Table::StepEnds, &self.end_row(until))?;
        Ok(())
    }
}

fn encode(info: &StepInfo) -> Vec<u8> {
    let state = match info.state {
        StepState::Failed => b'f',
        StepState::Finished => b'd',
        StepState::Sleep => b'z',
        _ => b'r',
    };
    Encoder::default()
        .u8(state)
        .u64(info.attempt.get())
        .u32(info.attempts)
        .u64(info.first_began.as_millis())
        .u64(info.began.as_millis())
        .u64(info.ended.unwrap_or_default().as_millis())
        .u64(info.output_bytes as u64)
        .tail(info.last_error.as_deref().unwrap_or_default().as_bytes())
        .finish()
}

fn decode(step: StepName, row: &[u8]) -> Result<StepInfo, Fault> {
    let mut row = Decoder::new(row);
    let state = match row.u8()? {
        b'r' => StepState::Running,
        b'f' => StepState::Failed,
        b'd' => StepState::Finished,
        b'z' => StepState::Sleep,
        _ => return Err(Fault::Corrupt("the state of a step is unknown")),
    };
    let (attempt, attempts) = (Fence::new(row.u64()?), row.u32()?);
    let mut time = || row.u64().map(Timestamp::from_millis);
    let (first_began, began, ended) = (time()?, time()?, time()?);
    let mut info = StepInfo::new(step, attempt, attempts, first_began, began);
    info.state = state;
    info.ended = Some(ended).filter(|ended| ended.as_millis() > 0);
    info.output_bytes = usize::try_from(row.u64()?).unwrap_or(usize::MAX);
    info.last_error = Some(text(row.tail())?).filter(|error| !error.is_empty()).map(str::to_owned);
    Ok(info)
}
