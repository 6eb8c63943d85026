//! Jobs that lie in the queue with several partitions during a run.

use std::time::Duration;

use twinstore::Error;
use twinstore::queue::{JobId, NewJob};

use super::{PARTITIONED, PARTITIONS, queue};
use crate::recorded::{Client, retry};

/// How many jobs a call names.
const BATCH: usize = 500;

/// Scheduled jobs, which no worker claims.
pub(crate) struct Backlog(Vec<JobId>);

impl Backlog {
    /// Pushes so many jobs for each partition.
    pub(crate) async fn push(client: &Client, per_partition: usize) -> Result<Self, Error> {
        let job = || NewJob::new(vec![b'x'; 100]).with_id(JobId::generate()).with_delay(Duration::from_secs(3600));
        let jobs: Vec<NewJob> = (0..per_partition * usize::from(PARTITIONS)).map(|_| job()).collect();
        for batch in jobs.chunks(BATCH) {
            let _pushed =
                retry(async || client.queue.push(&queue(PARTITIONED), batch, client.durability).await).await?;
        }
        Ok(Self(jobs.into_iter().filter_map(|job| job.id).collect()))
    }

    /// Deletes them, so that the queue can be drained. The checker finds a job that was lost meanwhile.
    pub(crate) async fn delete(self, client: &Client) -> Result<(), Error> {
        for batch in self.0.chunks(BATCH) {
            retry(async || client.control.delete(&queue(PARTITIONED), batch).await).await?;
        }
        Ok(())
    }
}
