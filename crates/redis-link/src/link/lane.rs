//! One of the connections that calls share, and the task that keeps it up.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;
use tokio::task::AbortHandle;

use crate::wire::{Driver, Events, Failure, Lasting, Request, Wire};
use crate::{Endpoint, LinkConfig, Reply, metered};

/// After a failure the library still believes for a moment that it is connected; calls sent then would wait.
const SHUNNED: Duration = Duration::from_millis(50);
/// How often a connection to a server that has become a replica is made anew.
const REROUTED: Duration = Duration::from_secs(5);

pub(super) struct Lane {
    wire: Wire,
    opened: Instant,
    /// Milliseconds after `opened` until which the connection is passed over.
    shunned_until: AtomicU64,
    /// Milliseconds after `opened` before which it is not made anew on purpose.
    reroute_from: AtomicU64,
    is_driven: AtomicBool,
    keeper: Mutex<Option<AbortHandle>>,
}

impl Lane {
    /// Opens the connection and keeps it up until the lane is dropped.
    pub(super) async fn open(config: &LinkConfig, endpoint: &Endpoint) -> Result<Arc<Self>, Failure> {
        let (wire, driver, events) = Wire::open(config, endpoint, Lasting::Reconnects).await?;
        let lane = Arc::new(Self {
            wire,
            opened: Instant::now(),
            shunned_until: AtomicU64::new(0),
            reroute_from: AtomicU64::new(0),
            is_driven: AtomicBool::new(true),
            keeper: Mutex::new(None),
        });
        let keeper = tokio::spawn(keep(Arc::downgrade(&lane), config.clone(), driver, events));
        *lane.keeper.lock().unwrap_or_else(PoisonError::into_inner) = Some(keeper.abort_handle());
        Ok(lane)
    }

    pub(super) fn is_usable(&self) -> bool {
        self.is_driven.load(Ordering::Acquire)
            && self.shunned_until.load(Ordering::Acquire) <= self.now()
            && self.wire.is_connected()
    }

    pub(super) async fn send(
        &self,
        request: Request,
        within: Duration,
        permit: OwnedSemaphorePermit,
    ) -> Result<Reply, Failure> {
        let result = self.wire.send(request, within, permit).await;
        if let Err(failure) = &result {
            if failure.is_of_connection() {
                self.shun();
            }
            if failure.is_read_only() {
                self.reroute();
            }
        }
        result
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
            let wire = self.wire.clone();
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

/// Names the connection each time it is made, passes it over when it fails, and drives it again should the library give it
/// up. It ends with the lane, which aborts it; dropping the driver closes the connection.
async fn keep(lane: std::sync::Weak<Lane>, config: LinkConfig, mut driver: Driver, mut events: Events) {
    if let Some(wire) = lane.upgrade().map(|lane| lane.wire.clone()) {
        wire.set_name(&config).await;
    }
    // The first connection is an event as well.
    let _ = events.connected.try_recv();
    loop {
        tokio::select! {
            () = driver.finished() => {
                let Some(lane) = lane.upgrade() else { return };
                tracing::debug!("the connection was given up; making it again");
                lane.is_driven.store(false, Ordering::Release);
                tokio::time::sleep(Duration::from_millis(fastrand::u64(250..750))).await;
                driver = lane.wire.drive_again();
            }
            connected = events.connected.recv() => {
                let Some(lane) = lane.upgrade() else { return };
                if connected.is_ok() {
                    metered::reconnected();
                    let wire = lane.wire.clone();
                    lane.is_driven.store(true, Ordering::Release);
                    drop(lane);
                    wire.set_name(&config).await;
                }
            }
            _ = events.failed.recv() => {
                let Some(lane) = lane.upgrade() else { return };
                lane.shun();
            }
        }
    }
}
