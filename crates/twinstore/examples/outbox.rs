//! A commit: a handler ends its job, moves a position, and sends a letter to another queue and an event to a topic. All of it is written, or
//! nothing; the worker then delivers what goes elsewhere.
//!
//! ```sh
//! cargo run --package twinstore --example outbox
//! ```
#![allow(clippy::print_stdout, reason = "it reports on its standard output")]

use std::sync::Arc;
use std::time::Duration;

use twinstore::home::{Committed, Delivery, Home};
use twinstore::prelude::*;
use twinstore::queue::{Unique, UniqueKey, UniqueUntil};
use twinstore::resume_token::{SaveRequest, StreamName};
use twinstore::topic::{NewEvent, TopicConfig, TopicName};

async fn place(home: Arc<dyn Home>, job: Job) -> HandlerResult {
    let stream = StreamName::new("orders")?;
    let position = home.resume_tokens().load(&stream).await?.map(|token| token.info.version);
    let commit = job
        .commit(())
        .with_token(SaveRequest::new(stream, job.payload().clone(), job.fence(), position))
        .with_delivery(Delivery::job("letters".try_into()?, NewJob::new("your order is placed")))
        .with_delivery(Delivery::event(TopicName::new("placed")?, NewEvent::new(job.payload().clone())));
    match home.commit(&commit, Default::default()).await?.value {
        Committed::Done(_) => Ok(Done::committed()),
        Committed::Refused(parts) => Err(JobError::dead(format!("{parts:?}"))),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let environment = Environment::from_variables([
        ("SERVICE_NAME", "orders"),
        ("REDIS_CONN_BASE_URL", "embedded:"),
        ("REDIS_WORKERCACHE_CONN_URL", "embedded:"),
    ]);
    let stores = Stores::open(&environment).await?;
    let (state, orders, shop) = (stores.state(), QueueName::new("orders")?, UniqueKey::new("shop-7")?);
    state.topics().declare(&TopicName::new("placed")?, &TopicConfig::default()).await?;
    let order = NewJob::new("tea").with_unique(Unique::new(shop.clone(), UniqueUntil::Finished));
    state.queue().push_one(&orders, order).await?;

    let home = state.home(&orders, &shop);
    let (sent, mut letters) = tokio::sync::mpsc::channel(1);
    let send = move |letter: Job| {
        let sent = sent.clone();
        async move {
            sent.send(letter.payload().clone()).await?;
            Ok(())
        }
    };
    let worker =
        state.worker().with_queue(orders, move |job: Job| place(home.clone(), job)).with_queue("letters", send);
    let worker = worker.build()?;
    let handle = worker.handle();
    let running = tokio::spawn(worker.run());
    let letter = tokio::time::timeout(Duration::from_secs(30), letters.recv()).await?;
    println!("a letter: {}", String::from_utf8_lossy(&letter.unwrap_or_default()));
    handle.shutdown();
    running.await??;
    stores.close().await;
    Ok(())
}
