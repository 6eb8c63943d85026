//! Files of `NAME=value` lines.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Why a file of variables was refused. No value is repeated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvFileError {
    /// The file cannot be read.
    #[error("{}: cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line is not understood.
    #[error("{}:{line}: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        reason: &'static str,
    },
}

pub(crate) fn read(path: &Path) -> Result<BTreeMap<String, String>, EnvFileError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| EnvFileError::Unreadable { path: path.to_owned(), source })?;
    parse(&text).map_err(|(line, reason)| EnvFileError::Line { path: path.to_owned(), line, reason })
}

fn parse(text: &str) -> Result<BTreeMap<String, String>, (usize, &'static str)> {
    let mut variables = BTreeMap::new();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = assignment(line).map_err(|reason| (index + 1, reason))?;
        if variables.insert(name, value).is_some() {
            return Err((index + 1, "this variable is set a second time; remove one of the lines"));
        }
    }
    Ok(variables)
}

fn assignment(line: &str) -> Result<(String, String), &'static str> {
    let line = line.strip_prefix("export ").map_or(line, str::trim_start);
    let (name, value) = line.split_once('=').ok_or("not NAME=value; a comment begins with #")?;
    let named = |character: char| character.is_ascii_alphanumeric() || character == '_';
    if name.is_empty() || !name.chars().all(named) || name.starts_with(|first: char| first.is_ascii_digit()) {
        return Err("the name before = may hold ASCII letters, digits and _, and no blanks");
    }
    Ok((name.to_owned(), value_of(value.trim_start())?))
}

fn value_of(text: &str) -> Result<String, &'static str> {
    let (value, rest) = match text.chars().next() {
        Some('\'') => {
            let (value, rest) = text[1..].split_once('\'').ok_or("the closing ' is missing")?;
            (value.to_owned(), rest)
        }
        Some('"') => double_quoted(&text[1..])?,
        Some('#') => return Ok(String::new()),
        _ => {
            let end = text.match_indices('#').find(|(at, _)| text[..*at].ends_with(char::is_whitespace));
            return Ok(text[..end.map_or(text.len(), |(at, _)| at)].trim_end().to_owned());
        }
    };
    let rest = rest.trim_start();
    if rest.is_empty() || rest.starts_with('#') { Ok(value) } else { Err("something follows the closing quote") }
}

fn double_quoted(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match characters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, escaped @ ('"' | '\\' | '$'))) => value.push(escaped),
                _ => return Err("after \\ in double quotes only n, \", \\ and $ are known; use single quotes"),
            },
            other => value.push(other),
        }
    }
    Err("the closing \" is missing")
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn every_form_of_a_line_is_read() {
        let text = "\u{feff}# comment\r\n\nA=1\r\nexport B = \n";
        assert_eq!(parse(text).unwrap_err().0, 4);
        let variables = parse(
            "A=1 # one\nexport B='a # \"b\\n'  # c\n C=\"x\\\"y\\\\\\n\\$\"\nD=\nE=a=b#c\nF= spaced out \nG=# nothing\n",
        )
        .unwrap();
        let expected = [
            ("A", "1"),
            ("B", "a # \"b\\n"),
            ("C", "x\"y\\\n$"),
            ("D", ""),
            ("E", "a=b#c"),
            ("F", "spaced out"),
            ("G", ""),
        ];
        assert_eq!(variables, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    }

    #[test]
    fn a_line_that_is_not_understood_is_named() {
        for (text, line) in [
            ("A=1\nB", 2),
            ("A B=1", 1),
            ("=1", 1),
            ("1A=1", 1),
            ("A='1", 1),
            ("\n\nA=\"1", 3),
            ("A=\"1\"2", 1),
            ("A=\"\\x\"", 1),
            ("A=1\nA=2", 2),
        ] {
            assert_eq!(parse(text).unwrap_err().0, line, "{text}");
        }
    }
}
