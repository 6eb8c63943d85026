use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use store_core::Role;

use super::split::split;
use super::{ConfFinding, ServerConfError, invalid};

/// The largest file that is read, in bytes.
const MAX_BYTES: u64 = 1024 * 1024;

/// How deep files include each other. A server reads on until it crashes.
const MAX_DEPTH: usize = 16;

/// How many files are read, a file that is included several times as often.
const MAX_FILES: usize = 256;

/// The largest number of lines, in all files together.
const MAX_LINES: usize = 100_000;

/// One directive, where it is.
pub(super) struct ConfLine {
    pub(super) file: PathBuf,
    pub(super) number: usize,
    /// In lower case.
    pub(super) name: String,
    pub(super) values: Vec<String>,
}

/// The lines in the order in which the server reads them, with those of included files in their place, and the lines that
/// cannot be divided into words.
pub(super) fn read(role: Role, path: &Path) -> Result<(Vec<ConfLine>, Vec<ConfFinding>), ServerConfError> {
    let bytes = bytes_of(path).map_err(|source| ServerConfError { path: path.to_owned(), source })?;
    let open = canonical(path).into_iter().collect();
    let mut reader = Reader { role, lines: Vec::new(), findings: Vec::new(), open, files: 1 };
    reader.add(path, &bytes);
    Ok((reader.lines, reader.findings))
}

struct Reader {
    role: Role,
    lines: Vec<ConfLine>,
    findings: Vec<ConfFinding>,
    /// The files from the first one to the one that is read now, each of which includes the next.
    open: Vec<PathBuf>,
    /// How many files have been read.
    files: usize,
}

impl Reader {
    fn add(&mut self, file: &Path, bytes: &[u8]) {
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let line = trim(line);
            if line.is_empty() || line[0] == b'#' || self.lines.len() >= MAX_LINES {
                continue;
            }
            let number = index + 1;
            if line.contains(&0) {
                self.invalid(file, number, "the line holds a NUL byte; save the file as UTF-8 text");
                continue;
            }
            let Some(words) = split(line) else {
                self.invalid(file, number, "a quote is not closed, or its end is not followed by a blank");
                continue;
            };
            let mut words = words.iter().map(|word| String::from_utf8_lossy(word).into_owned());
            let Some(name) = words.next() else { continue };
            let line =
                ConfLine { file: file.to_owned(), number, name: name.to_ascii_lowercase(), values: words.collect() };
            match (line.name.as_str(), line.values.as_slice()) {
                ("include", [included]) => self.include(file, number, included),
                _ => self.lines.push(line),
            }
        }
    }

    fn include(&mut self, file: &Path, number: usize, included: &str) {
        if self.open.len() > MAX_DEPTH {
            return self.invalid(file, number, "the files include each other too deeply");
        }
        // a pattern may match no file
        let paths = if included.contains(['*', '?', '[']) { matching(included) } else { vec![included.into()] };
        for path in paths {
            let canonical = canonical(&path);
            if canonical.as_ref().is_some_and(|path| self.open.contains(path)) {
                self.invalid(file, number, format!("{} includes itself, directly or through others", path.display()));
                continue;
            }
            self.files += 1;
            if self.files > MAX_FILES {
                if self.files == MAX_FILES + 1 {
                    self.invalid(
                        file,
                        number,
                        format!("more than {MAX_FILES} files are read; the others are not checked"),
                    );
                }
                return;
            }
            match bytes_of(&path) {
                Ok(bytes) => {
                    self.open.push(canonical.unwrap_or_else(|| path.clone()));
                    self.add(&path, &bytes);
                    self.open.pop();
                }
                Err(error) => {
                    let what = format!("the included file {} cannot be read: {}", path.display(), error.kind());
                    self.invalid(file, number, what);
                }
            }
        }
    }

    fn invalid(&mut self, file: &Path, line: usize, what: impl AsRef<str>) {
        self.findings.push(invalid(self.role, file, line, what));
    }
}

/// The files that match the pattern in the last part of a path; the server accepts patterns in every part.
fn matching(pattern: &str) -> Vec<PathBuf> {
    let (folder, name) = pattern.rsplit_once('/').map_or((".", pattern), |(folder, name)| (folder, name));
    let entries = std::fs::read_dir(if folder.is_empty() { "/" } else { folder }).into_iter().flatten().flatten();
    let is_match = |entry: &std::fs::DirEntry| {
        let file = entry.file_name();
        let file = file.to_string_lossy();
        file.starts_with('.') == name.starts_with('.') && matches(name.as_bytes(), file.as_bytes())
    };
    let mut paths: Vec<_> = entries.filter(is_match).map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// Whether a name matches a pattern of `*`, `?`, `[abc]`, `[a-c]`, `[!a]` and `\`.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern, name) {
        ([], _) => name.is_empty(),
        ([b'*', rest @ ..], _) => (0..=name.len()).any(|skipped| matches(rest, &name[skipped..])),
        (_, []) => false,
        ([b'?', rest @ ..], [_, tail @ ..]) => matches(rest, tail),
        ([b'[', inside @ ..], [first, tail @ ..]) if inside.iter().skip(1).any(|byte| *byte == b']') => {
            let end = 1 + inside.iter().skip(1).position(|byte| *byte == b']').unwrap_or_default();
            let (set, rest) = (&inside[..end], &inside[end + 1..]);
            let (is_negated, set) = match set {
                [b'!' | b'^', set @ ..] => (true, set),
                set => (false, set),
            };
            let in_range = set.windows(3).any(|range| range[1] == b'-' && (range[0]..=range[2]).contains(first));
            (in_range || set.contains(first)) != is_negated && matches(rest, tail)
        }
        ([b'\\', literal, rest @ ..] | [literal, rest @ ..], [first, tail @ ..]) => {
            literal == first && matches(rest, tail)
        }
    }
}

/// The path without links, if the file exists.
fn canonical(path: &Path) -> Option<PathBuf> {
    std::fs::canonicalize(path).ok()
}

fn bytes_of(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 1 MiB"));
    }
    Ok(bytes)
}

fn trim(mut line: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\r', rest @ ..] | [rest @ .., b' ' | b'\t' | b'\r'] = line {
        line = rest;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_as_a_shell_matches_them() {
        for (pattern, name, expected) in [
            ("*.conf", "a.conf", true),
            ("*.conf", "a.con", false),
            ("a?c", "abc", true),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            (r"\*x", "*x", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }
}
