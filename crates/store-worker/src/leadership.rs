//! One leader among several processes, on [`Leases`].

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use store_core::metric::{Counter, Gauge, LEADERSHIP_CHANGES, LEADERSHIP_LEADING};
use store_core::{
    AcquireRequest, Acquired, Durability, Fence, HolderName, Lease, LeaseName, Leases, Op, Result, validate_lease,
};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// A process that wants to lead.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use twinstore::lease::{Candidate, LeaseName};
/// use twinstore::name::HolderName;
///
/// # let (stores, _) = twinstore::testing::stores();
/// let (name, holder) = (LeaseName::new("scheduler")?, HolderName::unique("host")?);
/// let candidate = Candidate::new(stores.state().leases(), name, holder).with_lease(Duration::from_secs(5));
/// let leadership = candidate.campaign()?;
/// let fence = leadership.elected().await;
/// assert_eq!(leadership.fence(), Some(fence));
/// leadership.resign().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Candidate {
    leases: Arc<dyn Leases>,
    name: LeaseName,
    holder: HolderName,
    lasting: Duration,
    durability: Durability,
}

impl Candidate {
    /// A candidate for the lease with this name. The lease lasts 15 s and is renewed every third of that time.
    pub fn new(leases: Arc<dyn Leases>, name: LeaseName, holder: HolderName) -> Self {
        let (lasting, durability) = (Duration::from_secs(15), Durability::Accepted);
        Self { leases, name, holder, lasting, durability }
    }

    /// With a lease that lasts this long. If a leader dies, the next one is elected within four thirds of this time.
    ///
    /// If the reply to a renewal is lost, the store's link repeats it after the command time-out (default 1 s). If the lease is
    /// shorter than about twice that time, one interrupted connection can lose it.
    #[must_use]
    pub fn with_lease(mut self, lasting: Duration) -> Self {
        self.lasting = lasting;
        self
    }

    /// With a lease that requests this durability: it is acquired only when it has reached it. Default [`Durability::Accepted`].
    #[must_use]
    pub fn with_durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Starts a task that campaigns until [`Leadership::resign`] or until the [`Leadership`] is dropped. At least every third
    /// of the lease's time it tries to acquire the lease, or renews it while it holds it. After a loss it campaigns again. If the
    /// store is unavailable, it tries again.
    /// If the task panics, it logs an error, and this process does not lead until it campaigns again.
    ///
    /// # Errors
    /// [`store_core::Error::InvalidArgument`] if the lease's time is out of range.
    pub fn campaign(self) -> Result<Leadership> {
        validate_lease(Op::LeaseAcquire, self.lasting)?;
        let (announce, standing) = watch::channel(Standing::Follower);
        let (resign, resigned) = oneshot::channel();
        let meters = Meters::new(&self.name);
        let task = tokio::spawn(Campaign { candidate: self, announce, meters }.run(resigned));
        Ok(Leadership { standing, resign: Some(resign), task })
    }
}

/// Whether this process leads.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use twinstore::lease::{LeaseName, Standing};
/// use twinstore::name::HolderName;
///
/// # let (stores, _) = twinstore::testing::stores();
/// let candidate = stores.state().candidate(LeaseName::new("scheduler")?, HolderName::unique("host")?);
/// let leadership = candidate.campaign()?;
/// let mut standing = leadership.changes();
/// assert_eq!(*standing.borrow(), Standing::Follower);
/// standing.changed().await?;
/// assert!(matches!(*standing.borrow(), Standing::Leader { .. }));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// This process does not lead. Another process may lead.
    Follower,
    /// This process leads.
    Leader {
        /// The fencing token of the lease. Present it with every write.
        fence: Fence,
        /// Until when the lease certainly lasts, even if it is not renewed.
        until: Instant,
    },
}

impl Standing {
    /// The fencing token, while the lease certainly lasts by the local monotonic clock.
    pub fn fence(self) -> Option<Fence> {
        match self {
            Standing::Leader { fence, until } if Instant::now() < until => Some(fence),
            Standing::Leader { .. } | Standing::Follower => None,
        }
    }
}

/// A running campaign.
///
/// A leader steps down by the local monotonic clock, a tenth of the lease's time before the lease can have expired, whether the
/// store answers or not. A suspended process can still write late, so the resource that it writes to must compare fences.
/// Dropping a `Leadership` does not give the lease back; the lease expires.
/// [`run_while_leading`](Leadership::run_while_leading) runs work only while this process leads.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use twinstore::lease::LeaseName;
/// use twinstore::name::HolderName;
///
/// # let (stores, _) = twinstore::testing::stores();
/// let candidate = stores.state().candidate(LeaseName::new("scheduler")?, HolderName::unique("host")?);
/// let leadership = candidate.campaign()?;
/// let fence = leadership.elected().await;
/// assert!(leadership.is_leader());
/// // write, presenting `fence`
/// # let _ = fence;
/// leadership.resign().await;
/// # Ok(())
/// # }
/// ```
pub struct Leadership {
    standing: watch::Receiver<Standing>,
    resign: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Leadership {
    /// Whether this process leads now. Reads the local clock and sends nothing.
    pub fn is_leader(&self) -> bool {
        self.fence().is_some()
    }

    /// The fencing token, while this process leads.
    pub fn fence(&self) -> Option<Fence> {
        self.standing.borrow().fence()
    }

    /// Returns when this process leads, with the fencing token. It never returns if the task of the campaign has panicked.
    pub async fn elected(&self) -> Fence {
        let mut changes = self.changes();
        loop {
            if let Some(fence) = changes.borrow_and_update().fence() {
                return fence;
            }
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// The standing and its changes. A renewal is a change, with a later `until`.
    pub fn changes(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    /// Steps down, and gives the lease back if the store answers before it expires.
    pub async fn resign(mut self) {
        if let Some(resign) = self.resign.take() {
            // If the campaign has ended, there is no lease to give back.
            let _ = resign.send(());
        }
        let _ = (&mut self.task).await;
    }
}

impl Drop for Leadership {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Leadership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leadership").field("is_leader", &self.is_leader()).finish_non_exhaustive()
    }
}

/// The task behind a [`Leadership`].
struct Campaign {
    candidate: Candidate,
    announce: watch::Sender<Standing>,
    meters: Meters,
}

/// The metrics of one candidate.
struct Meters {
    leading: Gauge,
    to_leader: Counter,
    to_follower: Counter,
}

impl Meters {
    fn new(lease: &LeaseName) -> Self {
        let to = |role| LEADERSHIP_CHANGES.counter(&[lease.as_str(), role]);
        let leading = LEADERSHIP_LEADING.gauge(&[lease.as_str()]);
        leading.increment(0.0);
        Self { leading, to_leader: to("leader"), to_follower: to("follower") }
    }

    /// The candidate leads until the result is dropped.
    fn lead(&self) -> Leading<'_> {
        self.leading.increment(1.0);
        self.to_leader.increment(1);
        Leading(self)
    }
}

struct Leading<'a>(&'a Meters);

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        self.0.leading.decrement(1.0);
        self.0.to_follower.increment(1);
    }
}

/// However the task ends, this process no longer leads: nothing renews the lease.
impl Drop for Campaign {
    fn drop(&mut self) {
        self.announce.send_replace(Standing::Follower);
        if std::thread::panicking() {
            tracing::error!(lease = %self.candidate.name, "the campaign panicked; this process no longer leads");
        }
    }
}

impl Campaign {
    async fn run(self, mut resigned: oneshot::Receiver<()>) {
        loop {
            let Some((lease, until)) = self.win(&mut resigned).await else { return };
            tracing::info!(lease = %lease.name, fence = %lease.fence, "leading");
            let leading = self.meters.lead();
            tokio::select! {
                _ = &mut resigned => {
                    drop(leading);
                    return self.give_back(&lease).await;
                }
                () = self.lead(&lease, until) => {}
            }
            drop(leading);
            self.announce.send_replace(Standing::Follower);
            tracing::warn!(lease = %lease.name, fence = %lease.fence, "no longer leading");
        }
    }

    /// Tries until the lease is acquired. Returns it with the time until which it certainly lasts; `None` if this process has
    /// resigned before.
    async fn win(&self, resigned: &mut oneshot::Receiver<()>) -> Option<(Lease, Instant)> {
        let new_request = || {
            let Candidate { name, holder, lasting, .. } = &self.candidate;
            (AcquireRequest::new(name.clone(), holder.clone(), *lasting), Instant::now())
        };
        let (mut request, mut sent) = new_request();
        loop {
            // If the reply is lost, the same request is sent again while the lease that it may have acquired can last.
            if Instant::now() >= self.until(sent) {
                (request, sent) = new_request();
            }
            let taken = match self.ask(&request, self.until(sent), resigned).await? {
                Ok(acquired) => match acquired.lease() {
                    Some(lease) if Instant::now() < self.until(sent) => return Some((lease, self.until(sent))),
                    Some(_) => continue,
                    None => true,
                },
                Err(error) => {
                    tracing::debug!(lease = %request.name, %error, "a lease could not be asked for; trying again");
                    false
                }
            };
            tokio::select! {
                () = self.pause() => {}
                _ = &mut *resigned => return None,
            }
            if taken {
                (request, sent) = new_request();
            }
        }
    }

    /// Requests the lease. `None` if this process resigns meanwhile; a lease that was acquired by then is given back.
    async fn ask(
        &self,
        request: &AcquireRequest,
        until: Instant,
        resigned: &mut oneshot::Receiver<()>,
    ) -> Option<Result<Acquired>> {
        let mut asking = pin!(self.candidate.leases.acquire(request, self.candidate.durability));
        tokio::select! {
            answer = &mut asking => return Some(answer.map(|receipt| receipt.value)),
            _ = resigned => {}
        }
        if let Ok(Ok(receipt)) = timeout_at(until, asking).await
            && let Some(lease) = receipt.value.lease()
        {
            self.give_back(&lease).await;
        }
        None
    }

    /// Renews until the lease is lost or may be lost.
    async fn lead(&self, lease: &Lease, mut until: Instant) {
        loop {
            self.announce.send_replace(Standing::Leader { fence: lease.fence, until });
            let every = self.candidate.lasting / 3;
            sleep_until((Instant::now() + every).min(until)).await;
            loop {
                let sent = Instant::now();
                let renewal = self.candidate.leases.renew(lease, self.candidate.lasting);
                match timeout_at(until, renewal).await {
                    Ok(Ok(Some(_))) => {
                        until = self.until(sent);
                        break;
                    }
                    Ok(Err(error)) => {
                        tracing::debug!(lease = %lease.name, %error, "a lease could not be renewed; trying again");
                        if timeout_at(until, sleep(every.mul_f64(0.1 + fastrand::f64() / 10.0))).await.is_err() {
                            return;
                        }
                    }
                    Ok(Ok(None)) | Err(_) => return,
                }
            }
        }
    }

    async fn give_back(&self, lease: &Lease) {
        self.announce.send_replace(Standing::Follower);
        let until = Instant::now() + self.candidate.lasting;
        if !matches!(timeout_at(until, self.candidate.leases.release(lease)).await, Ok(Ok(_))) {
            tracing::debug!(lease = %lease.name, "a lease could not be given back; it runs out");
        }
    }

    /// Until when a lease that was requested at `sent` certainly lasts, less a tenth of its time.
    fn until(&self, sent: Instant) -> Instant {
        sent + self.candidate.lasting - self.candidate.lasting / 10
    }

    /// Waits a random time, from a sixth to a third of the lease's time, so that candidates do not send at the same time.
    async fn pause(&self) {
        sleep((self.candidate.lasting / 3).mul_f64(0.5 + fastrand::f64() / 2.0)).await;
    }
}
