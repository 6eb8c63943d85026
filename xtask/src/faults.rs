//! `cargo xtask faults`: puts both stores under load and faults, and checks every answer.

use crate::shell::{cargo, run};

/// Passes the arguments to the `faults` program.
pub(crate) fn faults(arguments: &[String]) -> Result<(), String> {
    let mut command = cargo(&["run", "--quiet", "--package", "faults", "--"]);
    command.args(arguments);
    run(&mut command)
}
