//! One of the connections that calls share, and the task that keeps it up.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::task::AbortHandle;

use crate::wire::{Driver, Events, Failure, Lasting, Request, Wire};
use crate::{Endpoint, LinkConfig, Reply, metered};

/// After a failure the library still believes for a moment that it is connected; calls sent then would wait.
const SHUNNED: Duration = Duration::from_millis(50);
/// How often a connection to a server that has become a replica is made anew.
const REROUTED: Duration = Duration::from_secs(5);

pub(super) struct Lane {
    wire: RwLock<Wire>,
    opened: Instant,
    /// Milliseconds after `opened` until which the connection is passed over.
    shunned_until: AtomicU64,
    /// Milliseconds after `opened` before which it is not made anew on purpose.
    reroute_from: AtomicU64,
    /// Milliseconds after `opened` since when a call waits and no call has been answered; 0 while none waits.
    unanswered_since: AtomicU64,
    /// Milliseconds without an answer after which the connection is dead.
    patience: u64,
    is_dead: Arc<Notify>,
    is_driven: AtomicBool,
    keeper: Mutex<Option<AbortHandle>>,
}

impl Lane {
    /// Opens the connection and keeps it up until the lane is dropped.
    pub(super) async fn open(config: &LinkConfig, endpoint: &Endpoint) -> Result<Arc<Self>, Failure> {
        let (wire, driver, events) = Wire::open(config, endpoint, Lasting::Reconnects).await?;
        let lane = Arc::new(Self {
            wire: RwLock::new(wire),
            opened: Instant::now(),
            shunned_until: AtomicU64::new(0),
            reroute_from: AtomicU64::new(0),
            unanswered_since: AtomicU64::new(0),
            patience: millis(config.longest_silence()),
            is_dead: Arc::new(Notify::new()),
            is_driven: AtomicBool::new(true),
            keeper: Mutex::new(None),
        });
        let keeper = Keeper {
            lane: Arc::downgrade(&lane),
            is_dead: Arc::clone(&lane.is_dead),
            config: config.clone(),
            endpoint: endpoint.clone(),
        };
        let keeper = tokio::spawn(keeper.keep(driver, events));
        *lane.keeper.lock().unwrap_or_else(PoisonError::into_inner) = Some(keeper.abort_handle());
        Ok(lane)
    }

    pub(super) fn is_usable(&self) -> bool {
        self.is_driven.load(Ordering::Acquire)
            && self.shunned_until.load(Ordering::Acquire) <= self.now()
            && self.wire().is_connected()
    }

    /// Sends one command. What its end says about the connection is noted also when the caller has gone before.
    pub(super) async fn send(
        self: &Arc<Self>,
        request: Request,
        within: Duration,
        permit: OwnedSemaphorePermit,
    ) -> Result<Reply, Failure> {
        let now = self.now().max(1);
        let _ = self.unanswered_since.compare_exchange(0, now, Ordering::AcqRel, Ordering::Acquire);
        let lane = Arc::clone(self);
        let ended = move |result: &Result<Reply, Failure>| {
            drop(permit);
            lane.note(result);
        };
        self.wire().send(request, within, ended).await
    }

    fn note(&self, result: &Result<Reply, Failure>) {
        match result {
            Err(failure) if failure.is_silence() => {
                let since = self.unanswered_since.load(Ordering::Acquire);
                if since != 0 && self.now().saturating_sub(since) > self.patience {
                    self.is_dead.notify_one();
                }
                return;
            }
            Err(failure) if failure.is_of_connection() => self.shun(),
            Err(failure) if failure.is_read_only() => self.reroute(),
            _ => {}
        }
        self.unanswered_since.store(0, Ordering::Release);
    }

    fn wire(&self) -> Wire {
        self.wire.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Closes the connection for good.
    pub(super) fn close(&self) {
        self.is_driven.store(false, Ordering::Release);
        if let Some(keeper) = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take() {
            keeper.abort();
        }
    }

    fn shun(&self) {
        self.shunned_until.store(self.now() + millis(SHUNNED), Ordering::Release);
    }

    /// The server has become a replica: the host's name may lead to another one now.
    fn reroute(&self) {
        let (now, from) = (self.now(), self.reroute_from.load(Ordering::Acquire));
        let next = now + millis(REROUTED);
        let is_mine = self.reroute_from.compare_exchange(from, next, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if now >= from && is_mine {
            let wire = self.wire();
            tokio::spawn(async move { wire.reconnect().await });
        }
    }

    fn now(&self) -> u64 {
        millis(self.opened.elapsed())
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.close();
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The task that keeps a lane's connection up. It ends with the lane, which aborts it.
struct Keeper {
    lane: Weak<Lane>,
    is_dead: Arc<Notify>,
    config: LinkConfig,
    endpoint: Endpoint,
}

impl Keeper {
    /// Names the connection each time it is made, passes it over when it fails, and opens another in its place when it is
    /// dead or given up. Dropping the driver closes a connection.
    async fn keep(self, mut driver: Driver, mut events: Events) {
        let Some(wire) = self.lane.upgrade().map(|lane| lane.wire()) else { return };
        wire.set_name(&self.config).await;
        // The first connection is an event as well.
        let _ = events.connected.try_recv();
        loop {
            let is_lost = tokio::select! {
                () = driver.finished() => true,
                // The library takes each write for a sign of life, and none while it waits to write.
                () = self.is_dead.notified() => true,
                connected = events.connected.recv() => {
                    if connected.is_ok() {
                        let Some(wire) = self.lane.upgrade().map(|lane| lane.wire()) else { return };
                        metered::reconnected();
                        wire.set_name(&self.config).await;
                    }
                    false
                }
                _ = events.failed.recv() => {
                    let Some(lane) = self.lane.upgrade() else { return };
                    lane.shun();
                    false
                }
            };
            if is_lost {
                drop(driver);
                let Some(opened) = self.open_another().await else { return };
                (driver, events) = opened;
            }
        }
    }

    /// Opens a connection in the place of one that is lost, and tries until it succeeds; `None` when the lane has gone.
    async fn open_another(&self) -> Option<(Driver, Events)> {
        tracing::debug!("the connection was given up; making it again");
        self.lane.upgrade()?.is_driven.store(false, Ordering::Release);
        loop {
            tokio::time::sleep(Duration::from_millis(fastrand::u64(250..750))).await;
            let opened = Wire::open(&self.config, &self.endpoint, Lasting::Reconnects).await;
            let lane = self.lane.upgrade()?;
            if let Ok((wire, driver, mut events)) = opened {
                let _ = events.connected.try_recv();
                *lane.wire.write().unwrap_or_else(PoisonError::into_inner) = wire.clone();
                lane.unanswered_since.store(0, Ordering::Release);
                lane.is_driven.store(true, Ordering::Release);
                drop(lane);
                metered::reconnected();
                wire.set_name(&self.config).await;
                return Some((driver, events));
            }
        }
    }
}
