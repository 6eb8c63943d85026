//! The locks that this instance holds, as fenced leases.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use twinstore::Result;
use twinstore::durability::Durability;
use twinstore::lease::{AcquireRequest, Acquired, Fence, Lease, LeaseName, Leases};
use twinstore::name::HolderName;

/// Why a lock is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    /// An owner of Rigatoni's acquired it.
    Named(String),
    /// This instance stands by: the pipeline that it starts next gets the lock.
    StandingBy,
    /// Pipelines without locks: the lease was acquired for its fence and released.
    Fence,
}

/// A lease that was acquired and not yet recorded.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) lease: Lease,
    /// When it expires by the clock of this process, not later than by the server's. The lease of [`Owner::Fence`] does not.
    expires: Instant,
}

#[derive(Debug)]
struct Held {
    lease: Lease,
    owner: Owner,
    expires: Option<Instant>,
}

impl Held {
    fn is_held(&self) -> bool {
        self.expires.is_none_or(|expires| expires > Instant::now())
    }
}

#[derive(Debug, Default)]
struct Table {
    held: HashMap<String, Held>,
    /// The locks that were lost and not acquired again.
    lost: BTreeSet<String>,
}

impl Table {
    /// Records that the lock of this fence is lost.
    fn lose(&mut self, key: &str, fence: Fence) -> bool {
        let is_current = self.held.get(key).is_some_and(|held| held.lease.fence == fence);
        if is_current {
            self.held.remove(key);
            self.lost.insert(key.to_owned());
            tracing::warn!(lock = key, "this instance has lost its lock: stop the pipeline");
        }
        is_current
    }
}

/// The locks of one instance. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Locks {
    leases: Arc<dyn Leases>,
    table: Arc<watch::Sender<Table>>,
    /// The requests whose outcome is not known, to send them again.
    unanswered: Arc<Mutex<BTreeMap<(LeaseName, HolderName), AcquireRequest>>>,
}

impl Locks {
    pub(crate) fn new(leases: Arc<dyn Leases>) -> Self {
        Self { leases, table: Arc::new(watch::Sender::default()), unanswered: Arc::default() }
    }

    /// Requests the lease of a lock. `None` if another owner holds it. If the last request of this holder returned an error, the
    /// same request is sent again: a lease that it may have acquired is not mistaken for that of another instance.
    pub(crate) async fn request(
        &self,
        name: LeaseName,
        holder: HolderName,
        lasting: Duration,
        durability: Durability,
    ) -> Result<Option<Granted>> {
        let id = (name.clone(), holder.clone());
        let last = self.unanswered.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        let mut request = last.unwrap_or_else(|| AcquireRequest::new(name, holder, lasting));
        request.lasting = lasting;
        let sent = Instant::now();
        match self.leases.acquire(&request, durability).await {
            Ok(receipt) => match receipt.value {
                Acquired::Yes(lease) => Ok(Some(Granted { lease, expires: sent + lasting })),
                _ => Ok(None),
            },
            Err(error) => {
                self.unanswered.lock().unwrap_or_else(PoisonError::into_inner).insert(id, request);
                Err(error)
            }
        }
    }

    /// Records a lock that was acquired.
    pub(crate) fn record(&self, key: &str, granted: Granted, owner: Owner) {
        let expires = (owner != Owner::Fence).then_some(granted.expires);
        self.table.send_modify(|table| {
            table.lost.remove(key);
            table.held.insert(key.to_owned(), Held { lease: granted.lease, owner, expires });
        });
    }

    /// Gives back a lease that was not recorded, or whose stream is lost. If that fails, it expires.
    pub(crate) async fn give_back(&self, lease: &Lease) {
        if let Err(error) = self.leases.release(lease).await {
            tracing::debug!(%error, lease = %lease.name, "the lease was not released; it expires");
        }
    }

    /// The lease that this owner holds, even if it may have expired.
    pub(crate) fn held_by(&self, key: &str, is_owner: impl Fn(&Owner) -> bool) -> Option<(Lease, Owner)> {
        let table = self.table.borrow();
        let held = table.held.get(key).filter(|held| is_owner(&held.owner))?;
        Some((held.lease.clone(), held.owner.clone()))
    }

    /// Renews a lock, and makes `owner` its owner. `false` if it is lost.
    pub(crate) async fn renew(&self, key: &str, lease: &Lease, lasting: Duration, owner: Owner) -> Result<bool> {
        let sent = Instant::now();
        let is_renewed = self.leases.renew(lease, lasting).await?.is_some();
        self.table.send_modify(|table| match table.held.get_mut(key) {
            Some(held) if is_renewed && held.lease.fence == lease.fence => {
                held.owner = owner;
                held.expires = Some(sent + lasting);
            }
            _ if is_renewed => {}
            _ => _ = table.lose(key, lease.fence),
        });
        Ok(is_renewed)
    }

    /// Releases a lock. `false` if it was not held any more.
    pub(crate) async fn release(&self, key: &str, lease: &Lease) -> Result<bool> {
        let was_held = self.leases.release(lease).await?;
        self.table.send_modify(|table| {
            if table.held.get(key).is_some_and(|held| held.lease.fence == lease.fence) {
                table.held.remove(key);
            }
        });
        Ok(was_held)
    }

    /// Whether any instance holds the lock.
    pub(crate) async fn is_held(&self, name: &LeaseName) -> Result<bool> {
        Ok(self.leases.inspect(name).await?.is_some())
    }

    /// The fence under which this instance may save. `None` if it does not hold the lock.
    pub(crate) fn fence(&self, key: &str) -> Option<Fence> {
        let table = self.table.borrow();
        table.held.get(key).filter(|held| held.is_held()).map(|held| held.lease.fence)
    }

    /// Whether this instance lost the lock and has not acquired it again.
    pub(crate) fn is_lost(&self, key: &str) -> bool {
        self.table.borrow().lost.contains(key)
    }

    /// Records that the lock of this fence is lost, and releases its lease if it has one.
    pub(crate) async fn lose(&self, key: &str, fence: Fence) {
        let lease = self.held_by(key, |owner| *owner != Owner::Fence).map(|(lease, _)| lease);
        let mut is_current = false;
        self.table.send_modify(|table| is_current = table.lose(key, fence));
        if let Some(lease) = lease.filter(|_| is_current) {
            self.give_back(&lease).await;
        }
    }

    /// Returns a lock that this instance has lost, now or later.
    pub(crate) async fn lost(&self) -> String {
        let mut table = self.table.subscribe();
        loop {
            let next = {
                let table = table.borrow_and_update();
                if let Some(key) = table.lost.first() {
                    return key.clone();
                }
                let expiring = |(key, held): (&String, &Held)| Some((held.expires?, key.clone(), held.lease.fence));
                table.held.iter().filter_map(expiring).min_by_key(|(expires, ..)| *expires)
            };
            let expired = async {
                match &next {
                    Some((expires, ..)) => sleep_until(*expires).await,
                    None => std::future::pending().await,
                }
            };
            // the sender lives as long as `self`, so `changed` returns no error
            tokio::select! {
                _ = table.changed() => {}
                () = expired => if let Some((_, key, fence)) = &next {
                    self.expire(key, *fence);
                }
            }
        }
    }

    /// Records that the lock of this fence is lost, unless it has been renewed.
    fn expire(&self, key: &str, fence: Fence) {
        self.table.send_if_modified(|table| {
            let has_expired = table.held.get(key).is_some_and(|held| !held.is_held());
            has_expired && table.lose(key, fence)
        });
    }
}
