//! The house rules that a program can check.

use std::fs;
use std::path::{Path, PathBuf};

mod documents;
mod layers;
mod modules;
mod sources;
mod words;

/// Folders without sources of ours.
const SKIPPED: [&str; 3] = ["target", ".git", ".cargo"];

/// A text file of the repository: its path relative to the root, and its content.
struct TextFile {
    name: String,
    text: String,
}

/// Checks every source file and document; reports all violations together.
pub(crate) fn tidy(root: &Path) -> Result<(), String> {
    let mut paths = Vec::new();
    collect(root, &mut paths).map_err(|error| format!("cannot read the sources: {error}"))?;
    paths.sort();
    let name_of = |path: &Path| path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace('\\', "/");
    let names: Vec<String> = paths.iter().map(|path| name_of(path)).collect();
    let files: Vec<TextFile> = paths
        .iter()
        .zip(&names)
        .filter_map(|(path, name)| Some(TextFile { name: name.clone(), text: fs::read_to_string(path).ok()? }))
        .collect();
    let mut violations = Vec::new();
    let architecture = files.iter().find(|file| file.name == "ARCHITECTURE.md").map_or("", |file| &file.text);
    for TextFile { name, text } in &files {
        sources::check(name, text, &mut violations);
        words::check(name, text, &mut violations);
        if let Some(package) = package_of(name, text)
            && !architecture.contains(&format!("`{package}`"))
        {
            violations.push(format!("ARCHITECTURE.md does not mention `{package}`"));
        }
    }
    layers::check(&files, &mut violations);
    modules::check(&files, &mut violations);
    documents::check(&files, &names, &mut violations);
    if violations.is_empty() { Ok(()) } else { Err(format!("house rules:\n  {}", violations.join("\n  "))) }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !SKIPPED.contains(&name.as_str()) {
                collect(&path, files)?;
            }
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// The package that a manifest below the root describes.
fn package_of<'a>(name: &str, text: &'a str) -> Option<&'a str> {
    if !name.ends_with("/Cargo.toml") {
        return None;
    }
    text.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'))
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_repository_is_tidy() {
        assert_eq!(super::tidy(&crate::shell::root()), Ok(()));
    }
}
