//! Counts the skipped tests by reason.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

/// How many tests were skipped on which server, and why.
#[derive(Default)]
pub(super) struct Skips(BTreeMap<(String, String), usize>);

impl Skips {
    /// Runs tests, prints their output without the lines of passed tests, and counts the skipped ones.
    pub(super) fn run(&mut self, server: &str, command: &mut Command) -> Result<(), String> {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let line = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
        eprintln!("$ {line}");
        let cannot = |error| format!("cannot run {line}: {error}");
        let mut child = command.stdout(Stdio::piped()).spawn().map_err(cannot)?;
        let output = child.stdout.take().ok_or_else(|| format!("no output of {line}"))?;
        for text in BufReader::new(output).split(b'\n') {
            let text = text.map_err(cannot)?;
            let text = String::from_utf8_lossy(&text);
            match reason(&text) {
                Some(reason) => self.note(server, reason),
                None if text.starts_with("test ") && text.trim_end().ends_with(" ok") => {}
                None => writeln!(std::io::stdout(), "{text}").map_err(cannot)?,
            }
        }
        match child.wait() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("failed ({status}): {line}")),
            Err(error) => Err(cannot(error)),
        }
    }

    pub(super) fn note(&mut self, server: &str, reason: &str) {
        *self.0.entry((server.to_owned(), reason.to_owned())).or_default() += 1;
    }
}

/// Why the test of this line was skipped: `skipped: reason`, `test name ... ignored, reason` or `test name ... ignored (reason)`.
fn reason(line: &str) -> Option<&str> {
    if let Some(reason) = line.strip_prefix("skipped: ") {
        return Some(reason.trim());
    }
    let (_, rest) = line.strip_prefix("test ")?.split_once(" ... ignored")?;
    let reason = rest.trim().trim_start_matches(", ");
    let reason = reason.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).unwrap_or(reason);
    Some(if reason.is_empty() { "no reason given" } else { reason })
}

impl fmt::Display for Skips {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} skipped", self.0.values().sum::<usize>())?;
        self.0.iter().try_for_each(|((server, reason), count)| write!(f, "\n{count:>5} on {server}: {reason}"))
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::Skips;

    /// A program that prints what test programs print.
    fn prints(text: &str) -> Command {
        let mut command = Command::new("printf");
        command.arg(text);
        command
    }

    #[test]
    fn skipped_tests_are_counted_by_server_and_reason() {
        let mut skips = Skips::default();
        let text = "test a ... ok\ntest b::c   ... ignored (redis lacks a)\ntest d ... ignored (redis lacks a)\n\
                    test e - f (line 3) ... ignored\ntest g ... ignored, slow\n\nskipped: no tool\ntest h ... ok\ntest result: ok. 1 passed; 4 ignored\n";
        skips.run("installed", &mut prints(text)).unwrap();
        skips.run("other", &mut prints("test d ... ignored (redis lacks a)\n")).unwrap();
        let expected = "6 skipped\n    1 on installed: no reason given\n    1 on installed: no tool\n    2 on installed: redis lacks a\n    \
                        1 on installed: slow\n    1 on other: redis lacks a";
        assert_eq!(skips.to_string(), expected);
        assert!(skips.run("installed", &mut Command::new("false")).is_err());
    }
}
