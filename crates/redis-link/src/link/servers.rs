//! The servers of a link.

use tokio::sync::watch;

use super::Link;
use super::routes::Routes;
use crate::{Endpoint, Topology};

impl Link {
    /// The topology and the current servers, as text for logs: `standalone server h:6379`, `primary h:6379 of the service main,
    /// reported by sentinels`, `cluster with the primaries h:1, i:2`.
    pub fn servers(&self) -> String {
        let list = |endpoints: &[Endpoint]| endpoints.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match &self.inner.routes {
            Routes::Cluster(cluster) => format!("cluster with the primaries {}", list(&cluster.endpoints())),
            Routes::One(node) => {
                let primary = node.endpoint().map_or_else(|| "(unknown)".to_owned(), |endpoint| endpoint.to_string());
                match self.inner.config.url.topology() {
                    Topology::Sentinel { service, .. } => {
                        format!("primary {primary} of the service {service}, reported by sentinels")
                    }
                    Topology::Several(hosts) | Topology::Kvrocks(hosts) if hosts.len() > 1 => {
                        format!("primary {primary} of the servers {}", list(hosts))
                    }
                    _ => format!("standalone server {primary}"),
                }
            }
        }
    }

    /// Counts the connections that replaced lost ones, or that were opened to servers that joined after the start. After a change of
    /// the count, another server may answer.
    pub fn reopened(&self) -> watch::Receiver<u64> {
        self.inner.config.reopened.subscribe()
    }
}
