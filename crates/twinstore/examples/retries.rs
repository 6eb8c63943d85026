//! A delivery that fails twice, on a store in memory. The store counts the attempts, so all processes share them, and a restart does
//! not begin again.
//!
//! ```sh
//! cargo run --package twinstore --example retries
//! ```
#![allow(clippy::print_stdout, reason = "it reports on its standard output")]

use std::time::Duration;

use twinstore::prelude::*;
use twinstore::queue::{Backoff, RetryPolicy};
use twinstore::retry::{RetryBegun, RetryDecision, RetryRequest};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A service that is down for a while.
fn deliver(attempt: u32) -> Result<(), &'static str> {
    if attempt < 3 { Err("the service is down") } else { Ok(()) }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let environment = Environment::from_variables([
        ("SERVICE_NAME", "invoices"),
        ("REDIS_CONN_BASE_URL", "embedded:"),
        ("REDIS_WORKERCACHE_CONN_URL", "embedded:"),
    ]);
    let stores = Stores::open(&environment).await?;
    let (retries, durability) = (stores.state().retries(), stores.state().durability());
    let policy = RetryPolicy::new(5, Backoff::Fixed(Duration::from_millis(200)));
    loop {
        let request = RetryRequest::new(Key::new("invoice/7")?, policy);
        let attempt = match retries.begin(&request, durability).await?.value {
            RetryBegun::Started(attempt) => attempt,
            // Another attempt runs, or the next one is not due yet.
            RetryBegun::Wait { remaining, .. } => {
                tokio::time::sleep(remaining).await;
                continue;
            }
            other => {
                println!("{other:?}");
                break;
            }
        };
        match deliver(attempt.number) {
            Ok(()) => {
                let recorded = retries.succeed(&attempt, durability).await?.value;
                println!("attempt {}: delivered, recorded: {recorded}", attempt.number);
                break;
            }
            Err(error) => {
                println!("attempt {}: {error}", attempt.number);
                // An error that no repetition mends is `RetryDecision::Fail`.
                let _ = retries.fail(&attempt, error, RetryDecision::Retry, durability).await?;
            }
        }
    }
    let info = retries.get(&Key::new("invoice/7")?).await?.ok_or("it is kept for a while")?;
    println!("{} attempts, the last error: {}", info.attempts, info.last_error.unwrap_or_default());
    stores.close().await;
    Ok(())
}
