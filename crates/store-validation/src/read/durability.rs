//! The durability of the writes of each capability.

use std::time::Duration;

use store_core::{Durabilities, Durability, Role};

use super::Reader;
use crate::variable::{
    HEARTBEAT_DURABILITY, IDEMPOTENCY_DURABILITY, LEASE_DURABILITY, QUEUE_DURABILITY, STATE_MIN_REPLICAS,
};
use crate::{Code, Finding};

/// How long to wait for an fsync at least: under `appendfsync everysec`, a write reaches the disk within 2 s.
const LONGEST_FSYNC: Duration = Duration::from_secs(3);

/// The levels that the variables request; `None` for a variable that is not set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct DurabilityVariables {
    queues: Option<Level>,
    leases: Option<Level>,
    heartbeats: Option<Level>,
    idempotency: Option<Level>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Accepted,
    Replicated,
    Fsynced,
}

impl DurabilityVariables {
    /// Whether a variable requests `fsynced`.
    pub(crate) fn request_fsync(&self) -> bool {
        [self.queues, self.leases, self.heartbeats, self.idempotency].contains(&Some(Level::Fsynced))
    }

    /// The durabilities: the variable if it is set, else the value in `in_code`, else the default.
    pub(crate) fn over(&self, in_code: Durabilities, replicas: u32, within: Duration) -> Durabilities {
        let level = |level| match level {
            Level::Accepted => Durability::Accepted,
            Level::Replicated => Durability::Replicated { replicas, within },
            Level::Fsynced => Durability::Fsynced { within: within.max(LONGEST_FSYNC) },
        };
        let critical = if replicas == 0 { Level::Accepted } else { Level::Replicated };
        Durabilities::default()
            .with_queues(self.queues.map(level).or(in_code.queues).unwrap_or(level(critical)))
            .with_leases(self.leases.map(level).or(in_code.leases).unwrap_or(level(critical)))
            .with_heartbeats(self.heartbeats.map(level).or(in_code.heartbeats).unwrap_or_default())
            .with_idempotency(self.idempotency.map(level).or(in_code.idempotency).unwrap_or_default())
    }
}

impl Reader<'_> {
    pub(super) fn durabilities(&mut self, replicas: Option<u32>) -> DurabilityVariables {
        DurabilityVariables {
            queues: self.durability(QUEUE_DURABILITY, replicas),
            leases: self.durability(LEASE_DURABILITY, replicas),
            heartbeats: self.durability(HEARTBEAT_DURABILITY, replicas),
            idempotency: self.durability(IDEMPOTENCY_DURABILITY, replicas),
        }
    }

    fn durability(&mut self, name: &str, replicas: Option<u32>) -> Option<Level> {
        let what = match (self.environment.get(name)?.as_str(), replicas) {
            ("accepted", _) => return Some(Level::Accepted),
            ("fsynced", _) => return Some(Level::Fsynced),
            ("replicated", Some(0)) => format!("{name} is `replicated`, but {STATE_MIN_REPLICAS} is 0"),
            ("replicated", _) => return Some(Level::Replicated),
            _ => format!("{name} is not `accepted`, `replicated` or `fsynced`"),
        };
        self.broken(Finding::new(Code::ConfInvalid, Some(Role::State), what));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_precede_code_and_code_precedes_the_number_of_replicas() {
        let within = Duration::from_secs(1);
        let replicated = |replicas| Durability::Replicated { replicas, within };
        let none = DurabilityVariables::default();
        let (plain, two) = (Durabilities::default(), none.over(Durabilities::default(), 2, within));
        assert_eq!(none.over(plain, 0, within).queues, Some(Durability::Accepted));
        assert_eq!((two.queues, two.leases), (Some(replicated(2)), Some(replicated(2))));
        assert_eq!((two.heartbeats, two.idempotency), (Some(Durability::Accepted), Some(Durability::Accepted)));
        let in_code = plain.with_queues(Durability::Accepted).with_idempotency(replicated(1));
        assert_eq!(none.over(in_code, 2, within).queues, Some(Durability::Accepted));
        let set = DurabilityVariables { queues: Some(Level::Fsynced), idempotency: Some(Level::Replicated), ..none };
        let set = set.over(in_code, 2, within);
        assert_eq!(set.queues, Some(Durability::Fsynced { within: LONGEST_FSYNC }));
        assert_eq!((set.idempotency, set.leases), (Some(replicated(2)), Some(replicated(2))));
    }
}
