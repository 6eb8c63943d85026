//! What a server refuses is invalid, and what it accepts is not: each text is checked, and a real server is started with it.
//! The texts are those on which all supported servers agree. `{folder}` is a folder with the files of [`FILES`].

use std::path::Path;

use store_core::Role;
use store_validation::{Code, check_server_conf};
use testkit::{RedisServer, StartError};

const FILES: [(&str, &str); 3] =
    [("other.conf", "timeout 5\n"), ("wrong.conf", "timeout x\n"), ("loop.conf", "include {folder}/loop.conf\n")];

const ACCEPTED: [&str; 61] = [
    "",
    "# timeout x",
    "  timeout 5  ",
    "timeout\t5",
    "timeout 5\r\nhz 20\r",
    "TIMEOUT 5",
    "\"timeout\" 5",
    "timeout '5'",
    r#"timeout "\x35""#,
    r"masterauth 'it\'s'",
    r#"masterauth "a\"b""#,
    r#"masterauth 'a"b'"#,
    "masterauth \"\"",
    "appendonly YES",
    "maxmemory 256mb",
    "maxmemory 1kB",
    "maxmemory mb",
    "maxmemory 1b",
    "maxmemory \"\"",
    "maxmemory 10mb\nmaxmemory 20mb",
    "maxmemory-clients 50%",
    "maxmemory-policy ALLKEYS-LRU",
    "save",
    "save \"\"",
    "save 900 1 300 10",
    "save \"900 1\"",
    "save 900 1\nsave \"\"",
    "client-output-buffer-limit",
    "client-output-buffer-limit NORMAL 1MB 1 5",
    "client-output-buffer-limit slave 1mb 1mb 60 pubsub 1 1 1",
    "client-output-buffer-limit normal 0 0 \"\"",
    "client-output-buffer-limit \"normal 0 0 0\"",
    "latency-tracking-info-percentiles \"\"",
    "latency-tracking-info-percentiles 50 1e1",
    "notify-keyspace-events KEA",
    "notify-keyspace-events \"\"",
    "oom-score-adj-values 800 200 0",
    "shutdown-on-sigterm \"save now\"",
    "shutdown-on-sigterm default save",
    "databases 1",
    "hz 100000",
    "slowlog-log-slower-than -1",
    "unixsocketperm 0777",
    "enable-debug-command local",
    "oom-score-adj relative",
    "lua-time-limit 5000",
    "slave-read-only yes",
    "list-max-ziplist-entries 5",
    "io-threads-do-reads no",
    "dynamic-hz yes",
    "replicaof no one",
    "replicaof no one\ncluster-enabled yes",
    "replicaof \"127.0.0.1 1\"",
    "rename-command KEYS \"\"",
    "user app on nopass ~* +@all",
    "aclfile \"\"\nuser app on nopass",
    "include {folder}/other.conf",
    "include \"{folder}/other.conf\"",
    "include {folder}/oth*.conf",
    "include {folder}/missing*.conf",
    "sentinel",
];

const REFUSED: [&str; 77] = [
    "nosuch yes",
    "resolve-hostnames yes",
    "\u{feff}timeout 5",
    "\u{feff}# timeout 5",
    "timeout",
    "timeout 5 # five",
    "timeout 5 6",
    "timeout 05",
    "timeout +5",
    "timeout -0",
    "timeout \" 5\"",
    "timeout \"\"",
    "timeout \"5\"x",
    "timeout \"5",
    r#"timeout "\x3""#,
    r"timeout '\x35'",
    "timeout 5\u{b}",
    "timeout 99999999999",
    "timeout 5\ntimeout x",
    "masterauth a'b",
    r"masterauth a\ b",
    "masterauth a b",
    "appendonly true",
    "activerehashing",
    "latency-tracking 1",
    "appendfsync everysecond",
    "maxmemory -1",
    "maxmemory 1.5gb",
    "maxmemory 256 mb",
    "maxmemory 256mib",
    "maxmemory 50%",
    "maxmemory-clients 101%",
    "maxmemory-clients 5.5%",
    "maxmemory-policy lru",
    "proto-max-bulk-len 1",
    "repl-backlog-size 0",
    "save 900",
    "save 0 1",
    "save 1 -1",
    "save \"\" \"\"",
    "client-output-buffer-limit master 0 0 0",
    "client-output-buffer-limit normal 0 0",
    "client-output-buffer-limit normal 0 0 -1",
    "client-output-buffer-limit normal 0 0 5.5",
    "latency-tracking-info-percentiles 101",
    "latency-tracking-info-percentiles 50 x",
    "notify-keyspace-events Q",
    "notify-keyspace-events K E",
    "oom-score-adj-values 0 200",
    "oom-score-adj-values 0 200 3000",
    "shutdown-on-sigterm",
    "shutdown-on-sigterm save nosave",
    "databases 0",
    "databases 16.0",
    "hz -1",
    "maxclients 0",
    "cluster-port 65536",
    "unixsocketperm 888",
    "enable-debug-command maybe",
    "syslog-facility local8",
    "appenddirname a/b",
    "appendfilename \"\"",
    "list-max-ziplist-entries 5 6",
    "replicaof localhost",
    "replicaof localhost 99999",
    "replicaof localhost 1\ncluster-enabled yes",
    "rename-command KEYS",
    "user",
    "user app on #{password}",
    "user app on nopass\nuser app off",
    "user app on nopass\naclfile users.acl",
    "sentinel monitor x 127.0.0.1 1 1",
    "foo.bar 1",
    "loadmodule",
    "include {folder}/missing.conf",
    "include {folder}/wrong.conf",
    "include {folder}/loop.conf",
];

fn in_folder(text: &str, folder: &Path) -> String {
    text.replace("{folder}", &folder.display().to_string())
}

/// A folder with the files that the texts include.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in FILES {
        std::fs::write(folder.path().join(name), in_folder(text, folder.path())).unwrap();
    }
    folder
}

/// What the linter calls invalid, and whether a server starts.
async fn compare(folder: &Path, text: &str) -> (Vec<String>, bool) {
    let file = folder.join("server.conf");
    std::fs::write(&file, format!("{}\n", in_folder(text, folder))).unwrap();
    let findings = check_server_conf(Role::Cache, &file).unwrap();
    let invalid = findings.iter().filter(|found| found.finding.code == Code::ConfInvalid);
    let invalid = invalid.map(|found| format!("{}: {}", found.file.display(), found.finding.what)).collect();
    let starts = match RedisServer::builder().config_file(&file).config("bind", "127.0.0.1").start().await {
        Ok(_) => true,
        Err(StartError::Ended { .. }) => false,
        Err(error) => panic!("{text:?}: {error}"),
    };
    (invalid, starts)
}

#[tokio::test]
async fn what_servers_accept_is_not_called_invalid() {
    let folder = folder();
    for text in ACCEPTED {
        assert_eq!(compare(folder.path(), text).await, (vec![], true), "{text:?}");
    }
}

#[tokio::test]
async fn what_servers_refuse_is_called_invalid() {
    let folder = folder();
    for text in REFUSED {
        let (invalid, starts) = compare(folder.path(), text).await;
        assert!(!invalid.is_empty() && !starts, "{text:?}: {invalid:?}, a server starts: {starts}");
    }
}

/// Newer servers have directives that the installed one may lack.
#[test]
fn directives_of_any_supported_version_are_known() {
    let folder = folder();
    for text in [
        "availability-zone x",
        "commandlog-request-larger-than 1",
        "cluster-databases 4",
        "hide-user-data-from-log yes",
    ] {
        let found = crate::check_text(folder.path(), Role::Cache, text);
        assert!(found.iter().all(|found| found.finding.code != Code::ConfInvalid), "{found:?}");
    }
}

/// Every directive that the server shows has a value that the linter accepts.
#[tokio::test]
async fn every_directive_of_the_server_is_known_and_its_value_is_valid() {
    let folder = folder();
    let server = RedisServer::builder().start().await.unwrap();
    let shown = server.command(&["CONFIG", "GET", "*"]).await.unwrap().as_strings().unwrap();
    assert!(shown.len() > 300);
    for pair in shown.chunks(2) {
        let value =
            if pair[1].is_empty() || pair[1].contains(' ') { format!("{:?}", pair[1]) } else { pair[1].clone() };
        let found = crate::check_text(folder.path(), Role::Cache, format!("{} {value}\n", pair[0]));
        let unset = pair[1].is_empty() && pair[0] != "save";
        let invalid = found.iter().find(|found| found.finding.code == Code::ConfInvalid);
        let is_unknown = invalid.is_some_and(|found| found.finding.what.contains("no server has"));
        assert!(!is_unknown && (unset || invalid.is_none()), "{pair:?}: {invalid:?}");
    }
}
