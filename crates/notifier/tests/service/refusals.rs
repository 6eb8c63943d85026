//! A service that is set up wrong does not start, and says all that is wrong without a secret.

use testkit::RedisServer;

use crate::fixture::{Fixture, notifier};

const CANARY: &str = "canary-7f3a91";

#[tokio::test]
async fn one_server_for_both_roles_is_refused() {
    let server = RedisServer::state().password(CANARY).start().await.unwrap();
    let exit = notifier(&["run"])
        .env("SERVICE_NAME", "notifier")
        .env("REDIS_CONN_BASE_URL", server.url(None))
        .env("REDIS_CACHE_DB", "3")
        .env("REDIS_WORKERCACHE_CONN_URL", server.url(Some(1)).replace("127.0.0.1", "localhost"))
        .env("RUST_LOG", "trace")
        .run()
        .await
        .unwrap();
    assert_eq!(exit.code, Some(78), "{}", exit.stderr);
    assert!(exit.stderr.contains("same-instance"), "{}", exit.stderr);
    assert!(!exit.stderr.contains(CANARY) && !exit.stdout.contains(CANARY));
}

#[tokio::test]
async fn all_that_is_wrong_is_told_at_once() {
    let evicting =
        RedisServer::builder().password(CANARY).config("maxmemory-policy", "allkeys-lru").start().await.unwrap();
    let exit = notifier(&["run"])
        .env("REDIS_CONN_BASE_URL", format!("redis://:{CANARY}@127.0.0.1:1/0"))
        .env("REDIS_WORKERCACHE_CONN_URL", evicting.url(None))
        .env("RUST_LOG", "trace")
        .run()
        .await
        .unwrap();
    assert_eq!(exit.code, Some(78), "{}", exit.stderr);
    for code in ["cache-url-has-database", "database-number-missing", "SERVICE_NAME"] {
        assert!(exit.stderr.contains(code), "{code} in {}", exit.stderr);
    }
    assert!(!exit.stderr.contains(CANARY) && !exit.stdout.contains(CANARY), "{}", exit.stderr);
}

#[tokio::test]
async fn a_wrong_password_and_an_evicting_queue_are_refused_without_showing_it() {
    let fixture = Fixture::new().await;
    let state =
        RedisServer::builder().password(CANARY).config("maxmemory-policy", "allkeys-lru").start().await.unwrap();
    let wrong = state.url(None).replace(CANARY, &format!("{CANARY}-wrong"));
    for (url, code) in [(wrong, "auth-refused"), (state.url(None), "state-evicts")] {
        let exit = fixture.notifier(&["run"]).env("REDIS_WORKERCACHE_CONN_URL", url).env("RUST_LOG", "trace");
        let exit = exit.run().await.unwrap();
        assert_eq!(exit.code, Some(78), "{}", exit.stderr);
        assert!(exit.stderr.contains(code), "{code} in {}", exit.stderr);
        assert!(!exit.stderr.contains(CANARY) && !exit.stdout.contains(CANARY), "{}", exit.stderr);
    }
}

#[tokio::test]
async fn a_mistyped_variable_is_not_taken_for_a_wish_to_lose_everything() {
    let exit = notifier(&["run"]).env("REDIS_CON_BASE_URL", "redis://127.0.0.1:1").run().await.unwrap();
    assert_eq!(exit.code, Some(78), "{}", exit.stderr);
    assert!(exit.stderr.contains("did you mean REDIS_CONN_BASE_URL?"), "{}", exit.stderr);
}

#[tokio::test]
async fn two_processes_cannot_share_memory() {
    let exit = notifier(&["ingest"]).run().await.unwrap();
    assert_eq!(exit.code, Some(1));
    assert!(exit.stderr.contains("REDIS_WORKERCACHE_CONN_URL"), "{}", exit.stderr);
}
