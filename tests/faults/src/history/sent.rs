//! What a commit sends elsewhere.

use serde::{Deserialize, Serialize};

use super::PushedJob;

/// A delivery of a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// The outbox.
    pub outbox: String,
    /// Its entry, which is a job of the outbox.
    pub entry: PushedJob,
    /// Where it arrives.
    pub to: Destination,
}

/// Where a delivery arrives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Destination {
    /// In a queue.
    Job {
        /// The queue.
        queue: String,
        /// The job.
        job: PushedJob,
    },
    /// In a topic. No two deliveries are of the same event, and none is of one that is appended directly.
    Event {
        /// The topic.
        topic: String,
        /// The event.
        event: String,
    },
}
