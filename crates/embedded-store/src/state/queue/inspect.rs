//! Looking at a queue.

use std::ops::{ControlFlow, RangeInclusive};

use async_trait::async_trait;
use bytes::Bytes;
use store_core::{
    Counts, Cursor, Error, Explanation, HolderName, JobId, JobInfo, JobState, Op, Page, PageRequest, QueueInspect,
    QueueName, Result, Timestamp,
};

use super::ledger::Ledger;
use super::life::{Life, Place};
use super::open_queue::{NOT_THERE, find, job_key, parse_place_key, place_key};
use super::record::Record;
use super::settings::Settings;
use crate::EmbeddedState;
use crate::encoding::{name, text};
use crate::fault::Fault;
use crate::moment::Moment;
use crate::rows::{Rows, Table, View};

#[async_trait]
impl QueueInspect for EmbeddedState {
    async fn counts(&self, queue: &QueueName) -> Result<Counts> {
        let counts = self.look_at(Op::QueueCounts, queue, |_, ledger, _| Ok(ledger.counts()));
        Ok(counts.await?.unwrap_or_default())
    }

    async fn get(&self, queue: &QueueName, job: &JobId) -> Result<Option<JobInfo>> {
        let job = job.clone();
        let found = self.look_at(Op::QueueGet, queue, move |view, ledger, now| {
            let Some(life) = find_kept(view, ledger.number, &job, now)? else { return Ok(None) };
            let mut found = info(view, ledger.number, &job, &life, Bytes::copy_from_slice)?;
            match life.place {
                Place::Running(_) => found.progress = life.data,
                Place::Completed(_) => found.result = life.data,
                _ => {}
            }
            Ok(Some(found))
        });
        Ok(found.await?.flatten())
    }

    async fn list(&self, queue: &QueueName, state: JobState, page: PageRequest) -> Result<Page<JobInfo>> {
        let kinds = kinds(state)?;
        let after = page.cursor().map(|cursor| parse_cursor(cursor, &kinds)).transpose()?;
        let limit = page.limit() as usize;
        let listed = self.look_at(Op::QueueList, queue, move |view, ledger, now| {
            let from = match &after {
                Some((kind, order, job)) => {
                    [&place_key(ledger.number, *kind, *order, job.as_bytes())[..], &[0]].concat()
                }
                // Without the jobs whose time is over.
                None if state == JobState::Completed => {
                    place_key(ledger.number, *kinds.start(), now.millis().saturating_add(1), &[])
                }
                None => place_key(ledger.number, *kinds.start(), 0, &[]),
            };
            let to = place_key(ledger.number, *kinds.end() + 1, 0, &[]);
            let (mut jobs, mut next) = (Vec::<(JobId, Place)>::new(), None);
            let mut last = None;
            view.scan(Table::Places, &from[..]..&to, |key, row| {
                if row.is_err() {
                    return Ok(ControlFlow::Continue(()));
                }
                let (kind, order, job) = parse_place_key(key)?;
                if jobs.len() == limit {
                    next = last.take();
                    return Ok(ControlFlow::Break(()));
                }
                jobs.push((name(job)?, Place::new(kind, order)?));
                last = Some(Cursor::new(format!("{kind}.{order}.{}", text(job)?)));
                Ok(ControlFlow::Continue(()))
            })?;
            let mut infos = Vec::with_capacity(jobs.len());
            for (job, place) in &jobs {
                infos.push(listed(view, ledger.number, job, *place)?);
            }
            Ok(Page::new(infos, next))
        });
        Ok(listed.await?.unwrap_or_else(|| Page::new(Vec::new(), None)))
    }

    async fn explain(&self, queue: &QueueName, job: &JobId) -> Result<Explanation> {
        let job = job.clone();
        let explained = self.look_at(Op::QueueExplain, queue, move |view, ledger, now| {
            let life = find_kept(view, ledger.number, &job, now)?;
            life.map_or(Ok(Explanation::Unknown), |life| explain(&ledger, life, now))
        });
        Ok(explained.await?.unwrap_or(Explanation::Unknown))
    }
}

impl EmbeddedState {
    /// Looks at a queue; `None` if nothing was ever written to it.
    pub(super) async fn look_at<T: Send + 'static>(
        &self,
        op: Op,
        queue: &QueueName,
        look: impl FnOnce(&mut View<'_>, Ledger, Moment) -> Result<T, Fault> + Send + 'static,
    ) -> Result<Option<T>> {
        let (queue, settings) = (queue.clone(), Settings::new(op, queue, &self.options));
        let look = move |view: &mut View<'_>| {
            let ledger = Ledger::read(view, &queue)?.map(|ledger| settings.check(ledger)).transpose()?;
            ledger.map(|ledger| look(view, ledger, settings.now())).transpose()
        };
        self.database.read(op, look).await
    }
}

/// A job as listings show it. If its rows are damaged, only its place is known.
fn listed(view: &mut View<'_>, queue: u32, job: &JobId, place: Place) -> Result<JobInfo, Fault> {
    let life = match find(view, queue, job).and_then(|life| life.ok_or(NOT_THERE)) {
        Err(Fault::Corrupt(what)) => unreadable(place, what),
        life => life?,
    };
    match info(view, queue, job, &life, |_| Bytes::new()) {
        Err(Fault::Corrupt(_)) => Ok(shown(job, &life, Timestamp::from_millis(0))),
        shown => shown,
    }
}

fn unreadable(place: Place, what: &str) -> Life {
    let mut life = Life::unreadable(place);
    life.last_error = Some(what.to_owned());
    life
}

/// A job whose time is not over.
fn find_kept(view: &mut View<'_>, queue: u32, job: &JobId, now: Moment) -> Result<Option<Life>, Fault> {
    let life = find(view, queue, job)?;
    Ok(life.filter(|life| !life.is_over(now.millis())))
}

fn info(
    view: &mut View<'_>,
    queue: u32,
    job: &JobId,
    life: &Life,
    copy: impl FnOnce(&[u8]) -> Bytes,
) -> Result<JobInfo, Fault> {
    let record = view.get(Table::Jobs, &job_key(queue, job), |row| {
        let (record, payload) = Record::decode(row)?;
        Ok((record, copy(payload)))
    })?;
    let (record, payload) = record.ok_or(NOT_THERE)?;
    let mut info = shown(job, life, record.pushed_at);
    info.worker = worker(life)?;
    info.payload = payload;
    Ok(info)
}

fn shown(job: &JobId, life: &Life, pushed_at: Timestamp) -> JobInfo {
    let mut info = JobInfo::new(job.clone(), life.place.state(), pushed_at);
    info.attempts = life.attempts;
    info.max_attempts = u32::from(life.max_attempts);
    info.priority = life.priority;
    info.at = match life.place {
        Place::Ready(..) => None,
        place => Some(Timestamp::from_millis(place.order())),
    };
    info.cancel_requested = life.cancel_requested;
    info.last_error.clone_from(&life.last_error);
    info
}

fn worker(life: &Life) -> Result<Option<HolderName>, Fault> {
    if life.worker.is_empty() { Ok(None) } else { name(life.worker.as_bytes()).map(Some) }
}

fn explain(ledger: &Ledger, life: Life, now: Moment) -> Result<Explanation, Fault> {
    Ok(match life.place {
        Place::Ready(..) if ledger.paused => Explanation::Paused,
        Place::Ready(priority, _) => {
            let before: u64 = ledger.rows[..=usize::from(priority.index())].iter().sum();
            Explanation::WaitsForWorker { ahead_at_most: before.saturating_sub(1) }
        }
        Place::Scheduled(due) => {
            Explanation::Scheduled { due: Timestamp::from_millis(due), last_error: life.last_error }
        }
        Place::Running(until) => {
            let worker = worker(&life)?.ok_or(Fault::Corrupt("a job runs nowhere"))?;
            let until = Timestamp::from_millis(until);
            if until <= now.timestamp() {
                Explanation::LeaseRanOut { worker, at: until }
            } else {
                Explanation::Running { worker, until, cancel_requested: life.cancel_requested }
            }
        }
        Place::Completed(_) => Explanation::Completed,
        Place::Dead(_) => Explanation::Dead { reason: life.last_error.unwrap_or_default() },
    })
}

/// The kinds of places of a state.
fn kinds(state: JobState) -> Result<RangeInclusive<u8>> {
    match state {
        JobState::Ready => Ok(0..=3),
        JobState::Scheduled => Ok(4..=4),
        JobState::Running => Ok(5..=5),
        JobState::Completed => Ok(6..=6),
        JobState::Dead => Ok(7..=7),
        other => Err(Error::unsupported(Op::QueueList, format!("this engine has no state {other}"))),
    }
}

fn parse_cursor(cursor: &Cursor, kinds: &RangeInclusive<u8>) -> Result<(u8, u64, String)> {
    let mut parts = cursor.as_str().splitn(3, '.');
    let mut parse = || {
        let kind = parts.next()?.parse().ok().filter(|kind| kinds.contains(kind))?;
        Some((kind, parts.next()?.parse().ok()?, parts.next()?.to_owned()))
    };
    parse().ok_or_else(|| Error::invalid_argument(Op::QueueList, "the cursor is not one of this listing"))
}
