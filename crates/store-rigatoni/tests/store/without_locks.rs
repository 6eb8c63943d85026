//! Pipelines whose locks are disabled.

use rigatoni_core::state::StateStore;

use crate::fixture::{Fixture, LONG, SHORT, USERS, config, lost, on_both_engines, position, refusal};

on_both_engines! {
    the_instance_that_began_to_save_last_wins,
    a_restarted_instance_saves_immediately,
    an_instance_without_locks_cannot_save_while_another_one_holds_the_lock,
    a_superseded_instance_that_stands_by_saves_again,
    a_read_takes_nothing_over,
    no_lock_is_held_between_saves,
}

async fn the_instance_that_began_to_save_last_wins(fixture: Fixture) {
    let (earlier, later) = (fixture.without_locks(), fixture.without_locks());
    earlier.save_resume_token("users", &position(1)).await.unwrap();
    later.save_resume_token("users", &position(2)).await.unwrap();
    for event in 3..6 {
        refusal(earlier.save_resume_token("users", &position(event)).await);
        refusal(earlier.save_resume_token("resume_token:shop:users", &position(event)).await);
    }
    assert_eq!(lost(&earlier).await, USERS);
    later.save_resume_token("users", &position(6)).await.unwrap();
    assert_eq!(earlier.get_resume_token("users").await.unwrap(), Some(position(6)));
    earlier.save_resume_token("orders", &position(1)).await.unwrap(); // another change stream
}

async fn a_restarted_instance_saves_immediately(fixture: Fixture) {
    for event in 1..4 {
        let store = fixture.without_locks(); // the process before was killed
        store.save_resume_token("resume_token:shop:users", &position(event)).await.unwrap();
        store.save_resume_token("users", &position(event)).await.unwrap();
    }
    assert_eq!(fixture.without_locks().get_resume_token("users").await.unwrap(), Some(position(3)));
}

async fn an_instance_without_locks_cannot_save_while_another_one_holds_the_lock(fixture: Fixture) {
    let (with, without) = (fixture.instance(), fixture.without_locks());
    without.save_resume_token("users", &position(1)).await.unwrap();
    assert!(with.try_acquire_lock(USERS, "pod-1", LONG).await.unwrap());
    refusal(without.save_resume_token("users", &position(2)).await);
    refusal(fixture.without_locks().save_resume_token("users", &position(2)).await);
    with.save_resume_token("users", &position(3)).await.unwrap();
    assert_eq!(with.get_resume_token("users").await.unwrap(), Some(position(3)));
}

async fn a_superseded_instance_that_stands_by_saves_again(fixture: Fixture) {
    let (earlier, later) = (fixture.without_locks(), fixture.without_locks());
    earlier.save_resume_token("users", &position(1)).await.unwrap();
    later.save_resume_token("users", &position(2)).await.unwrap();
    refusal(earlier.save_resume_token("users", &position(3)).await);
    assert_eq!(lost(&earlier).await, USERS);
    let resumed = earlier.stand_by(&config(LONG)).await.unwrap();
    assert_eq!(resumed.stream_config.resume_token, Some(position(2)));
    assert!(tokio::time::timeout(SHORT, earlier.lost()).await.is_err(), "it would stop the new pipeline");
    earlier.save_resume_token("users", &position(4)).await.unwrap();
    refusal(later.save_resume_token("users", &position(5)).await);
}

async fn a_read_takes_nothing_over(fixture: Fixture) {
    let running = fixture.without_locks();
    running.save_resume_token("users", &position(1)).await.unwrap();
    let other = fixture.without_locks();
    assert_eq!(other.get_resume_token("resume_token:shop:users").await.unwrap(), Some(position(1)));
    assert_eq!(other.list_resume_tokens().await.unwrap().len(), 1);
    running.save_resume_token("users", &position(2)).await.unwrap();
}

async fn no_lock_is_held_between_saves(fixture: Fixture) {
    let store = fixture.without_locks();
    store.save_resume_token("users", &position(1)).await.unwrap();
    assert!(!store.is_locked(USERS).await.unwrap());
    assert!(tokio::time::timeout(SHORT, store.lost()).await.is_err());
    assert!(fixture.instance().try_acquire_lock(USERS, "pod-1", LONG).await.unwrap());
}
