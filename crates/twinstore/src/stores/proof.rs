//! Repeats the checks of the servers after reconnections, because another server may answer.

use std::sync::Arc;
use std::time::Duration;

use redis_link::Link;
use store_core::{Role, metric};
use store_validation::{Claims, Finding, Proven};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::health::Checks;

/// The longest random pause before a check, so that the processes of a fleet do not check at the same time.
const SPREAD: Duration = Duration::from_secs(1);

/// The pause after a check, and the shortest one between two.
const AGAIN: Duration = Duration::from_secs(3);

/// The longest pause while checks find errors or servers do not answer. It is reached in steps, with a random part, so that a
/// fleet does not hold up servers that have just started. A reconnection ends it.
const LONGEST: Duration = Duration::from_secs(30);

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
    let mut tolerated = Vec::new();
    while any_changed(&mut reopened).await {
        tokio::time::sleep(SPREAD.mul_f64(fastrand::f64())).await;
        let mut pause = Duration::ZERO;
        loop {
            reopened.iter_mut().for_each(|count| {
                count.borrow_and_update();
            });
            let proven = claims.prove().await;
            record(&proven, &checks, &tolerated);
            tolerated.clone_from(&proven.tolerated);
            tokio::time::sleep(AGAIN).await;
            if proven.is_right() {
                break;
            }
            match tokio::time::timeout(pause, any_changed(&mut reopened)).await {
                Ok(true) => pause = Duration::ZERO,
                Ok(false) => return,
                Err(_) => pause = (2 * pause + AGAIN).min(LONGEST).mul_f64(1.0 - fastrand::f64() / 2.0),
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

/// Records what is wrong. Logs and counts each error that the check before did not find; `tolerated` are those that it found with
/// `STORE_PREFLIGHT=warn`.
fn record(proven: &Proven, checks: &(Checks, Checks), tolerated: &[Finding]) {
    for (role, checks) in [(Role::Cache, &checks.0), (Role::State, &checks.1)] {
        let is_of_role = |finding: &&Finding| finding.role.is_none_or(|of| of == role);
        let wrong = proven.wrong.iter().filter(is_of_role).cloned().collect();
        let wrong = checks.prove(wrong, |earlier| proven.leaves_open(role, earlier));
        let more = proven.tolerated.iter().filter(|finding| !tolerated.contains(finding)).filter(is_of_role);
        for finding in wrong.iter().chain(more) {
            let code = finding.code.name();
            metric::PREFLIGHT_WRONG.counter(&[role.name(), code]).increment(1);
            tracing::error!(code, %role, help = &*finding.help, "{}", finding.what);
        }
    }
}
