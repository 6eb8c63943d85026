//! The events that the driver handles.

use store_core::{Claim, ClaimRequest, Extended, Extension, Receipt, Result, Settled, Wakeup};
use tokio::time::Instant;

use crate::handler::HandlerResult;

/// An event that the driver handles.
pub(crate) enum Event {
    /// A handler has ended; sent once for each started handler.
    Finished { id: u64, ended: Ended },
    /// A claim was answered.
    Claimed {
        queue: usize,
        sent: Instant,
        /// How many handlers had ended when it was sent.
        ended_before: usize,
        answer: Result<Claim>,
        /// The claim, if its reply was lost.
        lost: Option<ClaimRequest>,
    },
    /// A wait has ended.
    Woken { sent: Instant, answer: Result<Option<Wakeup>> },
    /// Settlements were answered.
    Settled {
        /// The queue and the partition.
        of: (usize, u16),
        sent: Instant,
        answer: Result<Receipt<Vec<Settled>>>,
    },
    /// A renewal of leases was answered.
    Extended {
        /// The queue and the partition.
        of: (usize, u16),
        sent: Instant,
        ids: Vec<u64>,
        extensions: Vec<Extension>,
        answer: Result<Vec<Extended>>,
    },
    /// A call of a [`WorkerHandle`](crate::WorkerHandle).
    Command(Command),
}

/// How a handler ended.
pub(crate) enum Ended {
    /// It returned this result.
    Returned(HandlerResult),
    /// It panicked, with this message.
    Panicked(String),
    /// It was dropped before it returned.
    Dropped,
}

/// A request of a handle.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Command {
    Shutdown,
    ShutdownNow,
    Pause,
    Resume,
}
