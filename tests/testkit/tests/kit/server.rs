use std::time::Duration;

use testkit::{
    CommandError, DEADLINE, Program, RedisServer, RespConnection, StartError, Value, random_prefix, wait_until,
};

#[tokio::test]
async fn a_server_answers_and_leaves_nothing_behind() {
    let server = RedisServer::builder().start().await.unwrap();
    let (address, dir) = (server.address(), server.dir().to_path_buf());
    assert_eq!(server.command(&["PING"]).await.unwrap(), Value::Status("PONG".into()));
    assert_eq!(server.url(None), format!("redis://127.0.0.1:{}", server.port()));
    assert!(server.log().contains("Ready to accept connections"));

    drop(server);
    assert!(matches!(RespConnection::open(address).await, Err(CommandError::Connection(_))));
    assert!(!dir.exists());
}

/// Also after a restart, when it owns its slots already.
#[tokio::test]
async fn a_cluster_of_one_node_serves_all_slots_and_refuses_calls_across_them() {
    let server = RedisServer::state().cluster().start().await.unwrap();
    for _ in 0..2 {
        for key in ["a", "b", "c", "{a}:1"] {
            server.command(&["SET", key, "1"]).await.unwrap();
        }
        let both = server.command(&["MGET", "{a}:1", "a"]).await.unwrap();
        assert_eq!(both.as_array().unwrap().len(), 2);
        let across = server.command(&["MGET", "a", "b"]).await.unwrap_err();
        assert!(across.to_string().contains("CROSSSLOT"), "{across}");
        server.start_again().await.unwrap();
    }
}

#[tokio::test]
async fn a_missing_program_names_the_command_that_installs_it() {
    let error = RedisServer::builder().program("no-such-redis-server").start().await.unwrap_err();
    assert!(matches!(error, StartError::NotInstalled { .. }));
    assert!(error.to_string().contains("apt-get install redis-server"), "{error}");
}

#[tokio::test]
async fn a_relative_path_of_a_program_begins_in_this_directory() {
    let folder = tempfile::tempdir_in(".").unwrap();
    let name = folder.path().file_name().unwrap();
    let path = std::env::var_os("PATH").unwrap();
    let installed = std::env::split_paths(&path).map(|folder| folder.join("redis-server")).find(|path| path.is_file());
    std::os::unix::fs::symlink(installed.unwrap(), folder.path().join("server")).unwrap();
    let server = RedisServer::builder().program(std::path::Path::new(name).join("server")).start().await.unwrap();
    assert_eq!(server.command(&["PING"]).await.unwrap(), Value::Status("PONG".into()));
}

#[tokio::test]
async fn an_unknown_setting_is_told_with_the_log() {
    let error = RedisServer::builder().config("no-such-setting", "1").start().await.unwrap_err();
    assert!(matches!(error, StartError::Ended { .. }));
    assert!(error.to_string().contains("no-such-setting"), "{error}");
}

#[tokio::test]
async fn the_presets_have_the_settings_of_their_roles() {
    let cache = RedisServer::cache().databases(32).start().await.unwrap();
    let state = RedisServer::state().config("appendfsync", "always").start().await.unwrap();
    let setting = async |server: &RedisServer, name: &str| {
        server.command(&["CONFIG", "GET", name]).await.unwrap().as_strings().unwrap().swap_remove(1)
    };
    assert_eq!(setting(&cache, "maxmemory-policy").await, "volatile-lru");
    assert_eq!(setting(&cache, "appendonly").await, "no");
    assert_eq!(setting(&cache, "databases").await, "32");
    assert_eq!(setting(&state, "maxmemory-policy").await, "noeviction");
    assert_eq!(setting(&state, "appendonly").await, "yes");
    assert_eq!(setting(&state, "appendfsync").await, "always");
}

#[tokio::test]
async fn a_killed_server_comes_back_with_its_data_on_its_port() {
    let server = RedisServer::state().config("appendfsync", "always").password("old").start().await.unwrap();
    let port = server.port();
    server.command(&["SET", "kept", "value"]).await.unwrap();
    server.set_password("new").await.unwrap();

    server.kill().await;
    assert!(matches!(server.command(&["PING"]).await, Err(CommandError::Connection(_))));

    server.start_again().await.unwrap();
    assert_eq!(server.port(), port);
    assert_eq!(server.command(&["GET", "kept"]).await.unwrap().as_str(), Some("value"));
    assert_eq!(server.url(Some(3)), format!("redis://:new@127.0.0.1:{port}/3"));
}

#[tokio::test]
async fn a_paused_server_keeps_its_callers_waiting() {
    let server = RedisServer::builder().start().await.unwrap();
    let mut connection = server.connect().await.unwrap();
    server.pause().unwrap();
    connection.send(&["PING"]).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(200), connection.receive()).await.is_err());

    server.resume().unwrap();
    assert_eq!(connection.receive().await.unwrap().as_str(), Some("PONG"));
}

#[tokio::test]
async fn tls_is_spoken_with_the_authority_of_the_server_only() {
    let server = RedisServer::builder().password("p/ss %").tls().start().await.unwrap();
    assert_eq!(server.command(&["ECHO", "over TLS"]).await.unwrap().as_str(), Some("over TLS"));
    assert_eq!(server.url(None), format!("rediss://:p%2Fss%20%25@127.0.0.1:{}", server.port()));
    assert!(server.ca_file().is_file());

    let mut plain = RespConnection::open(server.address()).await.unwrap();
    assert!(plain.command(&["PING"]).await.is_err());
}

#[tokio::test]
async fn mutual_tls_has_a_certificate_for_clients() {
    let server = RedisServer::builder().mutual_tls().start().await.unwrap();
    assert_eq!(server.command(&["PING"]).await.unwrap().as_str(), Some("PONG"));
    assert!(server.client_cert_file().is_file() && server.client_key_file().is_file());
}

#[tokio::test]
async fn users_have_their_rules_and_their_changed_passwords() {
    let server =
        RedisServer::builder().password("admin").acl_user("app", "pa\"ss", "~app:* &* +@all").start().await.unwrap();
    let login = async |password: &str| {
        let mut connection = RespConnection::open(server.address()).await.unwrap();
        connection.command(&["AUTH", "app", password]).await.map(|_| connection)
    };
    let mut connection = login("pa\"ss").await.unwrap();
    assert!(matches!(connection.command(&["GET", "other"]).await, Err(CommandError::Refused(_))));
    assert!(connection.command(&["GET", "app:key"]).await.unwrap().is_nil());

    server.set_user_password("app", "next").await.unwrap();
    assert!(login("pa\"ss").await.is_err());
    server.start_again().await.unwrap();
    assert!(login("next").await.is_ok());
    assert_eq!(server.user_url("app", "next"), format!("redis://app:next@127.0.0.1:{}", server.port()));
}

#[tokio::test]
async fn a_replica_follows_its_primary_with_password_and_tls() {
    let primary = RedisServer::builder().password("secret").mutual_tls().start().await.unwrap();
    primary.command(&["SET", "key", "value"]).await.unwrap();
    let replica = RedisServer::builder().replica_of(&primary).start().await.unwrap();
    assert_eq!(replica.info("replication").await.unwrap()["role"], "slave");
    assert_eq!(replica.command(&["GET", "key"]).await.unwrap().as_str(), Some("value"));
}

#[tokio::test]
async fn ipv6_is_bound_where_the_machine_has_it() {
    let server = RedisServer::builder().bind_ipv6().start().await.unwrap();
    let has_ipv6 = std::net::TcpListener::bind("[::1]:0").is_ok();
    assert_eq!(RespConnection::open(("::1", server.port())).await.is_ok(), has_ipv6);
}

#[tokio::test]
async fn the_kit_does_not_count_its_own_looks() {
    let server = RedisServer::builder().password("secret").start().await.unwrap();
    let before = server.commands_processed().await.unwrap();
    assert_eq!(server.commands_processed().await.unwrap(), before);
    assert_eq!(server.keys_count().await.unwrap(), 0);

    let mut client = server.connect().await.unwrap();
    client.command(&["SET", &random_prefix(), "1"]).await.unwrap();
    server.command_in(5, &["SET", "key", "2"]).await.unwrap();
    assert_eq!(server.commands_processed().await.unwrap(), before + 1);
    assert_eq!(server.command_calls().await.unwrap()["set"], 2);
    assert_eq!(server.keys_count().await.unwrap(), 2);
}

#[tokio::test]
async fn a_server_ends_with_the_process_that_forgot_it() {
    let exit = Program::new(std::env::current_exe().unwrap())
        .args(["--exact", "server::forgets_a_server", "--ignored", "--nocapture"])
        .env("PATH", std::env::var_os("PATH").unwrap())
        .run()
        .await
        .unwrap();
    let told = exit.stdout.lines().find_map(|line| line.split_once("forgotten: ")).expect(&exit.stderr).1;
    let (port, dir) = told.split_once(' ').unwrap();
    let port = port.parse::<u16>().unwrap();
    wait_until("the forgotten server is gone", DEADLINE, async || {
        RespConnection::open(("127.0.0.1", port)).await.is_err() && !std::path::Path::new(dir).exists()
    })
    .await;
}

#[tokio::test]
#[ignore = "run by a_server_ends_with_the_process_that_forgot_it"]
async fn forgets_a_server() {
    let server = RedisServer::builder().start().await.unwrap();
    println!("forgotten: {} {}", server.port(), server.dir().display());
    std::mem::forget(server);
}

#[tokio::test]
async fn a_failed_test_keeps_the_directory() {
    let server = RedisServer::builder().start().await.unwrap();
    let (address, dir) = (server.address(), server.dir().to_path_buf());
    let failed = tokio::spawn(async move {
        let _server = server;
        panic!("on purpose");
    });
    assert!(failed.await.unwrap_err().is_panic());
    assert!(RespConnection::open(address).await.is_err());
    assert!(dir.join("redis.log").is_file());
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn every_available_server_starts_and_is_what_its_name_says() {
    for server in testkit::servers::available() {
        let running = RedisServer::state().program(&server.program).start().await.unwrap();
        let info = running.info("server").await.unwrap();
        let (version, field) = match server.name.split_once('-') {
            Some(("valkey", version)) => (version, "valkey_version"),
            Some((_, version)) => (version, "redis_version"),
            None => ("", "redis_version"),
        };
        assert!(info[field].starts_with(version), "{}: {}", server.name, info[field]);
    }
}

#[test]
fn a_server_that_is_not_there_names_the_command_that_brings_it() {
    assert!(testkit::servers::find("installed").is_ok());
    for name in ["valkey-0.1", ""] {
        let missing = testkit::servers::find(name).unwrap_err();
        assert!(missing.to_string().contains("cargo xtask servers list"), "{missing}");
    }
}
