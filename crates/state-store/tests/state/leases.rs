//! Leases: their stored form, durable writes, full memory, lost replies.

use std::sync::Arc;
use std::time::Duration;

use store_core::{
    AcquireRequest, Acquired, Clock, Durability, Error, Fence, HolderName, Lease, LeaseName, Leases, Receipt,
};
use testkit::{FaultProxy, RedisServer, mentions};

use crate::{Fixture, fixture, fixture_with, open, open_to_lose};
use state_store::{StateOptions, StateStore};
use tokio::sync::Barrier;

const LASTING: Duration = Duration::from_secs(10);
const KEY: &str = "test:orders:{l.leader}:lease";

fn name() -> LeaseName {
    LeaseName::new("leader").unwrap()
}

fn request(holder: &str) -> AcquireRequest {
    AcquireRequest::new(name(), HolderName::new(holder).unwrap(), LASTING)
}

fn ours(acquired: Receipt<Acquired>) -> Lease {
    match acquired.value {
        Acquired::Yes(lease) => lease,
        other => panic!("{other:?}"),
    }
}

async fn acquire(leases: &impl Leases, request: &AcquireRequest) -> Lease {
    ours(leases.acquire(request, Durability::Accepted).await.unwrap())
}

async fn ttl(server: &RedisServer) -> Duration {
    let millis = server.command(&["PTTL", KEY]).await.unwrap().as_integer().unwrap();
    Duration::from_millis(u64::try_from(millis).unwrap())
}

#[tokio::test]
async fn a_lease_is_one_string_that_is_kept_for_a_day() {
    let Fixture { server, store, .. } = fixture().await;
    let day = Duration::from_secs(24 * 3600);
    let lease = acquire(&store, &request("one")).await;
    assert_eq!(server.command(&["TYPE", KEY]).await.unwrap().as_str(), Some("string"));
    assert!(ttl(&server).await > day && ttl(&server).await <= day + LASTING);
    store.renew(&lease, LASTING * 6).await.unwrap().unwrap();
    assert!(ttl(&server).await > day + LASTING);
    assert!(store.release(&lease).await.unwrap());
    assert!(ttl(&server).await > day);
}

#[tokio::test]
async fn fences_rise_while_the_clock_stops_or_goes_back() {
    let Fixture { server, store, clock } = fixture().await;
    let mut last = Fence::new(0);
    for round in 0..5 {
        let lease = acquire(&store, &request("one")).await;
        assert!(lease.fence > last, "round {round}");
        last = lease.fence;
        assert!(store.release(&lease).await.unwrap());
        assert!(store.release(&lease).await.unwrap(), "it was given back by this very lease");
    }
    let earlier = StateOptions::default().with_clock(Clock::Manual(store_core::ManualClock::new(
        store_core::Timestamp::from_millis(clock.now().as_millis() - 3_600_000),
    )));
    let store = open(&server.url(None), earlier).await.unwrap();
    assert!(acquire(&store, &request("two")).await.fence > last);
}

#[tokio::test]
async fn an_old_lease_can_neither_renew_nor_release_the_next_one() {
    let Fixture { server: _server, store, clock } = fixture().await;
    let old = acquire(&store, &request("one")).await;
    clock.advance(LASTING);
    assert_eq!(store.inspect(&name()).await.unwrap(), None);
    let new = acquire(&store, &request("two")).await;
    assert_eq!(store.renew(&old, LASTING).await.unwrap(), None);
    assert!(!store.release(&old).await.unwrap());
    assert_eq!(store.inspect(&name()).await.unwrap(), Some(new.info()));
    let taken = store.acquire(&request("one"), Durability::Accepted).await.unwrap().value;
    assert_eq!(taken, Acquired::Taken(new.info()));
}

#[tokio::test]
async fn the_server_s_clock_decides() {
    let server = RedisServer::state().start().await.unwrap();
    let store = open(&server.url(None), StateOptions::default()).await.unwrap();
    let lasting = Duration::from_millis(50);
    let short = AcquireRequest::new(name(), HolderName::new("one").unwrap(), lasting);
    let first = acquire(&store, &short).await;
    let seconds = server.command(&["TIME"]).await.unwrap().as_strings().unwrap()[0].parse::<u64>().unwrap();
    assert!((seconds - 60..=seconds + 60).contains(&(first.until.as_millis() / 1000)));
    assert!((seconds - 60..=seconds + 60).contains(&(first.fence.get() / 1_000_000)));
    testkit::wait_until("the lease runs out", testkit::DEADLINE, async || {
        matches!(store.acquire(&request("two"), Durability::Accepted).await.unwrap().value, Acquired::Yes(_))
    })
    .await;
}

#[tokio::test]
async fn a_lease_lasts_10_ms_to_30_days() {
    let Fixture { server, store, .. } = fixture().await;
    let lease = acquire(&store, &request("one")).await;
    for lasting in [Duration::from_millis(9), Duration::from_secs(30 * 24 * 3600) + Duration::from_millis(1)] {
        let other = AcquireRequest::new(LeaseName::new("other").unwrap(), lease.holder.clone(), lasting);
        let refused = store.acquire(&other, Durability::Accepted).await;
        assert!(matches!(refused, Err(Error::InvalidArgument { .. })));
        assert!(matches!(store.renew(&lease, lasting).await, Err(Error::InvalidArgument { .. })));
    }
    assert_eq!(server.command(&["EXISTS", "test:orders:{l.other}:lease"]).await.unwrap().as_integer(), Some(0));
}

#[tokio::test]
async fn a_lost_reply_changes_nothing() {
    let Fixture { server, clock, .. } = fixture().await;
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let options = StateOptions::default().with_clock(Clock::Manual(clock.clone()));
    let store = open_to_lose(&server.url_through(&proxy, None), options).await;
    let warm =
        acquire(&store, &AcquireRequest::new(LeaseName::new("warm").unwrap(), request("one").holder, LASTING)).await;
    store.renew(&warm, LASTING).await.unwrap();
    store.release(&warm).await.unwrap();

    proxy.cut_after_request(mentions(KEY));
    let lease = acquire(&store, &request("one")).await;
    assert_eq!(proxy.fired(), 1);
    assert_eq!(store.inspect(&name()).await.unwrap().unwrap(), lease.info());
    proxy.cut_after_request(mentions(KEY));
    let until = store.renew(&lease, LASTING * 2).await.unwrap().unwrap();
    assert_eq!((proxy.fired(), until), (2, clock.now().after(LASTING * 2)));
    proxy.cut_after_request(mentions(KEY));
    assert!(store.release(&lease).await.unwrap());
    assert_eq!((proxy.fired(), store.inspect(&name()).await.unwrap()), (3, None));
}

#[tokio::test]
async fn a_repeated_acquire_is_as_durable_as_the_first() {
    let Fixture { server, store, .. } = fixture().await;
    let replica = RedisServer::state().replica_of(&server).start().await.unwrap();
    let durability = Durability::Replicated { replicas: 1, within: Duration::from_secs(20) };
    let request = request("one");
    let first = store.acquire(&request, durability).await.unwrap();
    let second = store.acquire(&request, durability).await.unwrap();
    assert_eq!((first.value.clone(), first.reached.replicas, second.reached.replicas), (second.value, 1, 1));
    drop(replica);
}

#[tokio::test]
async fn a_renewal_is_as_durable_as_the_acquisition() {
    let Fixture { server, store, .. } = fixture().await;
    let replica = RedisServer::state().replica_of(&server).start().await.unwrap();
    let durability = Durability::Replicated { replicas: 1, within: Duration::from_secs(20) };
    let lease = store.acquire(&request("one"), durability).await.unwrap().value.lease().unwrap();
    let until = store.renew(&lease, LASTING * 6).await.unwrap().unwrap();
    assert!(until > lease.until);
    drop(replica);
    let lease = lease.with_durability(Durability::Replicated { replicas: 1, within: Duration::from_millis(50) });
    let renewed = store.renew(&lease, LASTING * 6).await;
    assert!(matches!(renewed, Err(Error::NotDurable { .. })), "the replica is gone: {renewed:?}");
}

#[tokio::test]
async fn leases_and_heartbeats_work_in_a_full_server() {
    let Fixture { server, store, .. } = fixture_with(StateOptions::default()).await;
    let before = acquire(&store, &request("one")).await;
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).await.unwrap();
    store.renew(&before, LASTING).await.unwrap().unwrap();
    assert!(store.release(&before).await.unwrap());
    let after = acquire(&store, &request("two")).await;
    assert_eq!(store.inspect(&name()).await.unwrap(), Some(after.info()));
}

#[tokio::test]
async fn foreign_data_is_corrupt_and_not_shown() {
    let Fixture { server, store, .. } = fixture().await;
    server.command(&["SET", KEY, "canary"]).await.unwrap();
    let error = store.acquire(&request("one"), Durability::Accepted).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("canary"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_calls_are_coalesced_and_each_gets_its_own_answer() {
    const TASKS: usize = 50;
    const ROUNDS: usize = 10;
    let Fixture { server, store, .. } = fixture_with(StateOptions::default()).await;
    server.command(&["RPUSH", "test:orders:{l.bad}:lease", "canary"]).await.unwrap();
    let calls = async || server.command_calls().await.unwrap().get("evalsha").copied().unwrap_or(0);
    let (before, barrier) = (calls().await, Arc::new(Barrier::new(TASKS)));
    let asking: Vec<_> = (0..TASKS)
        .map(|task| {
            let (store, barrier) = (store.clone(), barrier.clone());
            tokio::spawn(async move {
                barrier.wait().await;
                let mut shared = 0;
                for _ in 0..ROUNDS {
                    own(&store, task).await;
                    shared += usize::from(shares(&store, task).await);
                    if task % 5 == 0 {
                        refused(&store).await;
                    }
                }
                shared
            })
        })
        .collect();
    let mut shared = 0;
    for task in asking {
        shared += task.await.unwrap();
    }
    assert!(shared > 0, "nobody ever got the lease that all asked for");
    let (sent, asked) = (calls().await - before, (5 * ROUNDS * TASKS) as u64);
    assert!(sent < asked / 2, "{sent} calls for at least {asked}");
}

/// A lease that nobody else asks for.
async fn own(store: &StateStore, task: usize) {
    let holder = HolderName::new(format!("holder-{task}")).unwrap();
    let request = AcquireRequest::new(LeaseName::new(format!("own-{task}")).unwrap(), holder, LASTING);
    let lease = acquire(store, &request).await;
    assert_eq!((&lease.name, &lease.holder), (&request.name, &request.holder));
    assert!(store.renew(&lease, LASTING * 2).await.unwrap().unwrap() > lease.until);
    assert!(store.release(&lease).await.unwrap());
    assert_eq!(store.renew(&lease, LASTING).await.unwrap(), None);
}

/// A lease that all tasks ask for: whether this task got it.
async fn shares(store: &StateStore, task: usize) -> bool {
    let mine = request(&format!("holder-{task}"));
    match store.acquire(&mine, Durability::Accepted).await.unwrap().value {
        Acquired::Yes(lease) => {
            assert_eq!(lease.holder, mine.holder);
            assert!(store.release(&lease).await.unwrap());
            true
        }
        Acquired::Taken(by) => {
            assert_ne!(by.holder, mine.holder);
            assert!(!store.release(&Lease::new(by.name, by.holder, Fence::new(1), by.until)).await.unwrap());
            false
        }
        other => panic!("{other:?}"),
    }
}

/// A key that another program has given another type.
async fn refused(store: &StateStore) {
    let bad = AcquireRequest::new(LeaseName::new("bad").unwrap(), HolderName::new("one").unwrap(), LASTING);
    let lease = Lease::new(bad.name.clone(), bad.holder.clone(), Fence::new(1), Default::default());
    let errors = [
        store.acquire(&bad, Durability::Accepted).await.unwrap_err(),
        store.renew(&lease, LASTING).await.unwrap_err(),
        store.release(&lease).await.unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("canary"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_of_different_durability_are_not_coalesced() {
    let Fixture { server, store, .. } = fixture_with(StateOptions::default()).await;
    let durable = Durability::Replicated { replicas: 1, within: Duration::from_millis(200) };
    let asking: Vec<_> = (0..20)
        .map(|task| {
            let store = store.clone();
            let durability = if task % 2 == 0 { Durability::Accepted } else { durable };
            let name = LeaseName::new(format!("own-{task}")).unwrap();
            let request = AcquireRequest::new(name, HolderName::new("one").unwrap(), LASTING);
            tokio::spawn(async move { store.acquire(&request, durability).await })
        })
        .collect();
    for (task, acquired) in asking.into_iter().enumerate() {
        let acquired = acquired.await.unwrap();
        if task % 2 == 0 {
            ours(acquired.unwrap());
        } else {
            assert!(matches!(acquired, Err(Error::NotDurable { .. })), "there is no replica: {acquired:?}");
        }
    }
    drop(server);
}

/// What the server's clock shows, in µs.
async fn micros(server: &RedisServer) -> u64 {
    let time = server.command(&["TIME"]).await.unwrap().as_strings().unwrap();
    time[0].parse::<u64>().unwrap() * 1_000_000 + time[1].parse::<u64>().unwrap()
}

/// The returned end is in whole milliseconds of the server's clock, and at least 10 ms after the lease was acquired:
/// the test reads the clock before it acquires the lease.
#[tokio::test]
async fn a_lease_of_10_ms_is_not_granted_again_within_10_ms() {
    let server = RedisServer::state().start().await.unwrap();
    let store = open(&server.url(None), StateOptions::default()).await.unwrap();
    let lasting = Duration::from_millis(10);
    let mut refused = 0;
    for round in 0..400 {
        let name = LeaseName::new(format!("lease-{round}")).unwrap();
        let asked = |holder| AcquireRequest::new(name.clone(), HolderName::new(holder).unwrap(), lasting);
        let before = micros(&server).await;
        let first = acquire(&store, &asked("one")).await;
        let end = before + 10_000;
        assert!(first.until.as_millis() * 1000 >= end, "round {round}: it ends before its time");
        // The other holder gets the lease with this fence, which is the clock in µs.
        let second = loop {
            match store.acquire(&asked("two"), Durability::Accepted).await.unwrap().value.lease() {
                Some(lease) => break lease,
                None => refused += 1,
            }
        };
        let granted = second.fence.get();
        assert!(granted >= end, "round {round}: granted {} µs before the end", end - granted);
        assert!(granted >= first.until.as_millis() * 1000, "round {round}");
    }
    assert!(refused > 0);
}

/// A store whose requests the test records, and the last one that names the lease.
async fn watched() -> (RedisServer, FaultProxy, StateStore, Arc<std::sync::Mutex<Vec<u8>>>) {
    let server = RedisServer::state().start().await.unwrap();
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let store = open(&server.url_through(&proxy, None), StateOptions::default()).await.unwrap();
    let last = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (seen, is_of_lease) = (Arc::clone(&last), mentions(KEY));
    proxy.cut_before_request(move |request| {
        if is_of_lease(request) {
            *seen.lock().unwrap() = request.to_vec();
        }
        false
    });
    (server, proxy, store, last)
}

/// Sends a request again, unchanged. Returns its answer.
async fn again(server: &RedisServer, request: &[u8]) -> String {
    let mut parts = request.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end).skip(1);
    let mut arguments = Vec::new();
    while let (Some(_), Some(argument)) = (parts.next(), parts.next()) {
        arguments.push(argument.to_vec());
    }
    format!("{:?}", server.connect().await.unwrap().command(&arguments).await.unwrap())
}

/// Long before its deadline: the number of the renewal alone decides.
#[tokio::test]
async fn a_copy_of_a_renewal_that_arrives_after_a_newer_one_changes_nothing() {
    let (server, _proxy, store, last) = watched().await;
    let lease = acquire(&store, &request("one")).await;
    store.renew(&lease, Duration::from_millis(300)).await.unwrap().unwrap();
    let short = last.lock().unwrap().clone();
    let until = store.renew(&lease, LASTING * 360).await.unwrap().unwrap();
    let answer = again(&server, &short).await;
    assert!(answer.contains("renewed") && answer.contains(&until.as_millis().to_string()), "{answer}");
    assert_eq!(store.inspect(&name()).await.unwrap().map(|lease| lease.until), Some(until));
}

#[tokio::test]
async fn a_copy_of_a_request_whose_lease_was_released_does_not_take_it_back() {
    let (server, _proxy, store, last) = watched().await;
    // The bytes of holders and requests may contain line breaks; these do not.
    let token = store_core::RequestId::from_bytes(*b"0123456789abcdef");
    let lease = acquire(&store, &request("one").with_request(token)).await;
    let taking = last.lock().unwrap().clone();
    assert!(store.release(&lease).await.unwrap());
    let answer = again(&server, &taking).await;
    assert!(answer.contains("has been released"), "{answer}");
    assert_eq!(store.inspect(&name()).await.unwrap(), None);
}
