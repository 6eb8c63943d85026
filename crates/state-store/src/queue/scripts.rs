//! The scripts of a queue, put together from their pieces.

use redis_link::Script;

/// The first line, which not every server understands, stands apart from the rest.
macro_rules! script {
    ($name:literal, $first_line:literal $(, $piece:literal)*) => {
        Script::new(
            concat!("queue/", $name),
            concat!(
                $first_line, "\n",
                include_str!("../../lua/clock.lua"),
                $(include_str!(concat!("../../lua/queue/", $piece, ".lua")),)*
                include_str!(concat!("../../lua/queue/", $name, ".lua")),
            ),
        )
    };
}

// What adds to the server's data is refused when its memory is full; what takes away or only moves is not.
pub(super) static PUSH: Script = script!("push", "#!lua", "push_plain", "keys", "unique", "collect");
pub(super) static CLAIM: Script =
    script!("claim", "#!lua flags=allow-oom", "keys", "moves", "flush", "reap", "collect", "take");
pub(super) static EXTEND: Script = script!("extend", "#!lua flags=allow-oom", "keys");
pub(super) static SETTLE: Script = script!("settle", "#!lua flags=allow-oom", "settle_plain", "keys", "moves", "flush");

pub(super) static COUNTS: Script = script!("counts", "#!lua flags=no-writes", "keys");
pub(super) static GET: Script = script!("get", "#!lua flags=no-writes", "keys", "find");
pub(super) static LIST: Script = script!("list", "#!lua flags=no-writes", "keys", "ranks");
pub(super) static EXPLAIN: Script = script!("explain", "#!lua flags=no-writes", "keys", "find");

pub(super) static CANCEL: Script = script!("cancel", "#!lua flags=allow-oom", "keys", "find");
pub(super) static REPLAY: Script = script!("replay", "#!lua", "keys");
pub(super) static DELETE: Script = script!("delete", "#!lua flags=allow-oom", "keys", "find");
pub(super) static PROMOTE: Script = script!("promote", "#!lua flags=allow-oom", "keys");
pub(super) static PAUSE: Script = script!("pause", "#!lua flags=allow-oom", "keys");
pub(super) static RESUME: Script = script!("resume", "#!lua flags=allow-oom", "keys");
