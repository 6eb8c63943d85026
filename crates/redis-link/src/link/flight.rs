//! The calls that wait for their replies on one connection. They share one timer per connection instead of one per
//! call.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::call::{Call, now_or_never};
use super::waiting::Permit;
use crate::wire::{Answering, Failure, Request, Wire};
use crate::{Capabilities, LinkConfig, Reply};

/// How often the connection to a server that has become a replica is replaced.
const REROUTED: Duration = Duration::from_secs(5);

pub(super) struct Flight {
    state: Mutex<State>,
    /// The number of the connection; 0 while there is none.
    up: AtomicU64,
    /// Notified when a first call waits.
    begun: Notify,
    /// Notified when a call has shown that the connection failed.
    failed: Notify,
    given_up: Notify,
    created: Instant,
    /// How long a call waits for its reply.
    timeout: Duration,
    /// How long the connection may leave calls unanswered before it counts as dead.
    patience: Duration,
    /// Milliseconds after `created` since when a call waits and no call has been answered; 0 while none waits.
    unanswered_since: AtomicU64,
    /// Milliseconds after `created` before which the connection is not replaced on purpose.
    reroute_from: AtomicU64,
}

#[derive(Default)]
struct State {
    wire: Option<Wire>,
    /// The capabilities of the last connection's server.
    capabilities: Option<Arc<Capabilities>>,
    /// How many calls there have been.
    connections: u64,
    /// In the order in which they were made, so the first times out first.
    waiting: VecDeque<Arc<Call>>,
    /// The last call that timed out. Its late reply still shows that the connection works.
    late: Option<(Arc<Call>, Answering)>,
    /// Whether a task sleeps until the first call times out.
    is_watched: bool,
}

impl Flight {
    pub(super) fn new(config: &LinkConfig) -> Self {
        Self {
            state: Mutex::default(),
            up: AtomicU64::new(0),
            begun: Notify::new(),
            failed: Notify::new(),
            given_up: Notify::new(),
            created: Instant::now(),
            timeout: config.command_timeout,
            patience: config.longest_silence(),
            unanswered_since: AtomicU64::new(0),
            reroute_from: AtomicU64::new(0),
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire) != 0
    }

    /// The connection, for requests that are sent apart from the calls.
    pub(super) fn wire(&self) -> Result<Wire, Failure> {
        self.lock().wire.clone().filter(|_| self.is_up()).ok_or(Failure::DOWN)
    }

    /// Sends calls on this connection from now on. Returns the capabilities of the previous connection's server.
    pub(super) fn begin(&self, wire: Wire) -> Option<Arc<Capabilities>> {
        if let Some(run) = wire.run() {
            run.add_wire(wire.clone().of_run(None));
        }
        let mut state = self.lock();
        let before = state.capabilities.replace(Arc::clone(wire.capabilities()));
        state.wire = Some(wire);
        state.connections += 1;
        self.unanswered_since.store(0, Ordering::Release);
        self.up.store(state.connections, Ordering::Release);
        before
    }

    /// The capabilities of the last connection's server.
    pub(super) fn capabilities(&self) -> Option<Arc<Capabilities>> {
        self.lock().capabilities.clone()
    }

    /// Records that there is no connection any more: no waiting call will be answered.
    pub(super) fn end(&self) {
        let (wire, waiting) = {
            let mut state = self.lock();
            self.up.store(0, Ordering::Release);
            state.late = None;
            (state.wire.take(), std::mem::take(&mut state.waiting))
        };
        if let Some(wire) = wire
            && let Some(run) = wire.run()
        {
            run.remove_wire(&wire);
        }
        for call in waiting {
            drop(call.fail(Failure::LOST));
        }
    }

    /// Sends one command and waits for its reply, up to the command time-out. Its outcome is recorded for the
    /// connection even if the caller is gone.
    pub(super) async fn send(&self, request: Request<'_>, permit: Permit) -> Result<Reply, Failure> {
        let waited = Waited(self.enter(request, permit)?);
        let result = std::future::poll_fn(|context| waited.0.poll(context)).await;
        self.note(&waited.0, &result);
        result
    }

    fn enter(&self, request: Request<'_>, permit: Permit) -> Result<Arc<Call>, Failure> {
        let mut state = self.lock();
        let connection = self.up.load(Ordering::Acquire);
        let answering = match &state.wire {
            Some(wire) if connection != 0 => wire.begin(request)?,
            _ => return Err(Failure::DOWN),
        };
        let now = Instant::now();
        let since = self.millis_at(now).max(1);
        let _ = self.unanswered_since.compare_exchange(0, since, Ordering::AcqRel, Ordering::Relaxed);
        while state.waiting.front().is_some_and(|call| self.is_over(call)) {
            state.waiting.pop_front();
        }
        let call = Arc::new(Call::new(answering, permit, now, connection));
        state.waiting.push_back(Arc::clone(&call));
        if !std::mem::replace(&mut state.is_watched, true) {
            self.begun.notify_one();
        }
        Ok(call)
    }

    /// Ends calls that time out. Returns when the connection is dead.
    pub(super) async fn watch(&self) {
        loop {
            let now = Instant::now();
            let expiry = self.expire(now);
            let death = self.death();
            if death.is_some_and(|death| death <= now) {
                return;
            }
            let next = expiry.into_iter().chain(death).min();
            let over = async {
                match next {
                    Some(next) => tokio::time::sleep_until(next.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = over => {}
                // Calls that begin while another waits time out after it.
                () = self.begun.notified(), if expiry.is_none() => {}
            }
        }
    }

    /// Waits until a call has shown that the connection failed.
    pub(super) async fn failed(&self) {
        self.failed.notified().await;
        // The notification may be of the connection before.
        while self.is_up() {
            self.failed.notified().await;
        }
    }

    /// Waits until the connection leads to a server that has become a replica.
    pub(super) async fn given_up(&self) {
        self.given_up.notified().await;
    }

    /// Ends the calls that have timed out. Returns when the next one times out.
    fn expire(&self, now: Instant) -> Option<Instant> {
        let mut state = self.lock();
        while let Some(call) = state.waiting.front() {
            let end = call.since + self.timeout;
            if !self.is_over(call) && end > now {
                return Some(end);
            }
            if let Some(call) = state.waiting.pop_front()
                && let Some(answering) = call.fail(Failure::SILENCE)
            {
                state.late = Some((call, answering));
            }
        }
        if let Some((call, answering)) = &mut state.late
            && let Some(result) = now_or_never(answering)
        {
            self.note(call, &result);
            state.late = None;
        }
        state.is_watched = false;
        None
    }

    fn is_over(&self, call: &Call) -> bool {
        if call.is_over() {
            return true;
        }
        let result = call.poll_abandoned();
        if let Some(result) = &result {
            self.note(call, result);
        }
        result.is_some()
    }

    /// When the connection counts as dead unless it answers before.
    fn death(&self) -> Option<Instant> {
        let since = self.unanswered_since.load(Ordering::Acquire);
        (since != 0).then(|| self.created + Duration::from_millis(since) + self.patience)
    }

    fn note(&self, call: &Call, result: &Result<Reply, Failure>) {
        match result {
            Err(failure) if failure.is_silence() => return,
            // The connection will not recover: new calls are better sent on another.
            Err(failure) if failure.is_of_connection() => {
                let down = self.up.compare_exchange(call.connection, 0, Ordering::AcqRel, Ordering::Relaxed);
                if down.is_ok() {
                    self.failed.notify_one();
                }
            }
            Err(failure) if failure.is_read_only() => self.reroute(),
            _ => {}
        }
        self.unanswered_since.store(0, Ordering::Release);
    }

    /// The server has become a replica: the host's name may resolve to another server now.
    fn reroute(&self) {
        let now = self.millis_at(Instant::now());
        let from = self.reroute_from.load(Ordering::Acquire);
        let next = now + millis(REROUTED);
        let is_mine = self.reroute_from.compare_exchange(from, next, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if now >= from && is_mine {
            self.given_up.notify_one();
        }
    }

    fn millis_at(&self, now: Instant) -> u64 {
        millis(now.saturating_duration_since(self.created))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call whose caller waits.
struct Waited(Arc<Call>);

impl Drop for Waited {
    fn drop(&mut self) {
        if !self.0.is_over() {
            self.0.abandon();
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::super::waiting::Waiting;
    use super::*;
    use crate::ServerUrl;

    /// A call on the connection with this number.
    fn call(connection: u64) -> Call {
        let answering: Answering = Box::pin(std::future::pending());
        Call::new(answering, Waiting::new(1).enter().unwrap(), Instant::now(), connection)
    }

    fn has_failed(flight: &Flight) -> bool {
        let failed = std::pin::pin!(flight.failed());
        failed.poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn a_connection_whose_call_was_lost_is_replaced_once() {
        let url = ServerUrl::parse("redis://127.0.0.1:1").unwrap();
        let flight = Flight::new(&LinkConfig::new(url, "tests:flight"));
        flight.up.store(1, Ordering::Release);
        for shows_nothing in [Err(Failure::SILENCE), Err(Failure::UNSENT), Ok(Reply::Nil)] {
            flight.note(&call(1), &shows_nothing);
            assert!(flight.is_up() && !has_failed(&flight));
        }
        flight.note(&call(1), &Err(Failure::LOST));
        assert!(!flight.is_up() && has_failed(&flight));
        // The others of this connection, while it is replaced and afterwards.
        flight.note(&call(1), &Err(Failure::LOST));
        flight.up.store(2, Ordering::Release);
        flight.note(&call(1), &Err(Failure::LOST));
        assert!(flight.is_up() && !has_failed(&flight));
        // The end of the connection was noticed before the notification.
        flight.note(&call(2), &Err(Failure::LOST));
        flight.up.store(3, Ordering::Release);
        assert!(!has_failed(&flight));
    }
}
