//! Probe keys: one that every user should be able to write, and one for a user who may only use the keys of its role.

use std::time::Duration;

use redis_link::keys;
use store_core::{Error, RequestId, Role};

use super::visit::Visit;
use crate::draft::Draft;

/// The TTL of a probe key.
pub(super) const TTL: Duration = Duration::from_secs(10);

/// A unique random text.
pub(super) fn random() -> String {
    RequestId::generate().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The probe keys of a role, the common one first.
pub(super) fn of_role(draft: &Draft, role: Role, id: &str) -> Vec<String> {
    let own = match role {
        Role::Cache => Some(keys::cache_probe(id)),
        Role::State => draft.namespace.as_ref().map(|namespace| keys::state_probe(namespace, id)),
    };
    std::iter::once(keys::probe(id)).chain(own).collect()
}

/// How many keys are tried until one has a slot of the node. If the node has one slot, that is one key in 16,384 on average.
const MAX_TRIES: usize = 200_000;

/// Probe keys. On a node of a cluster, the node has their slots.
fn of_server(draft: &Draft, visit: &Visit<'_>) -> Vec<String> {
    let Some(node) = visit.at.as_ref().and_then(|at| at.node.as_ref()) else {
        return of_role(draft, visit.role(), &random());
    };
    let id = random();
    let find = |number: usize| {
        let tries = (0..MAX_TRIES).map(|index| of_role(draft, visit.role(), &format!("{id}{index}")));
        tries.filter_map(|keys| keys.into_iter().nth(number)).find(|key| node.has_key(key))
    };
    let count = of_role(draft, visit.role(), &id).len();
    (0..count).filter_map(find).collect()
}

/// Writes the first of these keys that the user may write.
pub(super) async fn write(draft: &Draft, visit: &Visit<'_>) -> Result<(), Error> {
    let mut refused = None;
    for key in of_server(draft, visit) {
        match visit.probe.set_probe_key(visit.database, &key, "1", TTL).await {
            Err(error @ Error::Forbidden { .. }) => refused = refused.or(Some(error)),
            result => return result,
        }
    }
    refused.map_or(Ok(()), Err)
}
