//! The topics that this process has used: their configuration and their keys.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis_link::keys::{self, TopicKeys};
use redis_link::{Arg, args};
use sha2::{Digest, Sha256};
use store_core::{Durability, Error, Key, Op, Result, TopicConfig, TopicName, millis_ceil};

use super::DECLARE;
use crate::StateStore;

/// A topic.
#[derive(Debug)]
pub(super) struct TopicShape {
    pub(super) config: TopicConfig,
    partitions: Vec<TopicKeys>,
}

/// Those that this process has used. The number of partitions never changes. Another process may change the bounds.
#[derive(Debug, Default)]
pub(super) struct TopicShapes(Mutex<HashMap<TopicName, Arc<TopicShape>>>);

impl TopicShapes {
    fn lock(&self) -> MutexGuard<'_, HashMap<TopicName, Arc<TopicShape>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TopicShape {
    /// The keys of a partition that the topic has.
    pub(super) fn keys(&self, partition: u16) -> &TopicKeys {
        &self.partitions[usize::from(partition)]
    }

    /// The keys of a partition.
    pub(super) fn keys_of(&self, op: Op, partition: u16) -> Result<&TopicKeys> {
        let refused = || Error::invalid_argument(op, "the topic does not have this partition");
        self.partitions.get(usize::from(partition)).ok_or_else(refused)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &TopicKeys> {
        self.partitions.iter()
    }

    /// The bounds as scripts take them: age in milliseconds, events, bytes.
    pub(super) fn bounds(&self) -> Vec<Arg> {
        args![millis_ceil(self.config.max_age), self.config.max_events, self.config.max_bytes]
    }

    /// The partition of all events with this key, the same in all processes and versions.
    pub(super) fn partition_of(&self, key: &Key) -> u16 {
        if self.partitions.len() == 1 {
            return 0;
        }
        let digest = Sha256::digest(key.as_str());
        let number = digest.iter().take(8).fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
        // Less than the number of partitions.
        (number % self.partitions.len() as u64) as u16
    }
}

/// Why nothing can be written to the topic.
pub(super) fn not_declared(topic: &TopicName) -> String {
    format!("the topic `{topic}` was not declared")
}

impl StateStore {
    /// A topic that was declared.
    pub(super) async fn topic(&self, op: Op, topic: &TopicName) -> Result<Arc<TopicShape>> {
        let declared = self.declared_topic(op, topic).await?;
        declared.ok_or_else(|| Error::invalid_argument(op, not_declared(topic)))
    }

    /// A topic. `None` if it was not declared.
    pub(super) async fn declared_topic(&self, op: Op, topic: &TopicName) -> Result<Option<Arc<TopicShape>>> {
        let known = self.calls.topics.shapes.lock().get(topic).cloned();
        match known {
            Some(shape) => Ok(Some(shape)),
            None => self.recorded_topic(op, topic, None).await,
        }
    }

    /// Reads a topic, or records it. `None` if there is none.
    pub(super) async fn recorded_topic(
        &self,
        op: Op,
        topic: &TopicName,
        config: Option<&TopicConfig>,
    ) -> Result<Option<Arc<TopicShape>>> {
        let known = self.calls.topics.shapes.lock().get(topic).cloned();
        let mut args = args![self.topic_layouts()];
        args.extend(match config {
            Some(config) => {
                let remembered = self.remembered_arg(Durability::Accepted);
                args![u32::from(config.partitions), bounds(config), remembered]
            }
            None => vec![Arg::fixed(""); 3],
        });
        let call = keys::topic_call(&self.namespace, topic, fastrand::u64(..));
        let keys = [keys::topic(&self.namespace, topic), call];
        let mut reply = self.link.call(op, &DECLARE, &keys, args).await?.reader(op);
        if reply.next_word()?.as_ref() != b"declared" {
            return Err(reply.unknown_word());
        }
        let recorded = reply.next_text()?;
        if recorded.is_empty() {
            return Ok(None);
        }
        let is_declared = config.is_some();
        if is_declared {
            reply.record(topic.as_str(), []);
        }
        let config = read(&recorded).ok_or_else(|| Error::corrupt(op, "the configuration of the topic is damaged"))?;
        let keys = |partition| TopicKeys::new(&self.namespace, topic, partition, config.partitions);
        let shape = Arc::new(TopicShape { partitions: (0..config.partitions).map(keys).collect(), config });
        let mut shapes = self.calls.topics.shapes.lock();
        // What was read does not replace what this process has declared meanwhile.
        if is_declared || shapes.get(topic).map(Arc::as_ptr) == known.as_ref().map(Arc::as_ptr) {
            shapes.insert(topic.clone(), Arc::clone(&shape));
        }
        Ok(Some(shape))
    }
}

/// The bounds as they are recorded.
fn bounds(config: &TopicConfig) -> String {
    format!("{} {} {}", millis_ceil(config.max_age), config.max_events, config.max_bytes)
}

/// A configuration as it is recorded, without its layout.
fn read(recorded: &str) -> Option<TopicConfig> {
    let mut numbers = recorded.split(' ').map(|number| number.parse::<u64>().ok());
    let mut next = || numbers.next().flatten();
    let config = TopicConfig::default()
        .with_partitions(u16::try_from(next()?).ok()?)
        .with_max_age(Duration::from_millis(next()?))
        .with_max_events(next()?)
        .with_max_bytes(next()?);
    config.validate().is_ok().then_some(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_four_numbers() {
        let config = TopicConfig::default().with_partitions(3).with_max_age(Duration::from_millis(1_500));
        assert_eq!(bounds(&config), "1500 1000000 1073741824");
        assert_eq!(read("3 1500 1000000 1073741824"), Some(config));
        for damaged in ["", "3", "0 1500 1 1", "3 1500 1", "3 a 1 1", "300 1500 1 1"] {
            assert_eq!(read(damaged), None, "{damaged}");
        }
    }
}
