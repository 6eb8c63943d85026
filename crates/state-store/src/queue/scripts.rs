//! The scripts of a queue, put together from their pieces.

use redis_link::Script;

/// A script by its kind, its name and the pieces before its own file: files of `lua/queue`, and texts in brackets.
macro_rules! script {
    (@piece [$text:literal]) => { $text };
    (@piece $name:literal) => { include_str!(concat!("../../lua/queue/", $name, ".lua")) };
    ($kind:ident $name:literal $(, $piece:tt)*) => {
        Script::$kind(concat!("queue/", $name), &[$(script!(@piece $piece),)* script!(@piece $name)])
    };
}

// What adds to the server's data is refused when its memory is full; what takes away or only moves is not.
pub(super) static PUSH: Script = script!(adds "push",
    "spot",
    "push_one",
    "push_parcels",
    "keys",
    "jobs",
    "members",
    "parcels",
    "shelf",
    "on_shelf",
    "shelf_index",
    "shelving",
    "unique",
    "collect",
    "known",
    "given",
    "shelve",
    "shelve_around",
    "shelve_some"
);
pub(super) static CLAIM: Script = script!(frees "claim",
    "claim_plain",
    "keys",
    "jobs",
    "members",
    // Functions cost time to be made at each call: these are made only when they are needed.
    ["local function seldom(task, subject)\n"],
    "moves",
    "flush",
    "collect",
    "parcels",
    "take_out",
    "ended",
    "spot",
    "shelf",
    "on_shelf",
    "shelf_index",
    "shelving",
    "unshelve",
    "seldom",
    ["end\n"],
    "take_ids",
    "take_parcel",
    "take"
);
pub(super) static EXTEND: Script = script!(frees "extend", "named", "keys", "jobs", "members", "parcels", "take_out");
pub(super) static SETTLE: Script = script!(frees "settle",
    "settle_families",
    "named",
    "settle_plain",
    "keys",
    "jobs",
    "members",
    "parcels",
    "take_out",
    "spot",
    "shelf",
    "on_shelf",
    "moves",
    "flush",
    "settle_parcels",
    "outcomes"
);

pub(super) static COUNTS: Script = script!(reads "counts", "keys");
pub(super) static GET: Script =
    script!(reads "get", "keys", "jobs", "members", "parcels", "spot", "shelf", "on_shelf", "find");
pub(super) static LIST: Script = script!(reads "list",
    "keys",
    "jobs",
    "members",
    "parcels",
    "spot",
    "shelf",
    "on_shelf",
    "ranks",
    "shown",
    "scheduled"
);
pub(super) static EXPLAIN: Script = script!(reads "explain",
    "keys",
    "jobs",
    "members",
    "parcels",
    "spot",
    "shelf",
    "on_shelf",
    "find"
);

pub(super) static CANCEL: Script = script!(frees "cancel",
    "keys",
    "jobs",
    "members",
    "parcels",
    "take_out",
    "spot",
    "shelf",
    "on_shelf",
    "shelf_index",
    "shelving",
    "unshelve",
    "find",
    "remove"
);
pub(super) static REPLAY: Script = script!(adds "replay", "keys", "jobs", "spot", "shelf", "on_shelf", "unique");
pub(super) static DELETE: Script = script!(frees "delete",
    "keys",
    "jobs",
    "members",
    "parcels",
    "spot",
    "shelf",
    "on_shelf",
    "shelf_index",
    "shelving",
    "unshelve",
    "find",
    "remove"
);
pub(super) static PROMOTE: Script = script!(frees "promote",
    "keys",
    "spot",
    "shelf",
    "on_shelf",
    "shelf_index",
    "shelving",
    "unshelve"
);
pub(super) static PAUSE: Script = script!(frees "pause", "keys");
pub(super) static RESUME: Script = script!(frees "resume", "keys");

/// Every script of a queue.
#[cfg(test)]
pub(crate) fn all() -> Vec<&'static Script> {
    vec![
        &PUSH,
        &CLAIM,
        &EXTEND,
        &SETTLE,
        &COUNTS,
        &GET,
        &LIST,
        &EXPLAIN,
        &CANCEL,
        &REPLAY,
        &DELETE,
        &PROMOTE,
        &PAUSE,
        &RESUME,
        &super::wait::WAKE,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use redis_link::keys::QueueKeys;
    use store_core::{Namespace, QueueName};

    /// A script's own file: its head, each entry in one line.
    fn head(script: &Script) -> String {
        let begin =
            script.source().rfind(&format!("-- {}: ", script.name())).expect("a head that begins with the name");
        let lines: Vec<_> = script.source()[begin..].lines().take_while(|line| line.starts_with("-- ")).collect();
        lines.join("\n").replace("\n--         ", " ")
    }

    #[test]
    fn heads_name_the_keys_in_the_order_in_which_they_are_sent() {
        let keys =
            QueueKeys::new(&Namespace::new("n").unwrap(), &QueueName::new("q").unwrap(), super::super::PARTITION);
        let sent = super::super::in_order(keys);
        let parts: Vec<_> = sent.iter().map(|key| key.rsplit_once(':').unwrap().1).collect();
        let named = "jobs state ready0 ready1 ready2 ready3 due leased completed dead unique unique_until meta wake \
                     parcels parcel_leases parcel_of shelves shelves_due";
        assert_eq!(parts.join(" "), named);
        let written = "KEYS    1 jobs (hash), 2 state (hash), 3-6 ready0-3 (lists), 7 due, 8 leased, 9 completed, \
                       10 dead (sorted sets), 11 unique (hash), 12 unique_until (sorted set), 13 meta (hash), 14 wake (list), \
                       15 parcels, 16 parcel_leases, 17 parcel_of (hashes), 18 shelves (hash), \
                       19 shelves_due (sorted set)";
        for script in all().into_iter().filter(|script| script.name() != "queue/wake") {
            assert!(head(script).contains(written), "{}", script.name());
        }
    }
}
