//! What the command refuses, with which code, and that no secret is in what it says.

use std::time::Duration;

use embedded_store::EmbeddedState;
use store_core::{NewJob, QueueExt, ServiceName};
use testkit::{Program, RedisServer};

use crate::fixture::{Fixture, queue, with_variables};

const CANARY: &str = "hunter2-canary";

#[tokio::test]
async fn wrong_usage_exits_with_2() {
    let fixture = Fixture::start().await;
    for (line, told) in [
        ("", "Usage"),
        ("no-such-command", "no-such-command"),
        ("jobs", "<QUEUE>"),
        ("jobs a{b", "a queue name"),
        ("jobs mails --state lost", "lost"),
        ("jobs mails --limit 0", "--limit"),
        ("replay mails", "<ID>"),
        ("replay mails id --all", "--all"),
        ("dead mails --all", "--all"),
        ("cancel mails", "<ID>"),
        ("tokens --expiring soon", "90s, 15m, 12h or 7d"),
        ("queues --env-file /no/such.env", "/no/such.env"),
    ] {
        let exit = fixture.run(line).await;
        assert_eq!((exit.code, exit.stdout.as_str()), (Some(2), ""), "{line}: {exit:?}");
        assert!(exit.stderr.contains(told), "{line}: {exit:?}");
    }
}

#[tokio::test]
async fn a_refused_configuration_exits_with_78_and_warn_continues() {
    let cache = RedisServer::cache().start().await.unwrap();
    let state = RedisServer::state().config("maxmemory-policy", "allkeys-lru").start().await.unwrap();
    state.command(&["SET", "tw:layouts", "queue 4"]).await.unwrap();
    let variables = || with_variables(&cache.url(None), &state.url(None)).arg("queues");
    let exit = variables().run().await.unwrap();
    assert_eq!((exit.code, exit.stdout.as_str()), (Some(78), ""), "{exit:?}");
    assert!(exit.stderr.contains("state-evicts") && exit.stderr.contains("STORE_PREFLIGHT=warn"), "{exit:?}");
    let exit = variables().env("STORE_PREFLIGHT", "warn").run().await.unwrap();
    assert!(exit.code == Some(0) && exit.stderr.contains("state-evicts"), "{exit:?}");

    let exit = with_variables(&cache.url(None), &cache.url(None)).arg("queues").run().await.unwrap();
    assert!(exit.code == Some(78) && exit.stderr.contains("same-instance"), "{exit:?}");
    let exit = Program::new(env!("CARGO_BIN_EXE_twinstore")).arg("queues").run().await.unwrap();
    assert!(exit.code == Some(78) && exit.stderr.contains("SERVICE_NAME is not set"), "{exit:?}");
}

#[tokio::test]
async fn no_secret_is_in_what_it_says() {
    let cache = RedisServer::cache().password("right").start().await.unwrap();
    let state = RedisServer::state().password("right").start().await.unwrap();
    let wrong = |server: &RedisServer| format!("redis://:{CANARY}@{}", server.address());
    let closed = format!("redis://:{CANARY}@127.0.0.1:1");
    for (cache, state) in [(wrong(&cache), wrong(&state)), (closed.clone(), closed.replace(":1", ":2"))] {
        for line in ["queues", "dead --json", "check"] {
            let exit = with_variables(&cache, &state).args(line.split(' ')).run().await.unwrap();
            assert_eq!(exit.code, Some(if line == "check" { 1 } else { 78 }), "{exit:?}");
            assert!(!exit.stdout.contains(CANARY) && !exit.stderr.contains(CANARY), "{exit:?}");
        }
    }
}

#[tokio::test]
async fn an_unknown_queue_and_an_empty_namespace_are_reported() {
    let fixture = Fixture::start().await;
    let exit = fixture.run("queues").await;
    assert!(exit.code == Some(1) && exit.stderr.contains("REDIS_STATE_NAMESPACE"), "{exit:?}");
    let store = fixture.store().await;
    store.push_one(&queue("mails"), NewJob::new("")).await.unwrap();
    for line in ["jobs mail", "dead mail", "pause mail --write", "replay mail --all --write", "explain mail 1"] {
        let exit = fixture.run(line).await;
        assert!(exit.code == Some(1) && exit.stderr.contains("there is no queue mail"), "{exit:?}");
    }
}

#[tokio::test]
async fn a_store_in_a_file_is_read_and_one_in_memory_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    let url = format!("embedded:{}", path.display());
    let run =
        async |state: &str, line: &str| with_variables("embedded:", state).args(line.split(' ')).run().await.unwrap();
    let exit = run(&url, "queues").await;
    assert!(exit.code == Some(1) && exit.stderr.contains("does not exist") && !path.exists(), "{exit:?}");

    let store = EmbeddedState::open(&path, ServiceName::new("billing").unwrap(), Default::default()).unwrap();
    store.push_one(&queue("mails"), NewJob::new("").with_delay(Duration::from_secs(60))).await.unwrap();
    let exit = run(&url, "queues").await;
    assert!(exit.code == Some(1) && exit.stderr.contains("stop the service first"), "{exit:?}");
    store.close().await;
    drop(store);
    let exit = run(&url, "queues --json").await;
    assert!(exit.code == Some(0) && exit.stdout.contains("\"scheduled\":1"), "{exit:?}");

    let exit = run("embedded:", "queues").await;
    assert!(exit.code == Some(78) && exit.stderr.contains("in the memory"), "{exit:?}");
}

/// Listings need a right that services do not need.
#[tokio::test]
async fn a_user_without_the_right_to_list_keys_is_told_which_right_is_missing() {
    let fixture = Fixture::start().await;
    fixture.store().await;
    let rules = ["ACL", "SETUSER", "app", "reset", "on", ">x", "~*", "&*", "+@all", "-scan"];
    fixture.state.command(&rules).await.unwrap();
    let program = with_variables(&fixture.cache.url(None), &fixture.state.user_url("app", "x"));
    let exit = program.args(["queues"]).run().await.unwrap();
    assert_eq!(exit.code, Some(1), "{exit:?}");
    assert!(exit.stderr.contains("forbidden") && exit.stderr.contains("+scan"), "{exit:?}");
}
