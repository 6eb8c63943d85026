//! The rules for Lua scripts that a program can check, without a server.
//!
//! A script is joined from pieces: the prelude of `redis-link`, shared pieces, fast paths, and last the script's own file.
//! Every piece is a file below `lua/` of a crate. It begins with comment lines, its head. What a piece defines are its
//! `local`s outside functions and blocks. What it takes from earlier pieces it lists in its head, except the names of preludes
//! (pieces whose first line begins with `-- Prelude`), which are the vocabulary of all that follows:
//!
//! ```lua
//! -- Lists of any length, in slices that fit Lua's stack.
//! -- needs: slice
//! local function many(command, key, list)
//!   for first = 1, #list, 1000 do call(command, key, slice(list, first)) end
//! end
//! ```
//!
//! [`violations`] reports, for every script:
//! - a name that is neither built in, nor local, nor a parameter, nor in `needs`;
//! - a name in `needs` that no earlier piece of the script defines, or that the piece does not use;
//! - an assignment to a local of another piece that the head does not list (`-- assigns: call`): a function takes what it
//!   works on, and returns what it changes;
//! - a name that two pieces define, and a local or parameter that hides an outer one (`_` may);
//! - a piece that calls the server outside functions. The script's own file may, and so may a piece whose first line
//!   begins with `-- Fast path` or `-- Prelude`. A function counts as a call if it calls the server, also through other
//!   functions, in a table or as an argument;
//! - a piece that is no file, has no head, is not complete without its neighbours, or returns although others follow;
//! - a line over [`COLUMNS`], a file over [`LINES`], and a file below `lua/` that is part of no script.

mod expressions;
mod heads;
mod scopes;
mod statements;
#[cfg(test)]
mod tests;
mod tokens;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use scopes::{Piece, Walker};

/// How many characters a line may have.
pub const COLUMNS: usize = 100;
/// How many lines a file may have.
pub const LINES: usize = 200;

/// A script and the texts from which it is joined.
#[derive(Debug, Clone)]
pub struct LuaScript<'a> {
    name: &'a str,
    pieces: Vec<&'a str>,
}

impl<'a> LuaScript<'a> {
    /// The script `name`, joined from `pieces`; the last one is its own file.
    pub fn new(name: &'a str, pieces: Vec<&'a str>) -> Self {
        Self { name, pieces }
    }

    fn has(&self, text: &str) -> bool {
        self.pieces.contains(&text)
    }
}

/// All violations by `scripts`, which must be all scripts of the crate in `folder`, except by those called `exempted`.
///
/// # Errors
/// If a file below `lua/` of the workspace's crates cannot be read.
pub fn violations(folder: &Path, scripts: &[LuaScript<'_>], exempted: &[&str]) -> io::Result<Vec<String>> {
    let crates = folder.parent().unwrap_or(folder);
    let mut files = Vec::new();
    for entry in fs::read_dir(crates)? {
        collect(&entry?.path().join("lua"), &mut files)?;
    }
    let name = |path: &Path| path.strip_prefix(crates).unwrap_or(path).display().to_string();
    let by_text: BTreeMap<&str, String> = files.iter().map(|(path, text)| (text.as_str(), name(path))).collect();

    let mut found = BTreeSet::new();
    let known: BTreeSet<&str> = scripts.iter().map(|script| script.name).collect();
    for name in exempted.iter().filter(|name| !known.contains(*name)) {
        found.insert(format!("{name} is exempted, and no script is called so"));
    }
    let checked: Vec<_> = scripts.iter().filter(|script| !exempted.contains(&script.name)).collect();
    for (path, text) in files.iter().filter(|(path, _)| path.starts_with(folder)) {
        if !scripts.iter().any(|script| script.has(text)) {
            found.insert(format!("{} is part of no script", name(path)));
        }
        if checked.iter().any(|script| script.has(text)) {
            found.extend(measure(&name(path), text));
        }
    }
    for script in checked {
        found.extend(check(script, &by_text));
    }
    Ok(found.into_iter().collect())
}

/// How many lines the pieces of `scripts` have together, each piece counted once.
pub fn lines<'a>(scripts: impl IntoIterator<Item = LuaScript<'a>>) -> usize {
    let pieces: BTreeSet<&str> = scripts.into_iter().flat_map(|script| script.pieces).collect();
    pieces.iter().map(|piece| piece.lines().count()).sum()
}

/// Adds the Lua files below `folder`, which need not exist.
fn collect(folder: &Path, files: &mut Vec<(PathBuf, String)>) -> io::Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "lua") {
            let text = fs::read_to_string(&path)?;
            files.push((path, text));
        }
    }
    Ok(())
}

/// What is too long in a file.
fn measure(name: &str, text: &str) -> Vec<String> {
    let count = text.lines().count();
    let long = text.lines().enumerate().filter(|(_, line)| line.chars().count() > COLUMNS);
    let mut found: Vec<_> = long
        .map(|(at, line)| {
            format!("{name}:{}: the line has {} columns, at most {COLUMNS} are allowed", at + 1, line.chars().count())
        })
        .collect();
    if count > LINES {
        found.push(format!("{name}: the file has {count} lines, at most {LINES} are allowed"));
    }
    found
}

/// What one script does against the rules; `names`: the path of each file by its text.
fn check(script: &LuaScript<'_>, names: &BTreeMap<&str, String>) -> Vec<String> {
    let mut walker = Walker::new(script.name);
    let last = script.pieces.len().saturating_sub(1);
    for (index, text) in script.pieces.iter().copied().enumerate() {
        let is_first_line = index == 0 && text.starts_with("#!") && text.lines().count() == 1;
        if is_first_line || text.is_empty() {
            continue;
        }
        let Some(name) = names.get(text) else {
            walker.report(format!("a piece of {} is no file below `lua/`: {text:.40}", script.name));
            return walker.found();
        };
        if walker.walk(Piece { name, text, is_last: index == last }).is_err() {
            break;
        }
    }
    walker.found()
}
