//! rustdoc shows the methods of an `#[async_trait]` as they are after expansion: `fn claim<'life0, …>(…) -> Pin<Box<…>>`. So
//! the docs of each such method begin with its signature as it is written, and this test compares the two.

use std::path::{Path, PathBuf};

/// What the docs of one method begin with, and what its signature is.
struct Method {
    place: String,
    documented: String,
    written: String,
}

#[test]
fn the_docs_of_async_methods_begin_with_their_signature() {
    let mut methods = Vec::new();
    for file in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..")) {
        let text = std::fs::read_to_string(&file).expect("a readable source");
        methods.extend(methods_of(&file.display().to_string(), &text));
    }
    let wrong: Vec<String> = methods
        .iter()
        .filter(|method| method.documented != format!("`{}`", method.written))
        .map(|method| {
            format!("{}\n  written    `{}`\n  documented {}", method.place, method.written, method.documented)
        })
        .collect();
    assert!(methods.len() >= 37, "only {} methods were found", methods.len());
    assert!(wrong.is_empty(), "begin the docs with the signature:\n{}", wrong.join("\n"));
}

#[test]
fn a_missing_and_a_wrong_signature_are_found() {
    let source = "\
#[async_trait]
pub trait Queue: Send {
    /// `async fn right(&self, queue: &QueueName) -> Result<Vec<(u8, u8)>, Error>`
    ///
    /// Pushes.
    #[must_use]
    async fn right(&self, queue: &QueueName) -> Result<Vec<(u8, u8)>, Error>;

    /// `async fn wrapped(&self, settlements: &[Settlement], lasting: Duration) ->
    /// Result<()>`
    async fn wrapped(
        &self,
        settlements: &[Settlement],
        lasting: Duration,
    ) -> Result<()> {
        Ok(())
    }

    /// `async fn old(&self) -> Result<()>`
    async fn old(&self, queue: &QueueName) -> Result<()>;

    async fn none(&self) -> Result<()>;
}

pub trait Plain {
    fn plain(&self);
}
";
    let found = methods_of("a.rs", source);
    let right: Vec<bool> = found.iter().map(|method| method.documented == format!("`{}`", method.written)).collect();
    assert_eq!(right, [true, true, false, false]);
    assert_eq!((found[3].place.as_str(), found[3].documented.as_str()), ("a.rs:22", ""));
}

/// The Rust files of all crates.
fn sources(crates: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = entries(crates).into_iter().map(|path| path.join("src")).collect();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in entries(&folder) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.expect("a readable folder").path()).collect()
}

/// The methods of the public `#[async_trait]` traits of a file that rustfmt has formatted.
fn methods_of(file: &str, text: &str) -> Vec<Method> {
    let mut methods = Vec::new();
    let (mut is_async, mut is_in_trait) = (false, false);
    let mut docs: Vec<&str> = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if !is_in_trait {
            is_in_trait = is_async && line.starts_with("pub trait ");
            is_async = line.starts_with("#[async_trait") || (is_async && line.starts_with("#["));
            continue;
        }
        if line == "}" {
            is_in_trait = false;
        } else if let Some(doc) = line.strip_prefix("    /// ").or(line.strip_prefix("    ///")) {
            docs.push(doc);
        } else if line.starts_with("    async fn ") {
            let mut written = line.trim().to_owned();
            while !written.ends_with([';', '{']) {
                let Some((_, line)) = lines.next() else { break };
                written = format!("{written} {}", line.trim());
            }
            let first = docs.split(|doc| doc.is_empty()).next().unwrap_or_default();
            methods.push(Method {
                place: format!("{file}:{}", number + 1),
                documented: first.join(" "),
                written: on_one_line(&written),
            });
            docs.clear();
        } else if !line.starts_with("    #[") {
            docs.clear();
        }
    }
    methods
}

/// A signature as rustfmt would write it on one line, without its end.
fn on_one_line(signature: &str) -> String {
    let signature = signature.trim_end_matches([';', '{']).trim_end();
    signature.replace("( ", "(").replace(", )", ")")
}
