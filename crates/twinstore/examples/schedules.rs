//! A report that is due every second, on a store in memory. Start it with `REDIS_WORKERCACHE_CONN_URL` of a server in several
//! processes: each report is made once.
//!
//! ```sh
//! cargo run --package twinstore --example schedules
//! ```
#![allow(clippy::print_stdout, reason = "it reports on its standard output")]

use std::time::Duration;

use twinstore::prelude::*;
use twinstore::schedule::{CatchUp, Schedule, ScheduleName};

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn report(job: Job) -> HandlerResult {
    let due = Schedule::time_of(job.id()).map(|time| time.as_millis() / 1000);
    println!("a report for second {}", due.unwrap_or_default());
    Ok(Done::discard())
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let url = std::env::var("REDIS_WORKERCACHE_CONN_URL").unwrap_or_else(|_| "embedded:".to_owned());
    let environment = Environment::from_variables([
        ("SERVICE_NAME".to_owned(), "reports".to_owned()),
        ("REDIS_CONN_BASE_URL".to_owned(), "embedded:".to_owned()),
        ("REDIS_WORKERCACHE_CONN_URL".to_owned(), url),
    ]);
    let stores = Stores::open(&environment).await?;
    let (state, reports) = (stores.state().clone(), QueueName::new("reports")?);

    // Each process puts the schedules that it has in its code. Nothing is changed if they are the same.
    let secondly = Schedule::every(Duration::from_secs(1), NewJob::new("sales"))?.with_catch_up(CatchUp::All(10));
    let nightly = Schedule::cron("30 2 * * *", "Europe/Berlin", NewJob::new("sales of a day"))?;
    for (name, schedule) in [("secondly", &secondly), ("nightly", &nightly)] {
        let _ = state.schedules().put(&reports, &ScheduleName::new(name)?, schedule, None, state.durability()).await?;
    }
    let _scheduling = state.scheduler().with_queue(reports.clone()).start();

    let worker = state.worker().with_queue("reports", report).with_signals().build()?;
    let handle = worker.handle();
    let running = tokio::spawn(worker.run());
    while handle.stats().completed < 3 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    handle.shutdown();
    running.await??;
    let info = state.schedules().get(&reports, &ScheduleName::new("nightly")?).await?.ok_or("it was put")?;
    println!("the nightly report comes {} times in the next week", info.next_times(7).len());
    stores.close().await;
    Ok(())
}
