//! `twinstore replay`

use serde::Serialize;
use store_core::{JobId, JobState, NewJob, PageRequest, QueueName, Replayed, StateRole};

use super::{Common, Write};
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::output::{Output, Row};
use crate::progress::Progress;
use crate::store::Store;

/// Make dead jobs ready again, with all attempts left and without a deadline.
///
/// `replay QUEUE ID...` replays these jobs, `replay QUEUE --all` all dead jobs of a queue, and `replay --all` those of all
/// queues. A job stays dead if another job holds its unique key. Jobs that die while the command runs stay dead.
///
/// With --all, Ctrl-C ends the command after the current call, which replays up to 1,000 jobs; run the command again to
/// replay the rest. With ids, Ctrl-C ends the command immediately, and the current call may still be executed.
/// Exits with 1 if a job was not replayed.
///
/// JSON fields with ids: queue, id, outcome (replayed, would_replay, held, not_dead), held_by, written; one line per job.
/// JSON fields with --all: queue, dead, replayed, held, not_dead, written; one line per queue that has dead jobs.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Replay {
    /// The queue
    #[arg(required_unless_present = "all")]
    queue: Option<QueueName>,
    /// The ids of dead jobs
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    ids: Vec<JobId>,
    /// All dead jobs
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    write: Write,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Serialize)]
struct ReplayRow<'a> {
    queue: &'a QueueName,
    id: &'a JobId,
    outcome: &'static str,
    held_by: Option<JobId>,
    written: bool,
}

impl Row for ReplayRow<'_> {
    const HEADINGS: &'static [&'static str] = &["QUEUE", "ID", "OUTCOME", "HELD BY"];

    fn cells(&self) -> Vec<String> {
        let held_by = self.held_by.as_ref().map_or("-".to_owned(), JobId::to_string);
        vec![self.queue.to_string(), self.id.to_string(), self.outcome.replace('_', " "), held_by]
    }
}

#[derive(Serialize)]
struct SumRow {
    queue: QueueName,
    dead: u64,
    replayed: u64,
    held: u64,
    not_dead: u64,
    written: bool,
}

impl Row for SumRow {
    const HEADINGS: &'static [&'static str] = &["QUEUE", "DEAD", "REPLAYED", "HELD", "NOT DEAD"];

    fn cells(&self) -> Vec<String> {
        let counts = [self.dead, self.replayed, self.held, self.not_dead];
        std::iter::once(self.queue.to_string()).chain(counts.iter().map(u64::to_string)).collect()
    }
}

impl SumRow {
    fn count(&mut self, replayed: &Replayed) {
        match replayed {
            Replayed::Replayed => self.replayed += 1,
            Replayed::Held { .. } => self.held += 1,
            _ => self.not_dead += 1,
        }
    }
}

impl Replay {
    pub(super) async fn run(&self, store: &Store, output: &mut Output) -> Result<(), Failure> {
        let done = match &self.queue {
            Some(queue) if !self.all => self.some(store, queue, output).await,
            _ => self.everything(store, output).await,
        };
        self.write.report();
        done
    }

    async fn some(&self, store: &Store, queue: &QueueName, output: &mut Output) -> Result<(), Failure> {
        store.existing(queue).await?;
        let (state, mut is_complete) = (store.state(), true);
        for ids in self.ids.chunks(NewJob::MAX_BATCH) {
            let outcomes = if self.write.write {
                state.replay(queue, ids).await?.into_iter().map(outcome).collect()
            } else {
                foreseen(state.as_ref(), queue, ids).await?
            };
            let row = |(id, (outcome, held_by))| ReplayRow { queue, id, outcome, held_by, written: self.write.write };
            let rows: Vec<_> = ids.iter().zip(outcomes).map(row).collect();
            is_complete &= rows.iter().all(|row| matches!(row.outcome, "replayed" | "would_replay"));
            output.rows(&rows)?;
        }
        if is_complete { Ok(()) } else { Err(Failure::Incomplete) }
    }

    async fn everything(&self, store: &Store, output: &mut Output) -> Result<(), Failure> {
        let (state, interrupt) = (store.state(), Interrupt::listen());
        let mut rows = Vec::new();
        for queue in store.chosen(self.queue.as_ref()).await? {
            let dead = state.counts(&queue).await?.dead;
            if dead > 0 {
                rows.push(SumRow { queue, dead, replayed: 0, held: 0, not_dead: 0, written: self.write.write });
            }
        }
        let total = rows.iter().map(|row| row.dead).sum();
        let done = match self.write.write {
            true => replay_all(state.as_ref(), &mut rows, &interrupt, &Progress::of("replaying", total)).await,
            false => Ok(true),
        };
        output.rows(&rows)?;
        let replayed = rows.iter().map(|row| row.replayed).sum::<u64>();
        match done {
            Err(Failure::Failed(text)) => Err(Failure::Failed(format!("replayed {replayed} of {total} jobs; {text}"))),
            Err(failure) => Err(failure),
            Ok(false) => Err(Failure::Interrupted(format!("interrupted: replayed {replayed} of {total} jobs"))),
            Ok(true) if rows.iter().any(|row| row.held + row.not_dead > 0) => Err(Failure::Incomplete),
            Ok(true) => Ok(()),
        }
    }
}

/// Replays the dead jobs of each queue, page by page, and counts. Ends after the jobs that were dead at the beginning:
/// listings are in the order of death, so a job that dies again comes after them. Returns `false` if it was interrupted before.
async fn replay_all(
    state: &dyn StateRole,
    rows: &mut [SumRow],
    interrupt: &Interrupt,
    progress: &Progress,
) -> Result<bool, Failure> {
    for row in rows {
        let mut left = row.dead;
        let mut after = None;
        while left > 0 {
            if interrupt.is_pressed() {
                return Ok(false);
            }
            let limit = u32::try_from(left).unwrap_or(u32::MAX).min(PageRequest::MAX_LIMIT);
            let request = PageRequest::first(limit);
            let request = match after {
                Some(cursor) => request.with_cursor(cursor),
                None => request,
            };
            let page = state.list(&row.queue, JobState::Dead, request).await?;
            let ids: Vec<JobId> = page.items.into_iter().map(|job| job.id).collect();
            if !ids.is_empty() {
                state.replay(&row.queue, &ids).await?.iter().for_each(|replayed| row.count(replayed));
            }
            progress.add(ids.len());
            left = left.saturating_sub(ids.len() as u64);
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
    }
    Ok(true)
}

fn outcome(replayed: Replayed) -> (&'static str, Option<JobId>) {
    match replayed {
        Replayed::Replayed => ("replayed", None),
        Replayed::Held { by } => ("held", Some(by)),
        _ => ("not_dead", None),
    }
}

/// What a replay would do, according to the states of the jobs.
async fn foreseen(
    state: &dyn StateRole,
    queue: &QueueName,
    ids: &[JobId],
) -> Result<Vec<(&'static str, Option<JobId>)>, Failure> {
    let mut outcomes = Vec::with_capacity(ids.len());
    for id in ids {
        let is_dead = state.get(queue, id).await?.is_some_and(|job| job.state == JobState::Dead);
        outcomes.push((if is_dead { "would_replay" } else { "not_dead" }, None));
    }
    Ok(outcomes)
}
