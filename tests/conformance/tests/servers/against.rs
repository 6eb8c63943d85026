//! A run against servers that hold the data of others.

use testkit::{RedisServer, Value};

/// Every key of a database, with its value.
async fn contents(server: &RedisServer, database: u32) -> Vec<(String, Value)> {
    let mut contents = Vec::new();
    for key in server.command_in(database, &["KEYS", "*"]).await.unwrap().as_strings().unwrap() {
        let value = server.command_in(database, &["DUMP", &key]).await.unwrap();
        contents.push((key, value));
    }
    contents.sort_by(|one, other| one.0.cmp(&other.0));
    contents
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_keys_stay_and_nothing_of_the_suite_is_left() {
    let (cache, state) = tokio::join!(RedisServer::cache().start(), RedisServer::state().start());
    let (cache, state) = (cache.unwrap(), state.unwrap());
    let foreign = ["value:conformance", "tw:{q.email.0}:jobs", "conformance-:{l.a}:lease", "handoff:1:a:b", "plain"];
    let databases = [(&cache, 0), (&cache, 1), (&cache, 2), (&state, 0)];
    for (server, database) in databases {
        for key in foreign {
            server.command_in(database, &["SET", key, "foreign"]).await.unwrap();
        }
    }

    for filter in ["handoff.", "idempotency.", "rate_limit.reset", "key_value.set_many", "lease.", "queue.settle"] {
        let report = conformance::against(&cache.url(None), &state.url(None), filter).await.unwrap();
        assert!(report.is_ok() && !report.passed.is_empty(), "{report}");
        let last = report.to_string().lines().last().map(str::to_owned);
        assert!(last.is_some_and(|line| line.ends_with("skipped") && line.contains(" passed, 0 failed, ")));
    }

    for (server, database) in databases {
        let left = contents(server, database).await;
        let keys: Vec<&str> = left.iter().map(|(key, _)| key.as_str()).collect();
        let mut expected = foreign;
        expected.sort_unstable();
        assert_eq!(keys, expected, "database {database}");
    }
}

#[tokio::test]
async fn a_server_that_is_down_is_told_without_its_password() {
    let url = format!("redis://:canary@127.0.0.1:{}", testkit::free_port().unwrap());
    let refused = conformance::against(&url, &url, "").await.unwrap_err();
    assert!(!format!("{refused} {refused:?}").contains("canary"));
    let refused = conformance::against("http://user:canary@host", &url, "").await.unwrap_err();
    assert!(!format!("{refused} {refused:?}").contains("canary"));
}
