//! `cargo xtask config-check` as it is run: arguments, outputs, exit codes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use serde_json::Value;
use testkit::{Exit, Program, RedisServer};

const CANARY: &str = "hunter2-canary";

fn config_check() -> Program {
    Program::new(env!("CARGO_BIN_EXE_xtask")).arg("config-check")
}

fn env_file(folder: &Path, service: &str, cache: &str, state: &str) -> PathBuf {
    let path = folder.join(format!("{service}.env"));
    let text = format!(
        "# {service}\nexport SERVICE_NAME={service}\nREDIS_CONN_BASE_URL='{cache}'\nREDIS_CACHE_DB=1\n\
         REDIS_WORKERCACHE_CONN_URL=\"{state}\"\n"
    );
    std::fs::write(&path, text).unwrap();
    path
}

/// The one object on the standard output.
fn object(exit: &Exit) -> Value {
    serde_json::from_str(&exit.stdout).unwrap_or_else(|error| panic!("{error}: {exit:?}"))
}

fn codes<'a>(object: &'a Value, severity: &str) -> Vec<&'a str> {
    let findings = object["findings"].as_array().unwrap();
    let codes = findings.iter().filter(|finding| finding["severity"] == severity);
    codes.map(|finding| finding["code"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn two_right_servers_pass_and_a_fleet_is_compared() {
    let (cache, state) = (RedisServer::cache().start().await.unwrap(), RedisServer::state().start().await.unwrap());
    let folder = tempfile::tempdir().unwrap();
    let billing = env_file(folder.path(), "billing", &cache.url(None), &state.url(None));
    let mailer =
        env_file(folder.path(), "mailer", &cache.url(None).replace("127.0.0.1", "localhost"), &state.url(None));

    let exit = config_check().arg("--env-file").arg(&billing).run().await.unwrap();
    assert_eq!(exit.code, Some(0), "{exit:?}");
    assert!(exit.stdout.contains("0 errors, "), "{exit:?}");

    let fleet = config_check().arg("--env-file").arg(&billing).arg("--env-file").arg(&mailer);
    let exit = fleet.args(["--format", "json"]).run().await.unwrap();
    let object = object(&exit);
    assert_eq!((exit.code, codes(&object, "error")), (Some(1), vec!["database-number-taken"]));
    assert_eq!(object["errors"], 1);
    assert_eq!(object["warnings"], codes(&object, "warning").len());
    let finding = object["findings"].as_array().unwrap().last().unwrap();
    for field in ["code", "severity", "role", "what", "why", "help", "file"] {
        assert!(finding[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {finding}");
    }
    assert!(finding["file"].as_str().unwrap().ends_with("mailer.env"));
}

#[tokio::test]
async fn the_environment_is_that_of_the_process_and_every_problem_is_told_without_secrets() {
    let exit = config_check().args(["--offline", "--format", "json"]).run().await.unwrap();
    let nothing = object(&exit);
    assert_eq!(exit.code, Some(1));
    assert_eq!(codes(&nothing, "error"), ["conf-invalid", "url-missing", "url-missing", "database-number-missing"]);

    for format in ["text", "json", "github"] {
        let exit = config_check()
            .args(["--format", format])
            .env("SERVICE_NAME", "billing")
            .env("REDIS_CONN_BASE_URL", format!("redis://:{CANARY}@127.0.0.1:1/0"))
            .env("REDIS_CACHE_DB", "1")
            .env("REDIS_WORKERCACHE_CONN_URL", format!("redis://:{CANARY}#@host"))
            .env("REDIS_STATE_PASSWORD", CANARY)
            .run()
            .await
            .unwrap();
        assert_eq!(exit.code, Some(1), "{exit:?}");
        for code in ["cache-url-has-database", "unreachable", "url-invalid"] {
            assert!(exit.stdout.contains(code), "{exit:?}");
        }
        assert!(exit.stderr.contains("REDIS_STATE_PASSWORD_FILE"), "a mistyped name: {exit:?}");
        assert!(!exit.stdout.contains(CANARY) && !exit.stderr.contains(CANARY), "{exit:?}");
    }
}

#[tokio::test]
async fn wrong_usage_and_an_unreadable_file_exit_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let bad = folder.path().join("bad.env");
    std::fs::write(&bad, format!("SERVICE_NAME=billing\n{CANARY}\n")).unwrap();
    let bad = bad.to_str().unwrap();
    for (arguments, told) in [
        (vec!["--no-such-flag"], "--no-such-flag"),
        (vec!["--format", "xml"], "xml"),
        (vec!["--env-file", "/no/such.env"], "/no/such.env"),
        (vec!["--env-file", bad], "bad.env:2: "),
    ] {
        let exit = config_check().args(&arguments).run().await.unwrap();
        assert_eq!((exit.code, exit.stdout.as_str()), (Some(2), ""), "{exit:?}");
        assert!(exit.stderr.contains(told) && !exit.stderr.contains(CANARY), "{exit:?}");
    }
}
