//! Waiting for the lock of a pipeline.

use rigatoni_core::pipeline::PipelineConfig;
use rigatoni_core::state::StateStoreError;
use rigatoni_core::watch_level::WatchLevel;
use tokio::time::sleep;
use twinstore::name::HolderName;

use crate::RigatoniStore;
use crate::locks::Owner;

impl RigatoniStore {
    /// Waits until this instance holds the lock of the pipeline, and sets the position from which the pipeline resumes. Then make
    /// the pipeline from `config` and a clone of this store, and start it within the `ttl` of its locks: it gets the lock.
    ///
    /// Rigatoni 0.2.0 needs this call. A pipeline that finds a collection locked skips it and never asks again, and a pipeline
    /// of collections reads its position but starts at the end of the collection, unless `stream_config.resume_token` is
    /// set. The call tries again every `retry_interval` of `config.distributed_lock`, also while the store is unavailable. If
    /// locks are disabled, it does not wait.
    ///
    /// # Errors
    /// [`StateStoreError::Other`] if `config` is for another database or several collections, or if the position has expired: delete
    /// it to start at the end of the stream. Other errors of the store that a repetition does not remove.
    pub async fn stand_by(&self, config: &mut PipelineConfig) -> Result<(), StateStoreError> {
        let watched = self.keys().of_config(config)?;
        if self.needs_lock() {
            let key = self.keys().lock(&watched);
            let holder = HolderName::unique("standby").map_err(|error| StateStoreError::Other(error.to_string()))?;
            let locks = &config.distributed_lock;
            loop {
                match self.acquire(&key, holder.clone(), locks.ttl, Owner::StandingBy).await {
                    Ok(true) => break,
                    Ok(false) => {}
                    Err(StateStoreError::Connection(error)) => tracing::warn!(lock = key, error, "standing by"),
                    Err(error) => return Err(error),
                }
                sleep(locks.retry_interval).await;
            }
        }
        match self.position(&watched).await? {
            (_, true) => Err(StateStoreError::Other(format!(
                "the position of {} has expired: what it points to may be gone from the oplog; delete it to start at the end",
                self.keys().written(&watched)
            ))),
            (Some(position), _) if matches!(config.watch_level, WatchLevel::Collection(_)) => {
                config.stream_config.resume_token = Some(position);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
