//! The files under `deploy/`: real servers are started with them, and what they name exists.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod alerts;
mod compose;
mod servers;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The top of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// A file under `deploy/`.
fn deploy(name: &str) -> PathBuf {
    root().join("deploy").join(name)
}

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Runs a shell script.
fn sh(script: &Path, arguments: &[&Path]) -> Output {
    Command::new("sh").arg(script).args(arguments).output().unwrap()
}

/// Fills in an ACL template with the passwords in a folder.
fn fill(role: &str, folder: &Path) -> Output {
    sh(&deploy("acl/fill.sh"), &[&deploy(&format!("acl/{role}.acl")), folder])
}
