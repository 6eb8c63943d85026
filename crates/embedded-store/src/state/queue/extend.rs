//! Extending leases.

use std::time::Duration;

use store_core::{
    Error, Extended, Extension, JobInfo, Op, QueueName, Result, Timestamp, validate_batch, validate_lease,
};

use super::life::Place;
use super::open_queue::OpenQueue;
use crate::EmbeddedState;
use crate::fault::Fault;

impl EmbeddedState {
    pub(super) async fn extend_leases(
        &self,
        queue: &QueueName,
        jobs: &[Extension],
        lasting: Duration,
    ) -> Result<Vec<Extended>> {
        validate_batch(Op::QueueExtend, jobs.len())?;
        validate_lease(Op::QueueExtend, lasting)?;
        let bytes = jobs.iter().filter_map(|job| job.progress.as_ref()).map(|progress| progress.len()).max();
        if let Some(bytes) = bytes.filter(|bytes| *bytes > JobInfo::MAX_RESULT_BYTES) {
            let detail =
                format!("a progress report has {bytes} bytes; at most {most}", most = JobInfo::MAX_RESULT_BYTES);
            return Err(Error::invalid_argument(Op::QueueExtend, detail));
        }
        let (jobs, asked) = (jobs.to_vec(), jobs.len());
        let extended = self.change_existing(Op::QueueExtend, queue, move |queue| {
            jobs.iter().map(|job| queue.extend(job, lasting)).collect::<Result<Vec<_>, Fault>>()
        });
        Ok(extended.await?.unwrap_or_else(|| vec![Extended::Lost; asked]))
    }
}

impl OpenQueue<'_, '_> {
    fn extend(&mut self, extension: &Extension, lasting: Duration) -> Result<Extended, Fault> {
        let job = &extension.lease.job;
        let Some(mut life) = self.find(job)?.filter(|life| life.is_held_by(extension.lease.fence, self.now.millis()))
        else {
            return Ok(Extended::Lost);
        };
        life.is_heard = true;
        let until = self.now.after(lasting).max(life.place.order());
        if extension.progress.is_some() {
            life.data.clone_from(&extension.progress);
        }
        self.move_to(job, &mut life, Place::Running(until))?;
        let until = Timestamp::from_millis(until);
        Ok(if life.cancel_requested { Extended::CancelRequested(until) } else { Extended::Until(until) })
    }
}
