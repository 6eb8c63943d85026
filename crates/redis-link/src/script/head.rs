//! The contract in the head of a script's own file: the comments that begin with its name and list KEYS, ARGV, Returns, Retry and
//! Cost. A debug build compares each call with it.

use std::fmt;

/// How many keys and arguments a script takes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    keys: Count,
    arguments: Count,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Count {
    Exactly(usize),
    AtLeast(usize),
}

impl Head {
    /// The head of the script with this name; `None` if its text has none. `those of keys.lua` are the KEYS in the head of that
    /// piece, the first one that lists KEYS.
    pub(super) fn of(name: &str, source: &str) -> Option<Self> {
        let begin = source.rfind(&format!("-- {name}: "))?;
        let shared = part(&source[source.find("-- KEYS")?..], "KEYS")?;
        let keys = part(&source[begin..], "KEYS")?.replace("those of keys.lua", shared.trim());
        Some(Self { keys: Count::of("KEYS", &keys), arguments: Count::of("ARGV", &part(&source[begin..], "ARGV")?) })
    }

    /// What a call sends contrary to the head.
    pub(super) fn mismatch(&self, keys: usize, arguments: usize) -> Option<String> {
        let keys_are_right = self.keys.allows(keys) && self.arguments.allows(arguments);
        (!keys_are_right).then(|| {
            format!("{keys} KEYS and {arguments} ARGV are sent; the head names {} and {}", self.keys, self.arguments)
        })
    }
}

impl Count {
    /// Indices are `KEYS[2]`, or numbers before each description: `1 jobs, 3-6 ready`. `from 2 on` and `2..` begin a list of any
    /// length.
    fn of(name: &str, text: &str) -> Self {
        let number =
            |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<usize>().ok();
        let listed = |from: &str| text.split(from).skip(1).filter_map(number).collect::<Vec<_>>();
        let plain = text.trim_start();
        let indices: Vec<_> =
            text.split([',', ';']).map(str::trim_start).filter_map(|item| Some((number(item)?, item))).collect();
        let open = indices.iter().find(|(index, item)| item.starts_with(&format!("{index}..")));
        if let Some(first) = listed("from ").first().filter(|_| text.contains(" on, for each")) {
            return Count::AtLeast(first.saturating_sub(1));
        }
        if let Some((first, _)) = open {
            return Count::AtLeast(first.saturating_sub(1));
        }
        if plain.starts_with("none") {
            return Count::Exactly(0);
        }
        let in_brackets = listed(&format!("{name}[")).into_iter().max();
        let last = |item: &&str| item.split_once('-').and_then(|(_, rest)| number(rest));
        let numbered = indices.iter().map(|(index, item)| last(item).unwrap_or(*index)).max();
        let numbered = numbered.filter(|_| plain.starts_with(|first: char| first.is_ascii_digit()));
        in_brackets.or(numbered).map_or(Count::AtLeast(1), Count::Exactly)
    }

    fn allows(self, count: usize) -> bool {
        match self {
            Count::Exactly(expected) => count == expected,
            Count::AtLeast(least) => count >= least,
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Count::Exactly(count) => write!(f, "{count}"),
            Count::AtLeast(count) => write!(f, "at least {count}"),
        }
    }
}

/// The text of all entries with this name, such as `ARGV[1]` and `ARGV[2]`, up to the next name; `None` if there is no entry.
fn part(head: &str, name: &str) -> Option<String> {
    const NAMES: [&str; 6] = ["KEYS", "ARGV", "Returns", "Retry", "Cost", "needs: "];
    let mut text = None::<String>;
    let mut is_in = false;
    for line in head.lines().map_while(|line| line.strip_prefix("-- ")) {
        if NAMES.iter().any(|name| line.starts_with(name)) {
            is_in = line.starts_with(name);
        }
        if is_in {
            let text = text.get_or_insert_default();
            // an index in brackets stays, a bare name is left out
            let line = line.strip_prefix(name).filter(|rest| rest.starts_with(' ')).unwrap_or(line);
            text.push_str(line);
            text.push(' ');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::{Count, Head, part};

    fn crates() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
    }

    /// Every file below the folders `folder` of all crates, with its text.
    fn files(folder: &str, extension: &str) -> Vec<(PathBuf, String)> {
        let mut open: Vec<_> = fs::read_dir(crates())
            .unwrap()
            .map(|entry| entry.unwrap().path().join(folder))
            .filter(|at| at.is_dir())
            .collect();
        let mut found = Vec::new();
        while let Some(path) = open.pop() {
            if path.is_dir() {
                open.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            } else if path.extension().is_some_and(|other| other == extension) {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
        found
    }

    /// The names of all scripts that the crates define, without those of tests and examples.
    fn names() -> Vec<String> {
        const BEFORE: [&str; 6] =
            ["Script::new(", "Script::reads(", "Script::adds(", "Script::frees(", "script!(", "scheduling!("];
        let mut names = Vec::new();
        for (_, text) in files("src", "rs") {
            let text = text.split("#[cfg(test)]").next().unwrap_or_default();
            let code: String = text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .map(|line| format!("{line}\n"))
                .collect();
            for before in BEFORE {
                for rest in code.split(before).skip(1) {
                    let (prefix, rest) = match before {
                        "script!(" => ("queue/", rest.split_once('"').map(|(_, rest)| rest).unwrap_or_default()),
                        "scheduling!(" => ("", rest.split_once('"').map(|(_, rest)| rest).unwrap_or_default()),
                        _ => ("", rest.trim_start().strip_prefix('"').unwrap_or_default()),
                    };
                    let name = rest.split('"').next().unwrap_or_default();
                    names.extend(
                        (!name.is_empty() && !name.contains(char::is_whitespace)).then(|| format!("{prefix}{name}")),
                    );
                }
            }
        }
        names.retain(|name| !name.contains('@'));
        names.sort();
        names.dedup();
        names
    }

    /// The own file of each script, by its name.
    fn scripts() -> BTreeMap<String, String> {
        let all = files("lua", "lua");
        let file = |name: &String| {
            let end = format!("/lua/{name}.lua");
            let found = all.iter().find(|(path, _)| path.to_string_lossy().ends_with(&end));
            found.unwrap_or_else(|| panic!("{name} has no file")).1.clone()
        };
        let scripts: BTreeMap<_, _> = names().into_iter().map(|name| (name.clone(), file(&name))).collect();
        let heads = all.iter().filter(|(_, text)| text.contains("\n-- Retry "));
        for (path, text) in heads {
            assert!(scripts.values().any(|other| other == text), "{} is sent by no crate", path.display());
        }
        scripts
    }

    #[test]
    fn every_script_of_every_crate_has_a_complete_head() {
        let scripts = scripts();
        assert!(scripts.len() > 30, "{:?}", scripts.keys());
        for (name, text) in scripts {
            let head = &text[text.find("-- ").unwrap()..];
            assert!(head.starts_with(&format!("-- {name}: ")), "the head of {name} does not begin with the name");
            for entry in ["KEYS", "ARGV", "Returns", "Retry", "Cost"] {
                let entry_text = part(head, entry).unwrap_or_else(|| panic!("{name} does not describe {entry}"));
                assert!(!entry_text.trim().is_empty(), "{name} does not describe {entry}");
            }
            assert!(Head::of(&name, &text).is_some());
        }
    }

    #[test]
    fn heads_name_the_arguments_that_the_code_reads_and_the_words_that_it_returns() {
        for (name, text) in scripts() {
            let code: String =
                text.lines().filter(|line| !line.starts_with("--")).map(|line| format!("{line}\n")).collect();
            let head = &text[text.find("-- ").unwrap()..];
            let (arguments, returns) = (part(head, "ARGV").unwrap(), part(head, "Returns").unwrap());
            let taken = Count::of("ARGV", &arguments);
            for number in code.split("ARGV[").skip(1).filter_map(|rest| rest.split(']').next()?.parse::<usize>().ok()) {
                let is_open = matches!(taken, Count::AtLeast(least) if number > least);
                let spelled = [
                    format!("ARGV[{number}]"),
                    format!(" {number} "),
                    format!(" {number}.. "),
                    format!("from {number} on"),
                ];
                let is_named = is_open || spelled.iter().any(|spelled| arguments.contains(spelled));
                assert!(is_named, "{name} does not name ARGV[{number}]");
            }
            let marks =
                ["return {'", "return { '", "return '", "reply = {'", "answer = {'", "answer = '", "answer[1] = '"];
            for word in
                marks.iter().flat_map(|mark| code.split(mark).skip(1)).filter_map(|rest| rest.split('\'').next())
            {
                // what a function returns to the script itself begins with no letter
                let is_word = word.len() > 1 && word.starts_with(|first: char| first.is_ascii_lowercase());
                assert!(!is_word || returns.contains(&format!("'{word}'")), "{name} does not name its answer {word}");
            }
        }
    }

    #[test]
    fn counts_are_read_from_all_notations() {
        for (name, text, count) in [
            ("KEYS", " none", Count::Exactly(0)),
            ("KEYS", "KEYS[1]  hash, KEYS[2] and KEYS[3] sorted sets: see beat.lua", Count::Exactly(3)),
            ("KEYS", "    1 jobs (hash), 2 state (hash), 3-6 ready0-3 (lists), 7 due (sorted set)", Count::Exactly(7)),
            ("KEYS", "    1 jobs (hash), 3-6 ready0-3 (lists)", Count::Exactly(6)),
            ("KEYS", "     strings, the items: `w` waits, put (16 bytes)", Count::AtLeast(1)),
            ("ARGV", "    1 clock, 2 packed id", Count::Exactly(2)),
            ("ARGV", "    1 clock, 2.. packed ids", Count::AtLeast(1)),
            ("ARGV", "ARGV[1]  deadline      from 2 on, for each item: put (16 bytes)", Count::AtLeast(1)),
        ] {
            assert_eq!(Count::of(name, text), count, "{text}");
        }
        let head =
            "-- a/b: does it.\n-- KEYS[1]  string\n-- ARGV[1]  deadline\n-- ARGV[2]  value\n-- Returns  'done'\ncode";
        let head = Head::of("a/b", head).unwrap();
        assert_eq!(head, Head { keys: Count::Exactly(1), arguments: Count::Exactly(2) });
        assert_eq!(head.mismatch(1, 2), None);
        assert_eq!(head.mismatch(2, 1).unwrap(), "2 KEYS and 1 ARGV are sent; the head names 1 and 2");
        assert_eq!(Head::of("a/c", "-- a/b: does it"), None);
        let own = "-- a/b: does it.\n-- KEYS    those of keys.lua, 3 call (string)\n-- ARGV    1 clock\n";
        let source = format!("-- Names.\n-- KEYS    1 jobs (hash),\n--         2 state (hash)\nlocal a\n{own}");
        assert_eq!(Head::of("a/b", &source).unwrap(), Head { keys: Count::Exactly(3), arguments: Count::Exactly(1) });
    }
}
