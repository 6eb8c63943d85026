//! The keys of topics.

use store_core::{Namespace, TopicName};

use super::partition_tag;

/// `ns:{e.topic}:topic`: string: layout, number of partitions, bounds of each: age (ms), events, bytes. No TTL: it exists as long as
/// the topic.
pub fn topic(namespace: &Namespace, topic: &TopicName) -> String {
    format!("{namespace}:{{e.{topic}}}:topic")
}

/// `ns:{e.*}:topic`: the pattern of all keys of [`topic`].
pub fn topics(namespace: &Namespace) -> String {
    format!("{namespace}:{{e.*}}:topic")
}

/// The topic that has this key as its [`topic`].
pub fn topic_of(namespace: &Namespace, key: &str) -> Option<TopicName> {
    let name = key.strip_prefix(namespace.as_str())?.strip_prefix(":{e.")?.strip_suffix("}:topic")?;
    TopicName::new(name).ok()
}

/// `ns:{e.topic}:call:id`: string: the reply to a declaration that has changed the configuration. TTL: as long as the call may be
/// repeated.
pub fn topic_call(namespace: &Namespace, topic: &TopicName, id: u64) -> String {
    format!("{namespace}:{{e.{topic}}}:call:{id:016x}")
}

/// The keys of one partition of a topic. TTL of both: the age of the events and an eighth of it, at least a day more than the age.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicKeys {
    /// Stream: number of an event -> when it was appended (ms), bytes before it; key and payload.
    pub events: String,
    /// Hash: `head` -> the numbers of the last and of the oldest event, their bytes and times; `g` and a group -> its cursor, fence
    /// and holder.
    pub groups: String,
    tag: String,
}

impl TopicKeys {
    /// The keys of partition `partition` of a topic that has `of` partitions. They spread over the slots of a cluster as those of
    /// a queue do.
    pub fn new(namespace: &Namespace, topic: &TopicName, partition: u16, of: u16) -> Self {
        let tag = format!("{namespace}:{{{}}}", partition_tag(&format!("e.{topic}"), partition, of));
        let key = |part: &str| format!("{tag}:{part}");
        Self { events: key("events"), groups: key("groups"), tag }
    }

    /// `…:call:id`: string: the number of the first event of an append, or the reply to another call. TTL: as long as the call may be
    /// repeated.
    pub fn call(&self, id: u64) -> String {
        format!("{}:call:{id:016x}", self.tag)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use store_core::{Namespace, TopicName};

    use super::{super::slot_of, TopicKeys, topic, topic_call, topic_of};

    #[test]
    fn the_partitions_of_a_topic_spread_over_the_slots() {
        let (namespace, name) = (Namespace::new("tw").unwrap(), TopicName::new("orders.1").unwrap());
        let one = TopicKeys::new(&namespace, &name, 0, 1);
        assert_eq!(
            (one.events.as_str(), one.groups.as_str()),
            ("tw:{e.orders.1.0}:events", "tw:{e.orders.1.0}:groups")
        );
        assert_eq!(one.call(10), "tw:{e.orders.1.0}:call:000000000000000a");
        assert_eq!(topic(&namespace, &name), "tw:{e.orders.1}:topic");
        for partition in 0..8 {
            let keys = TopicKeys::new(&namespace, &name, partition, 8);
            assert_eq!(slot_of(keys.events.as_bytes()) / 2_048, partition);
            assert_eq!(slot_of(keys.events.as_bytes()), slot_of(keys.groups.as_bytes()));
        }
    }

    #[test]
    fn a_topic_is_read_from_its_key_and_from_no_other() {
        let (namespace, name) = (Namespace::new("tw").unwrap(), TopicName::new("orders.1").unwrap());
        assert_eq!(topic_of(&namespace, &topic(&namespace, &name)), Some(name.clone()));
        let of_partition = TopicKeys::new(&namespace, &name, 0, 1);
        let others =
            [topic_call(&namespace, &name, 1), of_partition.events, "tw:{e.}:topic".into(), "x:{e.a}:topic".into()];
        for key in others {
            assert_eq!(topic_of(&namespace, &key), None, "{key}");
        }
    }

    #[test]
    fn no_two_topics_share_a_key() {
        let namespace = Namespace::new("tw").unwrap();
        let mut keys = BTreeSet::new();
        let mut count = 0;
        for name in ["a", "a.0", "a.0.0", "a.1", "a:0"] {
            let name = TopicName::new(name).unwrap();
            for partition in 0..2 {
                let of_partition = TopicKeys::new(&namespace, &name, partition, 2);
                keys.extend([of_partition.call(1), of_partition.events, of_partition.groups]);
                count += 3;
            }
            keys.extend([topic(&namespace, &name), topic_call(&namespace, &name, 1)]);
            assert_eq!(
                slot_of(topic(&namespace, &name).as_bytes()),
                slot_of(topic_call(&namespace, &name, 1).as_bytes())
            );
            count += 2;
        }
        assert_eq!(keys.len(), count);
    }
}
