//! What Rigatoni's own tests require of positions.

use bson::doc;
use rigatoni_core::state::StateStore;
use testkit::{DEADLINE, wait_until};
use twinstore::time::Ttl;

use crate::fixture::{Fixture, LONG, USERS, on_both_engines, position};

on_both_engines! {
    a_saved_token_is_returned,
    a_token_that_was_never_saved_is_none,
    a_deleted_token_is_gone,
    a_token_that_does_not_exist_can_be_deleted,
    all_tokens_of_the_database_are_listed,
    a_save_replaces_the_token,
    a_token_with_a_time_to_live_expires,
    tokens_are_saved_and_loaded_at_the_same_time,
    a_large_token_is_returned_unchanged,
    a_clone_shares_the_tokens,
    a_token_that_is_too_large_is_an_error,
    an_event_that_was_received_is_not_saved_before_it_is_written,
    the_keys_of_a_pipeline_lead_to_one_position,
}

async fn a_saved_token_is_returned(fixture: Fixture) {
    let store = fixture.without_locks();
    let token = doc! { "_data": "test_token_123", "clusterTime": 1_234_567_890_i64 };
    store.save_resume_token("users", &token).await.unwrap();
    assert_eq!(store.get_resume_token("users").await.unwrap(), Some(token));
    store.close().await.unwrap();
}

async fn a_token_that_was_never_saved_is_none(fixture: Fixture) {
    assert_eq!(fixture.without_locks().get_resume_token("nonexistent").await.unwrap(), None);
    assert!(fixture.without_locks().list_resume_tokens().await.unwrap().is_empty());
}

async fn a_deleted_token_is_gone(fixture: Fixture) {
    for store in [fixture.without_locks(), fixture.instance()] {
        store.try_acquire_lock(USERS, "pod-1", LONG).await.unwrap();
        for event in [1, 2] {
            store.save_resume_token("users", &position(event)).await.unwrap();
            store.delete_resume_token("users").await.unwrap();
            assert_eq!(store.get_resume_token("users").await.unwrap(), None);
        }
        assert!(store.release_lock(USERS, "pod-1").await.unwrap());
    }
}

async fn a_token_that_does_not_exist_can_be_deleted(fixture: Fixture) {
    fixture.instance().delete_resume_token("nonexistent").await.unwrap();
}

async fn all_tokens_of_the_database_are_listed(fixture: Fixture) {
    let store = fixture.without_locks();
    let keys = ["users", "orders", "products", "__db:shop", "__deployment__"];
    for (event, key) in (0..).zip(keys) {
        store.save_resume_token(key, &position(event)).await.unwrap();
    }
    let all = store.list_resume_tokens().await.unwrap();
    assert_eq!(all.len(), keys.len());
    for (event, key) in (0..).zip(keys) {
        assert_eq!(all.get(key), Some(&position(event)), "{key}");
        assert_eq!(store.get_resume_token(key).await.unwrap(), Some(position(event)), "{key}");
    }
}

async fn a_save_replaces_the_token(fixture: Fixture) {
    let store = fixture.without_locks();
    store.save_resume_token("users", &doc! { "_data": "version1" }).await.unwrap();
    let token = doc! { "_data": "version2", "updated": true };
    store.save_resume_token("users", &token).await.unwrap();
    assert_eq!(store.get_resume_token("users").await.unwrap(), Some(token));
}

async fn a_token_with_a_time_to_live_expires(fixture: Fixture) {
    let store = fixture.without_locks().with_token_ttl(Ttl::from_secs(1));
    store.save_resume_token("temp", &position(1)).await.unwrap();
    assert_eq!(store.get_resume_token("temp").await.unwrap(), Some(position(1)));
    let is_gone = async || store.get_resume_token("temp").await.unwrap().is_none();
    wait_until("the token expires", DEADLINE, is_gone).await;
    assert!(store.list_resume_tokens().await.unwrap().is_empty());
    store.save_resume_token("temp", &position(2)).await.unwrap();
    assert_eq!(store.get_resume_token("temp").await.unwrap(), Some(position(2)), "a save renews it");
}

async fn tokens_are_saved_and_loaded_at_the_same_time(fixture: Fixture) {
    let store = fixture.without_locks();
    let tasks: Vec<_> = (0..20)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move {
                let collection = format!("collection_{}", number % 10);
                store.save_resume_token(&collection, &position(number)).await.unwrap();
                assert!(store.get_resume_token(&collection).await.unwrap().is_some());
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(store.list_resume_tokens().await.unwrap().len(), 10);
}

async fn a_large_token_is_returned_unchanged(fixture: Fixture) {
    let store = fixture.without_locks();
    let token = doc! {
        "_data": "x".repeat(60_000),
        "nested": { "field1": "value1", "deep": { "field3": bson::Timestamp { time: 7, increment: 1 } } },
        "array": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
    };
    store.save_resume_token("large", &token).await.unwrap();
    assert_eq!(store.get_resume_token("large").await.unwrap(), Some(token));
}

async fn a_clone_shares_the_tokens(fixture: Fixture) {
    let store = fixture.without_locks();
    let clone = store.clone();
    store.save_resume_token("users", &position(1)).await.unwrap();
    clone.save_resume_token("users", &position(2)).await.unwrap();
    assert_eq!(store.get_resume_token("users").await.unwrap(), Some(position(2)));
}

async fn a_token_that_is_too_large_is_an_error(fixture: Fixture) {
    let store = fixture.without_locks();
    store.save_resume_token("users", &position(1)).await.unwrap();
    let token = doc! { "_data": "x".repeat(70_000) };
    let error = store.save_resume_token("users", &token).await.unwrap_err();
    assert!(error.to_string().contains("65536"), "{error}");
    store.save_resume_token("users", &position(2)).await.unwrap();
}

/// Rigatoni saves the position of each event when it receives it, so a crash before the batch is written skips the batch.
async fn an_event_that_was_received_is_not_saved_before_it_is_written(fixture: Fixture) {
    let store = fixture.instance();
    assert!(store.try_acquire_lock(USERS, "pod-1", LONG).await.unwrap());
    store.save_resume_token("users", &position(1)).await.unwrap();
    store.save_resume_token("resume_token:shop:users", &position(2)).await.unwrap();
    assert_eq!(store.get_resume_token("resume_token:shop:users").await.unwrap(), Some(position(1)));
    store.release_lock(USERS, "pod-1").await.unwrap();
    assert!(store.save_resume_token("resume_token:shop:users", &position(2)).await.is_err(), "the lock is released");
}

/// Rigatoni saves a written batch under another key than the one that it reads.
async fn the_keys_of_a_pipeline_lead_to_one_position(fixture: Fixture) {
    let store = fixture.without_locks();
    let keys = [
        ("users", "resume_token:shop:users"),
        ("__db:shop", "resume_token:database:shop"),
        ("__deployment__", "resume_token:deployment"),
    ];
    for (event, (saved, read)) in (0..).zip(keys) {
        store.save_resume_token(saved, &position(event)).await.unwrap();
        assert_eq!(store.get_resume_token(read).await.unwrap(), Some(position(event)), "{read}");
    }
    assert!(store.save_resume_token("__db:other", &position(9)).await.is_err(), "another database");
}
