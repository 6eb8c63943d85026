//! Files of `NAME=value` lines. Forms that `docker run --env-file`, Compose and systemd's `EnvironmentFile=` read
//! differently are refused, so a file that passes here means the same to all of them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// The largest file that is read, in bytes.
const MAX_BYTES: u64 = 1024 * 1024;

/// Why a file of variables was refused. It repeats no value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvFileError {
    /// The file cannot be read.
    #[error("{}: cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file as a whole is not a file of variables.
    #[error("{}: {reason}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
    /// A line is invalid.
    #[error("{}:{line}: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong, and what to write instead.
        reason: &'static str,
    },
}

/// What is wrong, and on which line if it is on one.
type Problem = (Option<usize>, &'static str);

pub(crate) fn read(path: &Path) -> Result<BTreeMap<String, String>, EnvFileError> {
    let bytes = bytes_of(path).map_err(|source| EnvFileError::Unreadable { path: path.to_owned(), source })?;
    parse(&bytes).map_err(|(line, reason)| match line {
        Some(line) => EnvFileError::Line { path: path.to_owned(), line, reason },
        None => EnvFileError::Form { path: path.to_owned(), reason },
    })
}

/// The content of a file, or of a pipe until its writer closes it; at most one byte more than the limit.
fn bytes_of(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn parse(bytes: &[u8]) -> Result<BTreeMap<String, String>, Problem> {
    let mut variables = BTreeMap::new();
    for (index, line) in text_of(bytes)?.lines().enumerate() {
        let line = line.trim_start_matches([' ', '\t']);
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = assignment(line).map_err(|reason| (Some(index + 1), reason))?;
        if variables.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err((Some(index + 1), "this variable is set a second time; remove one of the lines"));
        }
    }
    Ok(variables)
}

fn text_of(bytes: &[u8]) -> Result<&str, Problem> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err((None, "larger than 1 MiB; this is not a file of variables"));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err((None, "the file is UTF-16; save it as UTF-8"));
    }
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let line_at = |at: usize| bytes[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        return Err((Some(line_at(at)), "the line contains a NUL byte; save the file as UTF-8 text"));
    }
    str::from_utf8(bytes)
        .map_err(|error| (Some(line_at(error.valid_up_to())), "the line is not UTF-8; save the file as UTF-8"))
}

fn assignment(line: &str) -> Result<(&str, &str), &'static str> {
    if line.strip_prefix("export").is_some_and(|rest| rest.starts_with([' ', '\t'])) {
        return Err("docker and systemd do not accept export; remove the word");
    }
    let (name, value) = line.split_once('=').ok_or(
        "not NAME=value in one line; put a value over several lines into a file that a …_FILE variable names, \
         begin a comment with #",
    )?;
    let named = |character: char| character.is_ascii_alphanumeric() || character == '_';
    if name.is_empty() || !name.chars().all(named) || name.starts_with(|first: char| first.is_ascii_digit()) {
        return Err("the name before = may contain only ASCII letters, digits and _");
    }
    Ok((name, plain(value)?))
}

/// The value, if all readers take it literally.
fn plain(value: &str) -> Result<&str, &'static str> {
    let is_blank = |character: char| matches!(character, ' ' | '\t');
    if value.starts_with(is_blank) || value.ends_with(is_blank) {
        return Err("docker keeps the blanks around a value, and systemd removes them; remove them");
    }
    if value.starts_with(['"', '\'']) {
        return Err(
            "docker keeps the quotes as part of the value, and systemd removes them; write the value without quotes",
        );
    }
    if value.contains('$') {
        return Err(
            "compose replaces $NAME and ${NAME}, and docker and systemd do not; write the value itself, in a URL %24 for $",
        );
    }
    if value.contains('\\') {
        return Err("systemd removes a \\, and docker keeps it; write the value without it, in a URL %5C for \\");
    }
    if value.starts_with('#') || value.contains(" #") || value.contains("\t#") {
        return Err(
            "docker keeps a comment behind a value as part of it; move the comment to a line of its own, or write %23 for # in a URL",
        );
    }
    if value.chars().any(|character| character.is_control() && character != '\t') {
        return Err("the value contains a control character; in a URL percent-encode it");
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn forms_that_all_readers_read_alike_are_accepted() {
        let text = "# comment\r\n\r\nA=1\r\n  B=x y\n\tC=a=b#c\nD=\n \t\nE=it's\nF={\"json\":[1,2]}\n_g2=\u{e4}";
        let expected = [
            ("A", "1"),
            ("B", "x y"),
            ("C", "a=b#c"),
            ("D", ""),
            ("E", "it's"),
            ("F", "{\"json\":[1,2]}"),
            ("_g2", "\u{e4}"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        assert_eq!(parse(text.as_bytes()), Ok(expected));
    }

    #[test]
    fn one_byte_order_mark_is_skipped_and_utf_16_is_refused() {
        assert_eq!(parse("\u{feff}A=1".as_bytes()).unwrap()["A"], "1");
        assert_eq!(parse("\u{feff}\u{feff}A=1".as_bytes()).unwrap_err().0, Some(1));
        for utf_16 in [b"\xff\xfeA\0=\x001\0".as_slice(), b"\xfe\xff\0A\0=\x001"] {
            let (line, reason) = parse(utf_16).unwrap_err();
            assert!(line.is_none() && reason.contains("UTF-16") && reason.contains("UTF-8"), "{reason}");
        }
        assert_eq!(parse(b"A=1\nB\0=\x001\0").unwrap_err().0, Some(2));
        assert_eq!(parse(b"A=1\nB=\xe9").unwrap_err().0, Some(2));
    }

    #[test]
    fn forms_that_readers_read_differently_are_refused_with_line_and_advice() {
        for (text, line, advice) in [
            ("A=1\nB=${HOME}/x", 2, "%24"),
            ("A=$HOME", 1, "%24"),
            ("A=\"1\"", 1, "without quotes"),
            ("A='1'", 1, "without quotes"),
            ("\n\nA=\"1", 3, "without quotes"),
            ("A=\"1\n2\"", 1, "without quotes"),
            ("export A=1", 1, "remove the word"),
            ("export\tA=1", 1, "remove the word"),
            ("A=1 \\\n2", 1, "%5C"),
            ("A=a\\b", 1, "%5C"),
            ("A=1 # one", 1, "a line of its own"),
            ("A=#", 1, "a line of its own"),
            ("A= 1", 1, "remove them"),
            ("A=1\t", 1, "remove them"),
            ("A=1\nB", 2, "NAME=value"),
            ("A=-----BEGIN-----\nMIIB\n", 2, "_FILE"),
            ("A B=1", 1, "only ASCII"),
            ("A =1", 1, "only ASCII"),
            ("A: 1", 1, "NAME=value"),
            ("=1", 1, "letters"),
            ("1A=1", 1, "letters"),
            ("A=1\u{7}", 1, "control character"),
            ("A=1\nA=2", 2, "second time"),
        ] {
            let (found, reason) = parse(text.as_bytes()).unwrap_err();
            assert_eq!(found, Some(line), "{text}");
            assert!(reason.contains(advice), "{text}: {reason}");
        }
    }

    #[test]
    fn a_file_without_end_is_refused() {
        assert!(parse(&vec![b'#'; 1024 * 1024 + 1]).unwrap_err().1.contains("1 MiB"));
    }
}
