//! Leaders on a real server take over from each other.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod service;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use testkit::{DEADLINE, RedisServer, wait_until};
use tokio::task::JoinHandle;
use twinstore::lease::LeaseName;
use twinstore::name::HolderName;
use twinstore::prelude::*;

/// How many leaders work now, and how many terms have begun.
#[derive(Clone, Default)]
struct Office {
    working: Arc<AtomicUsize>,
    terms: Arc<AtomicUsize>,
}

/// Works until it is dropped.
struct AtWork(Office);

impl AtWork {
    fn begin(office: &Office) -> Self {
        assert_eq!(office.working.fetch_add(1, Ordering::SeqCst), 0, "two leaders work at the same time");
        office.terms.fetch_add(1, Ordering::SeqCst);
        Self(office.clone())
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.working.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A process that works while it leads, with connections of its own.
async fn candidate(cache: &RedisServer, state: &RedisServer, office: &Office) -> JoinHandle<()> {
    let more = [("REDIS_STATE_COMMAND_TIMEOUT", "200ms"), ("REDIS_STATE_MAX_RETRIES", "0")];
    let environment = service::environment(cache, state, &more);
    let (stores, office) = (Stores::open(&environment).await.unwrap(), office.clone());
    let name = LeaseName::new("invoices").unwrap();
    let candidate = stores.state().candidate(name, HolderName::unique("host").unwrap());
    let leadership = candidate.with_lease(Duration::from_millis(900)).campaign().unwrap();
    tokio::spawn(async move {
        let _stores = stores;
        let work = |_| {
            let at_work = AtWork::begin(&office);
            async move {
                let _at_work = at_work;
                std::future::pending::<()>().await;
            }
        };
        leadership.run_while_leading(work).await;
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_work_of_a_leader_passes_on_when_it_dies_and_when_its_server_is_silent() {
    let (cache, state) = tokio::join!(RedisServer::cache().start(), RedisServer::state().start());
    let (cache, state, office) = (cache.unwrap(), state.unwrap(), Office::default());
    let terms = |count| {
        let office = office.clone();
        async move || office.terms.load(Ordering::SeqCst) >= count
    };
    let first = candidate(&cache, &state, &office).await;
    wait_until("a leader works", DEADLINE, terms(1)).await;
    let second = candidate(&cache, &state, &office).await;
    first.abort();
    wait_until("the other one works", DEADLINE, terms(2)).await;

    let third = candidate(&cache, &state, &office).await;
    state.pause().unwrap();
    wait_until("nobody works", DEADLINE, async || office.working.load(Ordering::SeqCst) == 0).await;
    state.resume().unwrap();
    wait_until("a leader works again", DEADLINE, terms(3)).await;
    for candidate in [second, third] {
        assert!(!candidate.is_finished(), "no two leaders worked at the same time");
        candidate.abort();
    }
}
