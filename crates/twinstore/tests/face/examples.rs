//! Each public name has an example that a service could contain.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{Export, exports};

/// What an example may import.
const IMPORTED: [&str; 5] = ["twinstore", "serde", "serde_json", "std", "tokio"];

#[test]
fn every_public_name_has_an_example_that_imports_from_twinstore_alone() {
    let (inner, exports) = (inner_crates(), exports());
    assert!(exports.len() > 100, "the names were not read");
    let problems: Vec<String> = exports
        .iter()
        .filter_map(|Export { module, name, origin }| {
            let docs = documentation(&sources_of(origin), name);
            Some(format!("{module}::{name}: {}", find_example(&docs, &inner).err()?))
        })
        .collect();
    assert!(problems.is_empty(), "{} names:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn an_example_counts_only_if_it_runs_checks_something_and_imports_no_inner_crate() {
    let inner = inner_crates();
    let found = |info: &str, code: &str| find_example(&format!("Text.\n```{info}\n{code}\n```\nText."), &inner).is_ok();
    assert!(found("", "use twinstore::Error;\nassert!(true);"));
    assert!(found("rust", "# use std::sync::Arc;\nlet stores = twinstore::testing::stores();\nassert_eq!(1, 1);"));
    assert!(!found("", "use twinstore::Error;"));
    assert!(!found("", "assert!(true);"));
    for info in ["text", "ignore", "no_run", "compile_fail", "toml"] {
        assert!(!found(info, "use twinstore::Error;\nassert!(true);"), "{info}");
    }
    for other in ["# use store_core::Error;", "let state = embedded_store::EmbeddedState::open();", "use tower::Layer;"]
    {
        assert!(!found("", &format!("use twinstore::Error;\n{other}\nassert!(true);")), "{other}");
    }
    assert!(find_example("Text.", &inner).is_err());
}

/// The folder of the workspace's crates.
fn crates() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The names of the crates that services do not import, as in Rust code.
fn inner_crates() -> Vec<String> {
    let folders = [crates().to_owned(), crates().with_file_name("tests")];
    let names = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().file_name());
    let names: Vec<_> =
        names.map(|name| name.into_string().unwrap().replace('-', "_")).filter(|name| name != "twinstore").collect();
    assert!(names.iter().any(|name| name == "store_core") && names.iter().any(|name| name == "testkit"), "{names:?}");
    names
}

/// The sources of the crate that a `pub use` begins with; a crate of others is documented where this one exports it.
fn sources_of(origin: &str) -> Vec<String> {
    let folder = crates().join(origin.replace('_', "-")).join("src");
    let folder = if folder.is_dir() { folder } else { crates().join("twinstore/src") };
    let (mut folders, mut sources) = (vec![folder], Vec::new());
    while let Some(folder) = folders.pop() {
        let paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        for path in paths {
            match path.extension() {
                _ if path.is_dir() => folders.push(path),
                Some(extension) if extension == "rs" => sources.push(fs::read_to_string(&path).unwrap()),
                _ => {}
            }
        }
    }
    sources
}

/// The documentation of the definitions of `name`. Definitions in macros are indented.
fn documentation(sources: &[String], name: &str) -> String {
    let mut docs = Vec::new();
    for source in sources {
        let lines: Vec<&str> = source.lines().collect();
        for (index, line) in lines.iter().enumerate().filter(|(_, line)| defines(line, name)) {
            let above = lines[..index].iter().rev().map(|line| line.trim());
            let above = above.take_while(|line| line.starts_with("//") || !is_end_of_item(line));
            let mut doc: Vec<_> = above.filter_map(|line| line.strip_prefix("///")).collect();
            doc.reverse();
            assert!(!doc.is_empty(), "{line} has no documentation");
            docs.extend(doc);
        }
    }
    assert!(!docs.is_empty(), "no definition of {name} was found");
    docs.iter().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

/// Whether a line defines the public `name`: as an item, as an entry of the table of validated names, or as an export of
/// another project's crate.
fn defines(line: &str, name: &str) -> bool {
    let begins = |text: &str, start: &str| {
        let rest = text.strip_prefix(start).and_then(|rest| rest.strip_prefix(name));
        rest.is_some_and(|rest| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_'))
    };
    let item = line.trim_start();
    ["pub struct ", "pub enum ", "pub trait ", "pub type "].iter().any(|start| begins(item, start))
        || ["pub fn ", "pub async fn "].iter().any(|start| begins(line, start))
        || item.strip_prefix(name).is_some_and(|rest| rest.starts_with(": \""))
        || begins(line, "pub use bytes::")
}

fn is_end_of_item(line: &str) -> bool {
    line.is_empty() || line.ends_with([';', '{', '}'])
}

/// # Errors
/// Why none of the code blocks is an example.
fn find_example(docs: &str, inner: &[String]) -> Result<(), String> {
    let mut reason = "it has no code block".to_owned();
    let mut lines = docs.lines();
    while let Some(info) = lines.find_map(|line| line.trim().strip_prefix("```")) {
        let code: Vec<&str> = lines.by_ref().take_while(|line| line.trim() != "```").collect();
        match check(info, &code, inner) {
            Ok(()) => return Ok(()),
            Err(found) => reason = found,
        }
    }
    Err(reason)
}

fn check(info: &str, code: &[&str], inner: &[String]) -> Result<(), String> {
    if !matches!(info, "" | "rust") {
        return Err(format!("the code block is `{info}`"));
    }
    let code: Vec<&str> = code.iter().map(|line| line.trim().trim_start_matches("# ")).collect();
    let text = code.join("\n");
    if let Some(name) = inner.iter().find(|name| has_path(&text, name)) {
        return Err(format!("its example names the crate `{name}`"));
    }
    let imports = code.iter().filter_map(|line| line.strip_prefix("use "));
    let mut roots = imports.filter_map(|path| path.split(|next: char| !next.is_alphanumeric() && next != '_').next());
    if let Some(root) = roots.find(|root| !IMPORTED.contains(root)) {
        return Err(format!("its example imports `{root}`"));
    }
    if !has_path(&text, "twinstore") {
        return Err("its example does not import twinstore".to_owned());
    }
    if !text.contains("assert") {
        return Err("its example asserts nothing".to_owned());
    }
    Ok(())
}

/// Whether the code has a path that begins with this crate.
fn has_path(code: &str, name: &str) -> bool {
    let path = format!("{name}::");
    code.match_indices(&path).any(|(at, _)| !code[..at].ends_with(|last: char| last.is_alphanumeric() || last == '_'))
}
