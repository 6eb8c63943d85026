//! What distinguishes one server from another.

use std::net::SocketAddr;

use super::visit::Visited;

/// The identity of a server: its process, and the addresses of its name.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    addresses: Vec<SocketAddr>,
    run_id: Option<String>,
}

impl Identity {
    /// Whether both are one server. If both processes are known, they decide, because several servers may share one
    /// address.
    pub(crate) fn is_same(&self, other: &Identity) -> bool {
        match (&self.run_id, &other.run_id) {
            (Some(one), Some(other)) => one == other,
            _ => overlap(&self.addresses, &other.addresses).is_some(),
        }
    }
}

impl Visited<'_> {
    pub(super) fn identity(&self) -> Option<Identity> {
        let run_id = self.visit.as_ref().and_then(|visit| visit.info.run_id.clone());
        (run_id.is_some() || !self.addresses.is_empty()).then(|| Identity { addresses: self.addresses.clone(), run_id })
    }
}

/// An address that is in both lists.
pub(super) fn overlap(some: &[SocketAddr], others: &[SocketAddr]) -> Option<SocketAddr> {
    let same = |one: &SocketAddr, other: &SocketAddr| {
        one.port() == other.port() && one.ip().to_canonical() == other.ip().to_canonical()
    };
    some.iter().find(|one| others.iter().any(|other| same(one, other))).copied()
}
