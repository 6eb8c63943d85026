//! The files of some folders form layers: none depends on itself, directly or through others.
//!
//! A file depends on another one that it imports (`super::gate`), and, if both add methods to one type, on another one whose method
//! it calls (`self.give_back()`). Tests are left out.

use std::collections::{BTreeMap, BTreeSet};

use super::TextFile;

/// Folders whose files form layers.
const LAYERED: [&str; 1] = ["crates/store-worker/src/driver"];

pub(super) fn check(files: &[TextFile], violations: &mut Vec<String>) {
    for folder in LAYERED {
        let module = |file: &TextFile| {
            let name = file.name.strip_prefix(folder)?.strip_prefix('/')?.strip_suffix(".rs")?;
            (!name.contains('/')).then(|| (name.to_owned(), code_of(&file.text)))
        };
        let modules: BTreeMap<String, String> = files.iter().filter_map(module).collect();
        if let Some(cycle) = cycle(&graph(&modules)) {
            violations.push(format!("{folder}: files depend on each other in a cycle: {}", cycle.join(" -> ")));
        }
    }
}

/// Without comments and tests.
fn code_of(text: &str) -> String {
    let lines = text.lines().take_while(|line| line.trim() != "#[cfg(test)]");
    lines.map(|line| line.split("//").next().unwrap_or_default().trim()).collect::<Vec<_>>().join("\n")
}

type Graph<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

fn graph(modules: &BTreeMap<String, String>) -> Graph<'_> {
    let mut methods = BTreeMap::new();
    for (module, code) in modules {
        for (of, method) in methods_of(code) {
            methods.insert((of, method), module.as_str());
        }
    }
    let edges = |(module, code): (&'_ String, &'_ String)| {
        let imported = modules.keys().filter(|other| imports(code, other)).map(String::as_str);
        let types: BTreeSet<_> = methods_of(code).map(|(of, _)| of).collect();
        let called = methods.iter().filter(|((of, method), _)| types.contains(of) && calls(code, method));
        let used = imported.chain(called.map(|(_, other)| *other)).filter(|other| other != module);
        used.collect::<BTreeSet<&str>>()
    };
    modules.iter().map(|(module, code)| (module.as_str(), edges((module, code)))).collect()
}

/// The types with an `impl` block, and their functions.
fn methods_of(code: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut of = "";
    code.lines().filter_map(move |line| {
        if let Some(rest) = line.strip_prefix("impl ") {
            of = rest.trim_end_matches([' ', '{']);
        }
        let (_, rest) = line.split_once("fn ").filter(|(before, _)| before.is_empty() || before.ends_with(' '))?;
        let end = rest.find(|letter: char| !is_of_name(letter))?;
        (!of.contains(' ')).then(|| (of, &rest[..end]))
    })
}

fn is_of_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// Whether the code names the module beside it: `super::gate`, also in braces.
fn imports(code: &str, module: &str) -> bool {
    code.split("super::").skip(1).any(|rest| {
        let names = match rest.strip_prefix('{') {
            Some(list) => list.split(';').next().unwrap_or_default(),
            None => return begins_with_name(rest, module),
        };
        names.match_indices(module).any(|(at, _)| {
            let before = names[..at].trim_end();
            (before.is_empty() || before.ends_with(',')) && begins_with_name(&names[at..], module)
        })
    })
}

fn begins_with_name(text: &str, name: &str) -> bool {
    text.strip_prefix(name).is_some_and(|rest| !rest.starts_with(is_of_name))
}

/// Whether the code calls a method of its own type.
fn calls(code: &str, method: &str) -> bool {
    ["self", "Self", "work"].iter().any(|own| {
        code.match_indices(own).any(|(at, _)| {
            let is_own = !code[..at].ends_with(|letter| is_of_name(letter) || letter == '.');
            let rest = code[at + own.len()..].trim_start();
            let rest = rest.strip_prefix('.').or_else(|| rest.strip_prefix("::")).unwrap_or_default();
            is_own && rest.strip_prefix(method).is_some_and(|rest| rest.starts_with('('))
        })
    })
}

/// A cycle, with its first module at both ends.
fn cycle(graph: &Graph<'_>) -> Option<Vec<String>> {
    // Removes again and again what depends on nothing that is left.
    let mut left = graph.clone();
    while let Some(free) = left.iter().find(|(_, used)| used.iter().all(|used| !left.contains_key(used))) {
        let free = *free.0;
        left.remove(free);
    }
    // Each module that is left depends on another one that is left.
    let mut path = vec![*left.keys().next()?];
    loop {
        let next = *left[path.last()?].iter().find(|used| left.contains_key(*used))?;
        let begin = path.iter().position(|module| *module == next);
        path.push(next);
        if let Some(begin) = begin {
            return Some(path[begin..].iter().map(|module| (*module).to_owned()).collect());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LAYERED, TextFile, check};

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let file = |(name, text): &(&str, &str)| TextFile {
            name: format!("{}/{name}.rs", LAYERED[0]),
            text: (*text).to_owned(),
        };
        let mut violations = Vec::new();
        check(&files.iter().map(file).collect::<Vec<_>>(), &mut violations);
        violations
    }

    #[test]
    fn layers_are_accepted() {
        let found = found(&[
            ("gate", "impl Gate {\npub(super) fn close(&mut self) {}\n}\n#[cfg(test)]\nuse super::work::Work;\n"),
            ("gates", "// use super::settling;\n"),
            ("work", "use super::{gate::Gate, gates};\nimpl Work {\n    fn call(&self) { self.gate.settle() }\n}\n"),
            ("settling", "use super::work::Work;\nimpl Work {\n    fn settle(&mut self) { self.call(); }\n}\n"),
            ("supply/tests", "use super::settling;\n"),
        ]);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn a_cycle_of_imports_is_reported_with_its_files() {
        for import in ["use super::settling::Note;", "use super::{\n    gate,\n    settling::Note,\n};"] {
            let found = found(&[
                ("gate", import),
                ("settling", "use super::work::{Mode, Work};\n"),
                ("waiting", "use super::work::Work;\n"),
                ("work", "use super::gate::Gate;\n"),
            ]);
            assert_eq!(found.len(), 1, "{import}");
            assert!(found[0].ends_with("in a cycle: gate -> settling -> work -> gate"), "{found:?}");
        }
    }

    #[test]
    fn a_cycle_of_methods_is_reported() {
        let found = found(&[
            ("leasing", "impl Work {\n    fn stop(&mut self) {\n        self\n            .give_back();\n    }\n}\n"),
            ("settling", "impl Work {\n    pub(super) fn give_back(&mut self) { self.stop(); }\n}\n"),
            ("slot", "impl Slot {\n    fn stop(&self) { self.give_back(); }\n}\n"),
        ]);
        assert_eq!(found.len(), 1);
        assert!(found[0].ends_with("leasing -> settling -> leasing"), "{found:?}");
    }
}
