//! An import, page by page, in a directory: one commit ends the job of a page, pushes the next one and saves the position. Its process
//! dies after a commit, and the next process continues with the following page.
//!
//! ```sh
//! cargo run --package twinstore --example commit -- DIRECTORY die   # imports two pages, and aborts
//! cargo run --package twinstore --example commit -- DIRECTORY       # imports the third page
//! ```
#![allow(clippy::print_stdout, reason = "it reports on its standard output")]

use std::sync::Arc;

use twinstore::home::{Committed, Home};
use twinstore::prelude::*;
use twinstore::queue::{Unique, UniqueKey, UniqueUntil};
use twinstore::resume_token::{SaveRequest, StreamName};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The job of a page. Its unique key determines the home.
fn page(number: u32) -> Result<NewJob, Failure> {
    let unique = Unique::new(UniqueKey::new("shop-7")?, UniqueUntil::Finished);
    Ok(NewJob::new(number.to_string()).with_unique(unique))
}

/// Imports a page. The end of the job, the next job and the position are written together, or none of them.
async fn import(home: Arc<dyn Home>, job: Job, dies: bool) -> HandlerResult {
    let number: u32 = job.json()?;
    println!("importing page {number}");
    let stream = StreamName::new("shop-7")?;
    let version = home.resume_tokens().load(&stream).await?.map(|token| token.info.version);
    let token = SaveRequest::new(stream, format!("after page {number}"), job.fence(), version);
    let mut commit = job.commit(()).with_token(token);
    if number < 3 {
        commit = commit.with_job(page(number + 1)?);
    }
    match home.commit(&commit, Durability::Accepted).await?.value {
        Committed::Done(_) if dies && number == 2 => std::process::abort(),
        Committed::Done(_) => Ok(Done::committed()),
        Committed::Refused(parts) => Err(JobError::dead(format!("{parts:?}"))),
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let (directory, dies) = (arguments.next().ok_or("usage: commit DIRECTORY [die]")?, arguments.next().is_some());
    let environment = Environment::from_variables([
        ("SERVICE_NAME".to_owned(), "importer".to_owned()),
        ("REDIS_CONN_BASE_URL".to_owned(), "embedded:".to_owned()),
        ("REDIS_WORKERCACHE_CONN_URL".to_owned(), format!("embedded:{directory}/state")),
    ]);
    let stores = Stores::open(&environment).await?;
    let (state, pages) = (stores.state().clone(), QueueName::new("pages")?);
    let home = state.home(&pages, &UniqueKey::new("shop-7")?);
    let stream = StreamName::new("shop-7")?;
    if home.resume_tokens().load(&stream).await?.is_none() {
        state.queue().push_one(&pages, page(1)?).await?;
    }
    let own = home.clone();
    let worker = state.worker().with_concurrency(1).with_queue("pages", move |job: Job| import(own.clone(), job, dies));
    let worker = worker.build()?;
    let (handle, running) = (worker.handle(), tokio::spawn(worker.run()));
    while state.inspect().counts(&pages).await?.pending() > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    handle.shutdown();
    running.await??;
    let token = home.resume_tokens().load(&stream).await?.ok_or("it was saved")?;
    println!("{}", std::str::from_utf8(&token.token)?);
    stores.close().await;
    Ok(())
}
