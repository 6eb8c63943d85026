//! The keys of aggregates that have a home: they have the tag of a partition of a queue.

use store_core::{Namespace, RunId, Scope, StreamName, WorkflowRun};

use super::{QueueKeys, scoped};

/// The keys of one home. Those of the queue in the same partition ([`QueueKeys`]) begin with other parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HomeKeys {
    namespace: Namespace,
    /// The namespace and the tag in braces.
    prefix: String,
}

impl HomeKeys {
    /// The keys of the home in this partition of a queue.
    pub fn new(namespace: &Namespace, partition: &QueueKeys) -> Self {
        Self { namespace: namespace.clone(), prefix: partition.tag.clone() }
    }

    /// `ns:{q.queue.0}:run:run`: as [`run`](super::run()).
    pub fn run(&self, run: &RunId) -> String {
        format!("{}:run:{run}", self.prefix)
    }

    /// `ns:{q.queue.0}:call:id`: as [`RunKeys::call`](super::RunKeys::call).
    pub fn call(&self, call: u64) -> String {
        format!("{}:call:{call:016x}", self.prefix)
    }

    /// What the keys of the listings begin with, as [`RunKeys::listings`](super::RunKeys::listings): `ns:{q.queue.0}:runs`.
    pub fn runs(&self) -> String {
        format!("{}:runs", self.prefix)
    }

    /// `ns:service:{q.queue.0}:steps:kind:id:id`, shared and of Temporal without the service: as [`steps`](super::steps).
    pub fn steps(&self, scope: &Scope, run: &WorkflowRun) -> String {
        let scope = if run.is_temporal() { &Scope::Shared } else { scope };
        // No namespace holds a colon.
        let (_, tag) = self.prefix.split_once(':').unwrap_or_default();
        format!("{}:{tag}:steps:{run}", scoped(&self.namespace, scope))
    }

    /// `ns:{q.queue.0}:token:stream`: as [`resume_token`](super::resume_token).
    pub fn resume_token(&self, stream: &StreamName) -> String {
        format!("{}:token:{stream}", self.prefix)
    }

    /// `ns:{q.queue.0}:token:*`: the pattern of the keys of [`HomeKeys::resume_token`]. No name has a special character of patterns.
    pub fn resume_tokens(&self) -> String {
        format!("{}:token:*", self.prefix)
    }

    /// The stream whose resume token has this key.
    pub fn stream_of(&self, key: &str) -> Option<StreamName> {
        StreamName::new(key.strip_prefix(&self.prefix)?.strip_prefix(":token:")?).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use store_core::{AgentName, Namespace, QueueName, RunId, Scope, ServiceName, SessionId, StreamName, WorkflowRun};

    use super::super::{QueueKeys, RunIndexKeys, queue_of, slot_of, stream_of, tag_of};
    use super::HomeKeys;

    #[test]
    fn the_keys_of_a_home_have_the_tag_of_its_partition_and_are_no_keys_of_the_queue() {
        let (namespace, queue) = (Namespace::new("tw").unwrap(), QueueName::new("mails:eu").unwrap());
        for (partition, of) in [(0, 1), (3, 12)] {
            let of_queue = QueueKeys::new(&namespace, &queue, partition, of);
            let home = HomeKeys::new(&namespace, &of_queue);
            let mut keys = BTreeSet::new();
            // Names that look like parts of the queue's keys.
            for name in ["jobs", "meta", "call:0", "runs:all", "x"] {
                let agent = AgentName::new(name).unwrap();
                keys.insert(home.run(&RunId::new(name).unwrap()));
                keys.insert(home.resume_token(&StreamName::new(name).unwrap()));
                let session = SessionId::new(name).unwrap();
                keys.extend(RunIndexKeys::under(&home.runs(), &agent, Some(&session)).into_vec());
                for scope in [Scope::Shared, Scope::from(ServiceName::new(name).unwrap())] {
                    keys.insert(home.steps(&scope, &WorkflowRun::named(name).unwrap()));
                }
            }
            // Two keys, four of listings, two of steps for each name; two listings of all runs.
            assert_eq!(keys.len(), 5 * (2 + 3 + 2) + 2);
            for key in &keys {
                let place = |key: &str| (tag_of(key.as_bytes()).to_vec(), slot_of(key.as_bytes()));
                assert_eq!(place(key), place(&of_queue.jobs));
                assert_eq!((queue_of(&namespace, key), stream_of(&namespace, key)), (None, None), "{key}");
                let part = key.rsplit_once("}:").unwrap().1;
                assert!(["run:", "runs:", "token:", "steps:"].iter().any(|begin| part.starts_with(begin)), "{key}");
            }
        }
    }

    #[test]
    fn a_listing_of_tokens_finds_those_of_the_home_alone() {
        let (namespace, queue) = (Namespace::new("tw").unwrap(), QueueName::new("mails").unwrap());
        let [one, other] =
            [0, 1].map(|partition| HomeKeys::new(&namespace, &QueueKeys::new(&namespace, &queue, partition, 2)));
        let stream = StreamName::new("shop.orders").unwrap();
        assert_eq!(one.stream_of(&one.resume_token(&stream)), Some(stream.clone()));
        assert_eq!(one.stream_of(&other.resume_token(&stream)), None);
        assert_eq!(one.stream_of(&one.run(&RunId::new("token:a").unwrap())), None);
    }
}
