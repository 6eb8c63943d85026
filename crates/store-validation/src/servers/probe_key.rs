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

/// Writes the first of these keys that the user may write.
pub(super) async fn write(draft: &Draft, visit: &Visit<'_>) -> Result<(), Error> {
    let mut refused = None;
    for key in of_role(draft, visit.role(), &random()) {
        match visit.probe.set_probe_key(visit.database, &key, "1", TTL).await {
            Err(error @ Error::Forbidden { .. }) => refused = refused.or(Some(error)),
            result => return result,
        }
    }
    refused.map_or(Ok(()), Err)
}
