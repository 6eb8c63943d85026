use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use store_core::{Fence, Lease, LeaseName, Leases};
use store_worker::{Leadership, Leading};
use tokio::sync::watch;

use crate::captured::Captured;
use crate::leadership::{Away, campaign, name};

const LEASE: Duration = Duration::from_millis(600);

/// Records which leaders work at the same time.
#[derive(Clone, Default)]
struct Office {
    working: Arc<AtomicUsize>,
    terms: Arc<watch::Sender<Vec<Fence>>>,
}

/// In the office until it is dropped.
struct AtWork(Office);

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.working.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Office {
    fn enter(&self, leading: &Leading) -> AtWork {
        assert_eq!(self.working.fetch_add(1, Ordering::SeqCst), 0, "two leaders work at the same time");
        self.terms.send_modify(|terms| terms.push(leading.fence()));
        AtWork(self.clone())
    }

    /// Works until the term ends.
    fn works(&self, leadership: Leadership) -> tokio::task::JoinHandle<()> {
        let office = self.clone();
        tokio::spawn(async move {
            leadership
                .run_while_leading(|leading| {
                    let at_work = office.enter(&leading);
                    async move {
                        let _at_work = at_work;
                        std::future::pending::<()>().await;
                    }
                })
                .await;
        })
    }

    async fn until_terms(&self, count: usize) -> Vec<Fence> {
        let mut terms = self.terms.subscribe();
        let seen = terms.wait_for(|terms| terms.len() >= count);
        tokio::time::timeout(testkit::DEADLINE, seen).await.expect("a leader is elected").unwrap().clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_leader_works_after_the_first_has_died() {
    let (leases, office) = (Away::new(), Office::default());
    let first = office.works(campaign(&leases, "a", LEASE));
    office.until_terms(1).await;
    let second = office.works(campaign(&leases, "b", LEASE));
    first.abort();
    let terms = office.until_terms(2).await;
    assert!(terms.is_sorted_by(|one, next| one < next), "{terms:?}");
    assert_eq!(leases.inspect(&name()).await.unwrap().unwrap().holder.as_str(), "b");
    second.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_loses_its_store_stops_before_the_next_one_begins() {
    let (leases, office) = (Away::new(), Office::default());
    let cut_off = leases.share();
    let first = office.works(campaign(&cut_off, "a", LEASE));
    office.until_terms(1).await;
    let second = office.works(campaign(&leases, "b", LEASE));
    cut_off.set_away(true);
    let terms = office.until_terms(2).await;
    assert!(terms[0] < terms[1], "{terms:?}");
    // The first one leads again when its store is back and the second one has ended.
    cut_off.set_away(false);
    second.abort();
    office.until_terms(3).await;
    first.abort();
}

/// A term that has ended is not taken for a new one: the periodic work neither runs again nor takes the whole thread.
#[tokio::test]
async fn a_campaign_that_panics_ends_the_term_and_is_logged() {
    let (captured, _guard) = Captured::begin();
    let leases = Away::new();
    let leadership = Arc::new(campaign(&leases, "a", Duration::from_secs(3)));
    leadership.elected().await;
    let runs = Arc::new(AtomicUsize::new(0));
    let working = tokio::spawn({
        let (leadership, runs) = (leadership.clone(), runs.clone());
        let counted = move |_| {
            runs.fetch_add(1, Ordering::SeqCst);
            std::future::ready(())
        };
        async move { leadership.run_every(Duration::from_secs(3600), counted).await }
    });
    let mut changes = leadership.changes();
    leases.panic();
    while changes.changed().await.is_ok() {}
    assert!(!leadership.is_leader() && leadership.fence().is_none());
    let elected = tokio::time::timeout(Duration::from_millis(50), leadership.elected());
    assert!(elected.await.is_err(), "it is not elected again");
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    let errors = captured.of_level(tracing::Level::ERROR);
    assert!(matches!(&errors[..], [error] if error.get("lease") == Some("scheduler")), "{errors:?}");
    working.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_ends_returns_its_output() {
    let leadership = campaign(&Away::new(), "a", LEASE);
    assert!(leadership.run_while_leading(async |leading| leading.is_leading()).await);
    leadership.resign().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_starts_again_in_the_next_term() {
    let leases = Away::new();
    let leadership = campaign(&leases, "a", LEASE);
    let runs = AtomicUsize::new(0);
    let work = leadership.run_while_leading(|leading| {
        let (leases, run) = (leases.clone(), runs.fetch_add(1, Ordering::SeqCst));
        async move {
            if run == 0 {
                let held = leases.inspect(&LeaseName::new("scheduler").unwrap()).await.unwrap().unwrap();
                leases.release(&Lease::new(held.name, held.holder, held.fence, held.until)).await.unwrap();
                std::future::pending::<()>().await;
            }
            leading.fence()
        }
    });
    let fence = tokio::time::timeout(testkit::DEADLINE, work).await.expect("the work runs again");
    assert_eq!((leadership.fence(), runs.load(Ordering::SeqCst)), (Some(fence), 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn periodic_work_runs_again_and_again_and_never_in_two_processes() {
    let (leases, office) = (Away::new(), Office::default());
    let start = |holder: &str| {
        let (leadership, office) = (campaign(&leases, holder, LEASE), office.clone());
        tokio::spawn(async move {
            leadership
                .run_every(Duration::from_millis(1), |leading| {
                    let at_work = office.enter(&leading);
                    async move {
                        tokio::task::yield_now().await;
                        drop(at_work);
                    }
                })
                .await;
        })
    };
    let (first, second) = (start("a"), start("b"));
    let terms = office.until_terms(5).await;
    let leads = leases.inspect(&name()).await.unwrap().unwrap().holder;
    if leads.as_str() == "a" { &first } else { &second }.abort();
    let mut seen = office.terms.subscribe();
    let later = seen.wait_for(|seen| seen.last() > terms.last());
    tokio::time::timeout(testkit::DEADLINE, later).await.expect("the other one leads").unwrap();
    first.abort();
    second.abort();
}
