//! What all services share of the worker state store.

use std::fmt;
use std::sync::Arc;

use store_core::{
    Durability, HandleName, Heartbeats, HolderName, Idempotency, LeaseName, Leases, Retries, StateRole, Steps,
};
use store_worker::Candidate;

use super::Operation;

/// The part of the state that all services of the namespace share: [`State::shared`](super::State::shared). It is separate from the part of each
/// service: a shared lease and a service's lease with the same name are two leases.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use twinstore::lease::LeaseName;
/// use twinstore::name::HolderName;
///
/// # let (stores, _) = twinstore::testing::stores();
/// let (name, holder) = (LeaseName::new("night-report")?, HolderName::unique("billing")?);
/// let leadership = stores.state().shared().candidate(name, holder).campaign()?;
/// leadership.elected().await;
/// assert!(leadership.is_leader()); // and no process of another service
/// leadership.resign().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SharedState {
    pub(super) store: Arc<dyn StateRole>,
    pub(super) steps: Arc<dyn Steps>,
    pub(super) retries: Arc<dyn Retries>,
    pub(super) leases: Durability,
}

impl SharedState {
    /// A candidate for a leadership among all services. Its lease requests the durability of [`Durabilities::leases`](store_core::Durabilities::leases).
    pub fn candidate(&self, name: LeaseName, holder: HolderName) -> Candidate {
        Candidate::new(self.leases(), name, holder).with_durability(self.leases)
    }

    /// The fleet's leases with fencing tokens.
    pub fn leases(&self) -> Arc<dyn Leases> {
        self.store.clone()
    }

    /// Which members of the fleet's pools are alive.
    pub fn heartbeats(&self) -> Arc<dyn Heartbeats> {
        self.store.clone()
    }

    /// An operation that takes effect once for each idempotency key among all services. Its durability is that of
    /// [`State::operation`](super::State::operation).
    pub fn operation<Q, R>(&self, name: HandleName) -> Operation<Q, R>
    where
        Q: serde::Serialize,
        R: serde::Serialize + serde::de::DeserializeOwned,
    {
        Operation::new(self.idempotency(), name)
    }

    /// The steps of the fleet's runs.
    pub fn steps(&self) -> Arc<dyn Steps> {
        self.steps.clone()
    }

    /// The retries of the fleet's operations.
    pub fn retries(&self) -> Arc<dyn Retries> {
        self.retries.clone()
    }

    /// The fleet's idempotency keys: if one service finishes a request, it is finished for all.
    pub fn idempotency(&self) -> Arc<dyn Idempotency> {
        self.store.clone()
    }
}

impl fmt::Debug for SharedState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedState")
    }
}
