//! Sentinels that can order a failover.

use redis_link::{Fact, Probe, Topology};

use super::visit::Visit;
use crate::draft::Draft;
use crate::{Code, Finding};

pub(super) async fn check(draft: &Draft, visit: &Visit<'_>) -> Option<Finding> {
    if !matches!(visit.connection.url.topology(), Topology::Sentinel { .. }) {
        return None;
    }
    match Box::pin(Probe::sentinels_have_quorum(&draft.link(visit.connection, None))).await {
        Fact::Known(true) => None,
        Fact::Known(false) => {
            Some(visit.finding(Code::SentinelQuorum, "too few sentinels can be reached to order a failover"))
        }
        Fact::Unknown(why) => Some(visit.finding(Code::SentinelQuorumUnknown, why)),
    }
}
