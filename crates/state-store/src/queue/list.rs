//! [`QueueInspect::list`](store_core::QueueInspect::list)

use std::collections::HashSet;
use std::fmt::Write;

use redis_link::Arg;
use store_core::{Cursor, Error, JobInfo, JobState, NewJob, Op, Page, PageRequest, QueueName, Result};

use super::inspect::{job_info, read_time, unreadable};
use super::partition::{Called, Shape, Target};
use super::{read_id, scripts};
use crate::StateStore;

const OP: Op = Op::QueueList;

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
    let mut items: Vec<JobInfo> = Vec::new();
    let mut seen = HashSet::new();
    let mut place = Some(begin);
    while let Some(from) = place.take_if(|place| items.len() < limit && place.partition < shape.count()) {
        let mut args =
            vec![Arg::fixed(state.name()), Arg::from(limit - items.len()), Arg::from(NewJob::MAX_BATCH_BYTES)];
        if !from.position.is_empty() {
            args.extend([Arg::from(&from.position), Arg::from(&from.entry[..]), Arg::from(&from.inside)]);
        }
        let to = Target::new(OP, &scripts::LIST, queue, shape, from.partition);
        let Called::Answered(answer, _) = store.call_on(to, args).await? else { return Ok(None) };
        let mut reply = answer.reader(OP);
        if reply.next_word()?.as_ref() != b"listed" {
            return Err(reply.unknown_word());
        }
        let (position, entry, inside) = (reply.next_text()?, reply.next_bytes()?.to_vec(), reply.next_text()?);
        let is_end = position.is_empty();
        let partition = from.partition + u16::from(is_end);
        place = (partition < shape.count()).then_some(Place { partition, position, entry, inside });
        while reply.remaining() > 0 {
            let id = read_id(OP, &reply.next_bytes()?)?;
            let (ends, stored) = (reply.next_bytes()?, reply.next_bytes()?);
            let at = read_time(&mut reply)?;
            let mut info = job_info(id, state, &ends, stored, at).ok_or_else(|| unreadable(OP))?;
            (info.progress, info.result) = (None, None);
            // The id of a job that was cancelled and pushed again can be in a list twice; the first one is claimed.
            if seen.insert(info.id.clone()) {
                items.push(info);
            }
        }
        if !is_end {
            break;
        }
    }
    Ok(Some(Page::new(items, place.map(|place| place.write(state)))))
}

/// Where a page begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Place {
    partition: u16,
    /// A position in a list or a time, in digits. Empty at the beginning of a partition.
    position: String,
    /// The element that was shown last.
    entry: Vec<u8>,
    /// The position in the batch that was shown last, or empty.
    inside: String,
}

impl Place {
    /// The state, the partition, the position, the element in hexadecimal digits, and the position in the batch:
    /// `dead.0.1700000000000.01ab.`.
    fn write(&self, state: JobState) -> Cursor {
        let mut text = format!("{}.{}.{}.", state.name(), self.partition, self.position);
        for byte in &self.entry {
            let written = write!(text, "{byte:02x}");
            debug_assert!(written.is_ok(), "a string grows");
        }
        Cursor::new(format!("{text}.{}", self.inside))
    }

    fn read(state: JobState, cursor: &Cursor) -> Option<Self> {
        let mut parts = cursor.as_str().split('.');
        let (name, partition, position) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?);
        let (entry, inside) = (parts.next()?, parts.next()?);
        let is_number = |text: &str| text.len() <= 16 && text.bytes().all(|digit| digit.is_ascii_digit());
        let is_shaped = name == state.name() && is_number(position) && is_number(inside) && entry.is_ascii();
        let is_complete = position.is_empty() == entry.is_empty() && (position.is_empty() || position.len() > 1);
        if !is_shaped || !is_complete || entry.len() % 2 != 0 || parts.next().is_some() {
            return None;
        }
        let entry = (0..entry.len()).step_by(2).map(|at| u8::from_str_radix(&entry[at..at + 2], 16).ok());
        let entry = entry.collect::<Option<_>>()?;
        Some(Self { partition, position: position.to_owned(), entry, inside: inside.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_and_a_foreign_one_does_not() {
        let place =
            Place { partition: 3, position: "1700000000000".into(), entry: b"\x01\xffa".to_vec(), inside: "7".into() };
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
