use std::fs;
use std::time::Duration;

use store_core::Retention;
use store_validation::{Code, Environment, Report, check_environment};
use testkit::RedisServer;

use crate::{CANARY, assert_errors, environment, environment_with, warnings, what};

fn embedded(more: &[(&str, &str)]) -> Report {
    check_environment(&environment_with("embedded:", "embedded:", more))
}

#[test]
fn an_empty_environment_has_every_problem_at_once_and_no_default_store() {
    let report = check_environment(&Environment::default());
    assert_errors(&report, &[Code::UrlMissing, Code::ConfInvalid, Code::DatabaseNumberMissing]);
    assert_eq!(report.errors(), 4, "two URLs, a number, a name");
    assert!(report.settings().is_none());
}

#[test]
fn embedded_stores_need_no_database_number() {
    let environment = Environment::from_variables([
        ("SERVICE_NAME", "billing"),
        ("REDIS_CONN_BASE_URL", "embedded:"),
        ("REDIS_WORKERCACHE_CONN_URL", "embedded:"),
    ]);
    let report = check_environment(&environment);
    assert!(report.findings().is_empty(), "{report:?}");
    let settings = report.settings().unwrap();
    assert_eq!((settings.namespace.as_str(), settings.min_replicas), ("tw", 0));
}

#[test]
fn a_url_is_refused_if_its_role_does_not_accept_it() {
    for (url, cache, state) in [
        ("redis://h:6379/0", Some(Code::CacheUrlHasDatabase), None),
        ("redis://h:6379/three", Some(Code::UrlInvalid), Some(Code::UrlInvalid)),
        ("redis://h:6379/300", Some(Code::CacheUrlHasDatabase), Some(Code::DatabaseNumberOutOfRange)),
        ("http://h", Some(Code::UrlInvalid), Some(Code::UrlInvalid)),
        ("redis://h,i", None, None),
        ("redis-sentinel://h/main", None, None),
        ("rediss-sentinel://h,i/main/3", Some(Code::CacheUrlHasDatabase), None),
        ("redis-sentinel://h", Some(Code::UrlInvalid), Some(Code::UrlInvalid)),
        ("redis-cluster://h", Some(Code::CacheOnCluster), None),
        ("redis-cluster://h/1", Some(Code::CacheOnCluster), Some(Code::ClusterDatabaseNumber)),
        ("kvrocks://h", Some(Code::CacheEngineUnsupported), None),
        ("kvrocks://a,b", Some(Code::CacheEngineUnsupported), None),
        ("kvrocks://h/1", Some(Code::CacheEngineUnsupported), Some(Code::ClusterDatabaseNumber)),
    ] {
        let url = url.replace("://", &format!("://user:{CANARY}@"));
        assert_errors(&check_environment(&environment(&url, "embedded:")), cache.as_slice());
        assert_errors(&check_environment(&environment("embedded:", &url)), state.as_slice());
    }
}

/// Everything that an advice names is accepted.
#[test]
fn no_advice_names_an_unsupported_form() {
    let assert_served = |text: &str, unsupported: &[&str]| {
        for scheme in unsupported {
            assert!(!text.to_lowercase().contains(scheme), "{scheme}: {text}");
        }
    };
    for url in ["http://h", "redis-sentinel://h", "redis:/h", "h:6379"] {
        let cache = (environment(url, "embedded:"), ["redis-cluster", "rediss-cluster", "kvrocks"].as_slice());
        for (environment, unsupported) in [cache, (environment("embedded:", url), [].as_slice())] {
            let report = check_environment(&environment);
            assert_errors(&report, &[Code::UrlInvalid]);
            assert_served(&what(&report, Code::UrlInvalid), unsupported);
        }
    }
    let report = check_environment(&environment("redis://h/three", "embedded:"));
    assert!(what(&report, Code::UrlInvalid).ends_with("the URL has a path; remove it"), "{report:?}");
}

#[test]
fn a_value_outside_its_range_is_refused_by_name() {
    for (name, value) in [
        ("SERVICE_NAME", "a b"),
        ("REDIS_STATE_NAMESPACE", "{tw}"),
        ("REDIS_STATE_MIN_REPLICAS", "-1"),
        ("REDIS_STATE_RETAIN_DEAD_FOR", "367d"),
        ("REDIS_STATE_RETAIN_DEAD_FOR", "30"),
        ("REDIS_STATE_RETAIN_DEAD_COUNT", "0"),
        ("REDIS_STATE_RETAIN_DEAD_BYTES", "256MB"),
        ("REDIS_STATE_RETAIN_COMPLETED_COUNT", "10000001"),
        ("STORE_LAYOUTS", "new"),
        ("REDIS_STATE_RETAIN_COMPLETED_BYTES", "512"),
        ("STORE_ENVIRONMENT", "pro duction"),
        ("STORE_PREFLIGHT", "off"),
    ] {
        let report = embedded(&[(name, value)]);
        assert_errors(&report, &[Code::ConfInvalid]);
        assert!(what(&report, Code::ConfInvalid).starts_with(name), "{report:?}");
        assert!(report.settings().is_none());
    }
    let bad = [
        ("REDIS_CACHE_DB", "256", Code::DatabaseNumberOutOfRange),
        ("REDIS_CACHE_DB", "0", Code::DatabaseNumberTaken),
        ("REDIS_CACHE_SHARED_DB", "x", Code::DatabaseNumberOutOfRange),
        ("REDIS_CACHE_POOL_SIZE", "0", Code::ConfInvalid),
        ("REDIS_CACHE_CONNECT_TIMEOUT", "5", Code::ConfInvalid),
        ("REDIS_CACHE_COMMAND_TIMEOUT", "2h", Code::ConfInvalid),
        ("REDIS_CACHE_MAX_RETRIES", "11", Code::ConfInvalid),
        ("REDIS_CACHE_PASSWORD_FILE", "/no/such/file", Code::ConfInvalid),
        ("REDIS_CACHE_TLS_CA_FILE", "/dev/null", Code::TlsFileUnreadable),
    ];
    for (name, value, code) in bad {
        let report = check_environment(&environment_with("rediss://h", "embedded:", &[(name, value)]));
        assert_errors(&report, &[code]);
        assert!(what(&report, code).contains(name), "{report:?}");
    }
}

#[test]
fn the_variable_about_layouts_takes_precedence_over_the_code() {
    let written = |set: &[(&str, &str)], in_code| embedded(set).settings().unwrap().newest_layouts(in_code);
    assert!(!written(&[], false) && written(&[], true));
    assert!(written(&[("STORE_LAYOUTS", "newest")], false) && !written(&[("STORE_LAYOUTS", "oldest")], true));
}

#[test]
fn a_variable_about_retention_takes_precedence_over_the_code() {
    let in_code = Retention::default().with_dead_count(7).with_completed_count(7);
    let set = [("REDIS_STATE_RETAIN_DEAD_COUNT", "9"), ("REDIS_STATE_RETAIN_DEAD_FOR", "12h")];
    let retention = embedded(&set).settings().unwrap().retention(in_code);
    assert_eq!((retention.dead_count, retention.completed_count), (9, 7));
    assert_eq!(retention.dead_for, Duration::from_secs(12 * 3600));
    assert_eq!(embedded(&[]).settings().unwrap().retention(in_code), in_code);
}

#[test]
fn a_password_that_is_not_text_is_refused_with_the_name_of_its_variable() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    fs::write(&file, b"caf\xe9\n").unwrap();
    let path = file.to_str().unwrap();
    let report =
        check_environment(&environment_with("embedded:", "rediss://h", &[("REDIS_STATE_PASSWORD_FILE", path)]));
    assert_errors(&report, &[Code::ConfInvalid]);
    let expected = format!("REDIS_STATE_PASSWORD_FILE: {path} is not UTF-8 text");
    assert_eq!(what(&report, Code::ConfInvalid), expected);

    let report = check_environment(&environment("rediss://:caf%e9@h", "rediss://:100%@h"));
    assert_errors(&report, &[Code::UrlInvalid]);
    let named: Vec<_> = report.findings().iter().map(|finding| finding.what.split(':').next().unwrap()).collect();
    assert_eq!(named, ["REDIS_CONN_BASE_URL", "REDIS_WORKERCACHE_CONN_URL"]);

    // Line ends, blanks and quotes are part of a password.
    fs::write(&file, "x\nFLUSHALL \"\t\n").unwrap();
    let report =
        check_environment(&environment_with("embedded:", "rediss://h", &[("REDIS_STATE_PASSWORD_FILE", path)]));
    assert_errors(&report, &[]);
}

#[tokio::test]
async fn tls_files_must_be_pem_belong_together_and_be_used() {
    let server = RedisServer::state().mutual_tls().start().await.unwrap();
    let [ca, cert, key] = [server.ca_file(), server.client_cert_file(), server.client_key_file()];
    let [ca, cert, key] = [&ca, &cert, &key].map(|file| file.to_str().unwrap());
    let (ca_file, cert_file, key_file) =
        ("REDIS_STATE_TLS_CA_FILE", "REDIS_STATE_TLS_CERT_FILE", "REDIS_STATE_TLS_KEY_FILE");
    let check = |url: &str, more: &[(&str, &str)]| check_environment(&environment_with("embedded:", url, more));

    assert_errors(&check("rediss://h", &[(ca_file, ca)]), &[]);
    assert_errors(&check("rediss://h", &[(ca_file, ca), (cert_file, cert), (key_file, key)]), &[]);
    assert_errors(&check("redis://h", &[(ca_file, ca)]), &[Code::ConfInvalid]);
    assert_errors(&check("rediss://h", &[(cert_file, cert)]), &[Code::ConfInvalid]);
    assert_errors(&check("rediss://h", &[(ca_file, "/no/such/file")]), &[Code::TlsFileUnreadable]);

    // never unreachable, never refused credentials: the file is named
    let other = RedisServer::state().mutual_tls().start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let written = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let encrypted = format!("-----BEGIN ENCRYPTED PRIVATE KEY-----\n{CANARY}\n-----END ENCRYPTED PRIVATE KEY-----\n");
    let encrypted = written("encrypted.key", &encrypted);
    let traditional = format!(
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: x\n\n{CANARY}\n-----END RSA PRIVATE KEY-----\n"
    );
    let traditional = written("traditional.key", &traditional);
    let damaged =
        written("damaged.crt", &format!("-----BEGIN CERTIFICATE-----\n{CANARY}!\n-----END CERTIFICATE-----\n"));
    let no_certificate = written("none.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let others_key = other.client_key_file();
    for (name, path, problem) in [
        (key_file, encrypted.as_str(), "encrypted"),
        (key_file, &traditional, "encrypted"),
        (key_file, cert, "contains no private key"),
        (key_file, others_key.to_str().unwrap(), "is not the private key of"),
        (cert_file, key, "contains no certificate"),
        (cert_file, &damaged, "damaged"),
        (ca_file, &damaged, "damaged"),
        (ca_file, &no_certificate, "not valid"),
        (ca_file, key, "contains no certificate"),
    ] {
        let more = [(ca_file, ca), (cert_file, cert), (key_file, key), (name, path)];
        let environment = environment_with("embedded:", &server.url(None), &more);
        for report in [check_environment(&environment), store_validation::check(&environment).await] {
            assert_errors(&report, &[Code::TlsFileUnreadable]);
            let what = what(&report, Code::TlsFileUnreadable);
            assert!(what.starts_with(name) && what.contains(path) && what.contains(problem), "{what}");
        }
    }
    let more = [(ca_file, ca), (cert_file, cert), (key_file, key)];
    let right = store_validation::check(&environment_with("embedded:", &server.url(None), &more)).await;
    assert_errors(&right, &[]);
}

/// The value of a variable that names a file may be the secret itself, or a whole PEM file.
#[tokio::test]
async fn a_secret_in_a_variable_that_names_a_file_is_never_shown() {
    let state = RedisServer::state().password(CANARY).start().await.unwrap();
    let url = format!("redis://{}", state.address());
    let long = format!("-----BEGIN PRIVATE KEY-----\n{CANARY}\n{}", "x".repeat(5_000));
    for value in [CANARY, &format!("/{CANARY}/{CANARY}"), &long, &format!("{CANARY}\0")] {
        for name in ["PASSWORD_FILE", "TLS_CA_FILE", "TLS_CERT_FILE", "TLS_KEY_FILE"] {
            let name = format!("REDIS_STATE_{name}");
            let environment = environment_with("embedded:", &url.replace("redis:", "rediss:"), &[(&name, value)]);
            let report = check_environment(&environment);
            let refused = store_validation::validate(&environment).await.unwrap_err();
            let shown = format!(
                "{report:?} {:?} {environment:?} {refused} {refused:?} {}",
                report.settings(),
                serde_json::to_string(&refused.findings).unwrap()
            );
            assert!(!shown.contains(CANARY), "{shown}");
            assert!(
                shown.contains(&format!("{name} does not name an existing file; it must hold the path")),
                "{shown}"
            );
            assert!(report.settings().is_none(), "the setting is not replaced by another");
        }
    }
    // an existing file is named
    let folder = tempfile::tempdir().unwrap();
    let more = [("REDIS_STATE_PASSWORD_FILE", folder.path().to_str().unwrap())];
    let report = check_environment(&environment_with("embedded:", &url, &more));
    assert_errors(&report, &[Code::ConfInvalid]);
    assert!(what(&report, Code::ConfInvalid).contains("is not a regular file"), "{report:?}");
}

#[test]
fn one_file_for_both_roles_is_found_by_any_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| format!("embedded:{}", folder.path().join(name).display());
    std::os::unix::fs::symlink(folder.path(), folder.path().join("link")).unwrap();
    fs::write(folder.path().join("there.redb"), "").unwrap();
    fs::hard_link(folder.path().join("there.redb"), folder.path().join("hard.redb")).unwrap();
    let check = |cache: &str, state: &str| check_environment(&environment(&path(cache), &path(state)));

    assert_errors(&check("new.redb", "link/./new.redb"), &[Code::SameInstance]);
    assert_errors(&check("there.redb", "link/there.redb"), &[Code::SameInstance]);
    assert_errors(&check("there.redb", "hard.redb"), &[Code::SameInstance]);
    assert_errors(&check("there.redb", "new.redb"), &[]);
    assert_errors(&embedded(&[]), &[]);
}

#[test]
fn one_server_for_both_roles_is_found_without_asking_it() {
    for (cache, state, expected) in [
        ("redis://Host", "rediss://host:6379/3", vec![Code::SameInstance]),
        ("redis://localhost:7", "redis://127.0.0.1:7/1", vec![Code::SameInstance]),
        ("redis://[0:0::1]:7", "redis://localhost:7", vec![Code::SameInstance]),
        ("redis://localhost:7", "redis://127.0.0.1:8", vec![]),
        ("redis://127.0.0.1:7", "redis://127.0.0.2:7", vec![]),
        ("rediss://localhost:7", "rediss://127.0.0.1:7", vec![]),
        ("rediss://h:7", "rediss://h:7/1", vec![Code::SameInstance]),
    ] {
        assert_errors(&check_environment(&environment(cache, state)), &expected);
    }
}

#[test]
fn weak_credentials_are_reported() {
    let cache = format!("redis://:{CANARY}@cache.internal");
    let report = check_environment(&environment(&cache, &format!("redis://default:{CANARY}@state.internal")));
    assert_errors(&report, &[]);
    assert_eq!(warnings(&report), [Code::NoTls, Code::DefaultUser, Code::SharedCredential].into());

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    fs::write(&file, format!("{CANARY}\n")).unwrap();
    let more = [("REDIS_CACHE_PASSWORD_FILE", file.to_str().unwrap()), ("REDIS_CACHE_USERNAME", "app")];
    let state = format!("rediss://app:{CANARY}@state.internal");
    let report = check_environment(&environment_with("rediss://cache.internal", &state, &more));
    assert_errors(&report, &[]);
    assert_eq!(warnings(&report), [Code::SharedCredential].into());

    let report = check_environment(&environment("redis://app@127.0.0.1:1", "redis://[::1]:2"));
    assert_eq!(warnings(&report), [Code::NoPassword, Code::DefaultUser].into());
}

#[test]
fn an_allowed_code_is_a_warning_and_an_unknown_one_an_error() {
    let report = check_environment(&environment_with(
        "redis://h:6379/0",
        "embedded:",
        &[("STORE_PREFLIGHT_ALLOW", " cache-url-has-database, no-tls,")],
    ));
    assert_errors(&report, &[]);
    assert!(warnings(&report).contains(&Code::CacheUrlHasDatabase));
    assert!(what(&report, Code::CacheUrlHasDatabase).contains("STORE_PREFLIGHT_ALLOW"));

    let report = embedded(&[("STORE_PREFLIGHT_ALLOW", "no-tls,same-instanse")]);
    assert_errors(&report, &[Code::ConfInvalid]);
    let what = what(&report, Code::ConfInvalid);
    assert!(what.contains("entry 2") && what.contains("same-instance"), "{what}");
}

#[test]
fn an_env_file_is_read_and_its_bad_line_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("billing.env");
    fs::write(&file, "# billing\nSERVICE_NAME=billing\nREDIS_CONN_BASE_URL=embedded:\n").unwrap();
    assert_errors(&check_environment(&Environment::from_file(&file).unwrap()), &[Code::UrlMissing]);

    fs::write(&file, format!("SERVICE_NAME=billing\n{CANARY}\n")).unwrap();
    let error = Environment::from_file(&file).unwrap_err();
    assert!(error.to_string().contains("billing.env:2: "), "{error}");
    assert!(!format!("{error} {error:?}").contains(CANARY));
    assert!(Environment::from_file("/no/such/file").is_err());
}

/// As docker passes them, from a file that was written for a shell.
#[test]
fn quotes_that_are_part_of_a_value_are_found() {
    let url = format!("'redis://:{CANARY}@h'");
    let more = [("REDIS_STATE_USERNAME", "\"app\""), ("REDIS_CONN_BASE_URL", &url), ("HOME", "'x'")];
    let report = check_environment(&environment_with("embedded:", "rediss://h", &more));
    assert_errors(&report, &[Code::ConfInvalid, Code::UrlInvalid]);
    let quoted = report.findings().iter().filter(|finding| finding.what.contains("docker keeps the quotes"));
    let names: Vec<_> = quoted.map(|finding| finding.what.split(' ').next().unwrap()).collect();
    assert_eq!(names, ["REDIS_CONN_BASE_URL", "REDIS_STATE_USERNAME"]);
    assert!(report.settings().is_none());
}

#[test]
fn a_mistyped_variable_is_reported_with_the_nearest() {
    let environment = environment_with("embedded:", "embedded:", &[("REDIS_STATE_NAMSPACE", CANARY)]);
    let suspects = environment.suspects();
    assert_eq!(suspects.len(), 1);
    assert_eq!(suspects[0].nearest, Some("REDIS_STATE_NAMESPACE"));
    assert!(!format!("{suspects:?} {} {environment:?}", suspects[0]).contains(CANARY));
}

#[test]
fn a_missing_url_names_the_variable_that_was_probably_meant() {
    let report = check_environment(&Environment::from_variables([
        ("SERVICE_NAME", "billing"),
        ("REDIS_CON_BASE_URL", "redis://cache.internal"),
        ("REDIS_WORKERCACHE_CONN_URL", "embedded:"),
    ]));
    let finding = report.findings().iter().find(|finding| finding.code == Code::UrlMissing).unwrap();
    assert!(finding.what.contains("REDIS_CON_BASE_URL is set, but is not a variable"), "{}", finding.what);
}

#[test]
fn a_named_environment_must_not_keep_state_in_memory() {
    let report = embedded(&[("STORE_ENVIRONMENT", "production")]);
    assert_errors(&report, &[Code::StateInMemory]);
    assert_eq!(warnings(&report), [Code::CacheInMemory].into());
    let report = check_environment(&environment_with(
        "embedded:",
        "embedded:/data/state.redb",
        &[("STORE_ENVIRONMENT", "production")],
    ));
    assert_errors(&report, &[]);
    assert_eq!(warnings(&report), [Code::CacheInMemory].into());
    assert!(embedded(&[]).findings().is_empty());
}
