//! `cargo xtask faults`: both stores under load and faults, and a checker of what was answered.

use crate::shell::{cargo, run};

/// Runs the fault runs; the arguments are their own.
pub(crate) fn faults(arguments: &[String]) -> Result<(), String> {
    let mut command = cargo(&["run", "--quiet", "--package", "faults", "--"]);
    command.args(arguments);
    run(&mut command)
}
