//! The public face: each name has one path and an example, and there are not too many of them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

mod examples;

/// The most names that the modules of the crate may have together, without the prelude and the feature `testing`.
const MAX_NAMES: usize = 213;

/// A public name.
struct Export {
    module: String,
    name: String,
    /// The first segment of its path in the `pub use`; `crate` if the module defines it.
    origin: String,
}

/// The public names of the crate root and of its modules, without the prelude.
fn exports() -> Vec<Export> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let root = fs::read_to_string(sources.join("lib.rs")).unwrap();
    let (root, _) = root.split_once("pub mod prelude {").unwrap();
    let modules: Vec<&str> = root.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert!(modules.len() > 10, "the modules of lib.rs: {modules:?}");
    let mut exports = exported("twinstore", root);
    for module in modules {
        exports.extend(exported(module, &fs::read_to_string(sources.join(format!("{module}.rs"))).unwrap()));
    }
    exports
}

/// The paths of each public name, without the feature `testing`.
fn paths() -> BTreeMap<String, Vec<String>> {
    let mut paths = BTreeMap::<String, Vec<String>>::new();
    for Export { module, name, .. } in exports().into_iter().filter(|export| export.module != "testing") {
        paths.entry(name).or_default().push(module);
    }
    paths
}

/// The names that a source exports: what its `pub use` lists, and what it defines.
fn exported(module: &str, source: &str) -> Vec<Export> {
    let mut exports = Vec::new();
    let mut add = |name: &str, origin: &str| {
        if !name.is_empty() {
            exports.push(Export { module: module.to_owned(), name: name.to_owned(), origin: origin.to_owned() });
        }
    };
    let mut rest = source;
    while let Some((_, after)) = rest.split_once("\npub use ") {
        let (path, after) = after.split_once(';').unwrap();
        assert!(!path.contains('*') && !path.contains(" as "), "a `pub use` names what it exports: {path}");
        let list = path.rsplit_once("::{").map_or_else(|| path.rsplit("::").next().unwrap(), |(_, list)| list);
        let origin = path.split("::").next().unwrap();
        list.trim_end_matches('}').split(',').for_each(|name| add(name.trim(), origin));
        rest = after;
    }
    for word in ["struct", "enum", "trait", "fn", "const", "type"] {
        for line in source.lines().filter_map(|line| line.strip_prefix(&format!("pub {word} "))) {
            let end = line.find(|character: char| !character.is_alphanumeric() && character != '_');
            add(&line[..end.unwrap_or(line.len())], "crate");
        }
    }
    exports
}

#[test]
fn each_name_has_one_path() {
    let twice: Vec<_> = paths().into_iter().filter(|(_, modules)| modules.len() > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

#[test]
fn the_number_of_names_is_bounded() {
    let paths = paths();
    let names = paths.len();
    assert!(names > 50, "the names were not read");
    assert!(names <= MAX_NAMES, "{names} names; at most {MAX_NAMES}: keep what only the workspace needs in its crates");
}

#[test]
fn what_only_the_workspace_needs_is_not_public() {
    let paths = paths();
    let internal = [
        "Breaker",
        "Claim",
        "ClaimRequest",
        "ClaimedJob",
        "Clock",
        "Extension",
        "HandleKind",
        "JobLease",
        "MAX_MOVES",
        "ManualClock",
        "Repeat",
        "Settlement",
        "StateOptions",
        "cut_reason",
        "keys",
        "millis_ceil",
        "next_sequence",
        "validate_batch",
        "validate_checks",
        "validate_lease",
    ];
    let public: Vec<_> = internal.iter().filter(|name| paths.contains_key(**name)).collect();
    assert!(public.is_empty(), "{public:?}");
}

#[test]
fn the_prelude_repeats_names_and_has_none_of_its_own() {
    let root = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let (_, prelude) = root.split_once("pub mod prelude {").unwrap();
    let (uses, hidden) = (prelude.matches("pub use crate::").count(), prelude.matches("#[doc(no_inline)]").count());
    assert!(uses > 0 && uses == prelude.matches("pub use ").count() && uses == hidden);
    let paths = paths();
    let unknown: Vec<_> = exported("prelude", &prelude.replace("    pub use", "pub use"))
        .into_iter()
        .map(|export| export.name)
        .filter(|name| !paths.contains_key(name))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
