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
        "# {service}\nSERVICE_NAME={service}\nREDIS_CONN_BASE_URL={cache}\nREDIS_CACHE_DB=1\n\
         REDIS_WORKERCACHE_CONN_URL={state}\n"
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
    assert!(exit.stdout.contains("0 errors, ") && !exit.stdout.contains("EXPIRE conditions"), "{exit:?}");

    let fleet = config_check().arg("--env-file").arg(&billing).arg("--env-file").arg(&mailer);
    let exit = fleet.arg("--capabilities").run().await.unwrap();
    let heads: Vec<_> = exit.stdout.lines().filter(|line| line.contains(" server 127.0.0.1:")).collect();
    let [cache_head, state_head] = [("cache", cache.port()), ("state", state.port())]
        .map(|(role, port)| format!("{role} server 127.0.0.1:{port}"));
    assert_eq!(heads, [cache_head, state_head], "the services share the state server: {exit:?}");
    for capability in ["RESP3", "scripts", "WAIT ", "SELECT"] {
        let line = exit.stdout.lines().find(|line| line.trim_start().starts_with(capability));
        assert!(line.is_some_and(|line| line.ends_with(" yes")), "{capability}: {exit:?}");
    }

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
        assert!(exit.stdout.contains("REDIS_STATE_PASSWORD_FILE"), "a mistyped name: {exit:?}");
        assert_eq!(exit.stderr, "");
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

/// A service on embedded stores, with these lines besides.
fn embedded(folder: &Path, lines: &str) -> PathBuf {
    let path = env_file(folder, "billing", "embedded:", "embedded:");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{text}{lines}\n")).unwrap();
    path
}

async fn run(file: &Path, more: &[&str]) -> Exit {
    config_check().arg("--env-file").arg(file).args(more).run().await.unwrap()
}

#[tokio::test]
async fn a_mistyped_variable_is_in_every_format_and_strict_refuses_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = embedded(folder.path(), &format!("REDIS_WORKERCACHE_PASSWORD_FILE={CANARY}"));
    for (format, severity) in
        [("text", "warning[variable-mistyped]"), ("json", "\"variable-mistyped\""), ("github", "::warning file=")]
    {
        let exit = run(&file, &["--format", format]).await;
        assert_eq!(exit.code, Some(0), "{exit:?}");
        assert!(exit.stdout.contains(severity), "{exit:?}");
        assert!(exit.stdout.contains("did you mean REDIS_STATE_PASSWORD_FILE?"), "{exit:?}");
        assert!(!exit.stdout.contains(CANARY) && exit.stderr.is_empty(), "{exit:?}");
    }
    for (format, severity) in
        [("text", "error[variable-mistyped]"), ("json", "\"severity\":\"error\""), ("github", "::error file=")]
    {
        let exit = run(&file, &["--strict", "--format", format]).await;
        assert_eq!(exit.code, Some(1), "{exit:?}");
        assert!(exit.stdout.contains(severity), "{exit:?}");
    }
    let allowed = embedded(folder.path(), "REDIS_WORKERCACHE_PASSWORD_FILE=x\nSTORE_PREFLIGHT_ALLOW=variable-mistyped");
    let exit = run(&allowed, &["--strict"]).await;
    assert_eq!(exit.code, Some(0), "{exit:?}");
    assert!(exit.stdout.contains("(let pass by STORE_PREFLIGHT_ALLOW)"), "{exit:?}");
}

#[tokio::test]
async fn with_warn_errors_are_shown_and_the_exit_code_says_that_the_service_starts() {
    let cache = RedisServer::cache().start().await.unwrap();
    let state = RedisServer::state().config("maxmemory-policy", "allkeys-lru").start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = env_file(folder.path(), "billing", &cache.url(None), &state.url(None));
    let exit = run(&file, &["--format", "json"]).await;
    assert_eq!((exit.code, object(&exit)["refused"].as_bool()), (Some(1), Some(true)), "{exit:?}");

    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text}STORE_PREFLIGHT=warn\n")).unwrap();
    let exit = run(&file, &["--format", "json"]).await;
    let shown = object(&exit);
    assert_eq!(
        (exit.code, shown["refused"].as_bool(), codes(&shown, "error")),
        (Some(0), Some(false), vec!["state-evicts"])
    );
    assert!(run(&file, &[]).await.stdout.ends_with("; STORE_PREFLIGHT=warn: the start is not refused\n"));
    assert!(run(&file, &["--format", "github"]).await.stdout.contains("title=state-evicts"));
    assert_eq!(run(&file, &["--strict"]).await.code, Some(1));

    let without_url = text.lines().filter(|line| !line.starts_with("REDIS_CONN")).collect::<Vec<_>>().join("\n");
    std::fs::write(&file, format!("{without_url}\nSTORE_PREFLIGHT=warn\n")).unwrap();
    let exit = run(&file, &["--offline"]).await;
    assert_eq!(exit.code, Some(1), "there is nothing to start with: {exit:?}");
}

#[tokio::test]
async fn an_env_file_may_be_a_pipe_and_may_begin_with_a_byte_order_mark() {
    let folder = tempfile::tempdir().unwrap();
    let file = embedded(folder.path(), "");
    let text = std::fs::read(&file).unwrap();
    let pipe = folder.path().join("pipe.env");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let writer = {
        let (pipe, text) = (pipe.clone(), [b"\xef\xbb\xbf".to_vec(), text].concat());
        std::thread::spawn(move || std::fs::write(pipe, text).unwrap())
    };
    let exit = run(&pipe, &["--offline"]).await;
    writer.join().unwrap();
    assert_eq!((exit.code, exit.stdout.as_str()), (Some(0), "0 errors, 0 warnings\n"), "{exit:?}");
}

#[tokio::test]
async fn what_other_readers_of_env_files_read_differently_is_refused_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    for (line, advice) in [
        (format!("REDIS_STATE_USERNAME=${{{CANARY}}}"), "compose replaces"),
        (format!("REDIS_STATE_USERNAME=\"{CANARY}\""), "without quotes"),
        (format!("export\tREDIS_STATE_USERNAME={CANARY}"), "export"),
        (format!("REDIS_STATE_USERNAME='{CANARY}\n{CANARY}'"), "without quotes"),
        (format!("REDIS_STATE_USERNAME={CANARY} \\"), "systemd"),
        (format!("REDIS_STATE_USERNAME={CANARY}\u{1}"), "control character"),
    ] {
        let exit = run(&embedded(folder.path(), &line), &["--offline"]).await;
        assert_eq!((exit.code, exit.stdout.as_str()), (Some(2), ""), "{exit:?}");
        assert!(exit.stderr.contains("billing.env:6: ") && exit.stderr.contains(advice), "{exit:?}");
        assert!(!exit.stderr.contains(CANARY), "{exit:?}");
        let exit = run(&folder.path().join("billing.env"), &["--offline", "--format", "github"]).await;
        assert!(exit.stdout.starts_with("::error file=") && exit.stdout.contains("billing.env,line=6::"), "{exit:?}");
        assert!(exit.code == Some(2) && !exit.stdout.contains(CANARY), "{exit:?}");
    }
    let utf_16 = folder.path().join("utf-16.env");
    std::fs::write(&utf_16, "\u{feff}A=1".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()).unwrap();
    let exit = run(&utf_16, &["--offline"]).await;
    assert!(exit.code == Some(2) && exit.stderr.contains("save it as UTF-8"), "{exit:?}");
}

#[tokio::test]
async fn a_secret_in_a_variable_that_names_a_file_is_in_no_output() {
    let folder = tempfile::tempdir().unwrap();
    let file = env_file(folder.path(), "billing", "rediss://127.0.0.1:1", "rediss://127.0.0.1:2");
    let mut text = std::fs::read_to_string(&file).unwrap();
    for name in ["PASSWORD_FILE", "TLS_CA_FILE", "TLS_CERT_FILE", "TLS_KEY_FILE"] {
        text.push_str(&format!("REDIS_CACHE_{name}={CANARY}\nREDIS_STATE_{name}=/{CANARY}\n"));
    }
    std::fs::write(&file, text).unwrap();
    for format in ["text", "json", "github"] {
        let exit = run(&file, &["--format", format]).await;
        assert_eq!(exit.code, Some(1), "{exit:?}");
        assert!(exit.stdout.contains("REDIS_STATE_PASSWORD_FILE does not name an existing file"), "{exit:?}");
        assert!(!exit.stdout.contains(CANARY) && !exit.stderr.contains(CANARY), "{exit:?}");
    }
}

/// Without an env file only the configuration files are checked.
#[tokio::test]
async fn configuration_files_of_servers_are_checked_with_their_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("redis.conf");
    let of = async |role: &str, text: &str, more: &[&str]| {
        std::fs::write(&file, text).unwrap();
        let conf = format!("{role}={}", file.display());
        config_check().args(["--redis-conf", &conf]).args(more).run().await.unwrap()
    };
    let right = "maxmemory 1gb\nappendonly yes\naclfile /etc/users.acl\n";
    let exit = of("state", right, &[]).await;
    assert_eq!((exit.code, exit.stdout.as_str()), (Some(0), "0 errors, 0 warnings\n"), "{exit:?}");

    let wrong = format!("{right}requirepass {CANARY} x\nmaxmemory-policy allkeys-lru\n");
    let exit = of("state", &wrong, &["--format", "json"]).await;
    let found = object(&exit);
    assert_eq!((exit.code, codes(&found, "error")), (Some(1), vec!["conf-invalid", "conf-contradicts-role"]));
    let places = found["findings"].as_array().unwrap().iter().map(|finding| (&finding["line"], &finding["role"]));
    assert_eq!(places.collect::<Vec<_>>(), [(&4.into(), &"state".into()), (&5.into(), &"state".into())]);
    let exit = of("state", &wrong, &["--format", "github"]).await;
    assert!(exit.stdout.contains("redis.conf,line=5,title=conf-contradicts-role::state: line 5: "), "{exit:?}");
    assert!(!exit.stdout.contains(CANARY), "{exit:?}");

    let exit = of("cache", "save \"\"\nmaxmemory-policy volatile-lru\naclfile x\n", &[]).await;
    assert!(exit.code == Some(0) && exit.stdout.ends_with("0 errors, 1 warning\n"), "{exit:?}");
    let exit = of("cache", "save \"\"\nmaxmemory-policy volatile-lru\naclfile x\n", &["--strict"]).await;
    assert_eq!(exit.code, Some(1), "{exit:?}");

    for (argument, told) in
        [("state", "ROLE=FILE"), ("sate=x", "cache or state"), ("state=/no/such.conf", "/no/such.conf")]
    {
        let exit = config_check().args(["--redis-conf", argument]).run().await.unwrap();
        assert!(exit.code == Some(2) && exit.stderr.contains(told), "{exit:?}");
    }

    let service = embedded(folder.path(), "");
    let exit = of("state", "", &["--offline", "--env-file", service.to_str().unwrap()]).await;
    assert!(exit.code == Some(1) && exit.stdout.contains("appendonly is no by default"), "{exit:?}");
}
