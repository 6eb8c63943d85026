//! Repeats the checks of the servers after reconnections, because another server may answer.

use std::sync::Arc;
use std::time::Duration;

use redis_link::Link;
use store_core::{Role, metric};
use store_validation::{Claims, Finding};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::health::Checks;

/// The longest random pause before a check, so that the processes of a fleet do not check at the same time.
const SPREAD: Duration = Duration::from_secs(1);

/// The pause between two checks while the last one found errors or a server did not answer. No pause is shorter.
const AGAIN: Duration = Duration::from_secs(3);

/// A task that checks the servers after each reconnection, until it is dropped.
pub(crate) struct Proof {
    task: JoinHandle<()>,
}

impl Proof {
    /// Starts the task.
    pub(crate) fn keep(claims: Claims, links: &[(Role, Link)], checks: Arc<(Checks, Checks)>) -> Self {
        let reopened = links.iter().map(|(_, link)| link.reopened()).collect();
        Self { task: tokio::spawn(check_again(claims, reopened, checks)) }
    }

    /// Ends the task, even if other clones of the stores exist.
    pub(crate) fn end(&self) {
        self.task.abort();
    }
}

impl Drop for Proof {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn check_again(claims: Claims, mut reopened: Vec<watch::Receiver<u64>>, checks: Arc<(Checks, Checks)>) {
    while any_changed(&mut reopened).await {
        tokio::time::sleep(SPREAD.mul_f64(fastrand::f64())).await;
        loop {
            reopened.iter_mut().for_each(|count| {
                count.borrow_and_update();
            });
            let proven = claims.prove().await;
            let is_right = proven.as_ref().is_some_and(Vec::is_empty);
            if let Some(findings) = proven {
                record(&findings, &checks);
            }
            tokio::time::sleep(AGAIN).await;
            if is_right {
                break;
            }
        }
    }
}

/// Waits until one of the counts changes. Returns `false` if no link is left.
async fn any_changed(reopened: &mut [watch::Receiver<u64>]) -> bool {
    if reopened.iter().any(|count| count.has_changed().unwrap_or(false)) {
        return true;
    }
    let mut waiting = JoinSet::new();
    for mut count in reopened.iter().cloned() {
        waiting.spawn(async move { count.changed().await.is_ok() });
    }
    while let Some(changed) = waiting.join_next().await {
        if changed.unwrap_or(false) {
            return true;
        }
    }
    false
}

fn record(findings: &[Finding], checks: &(Checks, Checks)) {
    for (role, checks) in [(Role::Cache, &checks.0), (Role::State, &checks.1)] {
        let of_role: Vec<_> =
            findings.iter().filter(|finding| finding.role.is_none_or(|of| of == role)).cloned().collect();
        for finding in checks.prove(of_role) {
            let code = finding.code.name();
            metric::PREFLIGHT_WRONG.counter(&[role.name(), code]).increment(1);
            tracing::error!(code, %role, help = &*finding.help, "{}", finding.what);
        }
    }
}
