//! An instance with a runtime of its own, which can be killed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bson::Document;
use rigatoni_core::destination::{Destination, DestinationError};
use rigatoni_core::event::ChangeEvent;
use rigatoni_core::pipeline::{DistributedLockConfig, Pipeline, PipelineConfig};
use rigatoni_core::state::{StateStore, StateStoreError};
use std::collections::HashMap;
use store_rigatoni::RigatoniStore;
use tokio::runtime::Runtime;
use twinstore::prelude::*;

use crate::mongo::number_of;

/// What all instances did, in the order in which they did it.
#[derive(Clone, Default)]
pub(crate) struct Journal {
    /// The instance, and the event that it wrote.
    pub(crate) written: Arc<Mutex<Vec<(u32, u32)>>>,
    /// The instance, and the position whose save was accepted.
    pub(crate) saved: Arc<Mutex<Vec<(u32, u32)>>>,
    /// Whether the destination refuses all writes.
    pub(crate) refuses: Arc<AtomicBool>,
}

impl Journal {
    pub(crate) fn written(&self) -> Vec<(u32, u32)> {
        self.written.lock().unwrap().clone()
    }

    pub(crate) fn saved(&self) -> Vec<(u32, u32)> {
        self.saved.lock().unwrap().clone()
    }

    pub(crate) fn last_saved(&self) -> Option<(u32, u32)> {
        self.saved.lock().unwrap().last().copied()
    }
}

/// A destination that writes into the journal.
pub(crate) struct Sink {
    pub(crate) instance: u32,
    pub(crate) journal: Journal,
}

#[async_trait]
impl Destination for Sink {
    async fn write_batch(&mut self, events: &[ChangeEvent]) -> Result<(), DestinationError> {
        if self.journal.refuses.load(Ordering::Relaxed) {
            let message = "the destination is closed".to_owned();
            return Err(DestinationError::WriteError { message, retryable: false, source: None });
        }
        let numbers = events.iter().map(|event| (self.instance, number_of(&event.resume_token)));
        self.journal.written.lock().unwrap().extend(numbers);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), DestinationError> {
        Ok(())
    }

    fn supports_transactions(&self) -> bool {
        false
    }
}

/// The store of an instance, which records the positions that it accepts.
#[derive(Clone)]
pub(crate) struct Recorded {
    pub(crate) instance: u32,
    pub(crate) store: RigatoniStore,
    pub(crate) journal: Journal,
}

#[async_trait]
impl StateStore for Recorded {
    async fn save_resume_token(&self, collection: &str, token: &Document) -> Result<(), StateStoreError> {
        self.store.save_resume_token(collection, token).await?;
        if !collection.starts_with("resume_token:") {
            self.journal.saved.lock().unwrap().push((self.instance, number_of(token)));
        }
        Ok(())
    }

    async fn get_resume_token(&self, collection: &str) -> Result<Option<Document>, StateStoreError> {
        self.store.get_resume_token(collection).await
    }

    async fn delete_resume_token(&self, collection: &str) -> Result<(), StateStoreError> {
        self.store.delete_resume_token(collection).await
    }

    async fn list_resume_tokens(&self) -> Result<HashMap<String, Document>, StateStoreError> {
        self.store.list_resume_tokens().await
    }

    async fn close(&self) -> Result<(), StateStoreError> {
        self.store.close().await
    }

    async fn try_acquire_lock(&self, key: &str, owner: &str, ttl: Duration) -> Result<bool, StateStoreError> {
        self.store.try_acquire_lock(key, owner, ttl).await
    }

    async fn refresh_lock(&self, key: &str, owner: &str, ttl: Duration) -> Result<bool, StateStoreError> {
        self.store.refresh_lock(key, owner, ttl).await
    }

    async fn release_lock(&self, key: &str, owner: &str) -> Result<bool, StateStoreError> {
        self.store.release_lock(key, owner).await
    }

    async fn is_locked(&self, key: &str) -> Result<bool, StateStoreError> {
        self.store.is_locked(key).await
    }
}

/// The pipeline of all instances: locks of one second, and a batch every 50 ms.
pub(crate) fn config(uri: &str) -> PipelineConfig {
    let locks = DistributedLockConfig::builder()
        .ttl(Duration::from_secs(1))
        .refresh_interval(Duration::from_millis(200))
        .retry_interval(Duration::from_millis(50));
    PipelineConfig::builder()
        .mongodb_uri(uri)
        .database("shop")
        .watch_collections(vec!["users".to_owned()])
        .batch_size(5)
        .batch_timeout(Duration::from_millis(50))
        .distributed_lock(locks.build().unwrap())
        .build()
        .unwrap()
}

pub(crate) async fn open(url: &str) -> Stores {
    let environment = Environment::from_variables([
        ("SERVICE_NAME", "replicator"),
        ("REDIS_CONN_BASE_URL", "embedded:"),
        ("REDIS_WORKERCACHE_CONN_URL", url),
    ]);
    Stores::open(&environment).await.unwrap()
}

/// A pipeline of this instance.
pub(crate) async fn pipeline(
    config: PipelineConfig,
    store: &RigatoniStore,
    instance: u32,
    journal: &Journal,
) -> Pipeline<Recorded, Sink> {
    let recorded = Recorded { instance, store: store.clone(), journal: journal.clone() };
    Pipeline::new(config, recorded, Sink { instance, journal: journal.clone() }).await.unwrap()
}

/// An instance that stands by, and runs the pipeline while it holds the lock.
pub(crate) struct Instance(Option<Runtime>);

impl Instance {
    pub(crate) fn start(number: u32, url: String, uri: &str, journal: &Journal) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (config, journal) = (config(uri), journal.clone());
        runtime.spawn(async move {
            let stores = open(&url).await;
            let store = RigatoniStore::new(stores.state(), &config);
            loop {
                let resumed = store.stand_by(&config).await.unwrap();
                let mut pipeline = pipeline(resumed, &store, number, &journal).await;
                pipeline.start().await.unwrap();
                store.lost().await;
                pipeline.stop().await.unwrap();
            }
        });
        Self(Some(runtime))
    }

    /// Ends all tasks of the instance at their next `await`: it releases nothing and closes nothing.
    pub(crate) fn kill(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.kill();
    }
}
