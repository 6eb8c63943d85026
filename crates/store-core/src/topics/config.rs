//! The configuration of a topic.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Serialize;

use crate::{Error, Op, Result, millis_ceil};

/// The number of partitions of a topic, and the bounds of each partition. An append and an
/// acknowledgement remove the oldest events if a bound is exceeded by a sixteenth, until all bounds are met, but at most
/// [`TopicConfig::MAX_REMOVED`] events; an append removes none of its own.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use std::time::Duration;
/// use twinstore::topic::{TopicConfig, TopicName, Topics};
///
/// let config = TopicConfig::default().with_partitions(4).with_max_age(Duration::from_secs(24 * 3600));
/// let topics = stores.state().topics();
/// assert_eq!(topics.declare(&TopicName::new("orders")?, &config).await?, config);
/// let other = TopicConfig::default().with_partitions(8);
/// assert!(topics.declare(&TopicName::new("orders")?, &other).await.is_err()); // it has 4
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TopicConfig {
    /// The number of partitions: the largest number of consumers of a group that read at the same time. 1 to
    /// [`TopicConfig::MAX_PARTITIONS`]; default 1.
    pub partitions: u16,
    /// The age from which an event may be removed. Within [`TopicConfig::AGES`]; default 7 days. A partition expires as a whole, after
    /// the age of its last append, so a larger age protects its events from the next append on. A process appends with the age that it
    /// has declared or read at its first use of the topic: to retain events for longer, restart all producers with the larger age.
    #[serde(rename = "max_age_ms", serialize_with = "millis")]
    pub max_age: Duration,
    /// The most events of a partition. 1 to 10^12; default 1,000,000.
    pub max_events: u64,
    /// The most bytes of keys and payloads of a partition. 1 to 2^40; default 1 GiB.
    pub max_bytes: u64,
}

fn millis<S: serde::Serializer>(duration: &Duration, to: S) -> std::result::Result<S::Ok, S::Error> {
    to.serialize_u64(millis_ceil(*duration))
}

impl Default for TopicConfig {
    fn default() -> Self {
        Self { partitions: 1, max_age: Duration::from_secs(7 * 24 * 3600), max_events: 1_000_000, max_bytes: 1 << 30 }
    }
}

impl TopicConfig {
    /// The most partitions of a topic.
    pub const MAX_PARTITIONS: u16 = 256;
    /// The most groups of a topic.
    pub const MAX_GROUPS: usize = 100;
    /// The most events that one append or acknowledgement removes from a partition.
    pub const MAX_REMOVED: u64 = 2_000;
    /// The range of [`TopicConfig::max_age`]: 1 s to 366 days.
    pub const AGES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(366 * 24 * 3600);

    /// Sets the number of partitions.
    #[must_use]
    pub fn with_partitions(mut self, partitions: u16) -> Self {
        self.partitions = partitions;
        self
    }

    /// Sets the age from which an event may be removed.
    #[must_use]
    pub fn with_max_age(mut self, age: Duration) -> Self {
        self.max_age = age;
        self
    }

    /// Sets the most events of a partition.
    #[must_use]
    pub fn with_max_events(mut self, events: u64) -> Self {
        self.max_events = events;
        self
    }

    /// Sets the most bytes of a partition.
    #[must_use]
    pub fn with_max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Refuses values outside their ranges.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`]
    #[doc(hidden)]
    pub fn validate(&self) -> Result<()> {
        let refused = |detail: String| Err(Error::invalid_argument(Op::TopicDeclare, detail));
        if !(1..=Self::MAX_PARTITIONS).contains(&self.partitions) {
            return refused(format!("a topic has 1 to {} partitions, not {}", Self::MAX_PARTITIONS, self.partitions));
        }
        if !Self::AGES.contains(&self.max_age) {
            return refused("the age of a topic's events is 1 s to 366 days".to_owned());
        }
        if !(1..=1_000_000_000_000).contains(&self.max_events) || !(1..=1 << 40).contains(&self.max_bytes) {
            return refused("a partition keeps 1 to 10^12 events, and 1 to 2^40 bytes".to_owned());
        }
        Ok(())
    }

    /// How long a partition lasts after an append, in ms, if none follows: the age of its events and an eighth of it, at least a
    /// day more than the age. An append renews this when a sixteenth has passed.
    #[doc(hidden)]
    pub fn lasting_millis(&self) -> u64 {
        let age = millis_ceil(self.max_age);
        age + (age / 8).max(24 * 3600 * 1000)
    }
}
