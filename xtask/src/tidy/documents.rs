//! Paths and code names in the documents exist.

use std::collections::BTreeSet;

use super::TextFile;

/// Paths that documents give as examples.
const EXAMPLE_PATHS: [&str; 2] = ["redis.conf", "lua/<capability>/<verb>.lua"];

/// Names of other libraries and of protocols.
const FOREIGN_NAMES: [&str; 9] =
    ["Arc", "Cargo", "Debug", "Default", "Display", "EnvironmentFile", "Send", "Serialize", "Sync"];

/// Extensions of the repository's files.
const EXTENSIONS: [&str; 9] = [".rs", ".lua", ".md", ".toml", ".conf", ".acl", ".yaml", ".sh", ".env"];

/// The folders at the root, and those in a crate.
const FOLDERS: [&str; 6] = ["crates/", "tests/", "xtask/", "deploy/", "src/", "lua/"];

pub(super) fn check(files: &[TextFile], names: &[String], violations: &mut Vec<String>) {
    let documents: Vec<_> = files.iter().filter(|file| file.name.ends_with(".md")).collect();
    let known = Known::of(files, names);
    for document in documents {
        for (line, text) in prose(&document.text) {
            let mut report = |what: &str, name: &str| {
                violations.push(format!("{}:{line}: {what} `{name}` does not exist", document.name));
            };
            for target in links(text) {
                let folder = document.name.rsplit_once('/').map_or("", |(folder, _)| folder);
                if !known.is_path(&join(folder, target)) {
                    report("the file", target);
                }
            }
            for span in code_spans(text) {
                if is_path(span) && !known.is_path(span) {
                    report("the path", span);
                }
                if let Some(name) = missing_name(span, &known) {
                    report("the name", name);
                }
            }
        }
    }
}

/// The lines outside code blocks, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_code = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        (!is_code && !is_fence).then_some((index + 1, line))
    })
}

/// The targets of links inside the repository.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0));
    targets.filter(|target| !target.contains(':') && !target.starts_with('#'))
}

fn code_spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

fn join(folder: &str, target: &str) -> String {
    if folder.is_empty() { target.to_owned() } else { format!("{folder}/{target}") }
}

/// Whether a text in backticks is meant as a path in the repository.
fn is_path(span: &str) -> bool {
    let letters = |letter: char| letter.is_ascii_alphanumeric() || "_./-".contains(letter);
    span.chars().all(letters)
        && !EXAMPLE_PATHS.contains(&span)
        && !span.starts_with(['/', '.'])
        && (EXTENSIONS.iter().any(|extension| span.ends_with(extension))
            || FOLDERS.iter().any(|folder| span.starts_with(folder)))
}

/// The part of a code name that no source declares. Names are recognised by `::`, by a capital letter with small ones behind
/// it, or by an underscore between small letters.
fn missing_name<'a>(span: &'a str, known: &Known) -> Option<&'a str> {
    let name = span.strip_suffix("()").unwrap_or(span);
    let parts: Vec<&str> = name.split("::").collect();
    let is_word =
        |part: &&str| !part.is_empty() && part.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    if !parts.iter().all(is_word) {
        return None;
    }
    let small =
        |part: &str| part.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_');
    let is_type = |part: &str| {
        part.starts_with(|letter: char| letter.is_ascii_uppercase())
            && part.contains(|letter: char| letter.is_ascii_lowercase())
    };
    let is_name = parts.len() > 1 || is_type(name) || (small(name) && name.trim_matches('_').contains('_'));
    if !is_name || FOREIGN_NAMES.contains(&parts[0]) {
        return None;
    }
    let is_known = |part: &&str| {
        let is_strict = parts.len() > 1 || is_type(part);
        let is_word = |word: &str| known.words.contains(word);
        // sources declare metrics without their prefix
        if is_strict {
            known.declared.contains(*part)
        } else {
            is_word(part) || part.strip_prefix("twinstore_").is_some_and(is_word)
        }
    };
    parts.iter().find(|part| !is_known(part)).copied()
}

/// The files and names of the repository.
struct Known {
    paths: Vec<String>,
    /// What Rust sources declare, the crates, and alerting rules.
    declared: BTreeSet<String>,
    /// Every word of a source.
    words: BTreeSet<String>,
}

impl Known {
    fn of(files: &[TextFile], names: &[String]) -> Self {
        let mut known = Self { paths: names.to_vec(), declared: BTreeSet::new(), words: BTreeSet::new() };
        for file in files {
            let is_source = [".rs", ".lua", ".c"].iter().any(|extension| file.name.ends_with(extension));
            if is_source {
                known.words.extend(words(&file.text).map(str::to_owned));
            }
            if file.name.ends_with(".rs") {
                known.declared.extend(file.text.lines().flat_map(declared).map(str::to_owned));
            }
            let alerts = file.text.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
            known.declared.extend(alerts.map(str::to_owned));
            if let Some(package) = super::package_of(&file.name, &file.text) {
                known.declared.insert(package.replace('-', "_"));
            }
        }
        known
    }

    /// Whether a file or folder has this path, from the root or from any folder.
    fn is_path(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let inside = format!("/{path}");
        let is_at = |name: &str| {
            let name = format!("/{name}");
            name.match_indices(&inside).any(|(at, _)| {
                let end = at + inside.len();
                end == name.len() || name[end..].starts_with('/')
            })
        };
        self.paths.iter().any(|name| is_at(name))
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').filter(|word| !word.is_empty())
}

/// The names that a line declares: the one behind a keyword, and the first of the line, which may be a variant or a field.
fn declared(line: &str) -> impl Iterator<Item = &str> {
    const KEYWORDS: [&str; 9] = ["fn", "struct", "enum", "trait", "type", "mod", "const", "static", "macro_rules"];
    let code = line.split("//").next().unwrap_or_default();
    let mut previous = "";
    let mut is_first = true;
    words(code).filter(move |word| {
        let is_visibility = matches!(*word, "pub" | "crate" | "super");
        let is_declared = KEYWORDS.contains(&previous) || (is_first && !is_visibility);
        is_first &= is_visibility;
        previous = word;
        is_declared
    })
}

#[cfg(test)]
mod tests {
    use super::{TextFile, check};

    fn found(document: &str) -> Vec<String> {
        let source = "pub enum Durability {\n    Fsynced,\n}\nimpl Link {\n    pub fn values(&self) { job_count() }\n}\nstruct Link;";
        let files: Vec<_> = [
            ("docs/page.md", document),
            ("crates/a-b/src/link.rs", source),
            ("crates/a-b/Cargo.toml", "name = \"a-b\""),
        ]
        .map(|(name, text)| TextFile { name: name.to_owned(), text: text.to_owned() })
        .into();
        let names: Vec<_> = files.iter().map(|file| file.name.clone()).collect();
        let mut violations = Vec::new();
        check(&files, &names, &mut violations);
        violations
    }

    #[test]
    fn paths_and_names_that_do_not_exist_are_reported() {
        for document in [
            "`crates/a-b/src/gone.rs`",
            "`gone.lua`",
            "`crates/gone/`",
            "[link](gone.md)",
            "`Durability::Gone`",
            "`Link::gone`",
            "`gone::Link`",
            "`Gone`",
            "`gone_name`",
        ] {
            assert_eq!(found(&format!("text\n{document}")).len(), 1, "{document}: {:?}", found(document));
        }
        let expected = ["docs/page.md:2: the name `Gone` does not exist"];
        assert_eq!(found("text\n`Durability::Gone`"), expected);
    }

    #[test]
    fn paths_and_names_that_exist_are_accepted() {
        for document in [
            "`crates/a-b/src/link.rs`, `src/link.rs`, `link.rs`, `crates/a-b/src/`, `crates/a-b`",
            "[page](page.md), [web](https://example.org/x.md), [part](#part)",
            "`Durability::Fsynced`, `Link::values`, `values()`, `a_b::Link`, `Link`, `job_count`",
            "`CONFIG SET`, `TIME`, `redis://host`, `/etc/x.conf`, `each/queue.push`, `appendfsync`, `Arc`",
            "```\n`Gone::gone` in a code block\n```",
        ] {
            assert_eq!(found(document), Vec::<String>::new(), "{document}");
        }
    }
}
