//! Recorded loss reports, and the pushes that repeat what they name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use twinstore::durability::{AcknowledgedWrite, LossReport};
use twinstore::queue::{JobId, QueueName};
use twinstore::{Op, State, Stores};

use super::record;
use crate::history::{Answer, Call, Event, Loss, LostWrite, Recorder, micros_of};

/// How often a call is repeated that is not answered, and after which pause.
const ATTEMPTS: usize = 20;
const PAUSE: Duration = Duration::from_millis(200);

/// How many loss reports are not dealt with yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct PushingAgain(Arc<AtomicUsize>);

impl PushingAgain {
    pub(crate) fn is_under_way(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }
}

/// Records the loss reports of these stores until they are closed. With `pushing_again`, the jobs that they name are pushed again.
pub(crate) fn record_losses(stores: &Stores, recorder: Recorder, pushing_again: Option<PushingAgain>) {
    let state = stores.state().clone();
    let mut reports = state.loss_reports();
    tokio::spawn(async move {
        while let Some(report) = reports.next().await {
            recorder.write(&Event::Loss(loss(&report, &recorder)));
            if let Some(under_way) = &pushing_again {
                under_way.0.fetch_add(1, Ordering::AcqRel);
                push_again(&state, &report, &recorder).await;
                under_way.0.fetch_sub(1, Ordering::AcqRel);
            }
        }
    });
}

async fn push_again(state: &State, report: &LossReport, recorder: &Recorder) {
    let writes = report.may_be_lost.iter().chain(&report.unknown).filter(|write| write.op == Op::QueuePush);
    let mut named: BTreeMap<&str, Vec<JobId>> = BTreeMap::new();
    for write in writes {
        named.entry(&write.name).or_default().extend(write.jobs.iter().cloned());
    }
    let mut invocations = Vec::new();
    for (name, jobs) in &named {
        let queue = QueueName::new(*name).expect("the report has valid names");
        let mut absent = Vec::new();
        for job in jobs {
            if is_absent(state, &queue, job).await {
                absent.push(job.to_string());
            }
        }
        let jobs = jobs.iter().map(ToString::to_string).collect();
        invocations.push(recorder.invoke(Call::PushAgain { queue: queue.to_string(), jobs, absent }));
    }
    if !invocations.is_empty() {
        let mut result = state.push_again(report).await;
        for _ in 0..ATTEMPTS {
            if result.is_ok() {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            result = state.push_again(report).await;
        }
        for invocation in invocations {
            // the answer is in the history
            let _ = record(invocation, result.clone(), |missing| {
                Answer::Names(missing.iter().map(ToString::to_string).collect())
            });
        }
    }
}

async fn is_absent(state: &State, queue: &QueueName, job: &JobId) -> bool {
    for _ in 0..ATTEMPTS {
        if let Ok(found) = state.inspect().get(queue, job).await {
            return found.is_none();
        }
        tokio::time::sleep(PAUSE).await;
    }
    false
}

fn loss(report: &LossReport, recorder: &Recorder) -> Loss {
    Loss {
        at: micros_of(std::time::Instant::now()),
        actor: recorder.name().to_owned(),
        survived: report.survived,
        lost: report.may_be_lost.iter().map(write).collect(),
        unknown: report.unknown.iter().map(write).collect(),
        has_older: report.has_older,
    }
}

fn write(write: &AcknowledgedWrite) -> LostWrite {
    LostWrite {
        at: micros_of(write.at),
        is_push: write.op == Op::QueuePush,
        op: write.op.to_string(),
        name: write.name.to_string(),
        part: write.part.as_ref().map(ToString::to_string),
        number: write.number,
        jobs: write.jobs.iter().map(ToString::to_string).collect(),
    }
}
