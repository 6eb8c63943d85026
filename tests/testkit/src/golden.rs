//! Golden files: the data of a server as commands in plain text, which `redis-cli < FILE` and [`load`] execute.
//!
//! A golden file shows what a version of the library stored. A test compares it with what is written now ([`dump`]), and
//! loads it into a server to read it. Times to live are not part of it. Lines that begin with `#` are comments.

use std::fmt::Write as _;

use crate::{CommandError, RedisServer, Value};

/// Sends the commands of a golden file.
///
/// # Errors
/// If the server refuses one, or cannot be reached.
pub async fn load(server: &RedisServer, text: &str) -> Result<(), CommandError> {
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        server.command(&words(line)).await?;
    }
    Ok(())
}

/// The data under the keys that match a pattern of `SCAN`, as a golden file, sorted by key.
///
/// # Errors
/// If the server cannot be reached.
pub async fn dump(server: &RedisServer, pattern: &str) -> Result<String, CommandError> {
    let found = server.command(&["SCAN", "0", "MATCH", pattern, "COUNT", "1000000"]).await?.into_array();
    let mut keys: Vec<_> = found.into_iter().nth(1).map(Value::into_array).unwrap_or_default();
    keys.sort_by(|one, other| one.as_bytes().cmp(&other.as_bytes()));
    let mut text = String::new();
    for key in keys.iter().filter_map(Value::as_bytes) {
        let kind = server.command(&[&b"TYPE"[..], key]).await?;
        if kind.as_str() == Some("stream") {
            for entry in server.command(&[b"XRANGE", key, b"-", b"+"]).await?.into_array() {
                let _ = write!(text, "XADD {}", quoted(key));
                // The id, and a list of fields and values.
                for part in entry.into_array() {
                    let parts = if let Value::Array(fields) = part { fields } else { vec![part] };
                    for part in parts {
                        let _ = write!(text, " {}", quoted(part.as_bytes().unwrap_or_default()));
                    }
                }
                text.push('\n');
            }
            continue;
        }
        let (command, read): (&str, &[&[u8]]) = match kind.as_str().unwrap_or_default() {
            "string" => ("SET", &[b"GET", key]),
            "list" => ("RPUSH", &[b"LRANGE", key, b"0", b"-1"]),
            "hash" => ("HSET", &[b"HGETALL", key]),
            _ => ("ZADD", &[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"]),
        };
        let values = match server.command(read).await? {
            Value::Array(values) => values,
            value => vec![value],
        };
        let mut values: Vec<_> = values.chunks(if matches!(command, "HSET" | "ZADD") { 2 } else { 1 }).collect();
        if command == "HSET" {
            values.sort_by(|one, other| one[0].as_bytes().cmp(&other[0].as_bytes()));
        }
        for value in values {
            let _ = write!(text, "{command} {}", quoted(key));
            // ZADD takes the score first.
            let in_order: Vec<_> =
                if command == "ZADD" { value.iter().rev().collect() } else { value.iter().collect() };
            for part in in_order {
                let _ = write!(text, " {}", quoted(part.as_bytes().unwrap_or_default()));
            }
            text.push('\n');
        }
    }
    Ok(text)
}

/// A word in quotes, as `redis-cli` reads it.
pub fn quoted(word: &[u8]) -> String {
    let mut text = String::from("\"");
    for byte in word {
        match byte {
            b'"' | b'\\' => {
                text.push('\\');
                text.push(char::from(*byte));
            }
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => {
                let _ = write!(text, "\\x{byte:02x}");
            }
        }
    }
    text.push('"');
    text
}

/// The words of a line, bare or in quotes.
pub fn words(line: &str) -> Vec<Vec<u8>> {
    let (mut words, mut word, mut is_quoted) = (Vec::new(), None::<Vec<u8>>, false);
    let mut rest = line.as_bytes();
    while let [byte, behind @ ..] = rest {
        rest = behind;
        match (*byte, behind) {
            (b'"', _) => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            (b' ', _) if !is_quoted => words.extend(word.take()),
            (b'\\', [b'x', high, low, behind @ ..]) => {
                let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                let byte = 16 * digit(*high).unwrap_or_default() + digit(*low).unwrap_or_default();
                word.get_or_insert_default().push(byte);
                rest = behind;
            }
            (b'\\', [byte, behind @ ..]) => {
                word.get_or_insert_default().push(*byte);
                rest = behind;
            }
            (byte, _) => word.get_or_insert_default().push(byte),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_dumped_is_loaded_again() {
        let (server, other) =
            (RedisServer::state().start().await.unwrap(), RedisServer::state().start().await.unwrap());
        let text =
            "SET \"a b\" \"\\x00\\\"\\\\ \\xff\"\n# a comment\nHSET h \"\" 1\nHSET h b 2\nZADD z 1.5 m\nRPUSH l 1 2\n";
        load(&server, text).await.unwrap();
        let dumped = dump(&server, "*").await.unwrap();
        let expected = "SET \"a b\" \"\\x00\\\"\\\\ \\xff\"\nHSET \"h\" \"\" \"1\"\nHSET \"h\" \"b\" \"2\"\nRPUSH \"l\" \"1\"\nRPUSH \"l\" \"2\"\nZADD \"z\" \"1.5\" \"m\"\n";
        assert_eq!(dumped, expected);
        load(&other, &dumped).await.unwrap();
        assert_eq!(dump(&other, "*").await.unwrap(), dumped);
    }
}
