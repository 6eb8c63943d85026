//! The plain commands that may be sent. The list names what is allowed, so a forgotten command is refused: if a reply
//! began with stored data, it could be mistaken for a message, and all replies after it would reach the wrong callers.

use store_core::{Error, Op, Result};

use crate::Arg;

/// The reply is a status, a number, one value, or a list that begins with a number or a word of the server's.
const PLAIN: &[&str] = &[
    "ACL GETUSER",
    "ACL WHOAMI",
    "APPEND",
    "BITCOUNT",
    "CLIENT ID",
    "CONFIG GET",
    "CONFIG RESETSTAT",
    "DBSIZE",
    "DECR",
    "DECRBY",
    "DEL",
    "ECHO",
    "EXISTS",
    "EXPIRE",
    "EXPIREAT",
    "EXPIRETIME",
    "GET",
    "GETDEL",
    "GETEX",
    "GETRANGE",
    "GETSET",
    "HDEL",
    "HEXISTS",
    "HGET",
    "HINCRBY",
    "HLEN",
    "HSET",
    "HSETNX",
    "HSTRLEN",
    "INCR",
    "INCRBY",
    "INFO",
    "LINDEX",
    "LLEN",
    "LPUSH",
    "LPUSHX",
    "LREM",
    "LSET",
    "LTRIM",
    "MEMORY USAGE",
    "MSET",
    "OBJECT ENCODING",
    "OBJECT FREQ",
    "OBJECT IDLETIME",
    "PERSIST",
    "PEXPIRE",
    "PEXPIREAT",
    "PEXPIRETIME",
    "PING",
    "PSETEX",
    "PTTL",
    "PUBLISH",
    "RPUSH",
    "RPUSHX",
    "SADD",
    "SCARD",
    "SCRIPT EXISTS",
    "SCRIPT LOAD",
    "SET",
    "SETEX",
    "SETNX",
    "SETRANGE",
    "SISMEMBER",
    "SREM",
    "STRLEN",
    "TIME",
    "TOUCH",
    "TTL",
    "TYPE",
    "UNLINK",
    "XACK",
    "XADD",
    "XDEL",
    "XLEN",
    "XTRIM",
    "ZADD",
    "ZCARD",
    "ZCOUNT",
    "ZINCRBY",
    "ZLEXCOUNT",
    "ZRANK",
    "ZREM",
    "ZREMRANGEBYLEX",
    "ZREMRANGEBYRANK",
    "ZREMRANGEBYSCORE",
    "ZREVRANK",
    "ZSCORE",
];

/// Those whose first argument is no key.
const WITHOUT_KEY: &[&str] = &[
    "ACL GETUSER",
    "ACL WHOAMI",
    "CLIENT ID",
    "CONFIG GET",
    "CONFIG RESETSTAT",
    "DBSIZE",
    "ECHO",
    "INFO",
    "PING",
    "PUBLISH",
    "SCRIPT EXISTS",
    "SCRIPT LOAD",
    "TIME",
];

/// The keys among the arguments.
pub(super) fn keys<'a>(name: &str, args: &'a [Arg]) -> Vec<&'a [u8]> {
    let (step, most) = match name {
        "DEL" | "EXISTS" | "TOUCH" | "UNLINK" => (1, args.len()),
        "MSET" => (2, args.len()),
        _ => (1, usize::from(!WITHOUT_KEY.contains(&name))),
    };
    let bytes = |arg: &'a Arg| match arg {
        Arg::Bytes(bytes) => Some(&bytes[..]),
        Arg::Int(_) => None,
    };
    args.iter().step_by(step).take(most).filter_map(bytes).collect()
}

/// The reply is nothing, one value, or a list that begins with one of the requested keys, in pairs or before a list.
const BLOCKING: &[&str] = &["BLMOVE", "BLMPOP", "BLPOP", "BRPOP", "BZMPOP", "XREAD", "XREADGROUP"];

pub(super) fn check_plain(op: Op, name: &str) -> Result<()> {
    check(op, name, PLAIN, "may not be sent as a plain command: its reply could begin with stored data; use a script")
}

pub(super) fn check_blocking(op: Op, name: &str) -> Result<()> {
    check(op, name, BLOCKING, "is not among the blocking commands whose reply cannot be taken for a message")
}

fn check(op: Op, name: &str, allowed: &[&str], why: &str) -> Result<()> {
    if allowed.contains(&name) { Ok(()) } else { Err(Error::invalid_argument(op, format!("{name} {why}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args;

    #[test]
    fn the_keys_of_a_command_are_found() {
        let args = args!["a", "b", "c", 7];
        let of = |name| keys(name, &args);
        assert_eq!((of("DEL"), of("MSET")), (vec![&b"a"[..], b"b", b"c"], vec![&b"a"[..], b"c"]));
        assert_eq!((of("SET"), of("PUBLISH")), (vec![&b"a"[..]], vec![]));
    }

    #[test]
    fn commands_that_return_stored_values_in_lists_are_refused() {
        for name in [
            "MGET",
            "HMGET",
            "LRANGE",
            "ZRANGE",
            "ZRANGEBYSCORE",
            "ZREVRANGE",
            "XRANGE",
            "XREVRANGE",
            "SMEMBERS",
            "HGETALL",
            "HVALS",
            "HKEYS",
            "KEYS",
            "HSCAN",
            "SSCAN",
            "ZSCAN",
            "EVAL",
            "EVALSHA",
            "FCALL",
            "LPOP",
            "SPOP",
            "SORT",
            "MULTI",
            "EXEC",
            "SUBSCRIBE",
            "SELECT",
            "FLUSHALL",
            "get",
            "GET ",
        ] {
            assert!(check_plain(Op::QueueGet, name).is_err(), "{name}");
            assert!(check_blocking(Op::QueueGet, name).is_err(), "{name}");
        }
        assert!(check_plain(Op::QueueGet, "GET").is_ok());
        assert!(check_blocking(Op::QueueWait, "BLPOP").is_ok());
    }
}
