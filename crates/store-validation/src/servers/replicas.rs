//! Replicas of the state server.

use redis_link::Fact;
use store_core::Role;

use super::visit::Visit;
use crate::draft::Draft;
use crate::{Code, Finding};

pub(super) fn check(draft: &Draft, visit: &Visit<'_>) -> Option<Finding> {
    if visit.role() != Role::State || visit.is_replica() {
        return None;
    }
    let asked = draft.min_replicas.unwrap_or(0);
    if asked > 0 && visit.probe.capabilities().wait == Fact::Known(false) {
        let what = "the server has no command WAIT, so no replica can confirm the writes that REDIS_STATE_MIN_REPLICAS requires";
        return Some(visit.finding(Code::TooFewReplicas, what).with_help("<replicas>", "0"));
    }
    let Some(connected) = visit.info.connected_replicas else {
        let what = "INFO does not show how many replicas are connected";
        return Some(visit.finding(Code::ReplicasUnknown, what));
    };
    if connected < asked {
        return Some(too_few(visit, connected, "REDIS_STATE_MIN_REPLICAS", asked));
    }
    match &visit.settings.min_replicas_to_write {
        Fact::Known(needed) if connected < *needed => Some(too_few(visit, connected, "min-replicas-to-write", *needed)),
        Fact::Known(0) if connected > 0 => {
            let what = format!("{connected} replicas are connected, and min-replicas-to-write is 0");
            Some(visit.finding(Code::NoMinReplicas, what))
        }
        Fact::Unknown(_) if connected > 0 && !visit.is_kvrocks() => {
            Some(visit.finding(Code::ReplicasUnknown, "CONFIG GET does not show min-replicas-to-write"))
        }
        _ => None,
    }
}

fn too_few(visit: &Visit<'_>, connected: u32, setting: &str, wanted: u32) -> Finding {
    let what = format!("{connected} replicas are connected, and {setting} is {wanted}");
    visit.finding(Code::TooFewReplicas, what).with_help("<replicas>", &connected.to_string())
}
