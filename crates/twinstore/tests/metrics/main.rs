//! The metrics that a service emits, compared with the table, which is compared with the page.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod kept;

use std::collections::BTreeSet;
use std::time::Duration;

use store_core::metric;
use testkit::{DEADLINE, RedisServer, wait_until};
use twinstore::cache::LoadingOptions;
use twinstore::home::Delivery;
use twinstore::idempotency::{Fingerprint, IdempotentRequest};
use twinstore::lease::{Fence, LeaseName};
use twinstore::name::HolderName;
use twinstore::prelude::*;
use twinstore::queue::{Unique, UniqueKey, UniqueUntil};
use twinstore::resume_token::{SaveRequest, StreamName};

use kept::Kept;

const PAGE: &str = include_str!("../../docs/metrics.md");

#[test]
fn the_page_of_metrics_has_the_table_of_the_code() {
    let (_, rest) = PAGE.split_once("<!-- metrics:begin -->\n").expect("docs/metrics.md has the begin marker");
    let (table, _) = rest.split_once("<!-- metrics:end -->").expect("docs/metrics.md has the end marker");
    let expected = metric::table_markdown();
    assert!(table.trim() == expected.trim(), "put this between the markers of docs/metrics.md:\n\n{expected}");
}

async fn on_servers(cache: &RedisServer, state: &RedisServer, preflight: &str) -> Stores {
    let environment = Environment::from_variables([
        ("SERVICE_NAME", "billing".to_owned()),
        ("REDIS_CONN_BASE_URL", cache.url(None)),
        ("REDIS_CACHE_DB", "3".to_owned()),
        ("REDIS_WORKERCACHE_CONN_URL", state.url(None)),
        ("REDIS_CACHE_COMMAND_TIMEOUT", "100ms".to_owned()),
        ("REDIS_STATE_COMMAND_TIMEOUT", "200ms".to_owned()),
        ("REDIS_STATE_MAX_RETRIES", "1".to_owned()),
        ("STORE_PREFLIGHT", preflight.to_owned()),
    ]);
    Stores::open(&environment).await.unwrap()
}

async fn in_files(folder: &std::path::Path) -> Stores {
    let file = |name: &str| format!("embedded:{}", folder.join(name).display());
    let environment = Environment::from_variables([
        ("SERVICE_NAME", "billing".to_owned()),
        ("REDIS_CONN_BASE_URL", file("cache.redb")),
        ("REDIS_WORKERCACHE_CONN_URL", file("state.redb")),
    ]);
    Stores::open(&environment).await.unwrap()
}

/// Reads, misses, stale values and decisions of a cache.
async fn use_cache(kept: &Kept, stores: &Stores) {
    let (name, key) = (HandleName::new("prices").unwrap(), Key::new("42").unwrap());
    let prices = stores.cache().values::<u64>(name, Ttl::from_secs(60));
    assert_eq!(prices.get(&key).await.unwrap(), None);
    prices.set(&key, &7).await.unwrap();
    assert_eq!(prices.get(&key).await.unwrap(), Some(7));
    let of_prices = |outcome| kept.value("twinstore_cache_reads_total", &["prices", outcome]);
    assert!(of_prices("miss") >= 1.0 && of_prices("hit") >= 1.0 && of_prices("stale") == 0.0);

    let fresh_for = Ttl::new(Duration::from_millis(100)).unwrap();
    let options = LoadingOptions::new(fresh_for).with_stale_for(Duration::from_secs(60)).with_eagerness(0.0);
    let rates = stores.cache().loading::<u64>(HandleName::new("rates").unwrap(), options);
    rates.get_or_load(&key, || async { Ok::<_, std::io::Error>(1) }).await.unwrap();
    let stale = async || {
        let failing = || async { Err::<u64, _>(std::io::Error::other("no")) };
        rates.get_or_load(&key, failing).await.is_ok_and(|loaded| loaded.is_stale())
    };
    wait_until("stale", DEADLINE, stale).await;
    let of_rates = |outcome| kept.value("twinstore_cache_reads_total", &["rates", outcome]);
    assert!(of_rates("miss") >= 1.0 && of_rates("stale") >= 1.0);

    let (limit, limits) = (Key::new("limit").unwrap(), stores.cache().rate_limit());
    let check = RateCheck::new(limit, Rate::FixedWindow { count: 1, window: Duration::from_secs(3600) });
    assert!(limits.decide(std::slice::from_ref(&check), OnUnavailable::Allow).await.unwrap().allowed);
    assert!(!limits.decide(&[check], OnUnavailable::Allow).await.unwrap().allowed);

    let request = || IdempotentRequest::new(Key::new("order").unwrap(), Fingerprint::of(b"1"));
    for _ in 0..2 {
        let _begun = stores.cache().idempotency().begin(&request(), Ttl::from_secs(60)).await.unwrap();
    }
}

/// Jobs that are completed and that die, a leader, and a sampler.
async fn use_state(kept: &Kept, stores: &Stores) {
    let (name, state) = (QueueName::new("mails").unwrap(), stores.state());
    for payload in ["done", "dead", "done"] {
        state.queue().push_one(&name, NewJob::new(payload)).await.unwrap();
    }
    let sampling = state.sampler().with_queue(name.clone()).with_interval(Duration::from_millis(100)).start();
    let jobs = |state: &str| kept.value("twinstore_queue_jobs", &["mails", state]);
    let next_age = || kept.value("twinstore_queue_next_age_seconds", &["mails"]);
    wait_until("sampled", DEADLINE, async || jobs("ready") == 3.0 && next_age() > 0.0).await;
    let handler = async |job: Job| match &job.payload()[..] {
        b"done" => Ok(Done::discard()),
        _ => Err(JobError::dead("no")),
    };
    let worker = state.worker().with_queue("mails", handler).build().unwrap();
    let handle = worker.handle();
    let running = tokio::spawn(worker.run());
    let of_jobs = |outcome| kept.value("twinstore_worker_jobs_total", &["mails", outcome]);
    wait_until("worked off", DEADLINE, async || of_jobs("completed") >= 2.0 && of_jobs("failed") >= 1.0).await;
    wait_until("sampled again", DEADLINE, async || jobs("ready") == 0.0 && jobs("dead") >= 1.0).await;
    drop(sampling);
    handle.shutdown();
    running.await.unwrap().unwrap();
    deliver(kept, state).await;
    resume(kept, state).await;

    let lease = LeaseName::new("scheduler").unwrap();
    let leading = || kept.value("twinstore_leadership_leading", &["scheduler"]);
    let candidate = state.candidate(lease, HolderName::unique("host").unwrap());
    let leadership = candidate.campaign().unwrap();
    leadership.elected().await;
    assert_eq!(leading(), 1.0);
    leadership.resign().await;
    assert_eq!(leading(), 0.0);
    assert!(kept.value("twinstore_leadership_changes_total", &["scheduler", "follower"]) >= 1.0);
}

/// A token without a TTL, and one that has expired.
async fn resume(kept: &Kept, state: &State) {
    let (tokens, fence) = (state.resume_tokens(), Fence::new(1));
    let read = |outcome| kept.value("twinstore_resume_token_reads_total", &[outcome]);
    let before = ["lasting", "expired"].map(read);
    let (kept_for_ever, short) = (StreamName::new("orders").unwrap(), StreamName::new("mails").unwrap());
    let save = SaveRequest::new(kept_for_ever.clone(), "1", fence, None);
    assert!(tokens.save(&save, Durability::Accepted).await.unwrap().value.done().is_some());
    assert!(tokens.load(&kept_for_ever).await.unwrap().is_some());
    let _ = tokens.take_over(&kept_for_ever, fence).await.unwrap();
    assert_eq!(read("lasting"), before[0] + 2.0);
    let save = SaveRequest::new(short.clone(), "1", fence, None).with_ttl(Ttl::new(Duration::from_millis(1)).unwrap());
    assert!(tokens.save(&save, Durability::Accepted).await.unwrap().value.done().is_some());
    let is_counted = async || {
        let _ = tokens.take_over(&short, fence).await.unwrap();
        read("expired") > before[1]
    };
    wait_until("an expired token is counted", DEADLINE, is_counted).await;
}

/// A commit that sends a job to another queue.
async fn deliver(kept: &Kept, state: &State) {
    let (orders, mails, key) =
        (QueueName::new("orders").unwrap(), QueueName::new("mails").unwrap(), UniqueKey::new("7").unwrap());
    let order = NewJob::new("7").with_unique(Unique::new(key.clone(), UniqueUntil::Finished));
    state.queue().push_one(&orders, order).await.unwrap();
    let home = state.home(&orders, &key);
    let handler = move |job: Job| {
        let (home, mail) = (home.clone(), Delivery::job(mails.clone(), NewJob::new("done")));
        async move {
            let commit = job.commit(()).with_delivery(mail);
            let _ = home.commit(&commit, Default::default()).await?;
            Ok(Done::committed())
        }
    };
    let running = tokio::spawn(state.worker().with_queue("orders", handler).build().unwrap().run());
    let delivered = || kept.value("twinstore_worker_outbox_deliveries_total", &["orders", "delivered"]);
    wait_until("delivered", DEADLINE, async || delivered() >= 1.0).await;
    running.abort();
}

/// Outages of both servers.
async fn lose_servers(kept: &Kept, stores: &Stores, cache: &RedisServer, state: &RedisServer) {
    cache.pause().unwrap();
    let key = Key::new("42").unwrap();
    let opened = async || {
        let _ = stores.cache().key_value().get(&key).await;
        kept.value("twinstore_link_breaker_opened_total", &["cache"]) >= 1.0
    };
    wait_until("the breaker is open", DEADLINE, opened).await;
    let check = || [RateCheck::new(Key::new("limit").unwrap(), Rate::per_second(1))];
    for (otherwise, outcome) in [(OnUnavailable::Allow, "failed_open"), (OnUnavailable::Refuse, "failed_closed")] {
        stores.cache().rate_limit().decide(&check(), otherwise).await.unwrap();
        assert_eq!(kept.value("twinstore_limit_decisions_total", &[outcome]), 1.0);
    }
    cache.resume().unwrap();

    let worker = stores.state().worker().with_queue("mails", async |_: Job| Ok(Done::discard())).build().unwrap();
    let handle = worker.handle();
    let running = tokio::spawn(worker.run());
    state.kill().await;
    let name = QueueName::new("mails").unwrap();
    stores.state().inspect().counts(&name).await.unwrap_err();
    assert!(kept.value("twinstore_link_retries_total", &["state", "queue.counts"]) >= 1.0);
    let is_counted = async || kept.emitted().contains("twinstore_worker_store_errors_total");
    wait_until("the worker has counted an error", DEADLINE, is_counted).await;
    state.start_again().await.unwrap();
    let reconnected = async || kept.value("twinstore_link_reconnects_total", &["state"]) >= 3.0;
    wait_until("connections are open again", DEADLINE, reconnected).await;
    let is_reported = async || kept.emitted().contains("twinstore_failover_writes_total");
    wait_until("the fate of the writes before the restart is counted", DEADLINE, is_reported).await;

    // The servers are checked again when a connection is reopened.
    state.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await.unwrap();
    state.command(&["CLIENT", "KILL", "TYPE", "normal"]).await.unwrap();
    let is_wrong = async || kept.value("twinstore_preflight_wrong_total", &["state", "state-evicts"]) >= 1.0;
    wait_until("the wrong policy is counted", DEADLINE, is_wrong).await;
    handle.shutdown_now();
    running.await.unwrap().unwrap();
}

/// An error that a service with `STORE_PREFLIGHT=warn` meets after a reconnection.
async fn tolerate(kept: &Kept, cache: &RedisServer, state: &RedisServer) {
    let stores = on_servers(cache, state, "warn").await;
    state.command(&["SET", "twinstore:role", "cache"]).await.unwrap();
    state.command(&["CLIENT", "KILL", "TYPE", "normal"]).await.unwrap();
    let is_wrong = async || kept.value("twinstore_preflight_wrong_total", &["state", "role-mismatch"]) >= 1.0;
    wait_until("the wrong role is counted", DEADLINE, is_wrong).await;
    let is_up = async || stores.health().await.state.up;
    wait_until("the connections are open again", DEADLINE, is_up).await;
    let health = stores.health().await;
    assert!(health.is_ready() && health.state.wrong.is_empty(), "{health:?}");
}

/// One test, because the recorder belongs to the process.
#[tokio::test(flavor = "multi_thread")]
async fn every_metric_of_the_table_is_emitted_and_no_other() {
    let kept = Kept::default();
    metrics::set_global_recorder(kept.clone()).ok().unwrap();
    let (cache, state) = tokio::join!(RedisServer::cache().start(), RedisServer::state().start());
    let (cache, state) = (cache.unwrap(), state.unwrap());
    let folder = tempfile::tempdir().unwrap();
    let (remote, embedded) = (on_servers(&cache, &state, "enforce").await, in_files(folder.path()).await);
    for stores in [&remote, &embedded] {
        use_cache(&kept, stores).await;
        use_state(&kept, stores).await;
    }
    lose_servers(&kept, &remote, &cache, &state).await;
    remote.close().await;
    tolerate(&kept, &cache, &state).await;

    let table: BTreeSet<String> = metric::ALL.iter().map(|metric| metric.name.to_owned()).collect();
    // The gauges that are zero again, the gauge of handlers that ignore their cancellation (there is none here), and those of an
    // empty server without replicas.
    let mut emitted = kept.emitted();
    emitted.extend(
        [
            "twinstore_leadership_leading",
            "twinstore_queue_next_age_seconds",
            "twinstore_store_evicted_keys",
            "twinstore_store_replication_lag_bytes",
            "twinstore_store_replication_lag_seconds",
            "twinstore_worker_running_jobs",
            "twinstore_worker_stuck_jobs",
        ]
        .map(str::to_owned),
    );
    assert_eq!(emitted, table);
    assert_eq!(kept.described(), table, "all metrics are described");
    kept.each(|name, metric| {
        let declared = metric::ALL.iter().find(|declared| declared.name == name).unwrap();
        assert_eq!(metric.kind, declared.kind.name(), "{name}");
        assert_eq!(metric.labels, declared.labels, "{name}");
    });
    for (role, outcome) in [("cache", "in_progress"), ("cache", "started")] {
        assert!(kept.value("twinstore_idempotency_begins_total", &[role, outcome]) >= 1.0, "{role} {outcome}");
    }
}
