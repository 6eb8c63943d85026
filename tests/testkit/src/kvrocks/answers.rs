//! What Kvrocks answers otherwise.

use super::Kind;
use super::frames::{bulk, text};
use super::scripts::{Scripts, instead};

/// What happens to a request.
pub(super) enum Plan {
    /// The server does not get it.
    Answer(Vec<u8>),
    /// The server gets these arguments, and its reply is changed.
    Forward(Vec<Vec<u8>>, Change),
}

/// How a reply is changed, besides what holds for all replies.
pub(super) enum Change {
    None,
    Hello {
        protocol: u8,
    },
    Info,
    Role,
    /// A status is a string of bytes.
    Script,
    ScriptLoad {
        source: Vec<u8>,
    },
    FunctionLoad,
    /// No group is an empty answer for these streams.
    ReadGroup {
        streams: Vec<Vec<u8>>,
    },
}

/// Settings that Kvrocks does not have.
const ABSENT_SETTINGS: [&str; 9] = [
    "appendfsync",
    "appendonly",
    "databases",
    "maxmemory",
    "maxmemory-policy",
    "min-replicas-to-write",
    "no-appendfsync-on-rewrite",
    "notify-keyspace-events",
    "save",
];

/// Decides on one request.
pub(super) fn plan(mut arguments: Vec<Vec<u8>>, scripts: &Scripts, kind: Kind) -> Plan {
    let word =
        |at: usize| arguments.get(at).map(|word| String::from_utf8_lossy(word).to_uppercase()).unwrap_or_default();
    let (name, sub) = (word(0), word(1));
    let has = |option: &str| arguments.iter().any(|argument| argument == option.as_bytes());
    let error = |text: &str| Plan::Answer(format!("-ERR {text}\r\n").into_bytes());
    let unknown = || error(&format!("unknown command {}", name.to_lowercase()));
    let is_one_of = |names: &[&str]| names.contains(&sub.as_str());
    let change = match name.as_str() {
        "SELECT" => return Plan::Answer(b"+OK\r\n".to_vec()),
        "HELLO" => match (word(2).as_str(), word(3).as_str()) {
            ("AUTH", user) if user != "DEFAULT" => return error("Invalid password"),
            _ if sub == "3" && kind.has_resp3 => Change::Hello { protocol: 3 },
            _ => {
                if let Some(protocol) = arguments.get_mut(1) {
                    *protocol = b"2".to_vec();
                }
                Change::Hello { protocol: 2 }
            }
        },
        "AUTH" if arguments.len() != 2 => return error("wrong number of arguments"),
        "WAIT" if !kind.has_wait => return unknown(),
        "WAIT" if sub == "0" => return error("value is out of range"),
        "WAITAOF" | "ACL" | "BRPOPLPUSH" | "SPUBLISH" | "HEXPIRE" | "HPEXPIRE" => return unknown(),
        "CLIENT" if !is_one_of(&["ID", "SETNAME", "GETNAME", "LIST", "INFO", "KILL", "REPLY"]) => {
            return error("Syntax error, try CLIENT LIST|INFO|KILL ip:port|GETNAME|SETNAME");
        }
        "OBJECT" if sub != "DUMP" => return error("object subcommand must be dump"),
        "MEMORY" if sub != "USAGE" => return error("memory subcommand must be usage"),
        "DEBUG" if sub != "SLEEP" => return error("Unknown subcommand, DEBUG must be SLEEP"),
        "EXPIRE" | "PEXPIRE" | "EXPIREAT" | "PEXPIREAT" if arguments.len() > 3 => {
            return error("wrong number of arguments");
        }
        "XADD" | "XTRIM" if has("~") => return error("syntax error"),
        "CONFIG" if kind.is_namespace => return error("admin permission required to perform the command"),
        "CONFIG" if sub == "GET" && arguments.len() > 3 => return error("wrong number of arguments"),
        "CONFIG" if sub == "GET" && ABSENT_SETTINGS.contains(&word(2).to_lowercase().as_str()) => {
            return Plan::Answer(b"*0\r\n".to_vec());
        }
        "CONFIG" if sub == "GET" && word(2).starts_with("ROCKSDB.") => {
            let is_on = kind.syncs && word(2) == "ROCKSDB.WRITE_OPTIONS.SYNC";
            let value = if is_on { "yes" } else { "no" };
            return Plan::Answer([b"*2\r\n".to_vec(), bulk(word(2).to_lowercase()), bulk(value)].concat());
        }
        "EVALSHA" | "EVALSHA_RO" => match scripts.instead_of(&sub) {
            Some(instead) => {
                arguments[1] = instead.into_bytes();
                Change::Script
            }
            None => return Plan::Answer(b"-NOSCRIPT No matching script. Please use EVAL.\r\n".to_vec()),
        },
        "EVAL" | "EVAL_RO" if arguments.len() > 2 => match instead(&arguments[1]) {
            Ok(instead) => {
                arguments[1] = instead;
                Change::Script
            }
            Err(refusal) => return error(&refusal),
        },
        "FCALL" | "FCALL_RO" => Change::Script,
        "SCRIPT" => match sub.as_str() {
            "LOAD" if arguments.len() == 3 => match instead(&arguments[2]) {
                Ok(instead) => Change::ScriptLoad { source: std::mem::replace(&mut arguments[2], instead) },
                Err(refusal) => return error(&refusal),
            },
            "KILL" => return unknown(),
            "FLUSH" if arguments.len() > 2 => return error("wrong number of arguments"),
            "FLUSH" => {
                scripts.clear();
                Change::None
            }
            "EXISTS" => {
                let is_loaded = |at| u8::from(scripts.instead_of(&word(at)).is_some());
                let found = (2..arguments.len()).map(|at| format!(":{}\r\n", is_loaded(at)));
                return Plan::Answer(format!("*{}\r\n{}", arguments.len() - 2, found.collect::<String>()).into_bytes());
            }
            _ => Change::None,
        },
        "FUNCTION" => match sub.as_str() {
            "DUMP" | "STATS" => return unknown(),
            "LOAD" => Change::FunctionLoad,
            _ => Change::None,
        },
        "INFO" => Change::Info,
        "ROLE" => Change::Role,
        "XREADGROUP" => {
            let names = arguments.iter().skip_while(|argument| !argument.eq_ignore_ascii_case(b"STREAMS")).skip(1);
            let names = names.cloned().collect::<Vec<_>>();
            Change::ReadGroup { streams: names[..names.len() / 2].to_vec() }
        }
        _ => Change::None,
    };
    Plan::Forward(arguments, change)
}

/// Changes one reply.
pub(super) fn changed(frame: &[u8], change: &Change, scripts: &Scripts, version: &str) -> Vec<u8> {
    let (kind, body) = (frame[0], String::from_utf8_lossy(text(frame)).into_owned());
    match change {
        Change::Hello { protocol } if kind != b'-' => return hello(*protocol, frame),
        Change::Info if kind != b'-' => return bulk(info(&body, version)),
        Change::Script if kind == b'+' && body != "QUEUED" => return bulk(body),
        Change::Script if kind == b'-' && body.starts_with("OOM") => {
            return b"-ERR running script (call to f_): IO error: Space limit reached\r\n".to_vec();
        }
        Change::Script if kind == b'-' && body.contains("user_script") => {
            return format!("-ERR running script (call to f_): {body}\r\n").into_bytes();
        }
        Change::ScriptLoad { source } if kind == b'$' => return bulk(scripts.note(source, &body)),
        Change::FunctionLoad if kind == b'$' => return bulk(""),
        Change::ReadGroup { streams } if body.starts_with("NOGROUP") => {
            let streams_text = streams.iter().flat_map(|stream| [b"*2\r\n".to_vec(), bulk(stream), b"*0\r\n".to_vec()]);
            return [format!("*{}\r\n", streams.len()).into_bytes(), streams_text.flatten().collect()].concat();
        }
        Change::Role => return role(frame),
        _ => {}
    }
    if kind == b'-' && body.starts_with("WRONGTYPE") {
        return format!("-ERR Invalid argument: {body}\r\n").into_bytes();
    }
    if kind == b'-' && body.starts_with("OOM") {
        return b"-ERR IO error: Space limit reached\r\n".to_vec();
    }
    if kind == b'-' && body.starts_with("WRONGPASS") {
        return b"-ERR Invalid password\r\n".to_vec();
    }
    // A missing array is a missing value.
    if frame == b"*-1\r\n" { b"$-1\r\n".to_vec() } else { frame.to_vec() }
}

/// Without the client's `id`; the modules are null. The role is that of the server.
fn hello(protocol: u8, frame: &[u8]) -> Vec<u8> {
    let role = ["slave", "replica"].iter().find(|role| frame.windows(role.len()).any(|part| part == role.as_bytes()));
    let role = if role.is_some() { "slave" } else { "master" };
    let (map, null) = if protocol == 3 { ("%6\r\n", "_\r\n") } else { ("*12\r\n", "$-1\r\n") };
    let mut reply = map.as_bytes().to_vec();
    for (name, value) in [("server", "redis"), ("version", "4.0.0")] {
        reply.extend([bulk(name), bulk(value)].concat());
    }
    reply.extend([bulk("proto"), format!(":{protocol}\r\n").into_bytes()].concat());
    for (name, value) in [("mode", "standalone"), ("role", role)] {
        reply.extend([bulk(name), bulk(value)].concat());
    }
    reply.extend([bulk("modules"), null.as_bytes().to_vec()].concat());
    reply
}

/// Without the id of the run and without what Kvrocks does not measure.
fn info(text: &str, version: &str) -> String {
    let is_absent = |line: &str| {
        let name = line.split(':').next().unwrap_or_default();
        let is_memory = name.starts_with("used_memory") && !name.starts_with("used_memory_rss");
        is_memory || name == "run_id" || name.starts_with("maxmemory") || name.starts_with("valkey_version")
    };
    let lines = text.lines().filter(|line| !is_absent(line)).map(|line| match line.split_once(':') {
        Some(("redis_version", _)) => format!("kvrocks_version:{version}\r\nredis_version:4.0.0\r\n"),
        _ => format!("{line}\r\n"),
    });
    lines.collect()
}

/// Offsets are strings, and a primary without replicas has two elements.
fn role(frame: &[u8]) -> Vec<u8> {
    let lines = frame.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let lines = lines.map(|line| String::from_utf8_lossy(line).into_owned()).collect::<Vec<_>>();
    match lines.as_slice() {
        [_, _, role, offset, replicas, ..] if role == "master" && replicas == "*0" => {
            [b"*2\r\n".to_vec(), bulk("master"), bulk(offset.trim_start_matches(':'))].concat()
        }
        _ => frame.to_vec(),
    }
}
