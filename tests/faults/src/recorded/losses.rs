//! Recorded loss reports.

use twinstore::durability::{AcknowledgedWrite, LossReport};
use twinstore::{Op, Stores};

use crate::history::{Event, Loss, LostWrite, Recorder, micros_of};

/// Records the loss reports of these stores until they are closed.
pub(crate) fn record_losses(stores: &Stores, recorder: Recorder) {
    let mut reports = stores.state().loss_reports();
    tokio::spawn(async move {
        while let Some(report) = reports.next().await {
            recorder.write(&Event::Loss(loss(&report, &recorder)));
        }
    });
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
        jobs: write.jobs.iter().map(ToString::to_string).collect(),
    }
}
