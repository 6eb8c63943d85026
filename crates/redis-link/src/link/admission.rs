//! Which calls reach the server: those of a link with a breaker not while the server is left alone.

use store_core::{BreakerPermit, Error, Op};

use super::Inner;
use crate::metered;

/// Leave for one attempt, whose outcome the breaker learns.
pub(super) struct Admission<'a>(Option<BreakerPermit<'a>>);

impl Inner {
    /// Leave for an attempt; `None` while the server is left alone. Whoever asks whether the server answers is let through.
    pub(super) fn admit(&self, op: Op) -> Option<Admission<'_>> {
        match &self.breaker {
            Some(breaker) if op != Op::Ping => breaker.permit().map(|permit| Admission(Some(permit))),
            _ => Some(Admission(None)),
        }
    }

    /// Whether another attempt is of no use: a link with a breaker does not wait for a connection.
    pub(super) fn gives_up(&self) -> bool {
        self.breaker.is_some() && !self.lanes.iter().any(|lane| lane.is_usable())
    }
}

impl Admission<'_> {
    /// The server has answered, be it with an error.
    pub(super) fn answered(self) {
        if let Some(permit) = self.0 {
            permit.settle(true);
        }
    }

    /// The attempt has failed. Without a connection the next one fails at once, too: nothing is to be saved.
    pub(super) fn failed(self, error: &Error, is_of_server: bool) {
        let Some(permit) = self.0.filter(|_| is_of_server) else { return };
        if permit.settle(!matches!(error, Error::Unavailable { .. } | Error::Indeterminate { .. })) {
            tracing::warn!(%error, "the server does not answer and is left alone for a while");
            metered::breaker_opened();
        }
    }
}
