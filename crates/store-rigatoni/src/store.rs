//! Rigatoni's `StateStore` on the worker state store.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bson::Document;
use rigatoni_core::pipeline::PipelineConfig;
use rigatoni_core::state::{StateStore, StateStoreError};
use twinstore::State;
use twinstore::durability::Durability;
use twinstore::lease::Fence;
use twinstore::name::HolderName;
use twinstore::time::Ttl;

use crate::failed;
use crate::keys::{self, Keys, TokenKey, Watched};
use crate::locks::{Granted, Locks, Owner};
use crate::positions::{Outcome, Positions, Refusal, unexpired};

/// How long the lease lasts that a pipeline without locks acquires for its fence, and releases immediately.
const FOR_A_FENCE: Duration = Duration::from_secs(5);

/// The state store of one pipeline: its position and its locks. Clones share both; keep one to wait for
/// [`RigatoniStore::lost`].
///
/// The [documentation of the crate](crate) states what it guarantees.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use rigatoni_core::pipeline::PipelineConfig;
/// use rigatoni_core::state::StateStore;
/// use store_rigatoni::RigatoniStore;
///
/// # let (stores, _) = twinstore::testing::stores();
/// let uri = "mongodb://localhost:27017/?replicaSet=rs0";
/// let config = PipelineConfig::builder().mongodb_uri(uri).database("shop").watch_database().build()?;
/// let store = RigatoniStore::new(stores.state(), &config);
///
/// let position = bson::doc! { "_data": "8265" };
/// assert!(store.save_resume_token("users", &position).await.is_err()); // this instance does not hold the lock
///
/// let lock = "rigatoni:lock:shop:users"; // a pipeline makes these calls
/// assert!(store.try_acquire_lock(lock, "pod-1", Duration::from_secs(30)).await?);
/// store.save_resume_token("users", &position).await?;
/// assert_eq!(store.get_resume_token("resume_token:shop:users").await?, Some(position));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RigatoniStore {
    keys: Keys,
    needs_lock: bool,
    pub(crate) locks: Locks,
    positions: Positions,
    /// Who acquires a fence.
    holder: HolderName,
    /// One task at a time acquires a fence.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Whether [`RigatoniStore::stand_by`] has returned a position for the pipeline.
    pub(crate) stood_by: Arc<AtomicBool>,
}

impl RigatoniStore {
    /// The store of the pipeline that gets this configuration. Its database names the keys. If its distributed locks are
    /// disabled, the store acquires a fence with the first save.
    ///
    /// Locks and positions belong to the namespace of the worker state store: services share them. Both request
    /// [`State::durability`].
    pub fn new(state: &State, config: &PipelineConfig) -> Self {
        Self {
            keys: Keys::new(&config.database),
            needs_lock: config.distributed_lock.enabled,
            locks: Locks::new(state.shared().leases()),
            positions: Positions::new(state.resume_tokens(), state.durability()),
            holder: HolderName::unique("pipeline").expect("invariant: a short prefix"),
            turn: Arc::default(),
            stood_by: Arc::default(),
        }
    }

    /// Sets how long a position lasts after its last save. Default: until it is deleted.
    ///
    /// [`get_resume_token`](StateStore::get_resume_token) returns `None` for an expired position and logs a warning;
    /// [`stand_by`](Self::stand_by) returns an error. A position needs no time to live to be noticed when it is too old for
    /// MongoDB's oplog: [`ResumeTokens::tokens`](twinstore::resume_token::ResumeTokens::tokens) lists the age of each.
    #[must_use]
    pub fn with_token_ttl(mut self, ttl: Ttl) -> Self {
        self.positions.ttl = Some(ttl);
        self
    }

    /// Sets the durability of saves and locks.
    #[must_use]
    pub fn with_durability(mut self, durability: Durability) -> Self {
        self.positions.durability = durability;
        self
    }

    /// Returns the key of a lock that this instance has lost, now or later: another instance has taken over, the lock has expired,
    /// or another process has changed or deleted the position. Rigatoni 0.2.0 does not stop the worker of a lost lock: stop the
    /// pipeline. All its saves are refused.
    ///
    /// It does not return before a lock is held. Acquiring a lost lock again resets it; if locks are disabled,
    /// [`stand_by`](Self::stand_by) does, and the pipeline that starts next saves again.
    pub async fn lost(&self) -> String {
        self.locks.lost().await
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(crate) fn needs_lock(&self) -> bool {
        self.needs_lock
    }

    /// Acquires a lock, and takes over the position that it protects.
    pub(crate) async fn acquire(
        &self,
        key: &str,
        holder: HolderName,
        lasting: Duration,
        owner: Owner,
    ) -> Result<bool, StateStoreError> {
        let watched = self.keys.of_lock(key)?;
        let requested = self.locks.request(keys::lease(key)?, holder, lasting, self.positions.durability).await;
        let Some(granted) = requested.map_err(failed)? else { return Ok(false) };
        if let Some(watched) = watched {
            match self.take_over(&watched, &granted).await? {
                Ok(()) => {}
                // The lease has expired meanwhile, and another instance has acquired it.
                Err(Refusal::Superseded(_)) => return Ok(false),
                Err(refusal) => return Err(self.refused(key, refusal)),
            }
        }
        self.locks.record(key, granted, owner);
        Ok(true)
    }

    /// Records the fence of a lease with the position. If that fails, the lease is given back.
    async fn take_over(&self, watched: &Watched, granted: &Granted) -> Outcome {
        let stream = self.keys.stream(watched)?;
        let outcome = self.positions.take_over(&stream, granted.lease.fence).await;
        if !matches!(outcome, Ok(Ok(()))) {
            self.locks.give_back(&granted.lease).await;
        }
        outcome
    }

    /// The fence under which this instance saves.
    async fn fence(&self, key: &str, watched: &Watched) -> Result<Fence, StateStoreError> {
        if let Some(fence) = self.locks.fence(key) {
            return Ok(fence);
        }
        if self.needs_lock || self.locks.is_lost(key) {
            return Err(StateStoreError::Other(format!(
                "nothing was saved: this instance does not hold the lock {key}"
            )));
        }
        let _turn = self.turn.lock().await;
        if let Some(fence) = self.locks.fence(key) {
            return Ok(fence);
        }
        let holder = self.holder.clone();
        let requested = self.locks.request(keys::lease(key)?, holder, FOR_A_FENCE, self.positions.durability).await;
        let Some(granted) = requested.map_err(failed)? else {
            return Err(StateStoreError::Other(format!("nothing was saved: another instance holds the lock {key}")));
        };
        self.take_over(watched, &granted).await?.map_err(|refusal| self.refused(key, refusal))?;
        self.locks.give_back(&granted.lease).await;
        let fence = granted.lease.fence;
        self.locks.record(key, granted, Owner::Fence);
        Ok(fence)
    }

    fn refused(&self, key: &str, refusal: Refusal) -> StateStoreError {
        StateStoreError::Other(match refusal {
            Refusal::Superseded(fence) => {
                format!("nothing was saved: another instance has acquired the lock {key} (fence {fence})")
            }
            Refusal::Changed => {
                format!(
                    "nothing was saved: another process has changed or deleted the position that the lock {key} protects"
                )
            }
        })
    }

    /// The position of a change stream, and whether it has expired.
    pub(crate) async fn position(&self, watched: &Watched) -> Result<(Option<Document>, bool), StateStoreError> {
        match self.positions.load(&self.keys.stream(watched)?).await? {
            None => Ok((None, false)),
            Some(token) => {
                let document = unexpired(&token)?;
                let has_expired = document.is_none();
                Ok((document, has_expired))
            }
        }
    }
}

#[async_trait]
impl StateStore for RigatoniStore {
    /// Saves the position of a batch that the pipeline has written. Under the key of an event that it has received and not yet
    /// written (`resume_token:…`), nothing is saved: a position that is ahead of the destination would skip the batch after a
    /// crash.
    async fn save_resume_token(&self, collection: &str, token: &Document) -> Result<(), StateStoreError> {
        let TokenKey { watched, is_received } = self.keys.of_token(collection)?;
        let key = self.keys.lock(&watched);
        if is_received {
            let may_save = self.locks.fence(&key).is_some() || !(self.needs_lock || self.locks.is_lost(&key));
            let text = || format!("this instance does not hold the lock {key}");
            return if may_save { Ok(()) } else { Err(StateStoreError::Other(text())) };
        }
        let fence = self.fence(&key, &watched).await?;
        match self.positions.save(&self.keys.stream(&watched)?, fence, token).await? {
            Ok(()) => Ok(()),
            Err(refusal) => {
                self.locks.lose(&key, fence).await;
                Err(self.refused(&key, refusal))
            }
        }
    }

    async fn get_resume_token(&self, collection: &str) -> Result<Option<Document>, StateStoreError> {
        let TokenKey { watched, is_received } = self.keys.of_token(collection)?;
        let (document, has_expired) = self.position(&watched).await?;
        let is_pipeline = is_received && matches!(watched, Watched::Collection(_));
        if has_expired {
            tracing::warn!(key = collection, "the position has expired: the events since then may be skipped");
        } else if document.is_some() && is_pipeline && !self.stood_by.load(Ordering::Relaxed) {
            tracing::warn!(
                key = collection,
                "Rigatoni 0.2.0 reads this position and does not resume from it: call stand_by"
            );
        }
        Ok(document)
    }

    /// Deletes a position: under the lock if this instance holds it, otherwise even if another instance does. The next save of a running
    /// pipeline of another instance is refused, and [`RigatoniStore::lost`] returns there.
    async fn delete_resume_token(&self, collection: &str) -> Result<(), StateStoreError> {
        let TokenKey { watched, .. } = self.keys.of_token(collection)?;
        let key = self.keys.lock(&watched);
        let fence = self.locks.fence(&key);
        match self.positions.delete(&self.keys.stream(&watched)?, fence).await? {
            Ok(()) => Ok(()),
            Err(refusal) => {
                if let Some(fence) = fence {
                    self.locks.lose(&key, fence).await;
                }
                Err(self.refused(&key, refusal))
            }
        }
    }

    /// The positions of this database, and that of the deployment, by the keys under which a pipeline saves a written batch. It
    /// walks over all keys of the worker state store, and loads each position.
    async fn list_resume_tokens(&self) -> Result<HashMap<String, Document>, StateStoreError> {
        let mut tokens = HashMap::new();
        for stream in self.positions.streams().await? {
            let Some(watched) = self.keys.of_stream(&stream) else { continue };
            if let (Some(document), _) = self.position(&watched).await? {
                tokens.insert(self.keys.written(&watched), document);
            }
        }
        Ok(tokens)
    }

    /// Does nothing: the stores own the connections, and locks end with the pipeline or expire.
    async fn close(&self) -> Result<(), StateStoreError> {
        Ok(())
    }

    /// Acquires a lock. The owner that holds it already renews it, and gets `true`.
    async fn try_acquire_lock(&self, key: &str, owner_id: &str, ttl: Duration) -> Result<bool, StateStoreError> {
        let owner = Owner::Named(owner_id.to_owned());
        let is_ours = |held: &Owner| *held == owner || *held == Owner::StandingBy;
        if let Some((lease, last)) = self.locks.held_by(key, is_ours) {
            let is_renewed = self.locks.renew(key, &lease, ttl, owner.clone()).await.map_err(failed)?;
            // The position that a stand-by returned may be outdated if its lock is lost.
            if is_renewed || last == Owner::StandingBy {
                return Ok(is_renewed);
            }
        }
        self.acquire(key, keys::holder(owner_id)?, ttl, owner).await
    }

    async fn refresh_lock(&self, key: &str, owner_id: &str, ttl: Duration) -> Result<bool, StateStoreError> {
        let owner = Owner::Named(owner_id.to_owned());
        match self.locks.held_by(key, |held| *held == owner) {
            Some((lease, _)) => self.locks.renew(key, &lease, ttl, owner).await.map_err(failed),
            None => Ok(false),
        }
    }

    async fn release_lock(&self, key: &str, owner_id: &str) -> Result<bool, StateStoreError> {
        match self.locks.held_by(key, |held| matches!(held, Owner::Named(owner) if owner == owner_id)) {
            Some((lease, _)) => self.locks.release(key, &lease).await.map_err(failed),
            None => Ok(false),
        }
    }

    async fn is_locked(&self, key: &str) -> Result<bool, StateStoreError> {
        self.locks.is_held(&keys::lease(key)?).await.map_err(failed)
    }
}

impl fmt::Debug for RigatoniStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RigatoniStore").field("database", &self.keys.database()).finish_non_exhaustive()
    }
}
