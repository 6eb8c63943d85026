//! [`QueueInspect::list`](store_core::QueueInspect::list)

use std::collections::HashSet;
use std::fmt::Write;

use bytes::{BufMut, Bytes};
use redis_link::Arg;
use store_core::{
    Cursor, Error, JobId, JobInfo, JobState, NewJob, Op, Page, PageRequest, QueueName, Result, Timestamp,
};

use super::batch_state::BatchState;
use super::inspect::{job_info, read_time, unreadable};
use super::job_state::JobStateRecord;
use super::partition::{Called, Shape, Target};
use super::record::MILLIS;
use super::{batch, packed_id, scripts};
use crate::StateStore;

const OP: Op = Op::QueueList;

/// How many elements of an index are read at least: it can begin with stale ones.
const LEAST_ELEMENTS: usize = 50;

pub(super) async fn list(
    store: &StateStore,
    queue: &QueueName,
    state: JobState,
    page: PageRequest,
) -> Result<Page<JobInfo>> {
    let begin = match page.cursor() {
        Some(cursor) => Place::read(state, cursor)
            .ok_or_else(|| Error::invalid_argument(OP, "the cursor is not one that this listing has given out"))?,
        None => Place::default(),
    };
    Ok(with_shape!(store, OP, queue, false, |shape| {
        list_in(store, queue, &shape, state, page.limit() as usize, begin.clone()).await?
    }))
}

/// Lists one partition after the other. `None` if the queue has another shape.
async fn list_in(
    store: &StateStore,
    queue: &QueueName,
    shape: &Shape,
    state: JobState,
    limit: usize,
    begin: Place,
) -> Result<Option<Page<JobInfo>>> {
    let mut found = Found { state, limit, items: Vec::new(), ids: HashSet::new() };
    let mut place = Some(begin.clone());
    while let Some(from) = place.take_if(|place| found.items.len() < limit && place.partition < shape.count()) {
        let elements = (limit - found.items.len()).max(LEAST_ELEMENTS);
        let mut args = vec![Arg::fixed(state.name()), Arg::from(elements), Arg::from(NewJob::MAX_BATCH_BYTES)];
        if !from.mark.is_empty() {
            let again = if from.inside.is_empty() { "" } else { "1" };
            args.extend([Arg::from(&from.mark), Arg::from(&from.element[..]), Arg::fixed(again)]);
        }
        let to = Target::new(OP, &scripts::LIST, queue, shape, from.partition);
        let Called::Answered(answer, _) = store.call_on(to, args).await? else { return Ok(None) };
        let mut reply = answer.reader(OP);
        if reply.next_word()?.as_ref() != b"listed" {
            return Err(reply.unknown_word());
        }
        let is_end = reply.next_u64()? != 0;
        let mut end = from.clone();
        while reply.remaining() > 0 {
            if found.items.len() == limit {
                return Ok(Some(Page::new(found.items, Some(end.write(state)))));
            }
            end =
                Place { mark: reply.next_text()?, element: reply.next_bytes()?.to_vec(), ..Place::at(from.partition) };
            let (record, stored) = (reply.next_bytes()?, reply.next_bytes()?);
            let score = read_time(&mut reply)?;
            if begin.is_behind(state, &end) {
                continue;
            }
            let behind = if end.element == from.element { &from.inside[..] } else { "" };
            let inside = found.add(&end.element, record, stored, score, behind).ok_or_else(|| unreadable(OP))?;
            if let Some(position) = inside {
                end.inside = position.to_string();
                return Ok(Some(Page::new(found.items, Some(end.write(state)))));
            }
        }
        place = Some(if is_end { Place::at(from.partition + 1) } else { end });
        // An index can begin with stale entries.
        if !is_end && !found.items.is_empty() {
            break;
        }
    }
    let place = place.filter(|place| place.partition < shape.count());
    Ok(Some(Page::new(found.items, place.map(|place| place.write(state)))))
}

/// A page as it is filled.
struct Found {
    state: JobState,
    limit: usize,
    items: Vec<JobInfo>,
    /// The id of a job that was cancelled and pushed again can be in a list twice; the first one is claimed.
    ids: HashSet<JobId>,
}

impl Found {
    /// Adds the jobs of an element that are in the state, of a batch those behind a position. Returns the last position that was
    /// added if there is no room for more of them. `None` if something cannot be read.
    fn add(
        &mut self,
        element: &[u8],
        record: Bytes,
        stored: Bytes,
        score: Option<Timestamp>,
        behind: &str,
    ) -> Option<Option<u8>> {
        let id = if self.state == JobState::Scheduled { element.get(1..)? } else { element };
        if record.is_empty() || batch::is_batch_id(id) && stored.is_empty() {
            return Some(None);
        }
        if batch::is_batch_id(id) {
            return self.add_batch(id, &record, stored, score, behind.parse().ok());
        }
        let status = stored.first().copied().unwrap_or(b'w');
        let is_due = score.is_some();
        let is_shown = match self.state {
            JobState::Ready => status == b'w' && !is_due,
            JobState::Scheduled => status == b'w',
            JobState::Running => status == b'r',
            JobState::Completed => status == b'c',
            _ => status == b'd',
        };
        if is_shown {
            let id = packed_id::unpack(id)?;
            self.show(id, &record, JobStateRecord::decode(stored)?, score)?;
        }
        Some(None)
    }

    fn add_batch(
        &mut self,
        id: &[u8],
        blob: &Bytes,
        stored: Bytes,
        score: Option<Timestamp>,
        behind: Option<u8>,
    ) -> Option<Option<u8>> {
        let (id, batch) = (batch::read_id(id)?, BatchState::decode(stored)?);
        let mut last = None;
        let jobs = batch.jobs(self.state, blob, score)?.into_iter();
        for job in jobs.filter(|job| behind.is_none_or(|behind| job.position > behind)) {
            if self.items.len() == self.limit {
                return Some(last);
            }
            let mut record = batch::record_in(blob, job.position.into())?.to_vec();
            record.put_uint(batch.pushed_at.as_millis(), MILLIS);
            let attempts = u32::from(job.worker.is_some());
            let state = JobStateRecord { attempts, worker: job.worker, ..JobStateRecord::default() };
            self.show(id.job(job.position), &record, state, job.at)?;
            last = Some(job.position);
        }
        Some(None)
    }

    fn show(&mut self, id: JobId, record: &[u8], state: JobStateRecord, at: Option<Timestamp>) -> Option<()> {
        let mut info = job_info(id, self.state, record, state, at)?;
        (info.progress, info.result) = (None, None);
        if self.ids.insert(info.id.clone()) {
            self.items.push(info);
        }
        Some(())
    }
}

/// Where a page begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Place {
    partition: u16,
    /// A priority and a position in its list, or a time, in digits. Empty at the beginning of a partition.
    mark: String,
    /// The element that was shown last.
    element: Vec<u8>,
    /// The position in the batch that was shown last, or empty.
    inside: String,
}

impl Place {
    /// Whether an element was shown before the page that begins here. An index of times orders those of one time by their bytes.
    fn is_behind(&self, state: JobState, other: &Self) -> bool {
        let has_one_time = self.partition == other.partition && self.mark == other.mark && state != JobState::Ready;
        has_one_time && (other.element < self.element || other.element == self.element && self.inside.is_empty())
    }

    /// The beginning of a partition.
    fn at(partition: u16) -> Self {
        Self { partition, ..Self::default() }
    }

    /// The state, the partition, the position, the element in hexadecimal digits, and the position in the batch:
    /// `dead.0.1700000000000.01ab.`.
    fn write(&self, state: JobState) -> Cursor {
        let mut text = format!("{}.{}.{}.", state.name(), self.partition, self.mark);
        for byte in &self.element {
            let written = write!(text, "{byte:02x}");
            debug_assert!(written.is_ok(), "a string grows");
        }
        Cursor::new(format!("{text}.{}", self.inside))
    }

    fn read(state: JobState, cursor: &Cursor) -> Option<Self> {
        let mut parts = cursor.as_str().split('.');
        let (name, partition, mark) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?);
        let (element, inside) = (parts.next()?, parts.next()?);
        let is_number = |text: &str| text.len() <= 16 && text.bytes().all(|digit| digit.is_ascii_digit());
        let is_shaped = name == state.name() && is_number(mark) && is_number(inside) && element.is_ascii();
        let is_complete = mark.is_empty() == element.is_empty() && (mark.is_empty() || mark.len() > 1);
        if !is_shaped || !is_complete || element.len() % 2 != 0 || parts.next().is_some() {
            return None;
        }
        let element = (0..element.len()).step_by(2).map(|at| u8::from_str_radix(&element[at..at + 2], 16).ok());
        let element = element.collect::<Option<_>>()?;
        Some(Self { partition, mark: mark.to_owned(), element, inside: inside.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_and_a_foreign_one_does_not() {
        let place =
            Place { partition: 3, mark: "1700000000000".into(), element: b"\x01\xffa".to_vec(), inside: "7".into() };
        let cursor = place.write(JobState::Dead);
        assert_eq!(Place::read(JobState::Dead, &cursor), Some(place));
        assert_eq!(Place::read(JobState::Ready, &cursor), None);
        let start = Place { partition: 1, ..Place::default() };
        assert_eq!(Place::read(JobState::Dead, &start.write(JobState::Dead)), Some(start));
        let foreign = [
            "",
            "dead",
            "dead..",
            "dead.0.17x.61.",
            "dead.0.17.6.",
            "dead.0.17.zz.",
            "dead.0.17.61.1.",
            "dead.0.17.é1.",
            "dead.0.17..",
            "dead.x.17.61.",
            "dead.0..61.",
            "dead.0.17.61.x",
        ];
        for text in foreign {
            assert_eq!(Place::read(JobState::Dead, &Cursor::new(text)), None, "{text}");
        }
    }
}
