//! `cargo xtask bench`: what each operation costs.

use crate::shell::{cargo, run};

/// Builds the benchmarks with optimisation and runs them; the arguments are the bench's own.
pub(crate) fn bench(arguments: &[String]) -> Result<(), String> {
    let mut command = cargo(&["run", "--release", "--quiet", "--package", "bench", "--"]);
    command.args(arguments);
    run(&mut command)
}
