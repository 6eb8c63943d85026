//! `cargo xtask lint`: what a program can check without running a test.

use crate::shell::{cargo, root, run};
use crate::tidy;

/// Formatting, clippy, house rules, documentation, and `config-check` over the examples and the servers' configuration files.
pub(crate) fn lint() -> Result<(), String> {
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    tidy::tidy(&root())?;
    run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]))?;
    run(cargo(&["doc", "--workspace", "--no-deps", "--features", "twinstore/testing"])
        .env("RUSTDOCFLAGS", "--deny warnings"))?;
    let mut check = cargo(&["run", "--quiet", "--package", "xtask", "--", "config-check", "--offline", "--strict"]);
    for example in examples()? {
        check.arg("--env-file").arg(example);
    }
    for role in ["cache", "state"] {
        check.arg("--redis-conf").arg(format!("{role}=deploy/redis/{role}.conf"));
    }
    run(&mut check)
}

fn examples() -> Result<Vec<std::path::PathBuf>, String> {
    let folder = root().join("deploy/examples");
    let entries = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "env"));
    files.sort();
    if files.is_empty() { Err(format!("{} holds no example", folder.display())) } else { Ok(files) }
}
