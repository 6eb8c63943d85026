//! Waiting for the lock of a pipeline.

use std::sync::atomic::Ordering;

use rigatoni_core::pipeline::PipelineConfig;
use rigatoni_core::state::StateStoreError;
use rigatoni_core::watch_level::WatchLevel;
use tokio::time::sleep;
use twinstore::name::HolderName;

use crate::locks::Owner;
use crate::{RigatoniStore, failed};

impl RigatoniStore {
    /// Waits until this instance holds the lock of the pipeline, and returns `config` with the position from which the pipeline
    /// resumes. Then make the pipeline from it and a clone of this store, and start it within the `ttl` of its locks: it gets the
    /// lock.
    ///
    /// Rigatoni 0.2.0 needs this call. A pipeline that finds a collection locked skips it and never asks again, and a pipeline
    /// of collections reads its position but starts at the end of the collection, unless its `stream_config.resume_token` is
    /// set. If no position is stored, that of `config` stays. It tries again every `retry_interval` of `config.distributed_lock`,
    /// also while the store is unavailable. If locks are disabled, it does not wait: it forgets that this instance was superseded.
    ///
    /// # Errors
    /// [`StateStoreError::Other`] if `config` is for another database or several collections, or if the position has expired: delete
    /// it to start at the end of the stream. Other errors of the store that a repetition does not remove.
    pub async fn stand_by(&self, config: &PipelineConfig) -> Result<PipelineConfig, StateStoreError> {
        let watched = self.keys().of_config(config)?;
        let key = self.keys().lock(&watched);
        if self.needs_lock() {
            self.wait_for_lock(&key, config).await?;
        } else {
            // The next save acquires a new fence.
            self.locks.forget_loss(&key);
        }
        let position = match self.position(&watched).await {
            Ok((position, false)) => Ok(position),
            Ok((_, true)) => Err(StateStoreError::Other(format!(
                "the position of {} has expired: what it points to may be gone from the oplog; delete it to start at the end",
                self.keys().written(&watched)
            ))),
            Err(error) => Err(error),
        };
        if position.is_err()
            && let Some((lease, _)) = self.locks.held_by(&key, is_standing_by)
        {
            // if that fails, the lock expires
            let _ = self.locks.release(&key, &lease).await;
        }
        self.stood_by.store(true, Ordering::Relaxed);
        let mut config = config.clone();
        if let (Some(position), WatchLevel::Collection(_)) = (position?, &config.watch_level) {
            config.stream_config.resume_token = Some(position);
        }
        Ok(config)
    }

    async fn wait_for_lock(&self, key: &str, config: &PipelineConfig) -> Result<(), StateStoreError> {
        let locks = &config.distributed_lock;
        let holder = HolderName::unique("standby").map_err(|error| StateStoreError::Other(error.to_string()))?;
        loop {
            let acquired = match self.locks.held_by(key, is_standing_by) {
                // from a call before, whose pipeline was not started
                Some((lease, _)) => self.locks.renew(key, &lease, locks.ttl, Owner::StandingBy).await.map_err(failed),
                None => self.acquire(key, holder.clone(), locks.ttl, Owner::StandingBy).await,
            };
            match acquired {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(StateStoreError::Connection(error)) => tracing::warn!(lock = key, error, "standing by"),
                Err(error) => return Err(error),
            }
            sleep(locks.retry_interval).await;
        }
    }
}

fn is_standing_by(owner: &Owner) -> bool {
    *owner == Owner::StandingBy
}
