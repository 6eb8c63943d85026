//! The house rules that a program can check.

use std::fs;
use std::path::{Path, PathBuf};

/// The longest source file, in lines.
const MAX_LINES: usize = 400;

/// The longest script, in lines.
const MAX_SCRIPT_LINES: usize = 200;

/// Where time is what it is about: the test kit (its waits, its proxy that delays), the suite's pause between two looks, and
/// the fault runs, whose load has a rate and whose faults have a length.
const CLOCKS: [&str; 3] = ["tests/testkit/src/", "tests/conformance/src/fixture.rs", "tests/faults/src/"];

/// Folders that hold no sources of ours.
const SKIPPED: [&str; 3] = ["target", ".git", ".cargo"];

/// Checks every source file; all violations at once.
pub(crate) fn tidy(root: &Path) -> Result<(), String> {
    let mut files = Vec::new();
    collect(root, &mut files).map_err(|error| format!("cannot read the sources: {error}"))?;
    files.sort();
    let architecture = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap_or_default();
    let mut violations = Vec::new();
    for file in &files {
        let Ok(text) = fs::read_to_string(file) else { continue };
        let name = file.strip_prefix(root).unwrap_or(file).to_string_lossy().replace('\\', "/");
        check(&name, &text, &mut violations);
        if let Some(package) = package_of(&name, &text)
            && !architecture.contains(&format!("`{package}`"))
        {
            violations.push(format!("ARCHITECTURE.md says nothing of `{package}`"));
        }
    }
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

fn check(name: &str, text: &str, violations: &mut Vec<String>) {
    let mut violation = |line: usize, what: &str| violations.push(format!("{name}:{line}: {what}"));
    let lines = text.lines().count();
    if name.ends_with(".rs") {
        if lines > MAX_LINES {
            violation(lines, "more than 400 lines; split the file");
        }
        let tests = name.starts_with("tests/") || name.contains("/tests/");
        for (index, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if code.contains(concat!("fred", "::")) && !name.starts_with("crates/redis-link/") {
                violation(index + 1, "only redis-link names the client library");
            }
            if tests && code.contains(concat!("sleep", "(")) && !CLOCKS.iter().any(|place| name.starts_with(place)) {
                violation(index + 1, "tests wait on conditions (testkit::wait_until), never on the clock");
            }
            if code.contains(concat!("#[", "ignore]")) {
                violation(index + 1, "a test that does not run says why");
            }
        }
    }
    if name.ends_with(".lua") && lines > MAX_SCRIPT_LINES {
        violation(lines, "more than 200 lines; one concept is one file");
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn violations_are_found() {
        let mut found = Vec::new();
        check("crates/state-store/src/lib.rs", concat!("use fred", "::prelude;\n"), &mut found);
        check("crates/state-store/tests/a.rs", concat!("sleep", "(second).await;\n"), &mut found);
        check("crates/state-store/src/long.rs", &"\n".repeat(401), &mut found);
        check("crates/state-store/lua/queue/push.lua", &"\n".repeat(201), &mut found);
        assert_eq!(found.len(), 4, "{found:?}");
        found.clear();
        check("crates/redis-link/src/wire.rs", concat!("use fred", "::prelude;\n"), &mut found);
        check("crates/state-store/src/lib.rs", concat!("// fred", "::prelude is not named here\n"), &mut found);
        assert_eq!(found, Vec::<String>::new());
    }
}
