//! Which calls reach the server. While the breaker of a link is open, only pings do.

use store_core::{Error, Op};

use super::Inner;
use crate::BreakerPermit;
use crate::metered::Meters;

/// Permission for one attempt, whose outcome is reported to the breaker.
pub(super) struct Admission<'a>(Option<BreakerPermit<'a>>);

impl Inner {
    /// Permission for an attempt; `None` while the breaker is open. Pings always get it.
    pub(super) fn admit(&self, op: Op) -> Option<Admission<'_>> {
        match &self.breaker {
            Some(breaker) if op != Op::Ping => breaker.permit().map(|permit| Admission(Some(permit))),
            _ => Some(Admission(None)),
        }
    }

    /// Whether another attempt is useless: a link with a breaker does not wait for a connection.
    pub(super) fn gives_up(&self) -> bool {
        self.breaker.is_some() && !self.routes.is_usable()
    }
}

impl Admission<'_> {
    /// The server has answered, possibly with an error.
    pub(super) fn answered(self) {
        if let Some(permit) = self.0 {
            permit.settle(true);
        }
    }

    /// The attempt has failed. Without a connection the next one fails at once, too, so the breaker need not open.
    pub(super) fn failed(self, error: &Error, is_of_server: bool, meters: &Meters) {
        let Some(permit) = self.0.filter(|_| is_of_server) else { return };
        if permit.settle(!matches!(error, Error::Unavailable { .. } | Error::Indeterminate { .. })) {
            tracing::warn!(%error, "the server does not answer; calls fail at once for a while");
            meters.breaker_opened();
        }
    }
}
