//! An instance that copies the changes of a collection to its standard output. Start it several times: one instance runs the
//! pipeline, the others stand by.
//!
//! ```sh
//! export SERVICE_NAME=replicator REDIS_CONN_BASE_URL=embedded: REDIS_WORKERCACHE_CONN_URL=redis://redis-state:6379
//! cargo run --package store-rigatoni --example standby -- 'mongodb://localhost:27017/?replicaSet=rs0' shop users 30000
//! ```
//!
//! The last argument is the time to live of the lock in milliseconds.
#![allow(clippy::print_stdout, reason = "it reports on its standard output")]

use std::time::Duration;

use async_trait::async_trait;
use rigatoni_core::destination::{Destination, DestinationError};
use rigatoni_core::event::ChangeEvent;
use rigatoni_core::pipeline::{DistributedLockConfig, Pipeline, PipelineConfig};
use store_rigatoni::RigatoniStore;
use twinstore::prelude::*;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Prints the key of each changed document.
struct Print;

#[async_trait]
impl Destination for Print {
    async fn write_batch(&mut self, events: &[ChangeEvent]) -> Result<(), DestinationError> {
        for event in events {
            let key = event.document_key.as_ref().and_then(|key| key.get("_id")).map(ToString::to_string);
            println!("{} {}", event.operation.as_str(), key.unwrap_or_default());
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), DestinationError> {
        Ok(())
    }

    fn supports_transactions(&self) -> bool {
        false
    }
}

fn config(mut arguments: impl Iterator<Item = String>) -> Result<PipelineConfig, Failure> {
    let mut next = || arguments.next().ok_or("usage: standby MONGODB_URI DATABASE COLLECTION LOCK_TTL_MS");
    let (uri, database, collection) = (next()?, next()?, next()?);
    let ttl = Duration::from_millis(next()?.parse()?);
    let locks = DistributedLockConfig::builder().ttl(ttl).refresh_interval(ttl / 4).retry_interval(ttl / 8).build()?;
    let builder = PipelineConfig::builder().mongodb_uri(uri).database(database).watch_collections(vec![collection]);
    Ok(builder.batch_size(5).batch_timeout(Duration::from_millis(50)).distributed_lock(locks).build()?)
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let config = config(std::env::args().skip(1))?;
    let stores = Stores::from_env().await.unwrap_or_else(|error| error.exit());
    let store = RigatoniStore::new(stores.state(), &config);
    loop {
        println!("standing by");
        let resumed = store.stand_by(&config).await?;
        let mut pipeline = Pipeline::new(resumed, store.clone(), Print).await?;
        pipeline.start().await?;
        println!("running");
        tokio::select! {
            lock = store.lost() => println!("lost {lock}"),
            signal = tokio::signal::ctrl_c() => {
                signal?;
                pipeline.stop().await?; // writes the last batch and releases the lock
                stores.close().await;
                return Ok(());
            }
        }
        pipeline.stop().await?;
    }
}
