//! The scripts of a queue, put together from their pieces.

use redis_link::Script;

/// A script by its kind, its name and the pieces before its own file: files of `lua/queue`.
macro_rules! script {
    (@piece $name:literal) => { include_str!(concat!("../../lua/queue/", $name, ".lua")) };
    ($kind:ident $name:literal $(, $piece:tt)*) => {
        Script::$kind(concat!("queue/", $name), &[$(script!(@piece $piece),)* script!(@piece $name)])
    };
}

// What adds to the server's data is refused when its memory is full; what takes away or only moves is not, nor is the shape,
// which a service that only takes away needs first.
pub(super) static PUSH: Script = script!(adds "push",
    "keys", "begin", "remembered", "writes", "push_batches", "push_plain", "running", "waiter", "push_one", "wake",
    "positions", "blob", "lease", "single", "unique", "take", "hand_over", "batch", "batches", "push_singles"
);
pub(super) static CLAIM: Script = script!(frees "claim",
    "keys", "begin", "claim_idle", "waiter", "wake", "claiming", "positions", "blob", "writes", "running", "lease",
    "claim_batches", "single", "unique", "take", "claim_plain", "batch", "batches", "finished", "moves", "find", "due",
    "give_back"
);
pub(super) static EXTEND: Script = script!(frees "extend",
    "keys", "begin", "positions", "batch", "writes", "batches", "named", "held", "extend_plain", "blob", "running",
    "single", "unique", "finished", "moves", "find"
);
pub(super) static SETTLE: Script = script!(frees "settle",
    "keys", "begin", "remembered", "writes", "named", "settle_singles", "positions", "batch", "batches", "held",
    "settle_plain", "blob", "running", "single", "unique", "waiter", "wake", "finished", "moves", "find", "outcomes"
);
pub(super) static CHANGE: Script = script!(frees "change",
    "keys", "begin", "remembered", "positions", "batch", "writes", "batches", "cancel_plain", "blob", "running", "single", "unique",
    "waiter", "wake", "finished", "moves", "find"
);
pub(super) static CONTROL: Script = script!(frees "control", "keys", "begin", "remembered", "waiter", "wake");

pub(super) static COUNTS: Script = script!(reads "counts", "keys", "begin");
pub(super) static GET: Script = script!(reads "get", "keys", "begin", "positions", "batch", "blob", "running", "find");
pub(super) static LIST: Script = script!(reads "list", "keys", "begin");

#[cfg(test)]
pub(crate) fn all() -> Vec<&'static Script> {
    vec![&PUSH, &CLAIM, &EXTEND, &SETTLE, &CHANGE, &CONTROL, &COUNTS, &GET, &LIST]
}

#[cfg(test)]
mod tests {
    use super::*;
    use redis_link::keys::QueueKeys;
    use store_core::{Namespace, QueueName};

    /// The head of the file that begins with `begin`, each entry in one line.
    fn head(text: &str, begin: &str) -> String {
        let begin = text.rfind(begin).expect("a head");
        let lines: Vec<_> = text[begin..].lines().take_while(|line| line.starts_with("-- ")).collect();
        lines.join("\n").replace("\n--         ", " ")
    }

    #[test]
    fn heads_name_the_keys_in_the_order_in_which_they_are_sent() {
        let keys = QueueKeys::new(&Namespace::new("n").unwrap(), &QueueName::new("q").unwrap(), 0, 1);
        let parts: Vec<_> =
            super::super::partition::in_order(&keys).map(|key| key.rsplit_once(':').unwrap().1).collect();
        let named = "jobs state ready0 ready1 ready2 ready3 due leased completed dead unique unique_until meta waiters";
        assert_eq!(parts.join(" "), named);
        let written = "KEYS    1 jobs (hash), 2 state (hash), 3-6 ready0-3 (lists), 7 due, 8 leased, 9 completed, \
                       10 dead (sorted sets), 11 unique (hash), 12 unique_until (sorted set), 13 meta (hash), \
                       14 waiters (hash)";
        let keys = include_str!("../../lua/queue/keys.lua");
        assert!(head(keys, "-- Prelude").contains(written));
        for script in all() {
            let head = head(script.source(), &format!("-- {}: ", script.name()));
            assert!(script.pieces().contains(&keys) && head.contains("KEYS    those of keys.lua"), "{}", script.name());
        }
    }
}
