//! Two instances on one change stream.

use rigatoni_core::state::StateStore;
use testkit::{DEADLINE, wait_until};

use crate::fixture::{Fixture, LONG, SHORT, USERS, lost, on_both_engines, position, refusal};

on_both_engines! {
    a_save_without_the_lock_is_refused,
    a_save_under_the_lock_of_another_collection_is_refused,
    a_save_of_an_expired_lock_is_refused,
    an_instance_continues_where_a_killed_one_saved_last,
    a_late_save_of_an_earlier_holder_is_refused,
    a_lost_lock_is_reported,
    a_lock_that_no_longer_can_be_refreshed_is_reported,
    a_released_lock_is_not_reported_as_lost,
    a_position_that_another_process_deletes_ends_the_lock,
    services_share_locks_and_positions,
}

async fn a_save_without_the_lock_is_refused(fixture: Fixture) {
    let (active, standby) = (fixture.instance(), fixture.instance());
    assert!(refusal(standby.save_resume_token("users", &position(9)).await).contains(USERS), "nobody holds the lock");
    assert!(active.try_acquire_lock(USERS, "pod-1", LONG).await.unwrap());
    active.save_resume_token("users", &position(1)).await.unwrap();
    assert!(!standby.try_acquire_lock(USERS, "pod-2", LONG).await.unwrap());
    for key in ["users", "resume_token:shop:users"] {
        assert!(refusal(standby.save_resume_token(key, &position(9)).await).contains(USERS));
    }
    assert_eq!(standby.get_resume_token("resume_token:shop:users").await.unwrap(), Some(position(1)));
}

async fn a_save_under_the_lock_of_another_collection_is_refused(fixture: Fixture) {
    let store = fixture.instance();
    assert!(store.try_acquire_lock("rigatoni:lock:shop:orders", "pod-1", LONG).await.unwrap());
    assert!(store.try_acquire_lock("rigatoni:lock:shop:__database__", "pod-1", LONG).await.unwrap());
    refusal(store.save_resume_token("users", &position(1)).await);
    refusal(store.save_resume_token("__deployment__", &position(1)).await);
    store.save_resume_token("orders", &position(1)).await.unwrap();
    store.save_resume_token("__db:shop", &position(2)).await.unwrap();
    assert_eq!(store.get_resume_token("resume_token:database:shop").await.unwrap(), Some(position(2)));
}

async fn a_save_of_an_expired_lock_is_refused(fixture: Fixture) {
    let store = fixture.instance();
    assert!(store.try_acquire_lock(USERS, "pod-1", LONG).await.unwrap());
    store.save_resume_token("users", &position(1)).await.unwrap();
    assert!(store.refresh_lock(USERS, "pod-1", SHORT).await.unwrap());
    let is_free = async || !store.is_locked(USERS).await.unwrap();
    wait_until("the lock expires", DEADLINE, is_free).await;
    refusal(store.save_resume_token("users", &position(2)).await);
    assert_eq!(store.get_resume_token("users").await.unwrap(), Some(position(1)));
}

async fn an_instance_continues_where_a_killed_one_saved_last(fixture: Fixture) {
    let (first, second) = (fixture.instance(), fixture.instance());
    assert!(first.try_acquire_lock(USERS, "pod-1", LONG).await.unwrap());
    for event in 1..=3 {
        first.save_resume_token("users", &position(event)).await.unwrap();
    }
    assert!(!second.try_acquire_lock(USERS, "pod-2", LONG).await.unwrap());
    assert!(first.refresh_lock(USERS, "pod-1", SHORT).await.unwrap());
    drop(first); // it neither refreshes nor releases
    let is_acquired = async || second.try_acquire_lock(USERS, "pod-2", LONG).await.unwrap();
    wait_until("the lock expires", DEADLINE, is_acquired).await;
    assert_eq!(second.get_resume_token("resume_token:shop:users").await.unwrap(), Some(position(3)));
    second.save_resume_token("users", &position(4)).await.unwrap();
    assert_eq!(second.get_resume_token("resume_token:shop:users").await.unwrap(), Some(position(4)));
}

/// Also if the earlier holder believes that it still holds the lock: here its clock has stopped, as that of a suspended machine.
async fn a_late_save_of_an_earlier_holder_is_refused(fixture: Fixture) {
    let (paused, active) = (fixture.instance(), fixture.instance());
    assert!(paused.try_acquire_lock(USERS, "pod-1", LONG).await.unwrap());
    paused.save_resume_token("users", &position(1)).await.unwrap();
    release_for_another(&fixture).await;
    assert!(active.try_acquire_lock(USERS, "pod-2", LONG).await.unwrap());
    // before the new holder has read or saved anything
    assert!(refusal(paused.save_resume_token("users", &position(2)).await).contains("another instance"));
    assert_eq!(active.get_resume_token("resume_token:shop:users").await.unwrap(), Some(position(1)));
    active.save_resume_token("users", &position(3)).await.unwrap();
    refusal(paused.save_resume_token("users", &position(2)).await);
    assert!(active.release_lock(USERS, "pod-2").await.unwrap());
    refusal(paused.save_resume_token("users", &position(2)).await);
    assert_eq!(active.get_resume_token("users").await.unwrap(), Some(position(3)));
}

/// Ends the lease of `USERS` on the server, without its holder.
async fn release_for_another(fixture: &Fixture) {
    use twinstore::lease::{Lease, LeaseName};
    let leases = fixture.stores.state().shared().leases();
    let held = leases.inspect(&LeaseName::new(USERS).unwrap()).await.unwrap().expect("it is held");
    assert!(leases.release(&Lease::new(held.name, held.holder, held.fence, held.until)).await.unwrap());
}

async fn a_lost_lock_is_reported(fixture: Fixture) {
    let (first, second) = (fixture.instance(), fixture.instance());
    assert!(first.try_acquire_lock(USERS, "pod-1", LONG).await.unwrap());
    release_for_another(&fixture).await;
    assert!(second.try_acquire_lock(USERS, "pod-2", LONG).await.unwrap());
    assert!(!first.refresh_lock(USERS, "pod-1", LONG).await.unwrap());
    assert_eq!(lost(&first).await, USERS);
    refusal(first.save_resume_token("users", &position(1)).await);
    assert!(second.release_lock(USERS, "pod-2").await.unwrap());
    assert!(first.try_acquire_lock(USERS, "pod-1", LONG).await.unwrap());
    assert!(tokio::time::timeout(SHORT, first.lost()).await.is_err(), "it holds the lock again");
}

/// If nobody refreshes the lock, as while the store is unavailable, it is lost when it expires.
async fn a_lock_that_no_longer_can_be_refreshed_is_reported(fixture: Fixture) {
    let store = fixture.instance();
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.lost().await }
    });
    assert!(store.try_acquire_lock(USERS, "pod-1", SHORT).await.unwrap());
    assert_eq!(tokio::time::timeout(DEADLINE, waiting).await.unwrap().unwrap(), USERS);
    refusal(store.save_resume_token("users", &position(1)).await);
}

async fn a_released_lock_is_not_reported_as_lost(fixture: Fixture) {
    let store = fixture.instance();
    assert!(store.try_acquire_lock(USERS, "pod-1", SHORT).await.unwrap());
    assert!(store.release_lock(USERS, "pod-1").await.unwrap());
    assert!(tokio::time::timeout(SHORT * 2, store.lost()).await.is_err());
}

async fn a_position_that_another_process_deletes_ends_the_lock(fixture: Fixture) {
    let (running, operator) = (fixture.instance(), fixture.instance());
    assert!(running.try_acquire_lock(USERS, "pod-1", LONG).await.unwrap());
    running.save_resume_token("users", &position(1)).await.unwrap();
    operator.delete_resume_token("users").await.unwrap();
    assert!(refusal(running.save_resume_token("users", &position(2)).await).contains("deleted"));
    assert_eq!(lost(&running).await, USERS);
    assert!(running.try_acquire_lock(USERS, "pod-1", LONG).await.unwrap(), "the lock was given back");
    assert_eq!(running.get_resume_token("users").await.unwrap(), None, "the pipeline starts again");
    running.save_resume_token("users", &position(3)).await.unwrap();
}

async fn services_share_locks_and_positions(fixture: Fixture) {
    let store = fixture.instance();
    assert!(store.try_acquire_lock(USERS, "pod-1", LONG).await.unwrap());
    store.save_resume_token("users", &position(1)).await.unwrap();
    let leases = fixture.stores.state().leases(); // those of the service alone
    let name = twinstore::lease::LeaseName::new(USERS).unwrap();
    assert_eq!(leases.inspect(&name).await.unwrap(), None);
    let page = fixture.stores.state().resume_tokens().tokens(None, None).await.unwrap();
    assert_eq!(page.items[0].stream.as_str(), "rigatoni:shop:users");
}
