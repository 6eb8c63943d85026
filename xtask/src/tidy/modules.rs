//! Every Rust file is compiled: it is a target of its package, or its parent declares it as a module.

use std::collections::{BTreeMap, BTreeSet};

use super::TextFile;

/// The folders of a package in which each Rust file, and each folder with a `main.rs`, is a target.
const TARGETS: [&str; 4] = ["tests", "benches", "examples", "src/bin"];

pub(super) fn check(files: &[TextFile], violations: &mut Vec<String>) {
    let sources: BTreeMap<&str, &str> = files
        .iter()
        .filter(|file| file.name.ends_with(".rs"))
        .map(|file| (file.name.as_str(), file.text.as_str()))
        .collect();
    let packages: BTreeSet<&str> = files.iter().filter_map(|file| file.name.strip_suffix("/Cargo.toml")).collect();
    for name in sources.keys() {
        let folders = name.match_indices('/').map(|(at, _)| &name[..at]).rev();
        let Some(package) = folders.into_iter().find(|folder| packages.contains(folder)) else { continue };
        let path = &name[package.len() + 1..];
        if !is_target(path)
            && !parents(path).iter().any(|(parent, module)| {
                sources.get(&*format!("{package}/{parent}")).is_some_and(|text| declares(text, module))
            })
            && !is_shared(&sources, package, path)
        {
            violations.push(format!("{name}: no `mod` line declares it, so it is not compiled"));
        }
    }
}

/// Whether Cargo makes a file of a package a target.
fn is_target(path: &str) -> bool {
    let of_folder = |folder: &&str| {
        let rest = path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/'));
        rest.is_some_and(|rest| match rest.split_once('/') {
            None => true,
            Some((_, file)) => file == "main.rs",
        })
    };
    ["src/lib.rs", "src/main.rs", "build.rs"].contains(&path) || TARGETS.iter().any(of_folder)
}

/// The files that can declare a file as a module, and the module's name.
fn parents(path: &str) -> Vec<(String, &str)> {
    let path = path.strip_suffix(".rs").unwrap_or(path);
    let Some((folder, module)) = path.rsplit_once('/') else { return Vec::new() };
    let parents = [format!("{folder}.rs"), format!("{folder}/main.rs"), format!("{folder}/lib.rs")];
    parents.map(|parent| (parent, module)).into()
}

/// Whether a file is a module that several targets of a folder share: `tests/NAME/mod.rs`.
fn is_shared(sources: &BTreeMap<&str, &str>, package: &str, path: &str) -> bool {
    let Some((folder, module)) = path.strip_suffix("/mod.rs").and_then(|path| path.rsplit_once('/')) else {
        return false;
    };
    let is_beside = |name: &str| {
        let rest =
            name.strip_prefix(package).and_then(|rest| rest.strip_prefix('/')?.strip_prefix(folder)?.strip_prefix('/'));
        rest.is_some_and(|rest| !rest.contains('/'))
    };
    sources.iter().any(|(name, text)| is_beside(name) && declares(text, module))
}

fn declares(text: &str, module: &str) -> bool {
    text.lines().any(|line| {
        let before = line.strip_suffix(';').and_then(|line| line.strip_suffix(module)?.strip_suffix("mod "));
        before.is_some_and(|before| !before.contains("//") && (before.is_empty() || before.ends_with(' ')))
    })
}

#[cfg(test)]
mod tests {
    use super::{TextFile, check};

    fn unreachable(files: &[(&str, &str)]) -> Vec<String> {
        let file = |(name, text): &(&str, &str)| TextFile { name: (*name).to_owned(), text: (*text).to_owned() };
        let mut files: Vec<_> = files.iter().map(file).collect();
        files.push(file(&("crates/a/Cargo.toml", "")));
        let mut violations = Vec::new();
        check(&files, &mut violations);
        violations
    }

    #[test]
    fn a_file_without_a_mod_line_is_reported() {
        let main = "mod queue;\nmod queues;\n// mod leases;\n";
        let found = unreachable(&[
            ("crates/a/tests/state/main.rs", main),
            ("crates/a/tests/state/queue.rs", "mod push;\n"),
            ("crates/a/tests/state/queue/push.rs", ""),
            ("crates/a/tests/state/queue/claim.rs", ""),
            ("crates/a/tests/state/leases.rs", ""),
            ("crates/a/src/lib.rs", ""),
            ("crates/a/src/gone/inner.rs", ""),
            ("crates/a/tests/nobody/mod.rs", ""),
        ]);
        let files: Vec<_> = found.iter().filter_map(|violation| Some(violation.split_once(':')?.0)).collect();
        let expected = [
            "crates/a/src/gone/inner.rs",
            "crates/a/tests/nobody/mod.rs",
            "crates/a/tests/state/leases.rs",
            "crates/a/tests/state/queue/claim.rs",
        ];
        assert_eq!(files, expected);
    }

    #[test]
    fn targets_and_modules_are_compiled() {
        let found = unreachable(&[
            ("crates/a/tests/alone.rs", ""),
            ("crates/a/tests/several/main.rs", "mod one;\n"),
            ("crates/a/tests/several/one.rs", "pub(crate) mod two;\n"),
            ("crates/a/tests/several/one/two.rs", ""),
            ("crates/a/examples/program.rs", ""),
            ("crates/a/src/main.rs", "    #[cfg(unix)] mod files;\n"),
            ("crates/a/src/files.rs", ""),
            ("crates/a/tests/other.rs", "mod shared;\n"),
            ("crates/a/tests/shared/mod.rs", ""),
        ]);
        assert_eq!(found, Vec::<String>::new());
    }
}
