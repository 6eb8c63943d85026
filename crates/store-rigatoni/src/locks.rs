//! The locks that this instance holds, as fenced leases.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use twinstore::durability::Durability;
use twinstore::lease::{AcquireRequest, Acquired, Fence, Lease, LeaseName, Leases};
use twinstore::name::HolderName;
use twinstore::{ErrorKind, Result};

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
    /// The requests whose leases this instance may hold and has neither recorded nor given back, to send them again.
    unsettled: Arc<Mutex<BTreeMap<(LeaseName, HolderName), Sent>>>,
}

/// A request, and when it was sent first: the server may have granted it then.
#[derive(Debug, Clone)]
struct Sent {
    request: AcquireRequest,
    at: Instant,
}

impl Sent {
    /// Until when a lease lasts that was granted then.
    fn expires(&self) -> Instant {
        // No lease lasts so long that there is no such time.
        self.at.checked_add(self.request.lasting).unwrap_or(self.at)
    }
}

impl Locks {
    pub(crate) fn new(leases: Arc<dyn Leases>) -> Self {
        Self { leases, table: Arc::new(watch::Sender::default()), unsettled: Arc::default() }
    }

    /// Requests the lease of a lock. `None` if another owner holds it. If the last request of this holder returned an error, or its
    /// future was dropped before its lease was recorded or given back, the same request is sent again until a lease that it may have
    /// acquired has expired: that lease is not mistaken for one of another instance.
    pub(crate) async fn request(
        &self,
        name: LeaseName,
        holder: HolderName,
        lasting: Duration,
        durability: Durability,
    ) -> Result<Option<Granted>> {
        let id = (name.clone(), holder.clone());
        loop {
            let at = Instant::now();
            let new = Sent { request: AcquireRequest::new(name.clone(), holder.clone(), lasting), at };
            let (sent, is_new) = {
                let mut unsettled = self.unsettled();
                unsettled.retain(|_, sent| sent.expires() > at);
                let is_new = !unsettled.contains_key(&id);
                (unsettled.entry(id.clone()).or_insert(new).clone(), is_new)
            };
            let acquired = self.leases.acquire(&sent.request, durability).await;
            let is_invalid = acquired.as_ref().is_err_and(|error| error.kind() == ErrorKind::InvalidArgument);
            let is_refused = acquired.as_ref().is_ok_and(|receipt| !matches!(receipt.value, Acquired::Yes(_)));
            // A request that is not valid will never be.
            if is_invalid || is_refused {
                self.settle(&id);
            }
            if is_invalid && !is_new {
                // Its lease was released, and the reply to the release was lost.
                continue;
            }
            return Ok(match acquired?.value {
                Acquired::Yes(lease) => Some(Granted { lease, expires: sent.expires() }),
                _ => None,
            });
        }
    }

    fn unsettled(&self) -> MutexGuard<'_, BTreeMap<(LeaseName, HolderName), Sent>> {
        self.unsettled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets a request.
    fn settle(&self, id: &(LeaseName, HolderName)) {
        self.unsettled().remove(id);
    }

    /// Records a lock that was acquired.
    pub(crate) fn record(&self, key: &str, granted: Granted, owner: Owner) {
        self.settle(&(granted.lease.name.clone(), granted.lease.holder.clone()));
        let expires = (owner != Owner::Fence).then_some(granted.expires);
        self.table.send_modify(|table| {
            table.lost.remove(key);
            table.held.insert(key.to_owned(), Held { lease: granted.lease, owner, expires });
        });
    }

    /// Gives back a lease that was not recorded, or whose stream is lost. If that fails, it expires, unless this holder requests it
    /// again before.
    pub(crate) async fn give_back(&self, lease: &Lease) {
        match self.leases.release(lease).await {
            Ok(_) => self.settle(&(lease.name.clone(), lease.holder.clone())),
            Err(error) => tracing::debug!(%error, lease = %lease.name, "the lease was not released; it expires"),
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

    /// Forgets that this instance lost the lock.
    pub(crate) fn forget_loss(&self, key: &str) {
        self.table.send_if_modified(|table| table.lost.remove(key));
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

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Context, Waker};

    use async_trait::async_trait;
    use twinstore::durability::Receipt;
    use twinstore::lease::LeaseInfo;
    use twinstore::time::Timestamp;

    use super::*;

    /// Leases whose replies are lost.
    #[derive(Debug)]
    struct Lossy {
        leases: Arc<dyn Leases>,
        loses: AtomicBool,
    }

    #[async_trait]
    impl Leases for Lossy {
        async fn acquire(&self, request: &AcquireRequest, durability: Durability) -> Result<Receipt<Acquired>> {
            let acquired = self.leases.acquire(request, durability).await;
            if self.loses.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            acquired
        }

        async fn renew(&self, lease: &Lease, lasting: Duration) -> Result<Option<Timestamp>> {
            self.leases.renew(lease, lasting).await
        }

        async fn release(&self, lease: &Lease) -> Result<bool> {
            self.leases.release(lease).await
        }

        async fn inspect(&self, name: &LeaseName) -> Result<Option<LeaseInfo>> {
            self.leases.inspect(name).await
        }
    }

    struct Fixture {
        locks: Locks,
        leases: Arc<Lossy>,
    }

    impl Fixture {
        fn new() -> Self {
            let (stores, _) = twinstore::testing::stores();
            let leases = Arc::new(Lossy { leases: stores.state().shared().leases(), loses: AtomicBool::new(true) });
            Self { locks: Locks::new(leases.clone()), leases }
        }

        async fn request(&self, holder: &str, lasting: Duration) -> Option<Granted> {
            let (name, holder) = (LeaseName::new("users").unwrap(), HolderName::new(holder).unwrap());
            self.locks.request(name, holder, lasting, Durability::Accepted).await.unwrap()
        }

        /// Sends a request whose future is dropped.
        fn drop_request(&self, holder: &str, lasting: Duration) {
            let request = pin!(self.request(holder, lasting));
            assert!(request.poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
    }

    #[tokio::test]
    async fn a_dropped_request_is_repeated_and_its_lock_expires_by_its_first_time() {
        let (fixture, lasting) = (Fixture::new(), Duration::from_secs(30));
        fixture.drop_request("pod-1", lasting);
        let sent = Instant::now();
        fixture.leases.loses.store(false, Ordering::Relaxed);
        let granted = fixture.request("pod-1", 2 * lasting).await.expect("its own lock");
        assert!(granted.expires <= sent + lasting, "it would be held locally for longer than on the server");
        fixture.locks.record("users", granted, Owner::StandingBy);
        assert!(fixture.locks.unsettled().is_empty());
    }

    /// The future that was to record it was dropped.
    #[tokio::test]
    async fn a_granted_lease_that_was_not_recorded_is_granted_again() {
        let (fixture, lasting) = (Fixture::new(), Duration::from_secs(30));
        fixture.leases.loses.store(false, Ordering::Relaxed);
        let dropped = fixture.request("pod-1", lasting).await.expect("nobody holds it").lease;
        assert!(fixture.request("pod-2", lasting).await.is_none());
        let granted = fixture.request("pod-1", lasting).await.expect("its own lock");
        assert_eq!(granted.lease.fence, dropped.fence);
        fixture.locks.give_back(&granted.lease).await;
        assert!(fixture.request("pod-2", lasting).await.is_some());
    }

    #[tokio::test]
    async fn after_a_release_whose_reply_was_lost_a_new_request_is_made() {
        let (fixture, lasting) = (Fixture::new(), Duration::from_secs(30));
        fixture.leases.loses.store(false, Ordering::Relaxed);
        let released = fixture.request("pod-1", lasting).await.expect("nobody holds it").lease;
        assert!(fixture.leases.release(&released).await.unwrap());
        let granted = fixture.request("pod-1", lasting).await.expect("nobody holds it");
        assert!(granted.lease.fence > released.fence);
    }

    #[tokio::test]
    async fn a_request_is_not_repeated_when_its_lock_has_expired() {
        let (fixture, shortest) = (Fixture::new(), Duration::from_millis(10));
        fixture.drop_request("pod-1", shortest);
        fixture.drop_request("pod-2", shortest);
        assert_eq!(fixture.locks.unsettled().len(), 2);
        let sent = Instant::now();
        testkit::wait_until("both have expired", testkit::DEADLINE, async || sent.elapsed() > shortest).await;
        fixture.leases.loses.store(false, Ordering::Relaxed);
        // The clock of the store does not advance: in the store, the first holder still has the lock.
        assert!(fixture.request("pod-3", shortest).await.is_none());
        assert!(fixture.locks.unsettled().is_empty());
    }
}
