//! Jobs whose rows are damaged become dead: they do not block others, are visible, and can be deleted.

use std::ops::ControlFlow;

use store_core::JobId;

use super::life::{Life, Place};
use super::open_queue::{OpenQueue, parse_place_key};
use crate::encoding::{Decoder, name};
use crate::fault::Fault;
use crate::rows::{Rows, Table};

/// The kinds of places of jobs.
const JOBS: std::ops::RangeInclusive<u8> = 0..=7;

impl OpenQueue<'_, '_> {
    /// Makes a job dead that cannot be read, and releases its unique keys. Which ones it held cannot be read either, so all
    /// keys of the queue are searched.
    pub(super) fn set_aside(&mut self, job: &JobId, place: Place, what: &'static str) -> Result<Life, Fault> {
        let prefix = self.ledger.number.to_be_bytes();
        let mut held = Vec::new();
        self.change.scan(Table::Uniques, &prefix[..]..&behind(self.ledger.number)[..], |key, row| {
            if let Ok(row) = row {
                let mut row = Decoder::new(row);
                if row.u64()? == u64::MAX && row.tail() == job.as_str().as_bytes() {
                    held.push(name(key.get(prefix.len()..).unwrap_or_default())?);
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        for key in &held {
            self.remove_unique(key)?;
        }
        let mut life = Life::unreadable(place);
        self.bury(job, &mut life, what)?;
        Ok(life)
    }

    /// The place of a job whose other rows cannot be read. All places of the queue are searched.
    pub(super) fn place_of(&mut self, job: &JobId) -> Result<Option<Place>, Fault> {
        let mut found = None;
        self.scan(JOBS, u64::MAX, |kind, order, id| {
            if id == job.as_str().as_bytes() {
                found = Some(Place::new(kind, order)?);
                return Ok(ControlFlow::Break(()));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    /// Whether a place with a damaged row is nevertheless the place of a job: then only the checksum is wrong, and is
    /// written again.
    pub(super) fn confirm_places(&mut self) -> Result<bool, Fault> {
        let prefix = self.ledger.number.to_be_bytes();
        let mut damaged = Vec::new();
        self.change.scan(Table::Places, &prefix[..]..&behind(self.ledger.number)[..], |key, row| {
            if row.is_err() {
                damaged.push(key.to_vec());
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let mut is_any_confirmed = false;
        for key in damaged {
            let Ok((kind, order, id)) = parse_place_key(&key) else { continue };
            let (Ok(job), Ok(place)) = (name::<JobId>(id), Place::new(kind, order)) else { continue };
            if self.find(&job)?.is_some_and(|life| life.place == place) {
                self.change.put(Table::Places, &key, Vec::new())?;
                is_any_confirmed = true;
            }
        }
        Ok(is_any_confirmed)
    }
}

/// The first key after those of a queue.
fn behind(number: u32) -> [u8; 4] {
    number.saturating_add(1).to_be_bytes()
}
