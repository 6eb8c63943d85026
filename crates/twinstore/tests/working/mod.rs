//! A service that works through a failover.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use testkit::{DEADLINE, wait_until};
use twinstore::prelude::*;

const JOBS: u64 = 600;

#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct Mail(pub(crate) u64);

impl JobType for Mail {
    const QUEUE: &'static str = "mails";
}

/// Pushes jobs and handles them; `failover` happens in the middle. Checks that each job is handled.
pub(crate) async fn works_through(stores: &Stores, failover: impl AsyncFnOnce()) {
    let handled = Arc::new(Mutex::new(BTreeMap::new()));
    let seen = Arc::clone(&handled);
    let worker = stores.state().worker().with_handler(move |mail: Mail, _: Job| {
        let seen = Arc::clone(&seen);
        async move {
            *seen.lock().unwrap().entry(mail.0).or_insert(0) += 1;
            Ok(())
        }
    });
    let worker = worker.build().unwrap();
    let handle = worker.handle();
    let running = tokio::spawn(worker.run());

    let queue = stores.state().queue_of::<Mail>();
    let pushed = async {
        for number in 0..JOBS {
            // With the same id, a repeated push adds the job once.
            let job = queue.job(&Mail(number)).unwrap().with_id(JobId::new(format!("mail-{number}")).unwrap());
            wait_until("the job is pushed", DEADLINE, async || queue.push_one(job.clone()).await.is_ok()).await;
        }
    };
    let failed = async {
        wait_until("a third is handled", DEADLINE, async || handled.lock().unwrap().len() > 200).await;
        failover().await;
    };
    tokio::join!(pushed, failed);
    wait_until("each job is handled", DEADLINE, async || handled.lock().unwrap().len() == JOBS as usize).await;
    handle.shutdown();
    running.await.unwrap().unwrap();
}
