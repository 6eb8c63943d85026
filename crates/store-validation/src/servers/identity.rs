//! What distinguishes one server from another.

use std::net::SocketAddr;

use super::visit::Visited;

/// The identity of a store: the processes of its servers, and the addresses to which their names resolve.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    addresses: Vec<SocketAddr>,
    run_ids: Vec<String>,
}

impl Identity {
    /// Whether both have a server in common. If the processes of both are known, only these are compared, because several servers
    /// may share one address.
    pub(crate) fn is_same(&self, other: &Identity) -> bool {
        if !self.run_ids.is_empty() && !other.run_ids.is_empty() {
            return self.run_ids.iter().any(|one| other.run_ids.contains(one));
        }
        overlap(&self.addresses, &other.addresses).is_some()
    }
}

impl Visited<'_> {
    pub(super) fn identity(&self) -> Option<Identity> {
        let first = self.visit.as_ref().and_then(|visit| visit.info.run_id.clone());
        let run_ids: Vec<_> =
            first.into_iter().chain(self.others.iter().filter_map(|node| node.run_id.clone())).collect();
        let others = self.others.iter().flat_map(|node| &node.addresses);
        let addresses: Vec<_> = self.addresses.iter().chain(others).copied().collect();
        (!run_ids.is_empty() || !addresses.is_empty()).then_some(Identity { addresses, run_ids })
    }
}

/// An address that is in both lists.
pub(super) fn overlap(some: &[SocketAddr], others: &[SocketAddr]) -> Option<SocketAddr> {
    let same = |one: &SocketAddr, other: &SocketAddr| {
        one.port() == other.port() && one.ip().to_canonical() == other.ip().to_canonical()
    };
    some.iter().find(|one| others.iter().any(|other| same(one, other))).copied()
}
