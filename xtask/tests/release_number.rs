//! `cargo xtask release-number`, run as a command.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use testkit::{Exit, Program, RedisServer};

async fn release(env_file: &Path, more: &[&str]) -> Exit {
    let command = Program::new(env!("CARGO_BIN_EXE_xtask")).arg("release-number").arg("--env-file").arg(env_file);
    command.args(more).run().await.unwrap()
}

#[tokio::test]
async fn what_is_released_is_named_and_a_running_owner_keeps_its_number() {
    let (cache, state) = (RedisServer::cache().start().await.unwrap(), RedisServer::state().start().await.unwrap());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("billing.env");
    let text = format!(
        "SERVICE_NAME=billing\nREDIS_CONN_BASE_URL={}\nREDIS_CACHE_DB=3\nREDIS_WORKERCACHE_CONN_URL={}\n",
        cache.url(None),
        state.url(None)
    );
    std::fs::write(&file, text).unwrap();
    let free = release(&file, &[]).await;
    assert_eq!(free.code, Some(0), "{free:?}");
    assert!(free.stdout.contains("number 3") && free.stdout.contains("is free"), "{free:?}");

    let environment = store_validation::Environment::from_file(&file).unwrap();
    store_validation::validate(&environment).await.unwrap();
    let held = release(&file, &[]).await;
    assert_eq!((held.code, held.stdout.as_str()), (Some(1), ""), "{held:?}");
    assert!(held.stderr.contains("owned by the service billing (last seen") && held.stderr.contains("--force"));
    let released = release(&file, &["--force"]).await;
    assert_eq!(released.code, Some(0), "{released:?}");
    assert!(released.stdout.contains("released the database number 3") && released.stdout.contains("billing"));
    assert_eq!(state.command(&["KEYS", "twinstore:owner:*"]).await.unwrap().as_array().unwrap().len(), 0);
    assert_eq!(cache.command_in(3, &["EXISTS", "twinstore:owner"]).await.unwrap().as_integer(), Some(0));
}

#[tokio::test]
async fn a_command_that_is_wrong_or_cannot_be_done_says_why() {
    let missing = release(Path::new("/no/such/file.env"), &[]).await;
    assert_eq!(missing.code, Some(2), "{missing:?}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("embedded.env");
    std::fs::write(&file, "SERVICE_NAME=a\nREDIS_CONN_BASE_URL=embedded:\nREDIS_WORKERCACHE_CONN_URL=embedded:\n")
        .unwrap();
    let embedded = release(&file, &[]).await;
    assert_eq!(embedded.code, Some(1), "{embedded:?}");
    assert!(embedded.stderr.contains("no database numbers"), "{embedded:?}");
}
