//! [`QueueInspect::list`](store_core::QueueInspect::list)

use std::collections::HashSet;
use std::fmt::Write;

use redis_link::Arg;
use store_core::{Cursor, Error, JobInfo, JobState, NewJob, Op, Page, PageRequest, QueueName, Result};

use super::inspect::{job_info, read_time, unreadable};
use super::{read_id, scripts};
use crate::StateStore;

const OP: Op = Op::QueueList;

pub(super) async fn list(
    store: &StateStore,
    queue: &QueueName,
    state: JobState,
    page: PageRequest,
) -> Result<Page<JobInfo>> {
    let mut args = vec![Arg::fixed(state.name()), Arg::from(page.limit()), Arg::from(NewJob::MAX_BATCH_BYTES)];
    if let Some(cursor) = page.cursor() {
        let (position, entry) = read_cursor(state, cursor)
            .ok_or_else(|| Error::invalid_argument(OP, "the cursor is not one that this listing has given out"))?;
        args.extend([Arg::from(position), Arg::from(entry)]);
    }
    let mut reply = store.call(OP, &scripts::LIST, queue, args).await?.reader(OP);
    if reply.next_word()?.as_ref() != b"listed" {
        return Err(reply.unknown_word());
    }
    let (position, entry) = (reply.next_text()?, reply.next_bytes()?);
    let next = (!position.is_empty()).then(|| write_cursor(state, &position, &entry));
    let mut items: Vec<JobInfo> = Vec::with_capacity(reply.remaining() / 4);
    let mut seen = HashSet::new();
    while reply.remaining() > 0 {
        let id = read_id(OP, &reply.next_bytes()?)?;
        let (ends, stored) = (reply.next_bytes()?, reply.next_bytes()?);
        let at = read_time(&mut reply)?;
        let mut info = job_info(id, state, &ends, stored, at).ok_or_else(|| unreadable(OP))?;
        (info.progress, info.result) = (None, None);
        // The id of a job that was cancelled and pushed again can stand twice in a list; it is claimed where it stands first.
        if seen.insert(info.id.clone()) {
            items.push(info);
        }
    }
    Ok(Page::new(items, next))
}

/// The state, a position or time in digits, and a packed id or a member in hexadecimal digits: `dead.1700000000000.01ab`.
fn write_cursor(state: JobState, position: &str, entry: &[u8]) -> Cursor {
    let mut text = format!("{}.{position}.", state.name());
    for byte in entry {
        let written = write!(text, "{byte:02x}");
        debug_assert!(written.is_ok(), "a string grows");
    }
    Cursor::new(text)
}

fn read_cursor(state: JobState, cursor: &Cursor) -> Option<(String, Vec<u8>)> {
    let mut parts = cursor.as_str().split('.');
    let (place, position, entry) = (parts.next()?, parts.next()?, parts.next()?);
    let is_number = (2..=16).contains(&position.len()) && position.bytes().all(|digit| digit.is_ascii_digit());
    let is_shaped = place == state.name() && is_number && entry.is_ascii() && parts.next().is_none();
    if !is_shaped || entry.is_empty() || entry.len() % 2 != 0 {
        return None;
    }
    let entry = (0..entry.len()).step_by(2).map(|at| u8::from_str_radix(&entry[at..at + 2], 16).ok());
    Some((position.to_owned(), entry.collect::<Option<_>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_and_a_foreign_one_does_not() {
        let cursor = write_cursor(JobState::Dead, "1700000000000", b"\x01\xffa");
        assert_eq!(read_cursor(JobState::Dead, &cursor), Some(("1700000000000".to_owned(), b"\x01\xffa".to_vec())));
        assert_eq!(read_cursor(JobState::Ready, &cursor), None);
        for text in
            ["", "dead", "dead..", "dead.17x.61", "dead.17.6", "dead.17.zz", "dead.17.61.1", "dead.17.é1", "dead.17."]
        {
            assert_eq!(read_cursor(JobState::Dead, &Cursor::new(text)), None, "{text}");
        }
    }
}
