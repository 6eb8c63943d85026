//! A topic in a directory: a process appends events, a consumer dies in the middle of a batch, and another one continues.
//!
//! ```sh
//! cargo run --package twinstore --example topic -- DIRECTORY append   # appends three events
//! cargo run --package twinstore --example topic -- DIRECTORY die      # handles two, acknowledges one, and aborts
//! cargo run --package twinstore --example topic -- DIRECTORY read     # repeats the second, and handles the third
//! ```
#![allow(clippy::print_stdout, reason = "it reports on its standard output")]

use std::time::Duration;

use twinstore::prelude::*;
use twinstore::topic::{GroupName, NewEvent, Topic, TopicConfig, TopicName};

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn append(orders: &Topic) -> Result<(), Failure> {
    let order = Key::new("order-7")?;
    orders.append(&["placed", "paid", "shipped"].map(|event| NewEvent::new(event).with_key(order.clone()))).await?;
    Ok(())
}

/// Handles the events one by one, until there are no more.
async fn read(orders: &Topic, dies: bool) -> Result<(), Failure> {
    let billing = GroupName::new("billing")?;
    // The lease of the process that died has to end first.
    let mut consumer = orders.consumer(billing.clone()).with_max(1).with_lease(Duration::from_secs(1));
    let mut handled = 0;
    while orders.lag(&billing).await? > 0 {
        let batch = consumer.next().await?;
        for event in &batch.events {
            let key = event.key.as_ref().map_or("", Key::as_str);
            println!("{key}: {}", String::from_utf8_lossy(&event.payload));
        }
        handled += batch.events.len();
        if dies && handled == 2 {
            println!("dying");
            std::process::abort();
        }
        consumer.acknowledge(&batch).await?;
    }
    println!("lag {}", orders.lag(&billing).await?);
    consumer.stop().await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let usage = "usage: topic DIRECTORY append|read|die";
    let mut arguments = std::env::args().skip(1);
    let (directory, command) = (arguments.next().ok_or(usage)?, arguments.next().ok_or(usage)?);
    let environment = Environment::from_variables([
        ("SERVICE_NAME".to_owned(), "billing".to_owned()),
        ("REDIS_CONN_BASE_URL".to_owned(), "embedded:".to_owned()),
        ("REDIS_WORKERCACHE_CONN_URL".to_owned(), format!("embedded:{directory}/state")),
    ]);
    let stores = Stores::open(&environment).await?;
    let orders = stores.state().topic(TopicName::new("orders")?, TopicConfig::default()).await?;
    match command.as_str() {
        "append" => append(&orders).await?,
        "read" => read(&orders, false).await?,
        "die" => read(&orders, true).await?,
        _ => return Err(usage.into()),
    }
    stores.close().await;
    Ok(())
}
