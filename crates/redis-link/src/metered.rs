//! The metrics of a link.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

use store_core::metric::{
    Counter, Histogram, LINK_BREAKER_OPENED, LINK_CALL_SECONDS, LINK_CALLS, LINK_NODE_RECONNECTS, LINK_NODE_REQUESTS,
    LINK_RECONNECTS, LINK_RETRIES,
};
use store_core::{Op, Result};

use crate::Endpoint;
use crate::wire::Failure;

/// The metrics of one link. The handles of successful calls are looked up once per operation, all others when they are used.
pub(crate) struct Meters {
    role: &'static str,
    /// By operation.
    calls: Box<[OnceLock<Calls>]>,
}

struct Calls {
    ok: Counter,
    seconds: Histogram,
}

impl Meters {
    pub(crate) fn new(role: &'static str) -> Self {
        Self { role, calls: Op::ALL.iter().map(|_| OnceLock::new()).collect() }
    }

    /// Counts one finished call and its duration, over all its attempts.
    pub(crate) fn finished<T>(&self, op: Op, started: Instant, result: &Result<T>) {
        let (role, name) = (self.role, op.name());
        let calls = self.calls[op as usize].get_or_init(|| Calls {
            ok: LINK_CALLS.counter(&[role, name, "ok"]),
            seconds: LINK_CALL_SECONDS.histogram(&[role, name]),
        });
        match result {
            Ok(_) => calls.ok.increment(1),
            Err(error) => LINK_CALLS.counter(&[role, name, error.kind().name()]).increment(1),
        }
        calls.seconds.record(started.elapsed());
    }

    /// Counts one repetition.
    pub(crate) fn retried(&self, op: Op) {
        LINK_RETRIES.counter(&[self.role, op.name()]).increment(1);
    }

    /// Counts one opening of the breaker.
    pub(crate) fn breaker_opened(&self) {
        LINK_BREAKER_OPENED.counter(&[self.role]).increment(1);
    }
}

/// Counts one reopened connection.
pub(crate) fn reconnected(role: &'static str, node: &Endpoint) {
    LINK_RECONNECTS.counter(&[role]).increment(1);
    LINK_NODE_RECONNECTS.counter(&[role, &node.to_string()]).increment(1);
}

/// The metrics of one node, or of the servers that are the primary one after another.
pub(crate) struct NodeMeters {
    role: &'static str,
    /// The counters of the server that answered last.
    answers: Mutex<Option<(Endpoint, Answers)>>,
}

struct Answers {
    ok: Counter,
    failed: Counter,
    redirected: Counter,
}

impl NodeMeters {
    pub(crate) fn new(role: &'static str) -> Self {
        Self { role, answers: Mutex::default() }
    }

    /// Counts one request to this node.
    pub(crate) fn answered<T>(&self, node: &Endpoint, result: &std::result::Result<T, Failure>) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.as_ref().is_none_or(|(last, _)| last != node) {
            let text = node.to_string();
            let counter = |outcome| LINK_NODE_REQUESTS.counter(&[self.role, &text, outcome]);
            let new = Answers { ok: counter("ok"), failed: counter("failed"), redirected: counter("redirected") };
            *answers = Some((node.clone(), new));
        }
        let Some((_, answers)) = answers.as_ref() else { return };
        let counter = match result {
            Ok(_) => &answers.ok,
            Err(failure) if failure.is_redirection() => &answers.redirected,
            Err(_) => &answers.failed,
        };
        counter.increment(1);
    }
}
