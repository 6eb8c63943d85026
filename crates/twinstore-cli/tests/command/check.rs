//! `twinstore check` beside `cargo xtask config-check`.

use testkit::{Program, RedisServer};

#[tokio::test]
async fn check_answers_as_config_check_does() {
    let cache = RedisServer::cache().start().await.unwrap();
    let state = RedisServer::state().start().await.unwrap();
    let evicts = RedisServer::state().config("maxmemory-policy", "allkeys-lru").start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, cache: &str, state: &str| {
        let path = folder.path().join(format!("{name}.env"));
        let text = format!(
            "SERVICE_NAME={name}\nREDIS_CONN_BASE_URL={cache}\nREDIS_CACHE_DB=1\nREDIS_WORKERCACHE_CONN_URL={state}\n"
        );
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let good = file("billing", &cache.url(None), &state.url(None));
    let same = file("mailer", &cache.url(None), &state.url(None));
    let wrong = file("wrong", &cache.url(None), &evicts.url(None));
    for (arguments, code) in [
        (vec!["--env-file", &good], 0),
        (vec!["--env-file", &good, "--strict"], 1),
        (vec!["--env-file", &good, "--offline", "--strict"], 1),
        (vec!["--env-file", &wrong, "--format", "json"], 1),
        (vec!["--env-file", &wrong, "--format", "github"], 1),
        (vec!["--env-file", &good, "--env-file", &same, "--format", "json"], 1),
        (vec!["--variables"], 0),
        (vec!["--env-file", "/no/such.env"], 2),
        (vec!["--no-such-option"], 2),
    ] {
        let ours = Program::new(env!("CARGO_BIN_EXE_twinstore")).arg("check").args(&arguments).run().await.unwrap();
        let theirs = Program::built("xtask").unwrap().arg("config-check").args(&arguments).run().await.unwrap();
        assert_eq!((ours.code, &ours.stdout), (theirs.code, &theirs.stdout), "{arguments:?}");
        assert_eq!(ours.code, Some(code), "{ours:?}");
    }
}
