//! Runs cases and counts their results.

use std::fmt;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::engine::{Capability, Engine};
use crate::verdict::BrokenPromise;

/// How many cases run at the same time.
const AT_ONCE: usize = 8;

/// The result of a run. [`fmt::Display`] shows each failure and each skip with its reason, and ends with one line:
/// `N passed, N failed, N skipped`.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The names of the cases that passed.
    pub passed: Vec<String>,
    /// The names of the cases that failed, and their failures.
    pub failed: Vec<(String, BrokenPromise)>,
    /// The names of the cases that were not run, and the capabilities that the engine lacks.
    pub skipped: Vec<(String, Capability)>,
    /// The keys that could not be removed from the servers after the run, and why.
    pub left: Option<String>,
}

impl Report {
    /// Whether no case failed and no key is left on the servers.
    pub fn is_ok(&self) -> bool {
        self.failed.is_empty() && self.left.is_none()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, lacking) in &self.skipped {
            writeln!(f, "skipped {name}: the engine lacks {lacking}")?;
        }
        for (name, failure) in &self.failed {
            writeln!(f, "FAILED  {name}: {failure}")?;
        }
        if let Some(left) = &self.left {
            writeln!(f, "LEFT    {left}")?;
        }
        let (passed, failed, skipped) = (self.passed.len(), self.failed.len(), self.skipped.len());
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

/// Runs every case whose name contains `filter` on an engine, several at a time.
pub async fn run_all(engine: &Arc<dyn Engine>, filter: &str) -> Report {
    let mut report = Report::default();
    let mut running = JoinSet::new();
    let places = Arc::new(Semaphore::new(AT_ONCE));
    for case in crate::all().filter(|case| case.name().contains(filter)) {
        if let Some(lacking) = case.lacks(engine.as_ref()) {
            report.skipped.push((case.name(), lacking));
            continue;
        }
        let (engine, places) = (Arc::clone(engine), Arc::clone(&places));
        running.spawn(async move {
            let _place = places.acquire_owned().await;
            (case, case.run(&engine).await)
        });
    }
    while let Some(ended) = running.join_next().await {
        let (case, verdict) = ended.expect("invariant: a case catches its panics");
        match verdict {
            Ok(()) => report.passed.push(case.name()),
            Err(failure) => report.failed.push((case.name(), failure)),
        }
    }
    report.passed.sort_unstable();
    report.failed.sort_by(|one, other| one.0.cmp(&other.0));
    report
}
