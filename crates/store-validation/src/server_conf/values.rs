use std::collections::BTreeSet;

use store_core::Role;

use super::directives::{Kind, canonical, kind, names};
use super::read::ConfLine;
use super::{ConfFinding, invalid};
use crate::nearest::nearest;

/// Whether a server accepts the line; otherwise what is wrong with it. No value is repeated: a misplaced one may be a secret.
pub(super) fn check(line: &ConfLine) -> Result<(), String> {
    let name = canonical(&line.name);
    if name == "sentinel" && line.values.is_empty() {
        return Ok(());
    }
    let Some(kind) = kind(name) else { return Err(unknown(line)) };
    if kind == Kind::Several {
        return several(name, &line.values).map_err(|expected| format!("{name} {expected}"));
    }
    let [value] = line.values.as_slice() else {
        let comment = if line.values.iter().any(|value| value.starts_with('#')) {
            "; write a comment in a line of its own"
        } else {
            ""
        };
        return Err(format!("{name} takes one value, and there are {}{comment}", line.values.len()));
    };
    single(kind, value).map_err(|expected| format!("{name} {expected}"))
}

/// What the server finds out only when it has read all lines.
pub(super) fn check_together(role: Role, lines: &[ConfLine]) -> Vec<ConfFinding> {
    let mut findings = Vec::new();
    let mut report = |line: &ConfLine, what: &str| findings.push(invalid(role, &line.file, line.number, what));
    let mut users = BTreeSet::new();
    let named = |line: &&ConfLine, name: &str| canonical(&line.name) == name;
    let last = |name: &str| lines.iter().rfind(|line| named(line, name));
    let aclfile = last("aclfile").filter(|line| !line.values[0].is_empty());
    for line in lines.iter().filter(|line| named(line, "user")) {
        if !users.insert(&line.values[0]) {
            report(line, "the user is defined a second time");
        } else if aclfile.is_some() {
            report(line, "users are defined here and in the file of aclfile; define all in one place");
        }
    }
    let replicates = last("replicaof").filter(|line| !is_no_one(&words(&line.values)));
    let clustered = last("cluster-enabled").filter(|line| line.values[0].eq_ignore_ascii_case("yes"));
    if let (Some(line), Some(_)) = (replicates, clustered) {
        report(line, "replicaof is not allowed with cluster-enabled yes");
    }
    findings
}

fn unknown(line: &ConfLine) -> String {
    // an unknown name may be a secret in a wrong place
    match nearest(&line.name, names()) {
        _ if line.name == "include" => "include takes one file".to_owned(),
        _ if line.name == "sentinel" => "sentinel is a directive of a sentinel, not of a data server".to_owned(),
        _ if line.name.contains('.') => "no module is loaded that has this directive".to_owned(),
        Some(near) => format!("no server has this directive; did you mean {near}?"),
        None => "no server has this directive".to_owned(),
    }
}

fn single(kind: Kind, value: &str) -> Result<(), String> {
    let is_word = |word: &&str| word.eq_ignore_ascii_case(value);
    let is_valid = match kind {
        Kind::YesNo => is_word(&"yes") || is_word(&"no"),
        Kind::OneOf(words) => words.iter().any(is_word),
        Kind::Number { min, max } => number(value).is_some_and(|number| (min..=max).contains(&number)),
        Kind::Size { min } => bytes(value).is_some_and(|size| size >= min),
        Kind::SizeOrPercent => bytes(value).is_some() || percent(value).is_some_and(|percent| percent <= 100),
        Kind::Octal => u32::from_str_radix(value, 8).is_ok_and(|mode| mode <= 0o777),
        Kind::FileName => !value.contains('/') && !value.is_empty(),
        Kind::Text | Kind::Several | Kind::Ignored => true,
    };
    if is_valid {
        return Ok(());
    }
    Err(match kind {
        Kind::YesNo => "takes yes or no".to_owned(),
        Kind::OneOf(words) => format!("takes one of {}", words.join(", ")),
        Kind::Number { min, max: i64::MAX } => format!("takes a whole number from {min}"),
        Kind::Number { min, max } => format!("takes a whole number from {min} to {max}"),
        Kind::Size { min } => {
            format!("takes a number of bytes from {min}, such as 256mb; units are b, k, kb, m, mb, g, gb")
        }
        Kind::SizeOrPercent => "takes a number of bytes, such as 256mb, or a percentage up to 100%".to_owned(),
        Kind::Octal => "takes access rights from 0 to 777".to_owned(),
        _ => "takes the name of a file without a path".to_owned(),
    })
}

/// The directives that take several values. The server also accepts them in one pair of quotes.
fn several(name: &str, values: &[String]) -> Result<(), &'static str> {
    let words = words(values);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (is_valid, expected) = match name {
        "save" => (is_save(&words), "takes pairs of seconds and changes, or \"\" for no snapshots"),
        "client-output-buffer-limit" => {
            let is_class = |word: &str| ["normal", "slave", "replica", "pubsub"].contains(&&*word.to_ascii_lowercase());
            let is_limit = |limit: &[&str]| match limit {
                [class, hard, soft, seconds] => {
                    let seconds = seconds.is_empty() || seconds.parse::<u32>().is_ok();
                    is_class(class) && bytes(hard).is_some() && bytes(soft).is_some() && seconds
                }
                _ => false,
            };
            let expected = "takes a class (normal, replica, pubsub), a hard limit, a soft limit and seconds";
            (words.chunks(4).all(is_limit), expected)
        }
        "replicaof" => {
            let is_port = |port: &str| port.parse::<u16>().is_ok();
            (
                is_no_one(&values_of(&words)) || matches!(words.as_slice(), [_, port] if is_port(port)),
                "takes a host and a port",
            )
        }
        "bind" => (words.len() <= 16, "takes at most 16 addresses"),
        "oom-score-adj-values" => {
            let is_score = |word: &&str| word.parse::<i32>().is_ok_and(|score| (-2_000..=2_000).contains(&score));
            (words.len() == 3 && words.iter().all(is_score), "takes three numbers from -2000 to 2000")
        }
        "latency-tracking-info-percentiles" => {
            let is_percentile = |word: &&str| word.parse::<f64>().is_ok_and(|number| (0.0..=100.0).contains(&number));
            (words == [""] || words.iter().all(is_percentile), "takes numbers from 0 to 100")
        }
        "notify-keyspace-events" => {
            let is_class = |letter: char| "AKEg$lshzxetmdnoc".contains(letter);
            (values.len() == 1 && values[0].chars().all(is_class), "takes letters of AKEg$lshzxetmdn")
        }
        "shutdown-on-sigint" | "shutdown-on-sigterm" => {
            let is_flag =
                |word: &&str| ["default", "save", "nosave", "now", "force"].contains(&&*word.to_ascii_lowercase());
            let has = |flag: &str| words.iter().any(|word| word.eq_ignore_ascii_case(flag));
            let is_valid = !words.is_empty() && words.iter().all(is_flag) && !(has("save") && has("nosave"));
            (is_valid, "takes default, or some of save, nosave, now, force, and not both save and nosave")
        }
        "rename-command" => (values.len() == 2, "takes a command and its new name, or \"\" to remove it"),
        "user" => (
            !values.is_empty() && values[1..].iter().all(|rule| is_rule(rule)),
            "takes a name and ACL rules; a hash is # and 64 hexadecimal digits",
        ),
        _ => (!values.is_empty(), "takes a path"),
    };
    if is_valid { Ok(()) } else { Err(expected) }
}

fn is_save(words: &[&str]) -> bool {
    let is_at_least = |word: &str, min: i64| word.parse::<i64>().is_ok_and(|number| number >= min);
    let is_pair =
        |pair: &[&str]| matches!(pair, [seconds, changes] if is_at_least(seconds, 1) && is_at_least(changes, 0));
    words == [""] || words.chunks(2).all(is_pair)
}

/// Whether an ACL rule can be read; a placeholder of a password's hash cannot.
fn is_rule(rule: &str) -> bool {
    rule.strip_prefix(['#', '!']).is_none_or(|hash| {
        hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    })
}

fn is_no_one(words: &[String]) -> bool {
    matches!(words, [first, second] if first.eq_ignore_ascii_case("no") && second.eq_ignore_ascii_case("one"))
}

fn values_of(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// The values, with one in quotes divided at its blanks.
pub(super) fn words(values: &[String]) -> Vec<String> {
    match values {
        [one] if one.contains(' ') => one.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect(),
        _ => values.to_vec(),
    }
}

/// A whole number as the server reads it: digits without a leading zero, after at most a minus.
fn number(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && (!digits.starts_with('0') || text == "0");
    if is_plain { text.parse().ok() } else { None }
}

/// A number of bytes as the server reads it: digits, of which there may be none, and a unit.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let unit = text.trim_start_matches(|digit: char| digit.is_ascii_digit());
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1_000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    let digits = &text[..text.len() - unit.len()];
    if digits.is_empty() { Some(0) } else { digits.parse::<u64>().ok().map(|number| number.saturating_mul(factor)) }
}

fn percent(text: &str) -> Option<u64> {
    let digits = text.strip_suffix('%')?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}
