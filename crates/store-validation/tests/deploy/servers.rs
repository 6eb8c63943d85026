use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use store_core::{Namespace, Role};
use store_validation::{Environment, acl_file, check, check_server_conf};
use testkit::RedisServer;

use crate::{deploy, fill, read, sh};

const ADMIN: &str = "password of admin";

/// A server that is started with the files of its role, and whose users have these passwords.
async fn start(role: Role, folder: &Path, password: &str) -> RedisServer {
    let name = role.name();
    std::fs::write(folder.join("admin-password"), format!("{ADMIN}\n")).unwrap();
    std::fs::write(folder.join(format!("{name}-app-password")), password).unwrap();
    let filled = fill(name, folder);
    assert!(filled.status.success(), "{filled:?}");
    let users = folder.join("users.acl");
    std::fs::write(&users, filled.stdout).unwrap();
    RedisServer::builder()
        .config_file(deploy(&format!("redis/{name}.conf")))
        .config("aclfile", users.to_str().unwrap())
        .login("admin", ADMIN)
        .start()
        .await
        .unwrap()
}

#[tokio::test]
async fn servers_with_these_files_have_no_finding() {
    let (of_cache, of_state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let cache = start(Role::Cache, of_cache.path(), "of cache").await;
    let state = start(Role::State, of_state.path(), "of state").await;
    // The file is also for servers without this rule. Valkey from 9.1.1 has it, and there the preflight requires it.
    let _unknown_elsewhere = cache.command(&["ACL", "SETUSER", "cache-app", "resetdbs", "db=0,1"]).await;
    let (cache, state) = (cache.user_url("cache-app", "of cache"), state.user_url("state-app", "of state"));
    let variables = [
        ("SERVICE_NAME", "billing"),
        ("STORE_ENVIRONMENT", "production"),
        ("REDIS_CONN_BASE_URL", &cache),
        ("REDIS_CACHE_DB", "1"),
        ("REDIS_WORKERCACHE_CONN_URL", &state),
    ];
    let report = check(&Environment::from_variables(variables)).await;
    assert_eq!(report.findings(), [], "without TLS on loopback");
}

#[tokio::test]
async fn every_directive_applies() {
    for role in [Role::Cache, Role::State] {
        let folder = tempfile::tempdir().unwrap();
        let server = start(role, folder.path(), "x").await;
        let mut expected: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in read(deploy(&format!("redis/{}.conf", role.name()))).lines().filter(|line| !line.starts_with('#')) {
            let mut words = line.split_whitespace().map(str::to_owned);
            let Some(name) = words.next() else { continue };
            let value = words.map(|word| in_bytes(word.trim_matches('"'))).collect::<Vec<_>>().join(" ");
            expected.entry(name).or_default().push(value);
        }
        // these are different for each test
        expected.retain(|name, _| !["aclfile", "port"].contains(&name.as_str()));
        assert!(expected.len() > 25);
        for (name, values) in expected {
            let reply = server.command(&["CONFIG", "GET", &name]).await.unwrap();
            let shown = reply.as_strings().unwrap().pop().unwrap_or_else(|| panic!("{name} is not known"));
            let shown = shown.replace("slave ", "replica ");
            match name.as_str() {
                "client-output-buffer-limit" => {
                    values.iter().for_each(|value| assert!(shown.contains(value), "{shown}: {value}"))
                }
                _ => assert_eq!(values, [shown], "{name}"),
            }
        }
    }
}

/// `256mb` as the server shows it.
fn in_bytes(word: &str) -> String {
    for (unit, shift) in [("kb", 10), ("mb", 20), ("gb", 30)] {
        if let Some(number) = word.strip_suffix(unit).and_then(|digits| digits.parse::<u64>().ok()) {
            return (number << shift).to_string();
        }
    }
    word.to_owned()
}

#[test]
fn the_linter_finds_nothing_in_these_files() {
    for role in [Role::Cache, Role::State] {
        assert_eq!(check_server_conf(role, &deploy(&format!("redis/{}.conf", role.name()))).unwrap(), []);
    }
}

/// The rights that preflight asks for are the rights of the files.
#[test]
fn the_users_are_those_that_the_code_renders() {
    let namespace = Namespace::new("tw").unwrap();
    for role in [Role::Cache, Role::State] {
        let (name, rendered) = (role.name(), acl_file(role, &namespace));
        let file = read(deploy(&format!("acl/{name}.acl")));
        assert!(file == rendered, "run `cargo xtask acl {name} > deploy/acl/{name}.acl`");
        assert!(!file.contains("nopass") && file.matches("#{").count() == 2, "{file}");
    }
}

#[tokio::test]
async fn a_user_logs_in_with_the_password_that_its_service_reads() {
    for password in ["plain", "with a line break\n", " blanks \n", "$HOME `x` \\n 'q' \"Q\" /&%\n", "é"] {
        let folder = tempfile::tempdir().unwrap();
        let server = start(Role::State, folder.path(), password).await;
        let mut connection = server.connect().await.unwrap();
        let expected = password.strip_suffix('\n').unwrap_or(password);
        connection
            .command(&["AUTH", "state-app", expected])
            .await
            .unwrap_or_else(|error| panic!("{password:?}: {error}"));
        assert!(connection.command(&["FLUSHALL"]).await.is_err());
    }
}

#[tokio::test]
async fn a_server_does_not_start_with_a_placeholder_or_without_a_password() {
    let folder = tempfile::tempdir().unwrap();
    let users = deploy("acl/state.acl");
    let server =
        RedisServer::builder().config_file(deploy("redis/state.conf")).config("aclfile", users.to_str().unwrap());
    let error = server.start().await.unwrap_err();
    assert!(matches!(error, testkit::StartError::Ended { .. }), "{error}");

    std::fs::write(folder.path().join("admin-password"), "x").unwrap();
    for content in [None, Some(""), Some("\n"), Some("two\nlines\n")] {
        if let Some(content) = content {
            std::fs::write(folder.path().join("state-app-password"), content).unwrap();
        }
        let filled = fill("state", folder.path());
        let told = String::from_utf8(filled.stderr).unwrap();
        assert!(!filled.status.success() && filled.stdout.is_empty(), "{content:?}");
        assert!(told.contains("state-app-password"), "{content:?}: {told}");
    }
}

#[test]
fn users_are_replaced_only_when_every_password_was_read() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("users.acl");
    std::fs::write(&target, "user default off\n").unwrap();
    std::fs::write(folder.path().join("admin-password"), "x").unwrap();
    let fill = || sh(&deploy("acl/fill.sh"), &[&deploy("acl/cache.acl"), folder.path(), &target]);
    assert!(!fill().status.success());
    assert_eq!(read(&target), "user default off\n");

    std::fs::write(folder.path().join("cache-app-password"), "y").unwrap();
    assert!(fill().status.success());
    assert!(read(&target).contains("user cache-app on #") && !read(&target).contains("#{"));
    assert_eq!(std::fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o600);
}

/// The linter reads one file; a node of a cluster reads both.
#[tokio::test]
async fn a_node_of_a_cluster_starts_with_both_files() {
    let folder = tempfile::tempdir().unwrap();
    let both = folder.path().join("node.conf");
    std::fs::write(&both, read(deploy("redis/state.conf")) + &read(deploy("redis/cluster.conf"))).unwrap();
    assert_eq!(check_server_conf(Role::State, &both).unwrap(), []);
    let server = RedisServer::builder().config_file(&both).config("aclfile", "").start().await.unwrap();
    for (name, value) in [("cluster-enabled", "yes"), ("min-replicas-to-write", "1"), ("cluster-node-timeout", "5000")]
    {
        let reply = server.command(&["CONFIG", "GET", name]).await.unwrap();
        assert_eq!(reply.as_strings().unwrap(), [name, value]);
    }
}
