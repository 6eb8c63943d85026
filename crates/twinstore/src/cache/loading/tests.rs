use std::collections::HashMap;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use store_core::{Entry, Error, HandleKind, ManualClock, Op, RequestId, SetIfAbsent, TypedKeyValue};
use tokio::sync::{Notify, oneshot};

use super::*;

/// A store in memory that can be made to fail. It has no TTL.
#[derive(Debug, Default)]
struct Scripted {
    values: Mutex<HashMap<Key, (Bytes, Option<RequestId>)>>,
    is_down: AtomicBool,
    asked: AtomicUsize,
}

impl Scripted {
    fn ask(&self) -> Result<()> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.is_down.load(Ordering::SeqCst) { Err(Error::unavailable(Op::Ping, "down")) } else { Ok(()) }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn holds(&self, key: &Key) -> bool {
        self.values.lock().unwrap().contains_key(key)
    }
}

#[async_trait]
impl KeyValue for Scripted {
    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>> {
        self.ask()?;
        let values = self.values.lock().unwrap();
        Ok(keys.iter().map(|key| values.get(key).map(|(value, _)| value.clone())).collect())
    }

    async fn set_many(&self, entries: &[Entry]) -> Result<()> {
        self.ask()?;
        let mut values = self.values.lock().unwrap();
        values.extend(entries.iter().map(|entry| (entry.key.clone(), (entry.value.clone(), None))));
        Ok(())
    }

    async fn set_if_absent(&self, entry: &Entry, request: RequestId) -> Result<SetIfAbsent> {
        self.ask()?;
        let mut values = self.values.lock().unwrap();
        match values.get(&entry.key) {
            Some((value, by)) if *by != Some(request) => Ok(SetIfAbsent::Present(value.clone())),
            _ => {
                values.insert(entry.key.clone(), (entry.value.clone(), Some(request)));
                Ok(SetIfAbsent::Stored)
            }
        }
    }

    async fn delete_many(&self, keys: &[Key]) -> Result<u64> {
        self.ask()?;
        let mut values = self.values.lock().unwrap();
        Ok(keys.iter().filter_map(|key| values.remove(key)).count() as u64)
    }

    async fn delete_if(&self, key: &Key, expected: &Bytes) -> Result<bool> {
        self.ask()?;
        let mut values = self.values.lock().unwrap();
        let is_expected = values.get(key).is_some_and(|(value, _)| value == expected);
        Ok(is_expected && values.remove(key).is_some())
    }

    async fn add(&self, _: &Key, _: i64, _: Ttl) -> Result<i64> {
        Err(Error::unsupported(Op::KeyValueAdd, "not scripted"))
    }
}

fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

fn named() -> HandleName {
    HandleName::new("words").unwrap()
}

/// Where the handle keeps the value of a key.
fn kept(name: &str) -> Key {
    HandleKind::Loading.key(&named(), &key(name))
}

/// Where the handle keeps the lock of a key.
fn lock(name: &str) -> Key {
    HandleKind::LoadingLock.key(&named(), &key(name))
}

fn options() -> LoadingOptions {
    LoadingOptions::new(Ttl::from_secs(60)).with_eagerness(0.0)
}

fn loading(options: LoadingOptions) -> (Arc<Scripted>, Loading<String>) {
    let store = Arc::new(Scripted::default());
    (store.clone(), Loading::new(store, named(), options))
}

async fn load(loading: &Loading<String>, value: &str) -> Result<String, LoadError> {
    let value = value.to_owned();
    Ok(loading.get_or_load(&key("k"), || async { Ok::<_, io::Error>(value) }).await?.value)
}

async fn fail(loading: &Loading<String>) -> Result<Loaded<String>, LoadError> {
    loading.get_or_load(&key("k"), || async { Err(io::Error::other("no database")) }).await
}

#[tokio::test]
async fn a_loaded_value_is_kept() {
    let (_, loading) = loading(options());
    assert_eq!(load(&loading, "a").await.unwrap(), "a");
    assert_eq!(load(&loading, "b").await.unwrap(), "a");
    assert!(loading.forget(&key("k")).await.unwrap());
    assert_eq!(load(&loading, "b").await.unwrap(), "b");
}

#[tokio::test]
async fn handles_with_other_names_do_not_share_values() {
    let (store, words) = loading(options());
    load(&words, "a word").await.unwrap();
    let others = Loading::new(store.clone(), HandleName::new("others").unwrap(), options());
    assert_eq!(load(&others, "another").await.unwrap(), "another");
    let values = TypedKeyValue::<String>::new(store.clone(), named(), Ttl::from_secs(60));
    assert_eq!(values.get(&key("k")).await.unwrap(), None);
    values.set(&key("k"), &"set".to_owned()).await.unwrap();
    assert_eq!(load(&words, "b").await.unwrap(), "a word");
    assert_eq!(load(&Loading::new(store, named(), options()), "b").await.unwrap(), "a word");
}

#[tokio::test]
async fn a_loaded_value_and_a_stored_one_are_not_stale() {
    let (_, loading) = loading(options());
    let name = key("k");
    let ask = async || loading.get_or_load(&name, || async { Ok::<_, io::Error>("a".to_owned()) }).await.unwrap();
    let (first, second) = (ask().await, ask().await);
    assert!(matches!((&first.origin, &second.origin), (Origin::Loaded, Origin::Stored)));
    assert!(!first.is_stale() && !second.is_stale());
}

#[tokio::test]
async fn one_loader_runs_however_many_ask_and_goes_on_without_its_caller() {
    let (store, loading) = loading(options());
    let loads = Arc::new(AtomicUsize::new(0));
    let release = Arc::new(Notify::new());
    let ask = || {
        let (loading, loads, release) = (loading.clone(), loads.clone(), release.clone());
        tokio::spawn(async move {
            let loader = async move || {
                loads.fetch_add(1, Ordering::SeqCst);
                release.notified().await;
                Ok::<_, io::Error>("once".to_owned())
            };
            loading.get_or_load(&key("k"), loader).await
        })
    };
    let first = ask();
    while loads.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let others: Vec<_> = (0..50).map(|_| ask()).collect();
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    while store.asked() < 52 {
        tokio::task::yield_now().await;
    }
    release.notify_one();
    for other in others {
        assert_eq!(other.await.unwrap().unwrap().value, "once");
    }
    assert_eq!(loads.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_failure_is_told_to_all_who_wait_and_wedges_nobody() {
    let (_, loading) = loading(options());
    let error = fail(&loading).await.unwrap_err();
    let LoadError::Failed(cause) = &error else { panic!("{error}") };
    assert_eq!((cause.to_string(), error.to_string().contains("database")), ("no database".to_owned(), false));
    let name = key("k");
    let panicking = loading.get_or_load(&name, || async { panic!("the loader's own fault") as Result<_, io::Error> });
    assert!(matches!(panicking.await, Err(LoadError::Stopped)));
    assert_eq!(load(&loading, "a").await.unwrap(), "a");
}

#[tokio::test(start_paused = true)]
async fn a_loader_that_hangs_is_stopped() {
    let (_, loading) = loading(options().with_load_within(Duration::from_secs(1)));
    let name = key("k");
    let hanging = loading.get_or_load(&name, std::future::pending::<Result<_, io::Error>>);
    assert!(matches!(hanging.await, Err(LoadError::TimedOut)));
    assert_eq!(load(&loading, "a").await.unwrap(), "a");
}

#[tokio::test]
async fn a_stale_value_stands_in_for_a_loader_that_fails() {
    let clock = ManualClock::new(Timestamp::from_millis(1_000_000));
    let options = options().with_stale_for(Duration::from_secs(600)).with_clock(Clock::Manual(clock.clone()));
    let (_, loading) = loading(options);
    load(&loading, "old").await.unwrap();
    clock.advance(Duration::from_secs(61));
    let stale = fail(&loading).await.unwrap();
    assert!(stale.value == "old" && stale.is_stale());
    let Origin::Stale { fresh_until, error: LoadError::Failed(_) } = stale.origin else { panic!("{:?}", stale.origin) };
    assert_eq!(fresh_until, Timestamp::from_millis(1_060_000));
    assert_eq!(load(&loading, "new").await.unwrap(), "new");
}

#[tokio::test]
async fn a_value_is_refreshed_in_the_background_before_its_time() {
    let clock = ManualClock::new(Timestamp::from_millis(1_000_000));
    // so eager that every caller refreshes
    let (_, loading) = loading(options().with_eagerness(1e18).with_clock(Clock::Manual(clock.clone())));
    let name = key("k");
    let slow = loading.get_or_load(&name, || async {
        tokio::time::sleep(Duration::from_millis(2)).await;
        Ok::<_, io::Error>("old".to_owned())
    });
    slow.await.unwrap();
    clock.advance(Duration::from_secs(1));
    let (refreshed, is_refreshed) = oneshot::channel();
    let refresh = || async {
        let _ = refreshed.send(());
        Ok::<_, io::Error>("new".to_owned())
    };
    assert_eq!(loading.get_or_load(&key("k"), refresh).await.unwrap().value, "old");
    is_refreshed.await.unwrap();
    while fail(&loading).await.unwrap().value != "new" {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_is_a_miss_and_left_alone_for_a_while() {
    let (store, loading) = loading(options().with_pause(2, Duration::from_secs(5)));
    store.is_down.store(true, Ordering::SeqCst);
    for round in 0..10 {
        assert_eq!(load(&loading, &round.to_string()).await.unwrap(), round.to_string());
    }
    assert_eq!(store.asked(), 2);
    store.is_down.store(false, Ordering::SeqCst);
    load(&loading, "a").await.unwrap();
    assert!(!store.holds(&kept("k")));
    tokio::time::advance(Duration::from_secs(5)).await;
    load(&loading, "b").await.unwrap();
    while !store.holds(&kept("k")) {
        tokio::task::yield_now().await;
    }
    assert_eq!(load(&loading, "c").await.unwrap(), "b");
}

#[tokio::test]
async fn foreign_bytes_are_a_miss() {
    let (store, loading) = loading(options());
    for foreign in [&b""[..], b"canary", b"\x01012345678901not json"] {
        store.set(kept("k"), Bytes::from_static(foreign), Ttl::from_secs(1)).await.unwrap();
        assert_eq!(load(&loading, "a").await.unwrap(), "a");
        loading.forget(&key("k")).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_fleet_waits_for_one_loader_but_not_for_ever() {
    let fleet_lock = FleetLock { held_for: Ttl::from_secs(10), wait: Duration::from_secs(2) };
    let (store, first) = loading(options().with_fleet_lock(fleet_lock));
    let second = Loading::<String>::new(store.clone(), named(), options().with_fleet_lock(fleet_lock));
    let name = key("k");
    let slow = first.get_or_load(&name, || async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok::<_, io::Error>("first".to_owned())
    });
    let (of_first, of_second) = tokio::join!(slow, async {
        while !store.holds(&lock("k")) {
            tokio::task::yield_now().await;
        }
        load(&second, "second").await
    });
    assert_eq!((of_first.unwrap().value, of_second.unwrap()), ("first".to_owned(), "first".to_owned()));
    while store.holds(&lock("k")) {
        tokio::task::yield_now().await;
    }

    // another process crashed while it held the lock
    first.forget(&name).await.unwrap();
    store.set(lock("k"), Bytes::from_static(b"theirs"), Ttl::from_secs(10)).await.unwrap();
    assert_eq!(load(&second, "second").await.unwrap(), "second");
    assert!(store.holds(&lock("k")), "a lock of somebody else's is not removed");
}
