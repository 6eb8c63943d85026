//! How a delivery is settled when its handler has ended.

use std::time::Duration;

use store_core::{JobInfo, NewJob, Outcome, cut_reason};

use super::slot::{Fate, Phase, Slot};
use crate::event::Ended;
use crate::handler::{JobError, JobErrorKind};
use crate::job::Job;
use crate::stats::Ending;

/// How a delivery is settled and counted.
pub(super) struct Verdict {
    pub(super) outcome: Outcome,
    pub(super) ending: Ending,
    /// Whether the job is dead afterwards.
    pub(super) dead: bool,
}

impl Verdict {
    pub(super) fn new(outcome: Outcome, ending: Ending) -> Self {
        let dead = matches!(outcome, Outcome::Dead { .. });
        Self { outcome, ending, dead }
    }

    /// A failed attempt. The next one is after `after`, or after the time of the retry policy.
    fn failed(job: &Job, error: &str, after: Option<Duration>, ending: Ending) -> Self {
        let after =
            after.unwrap_or_else(|| job.claimed().retry.backoff.wait_after(job.attempt())).min(NewJob::MAX_DELAY);
        let outcome = Outcome::Retry { after, error: cut_reason(error).to_owned() };
        Self { outcome, ending, dead: job.is_last_attempt() }
    }
}

/// How a delivery is settled; `None` if its lease is lost.
pub(super) fn verdict(slot: &Slot, ended: Ended, timeout: Option<Duration>) -> Option<Verdict> {
    let fate = slot.stopped().map(|stopped| stopped.why);
    let cancel_asked = matches!(slot.phase, Phase::Running { cancel_asked: true, .. });
    if fate == Some(Fate::Lost) {
        return None;
    }
    let job = &slot.job;
    Some(match ended {
        Ended::Returned(Ok(done)) => completed(done.kept),
        _ if cancel_asked => Verdict::new(Outcome::Cancelled, Ending::Cancelled),
        Ended::Returned(Err(error)) => refused(job, error),
        Ended::Panicked(message) => Verdict::failed(job, &format!("panicked: {message}"), None, Ending::Panicked),
        Ended::Dropped => match fate {
            Some(Fate::Released) => Verdict::new(Outcome::Release, Ending::Released),
            Some(Fate::TimedOut) => {
                let text = format!("timed out after {:?}", timeout.unwrap_or_default());
                Verdict::failed(job, &text, None, Ending::TimedOut)
            }
            Some(Fate::Cancelled) => Verdict::new(Outcome::Cancelled, Ending::Cancelled),
            Some(Fate::Lost) | None => Verdict::failed(job, "panicked while it was dropped", None, Ending::Panicked),
        },
    })
}

fn completed(kept: Option<store_core::Kept>) -> Verdict {
    match kept {
        Some(kept) if kept.result.len() > JobInfo::MAX_RESULT_BYTES => {
            let len = kept.result.len();
            let reason =
                format!("done, but its result of {len} bytes is larger than {most}", most = JobInfo::MAX_RESULT_BYTES);
            Verdict::new(Outcome::Dead { reason }, Ending::Failed)
        }
        Some(mut kept) => {
            kept.lasting = kept.lasting.min(NewJob::MAX_DELAY);
            Verdict::new(Outcome::Complete(Some(kept)), Ending::Completed)
        }
        None => Verdict::new(Outcome::Complete(None), Ending::Completed),
    }
}

fn refused(job: &Job, JobError(failure): JobError) -> Verdict {
    match failure {
        JobErrorKind::Retry { error, after } => Verdict::failed(job, &error, after, Ending::Failed),
        JobErrorKind::Snooze { after } => {
            Verdict::new(Outcome::Snooze { after: after.min(NewJob::MAX_DELAY) }, Ending::Snoozed)
        }
        JobErrorKind::Dead { reason } => {
            Verdict::new(Outcome::Dead { reason: cut_reason(&reason).to_owned() }, Ending::Failed)
        }
        JobErrorKind::Cancelled => Verdict::new(Outcome::Cancelled, Ending::Cancelled),
    }
}
