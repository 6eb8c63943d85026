//! A job of three steps, on stores in a directory: its process dies after the second step, and the next process continues.
//!
//! ```sh
//! cargo run --package twinstore --example steps -- DIRECTORY die   # reserves, charges, and aborts
//! cargo run --package twinstore --example steps -- DIRECTORY       # ships, and does not charge again
//! ```
#![allow(clippy::print_stdout, reason = "it reports on its standard output")]

use std::time::Duration;

use twinstore::prelude::*;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Carries out an order in three steps. If the process dies, another delivery of the job gets the outputs of the steps that have
/// finished.
async fn carry_out(state: State, job: Job, dies: bool) -> HandlerResult {
    let run = state.run_of(&job);
    let item: String = job.json()?;
    let reserved = run
        .step("reserve", async || {
            println!("reserving {item}");
            Ok(format!("1 {item}"))
        })
        .await?;
    let receipt: u64 = run
        .step("charge", async || {
            println!("charging for {reserved}");
            Ok(4711)
        })
        .await?;
    if dies {
        println!("dying");
        std::process::abort();
    }
    run.step("ship", async || {
        println!("shipping {reserved}, receipt {receipt}");
        Ok(())
    })
    .await?;
    Ok(Done::discard())
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("usage: steps DIRECTORY [die]")?;
    let dies = arguments.next().is_some();
    let environment = Environment::from_variables([
        ("SERVICE_NAME".to_owned(), "orders".to_owned()),
        ("REDIS_CONN_BASE_URL".to_owned(), "embedded:".to_owned()),
        ("REDIS_WORKERCACHE_CONN_URL".to_owned(), format!("embedded:{directory}/state")),
    ]);
    let stores = Stores::open(&environment).await?;
    let (state, orders) = (stores.state().clone(), QueueName::new("orders")?);
    // A push of the same id adds the job once.
    let order = NewJob::new("\"tea\"").with_id(JobId::new("order-7")?);
    state.queue().push_one(&orders, order).await?;

    let handler = {
        let state = state.clone();
        move |job: Job| carry_out(state.clone(), job, dies)
    };
    // The lease of the process that died has to expire first.
    let worker = state.worker().with_lease(Duration::from_secs(1)).with_queue("orders", handler).build()?;
    let handle = worker.handle();
    let inspect = state.inspect();
    tokio::spawn(async move {
        while inspect.counts(&orders).await.is_ok_and(|counts| counts.pending() > 0) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        handle.shutdown();
    });
    worker.run().await?;
    stores.close().await;
    println!("done");
    Ok(())
}
