//! The scripts of a queue, put together from their pieces.

use redis_link::Script;

/// A script's first line, which not every server understands, then its pieces: files of `lua/queue`, and texts in brackets.
macro_rules! script {
    (@piece [$text:literal]) => { $text };
    (@piece $name:literal) => { include_str!(concat!("../../lua/queue/", $name, ".lua")) };
    ($name:literal, $first_line:literal $(, $piece:tt)*) => {
        Script::new(
            concat!("queue/", $name),
            concat!(
                $first_line, "\n", include_str!("../../../redis-link/lua/clock.lua"), $(script!(@piece $piece),)*
                script!(@piece $name),
            ),
        )
    };
}

// What adds to the server's data is refused when its memory is full; what takes away or only moves is not.
pub(super) static PUSH: Script = script!("push", "#!lua", "push_plain", "keys", "jobs", "unique", "collect");
pub(super) static CLAIM: Script = script!(
    "claim",
    "#!lua flags=allow-oom",
    "keys",
    "jobs",
    // Functions cost time to be made at each call: these are made only when they are needed.
    ["local function seldom(task, late)\n"],
    "moves",
    "flush",
    "collect",
    "reap",
    ["end\n"],
    "take"
);
pub(super) static EXTEND: Script = script!("extend", "#!lua flags=allow-oom", "keys");
pub(super) static SETTLE: Script =
    script!("settle", "#!lua flags=allow-oom", "settle_plain", "keys", "jobs", "moves", "flush");

pub(super) static COUNTS: Script = script!("counts", "#!lua flags=no-writes", "keys");
pub(super) static GET: Script = script!("get", "#!lua flags=no-writes", "keys", "jobs", "find");
pub(super) static LIST: Script = script!("list", "#!lua flags=no-writes", "keys", "jobs", "ranks");
pub(super) static EXPLAIN: Script = script!("explain", "#!lua flags=no-writes", "keys", "jobs", "find");

pub(super) static CANCEL: Script = script!("cancel", "#!lua flags=allow-oom", "keys", "jobs", "find");
pub(super) static REPLAY: Script = script!("replay", "#!lua", "keys");
pub(super) static DELETE: Script = script!("delete", "#!lua flags=allow-oom", "keys", "jobs", "find");
pub(super) static PROMOTE: Script = script!("promote", "#!lua flags=allow-oom", "keys");
pub(super) static PAUSE: Script = script!("pause", "#!lua flags=allow-oom", "keys");
pub(super) static RESUME: Script = script!("resume", "#!lua flags=allow-oom", "keys");
