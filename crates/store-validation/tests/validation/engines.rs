use std::net::SocketAddr;

use store_validation::{Code, check};
use testkit::{DEADLINE, KvrocksProxy, RedisServer, wait_until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::{assert_errors, cache, check_urls, environment_with, state, warnings, what};

/// A proxy that replaces a text in the server's replies, to imitate engines and clocks that are not available here.
/// Both texts have one length and occur near the beginning of a reply.
pub(crate) async fn disguise(server: SocketAddr, text: String, other: String) -> String {
    disguise_both(server, |_| {}, move |reply| replace(reply, &text, &other)).await
}

/// A proxy that changes the chunks of bytes in both directions.
async fn disguise_both(
    server: SocketAddr,
    request: impl Fn(&mut [u8]) + Clone + Send + 'static,
    reply: impl Fn(&mut [u8]) + Clone + Send + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (requests, replies) = client.into_split();
            let (answers, questions) = TcpStream::connect(server).await.unwrap().into_split();
            tokio::spawn(forward(requests, questions, request.clone()));
            tokio::spawn(forward(answers, replies, reply.clone()));
        }
    });
    url
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, change: impl Fn(&mut [u8])) {
    let mut chunk = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut chunk).await {
        change(&mut chunk[..length]);
        if to.write_all(&chunk[..length]).await.is_err() {
            break;
        }
    }
}

/// Replaces the first occurrence of a text by another one with the same length.
fn replace(chunk: &mut [u8], text: &str, other: &str) {
    assert_eq!(text.len(), other.len());
    if let Some(at) = chunk.windows(text.len()).position(|window| window == text.as_bytes()) {
        chunk[at..at + text.len()].copy_from_slice(other.as_bytes());
    }
}

#[tokio::test]
async fn a_server_that_is_too_old_is_refused() {
    let (cache, state) = (cache().await, state().await);
    let version = &state.info("server").await.unwrap()["redis_version"];
    let (major, rest) = version.split_once('.').unwrap();
    let old = format!("redis_version:{:0>width$}.{rest}", 6, width = major.len());
    let old = disguise(state.address(), format!("redis_version:{version}"), old).await;
    let report = check_urls(&cache.url(None), &old).await;
    assert_errors(&report, &[Code::ServerTooOld]);
    assert!(what(&report, Code::ServerTooOld).contains("Redis 6."));
}

/// In either role: scripts of both format times.
#[tokio::test]
async fn a_server_of_32_bits_is_refused() {
    let (cache, state) = (cache().await, state().await);
    let disguise = |server: SocketAddr| disguise(server, "arch_bits:64".into(), "arch_bits:32".into());
    let report = check_urls(&cache.url(None), &disguise(state.address()).await).await;
    assert_errors(&report, &[Code::ServerOf32Bits]);
    assert!(what(&report, Code::ServerOf32Bits).contains("arch_bits:32"));
    let report = check_urls(&disguise(cache.address()).await, &state.url(None)).await;
    assert_errors(&report, &[Code::ServerOf32Bits]);
}

/// Workers are not notified of jobs; the right to publish is missing as well.
#[tokio::test]
async fn a_server_without_publish_in_scripts_is_told_with_what_is_degraded() {
    let state = RedisServer::state().config("rename-command", "PUBLISH \"\"").start().await.unwrap();
    let report = check_urls(&cache().await.url(None), &state.url(None)).await;
    assert!(warnings(&report).contains(&Code::CapabilityMissing), "{report:#?}");
    let told = what(&report, Code::CapabilityMissing);
    assert!(told.contains("PUBLISH in scripts") && told.contains("claim every 10 s"), "{told}");
    let matrix = report.capabilities().concat();
    assert!(matrix.contains("PUBLISH in scripts   no       waiting workers claim every 10 s instead"), "{matrix}");
}

/// The server gets a flag that it does not know, and refuses the script as an engine without that flag does.
#[tokio::test]
async fn a_server_that_refuses_flags_of_scripts_is_reported_with_what_is_degraded() {
    let (cache, state) = (cache().await, state().await);
    let refusing = async |server| disguise_both(server, |chunk| replace(chunk, "allow-oom", "allow-xxx"), |_| {}).await;
    let report = check_urls(&cache.url(None), &refusing(state.address()).await).await;
    assert_errors(&report, &[]);
    let told = what(&report, Code::CapabilityMissing);
    assert!(told.contains("script flags: a full server also refuses claims, settlements and releases"), "{told}");
    let matrix = report.capabilities().concat();
    assert!(matrix.contains("script flags         no       a full server also refuses claims"), "{matrix}");
    let report = check_urls(&refusing(cache.address()).await, &state.url(None)).await;
    assert!(!warnings(&report).contains(&Code::CapabilityMissing), "the cache store does not need them: {report:#?}");
}

#[tokio::test]
async fn kvrocks_is_recognised_by_its_version_and_refused_as_a_cache() {
    let (cache, state) = (cache().await, state().await);
    let disguise = |server: SocketAddr| disguise(server, "redis_git_dirty:0".into(), "kvrocks_version:2".into());
    let old = disguise(state.address()).await.replace("redis", "kvrocks");
    let report = check_urls(&cache.url(None), &old).await;
    assert_errors(&report, &[Code::ServerTooOld]);
    assert!(what(&report, Code::ServerTooOld).contains("Kvrocks 2.0.0"));
    let report = check_urls(&disguise(cache.address()).await, &state.url(None)).await;
    assert_errors(&report, &[Code::CacheEngineUnsupported]);
}

/// The testkit's proxy emulates Kvrocks.
#[tokio::test]
async fn kvrocks_serves_the_state_and_what_it_does_not_show_is_unknown() {
    let (cache, state) = (cache().await, state().await);
    let kvrocks = KvrocksProxy::start(&state).await.unwrap();
    let report = check_urls(&cache.url(None), &kvrocks.url()).await;
    assert_errors(&report, &[]);
    assert!(!warnings(&report).contains(&Code::StatePersistenceUnknown), "{report:#?}");

    let namespace = KvrocksProxy::start_for_namespace(&state).await.unwrap();
    let report = check_urls(&cache.url(None), &namespace.url()).await;
    assert_errors(&report, &[]);
    let unknown = what(&report, Code::StatePersistenceUnknown);
    assert!(unknown.contains("CONFIG GET rocksdb.write_options.disable_wal"), "{unknown}");

    let mismatch = check_urls(&cache.url(None), &kvrocks.url().replace("kvrocks", "redis")).await;
    assert_errors(&mismatch, &[Code::TopologyMismatch]);
    let mismatch = check_urls(&cache.url(None), &state.url(None).replace("redis", "kvrocks")).await;
    assert_errors(&mismatch, &[Code::TopologyMismatch]);
    // one server, although it does not report a run id
    let same = check_urls(&state.url(None), &kvrocks.url()).await;
    assert!(crate::errors(&same).contains(&Code::SameInstance), "{same:#?}");

    let old = KvrocksProxy::start_without_wait(&state).await.unwrap();
    let asking = environment_with(&cache.url(None), &old.url(), &[("REDIS_STATE_MIN_REPLICAS", "1")]);
    assert_errors(&check(&asking).await, &[Code::ServerTooOld, Code::TooFewReplicas]);
}

/// The servers report which of them is the primary; nodes of a cluster are refused.
#[tokio::test]
async fn several_hosts_of_kvrocks_are_a_primary_and_its_replicas() {
    let (cache, primary) = (cache().await, state().await);
    let replica = RedisServer::state().replica_of(&primary).start().await.unwrap();
    let other = state().await;
    let node = RedisServer::state().cluster().start().await.unwrap();
    let mut proxies = Vec::new();
    for server in [&primary, &replica, &other, &node] {
        proxies.push(KvrocksProxy::start(server).await.unwrap());
    }
    let [primary, replica, other, node] = [0, 1, 2, 3].map(|index| proxies[index].address());
    let report = check_urls(&cache.url(None), &format!("kvrocks://{replica},{primary}")).await;
    assert_errors(&report, &[]);
    let two = check_urls(&cache.url(None), &format!("kvrocks://{primary},{other}")).await;
    assert_errors(&two, &[Code::TopologyMismatch]);
    assert!(what(&two, Code::TopologyMismatch).contains(&format!("{other} is a primary")), "{two:#?}");
    for url in [format!("kvrocks://{node}"), format!("kvrocks://{node},{node}")] {
        let report = check_urls(&cache.url(None), &url).await;
        assert!(
            what(&report, Code::TopologyMismatch).contains("a Kvrocks cluster, which is not supported"),
            "{report:#?}"
        );
    }
}

#[tokio::test]
async fn a_wrong_clock_is_reported() {
    let (cache, state) = (cache().await, state().await);
    let now = state.command(&["TIME"]).await.unwrap().as_strings().unwrap().swap_remove(0);
    let seconds = |digits: &str| format!("\r\n${}\r\n{digits}", now.len());
    let wrong = disguise(state.address(), seconds(&now[..2]), seconds("10")).await;
    let report = check_urls(&cache.url(None), &wrong).await;
    assert_errors(&report, &[]);
    assert!(warnings(&report).contains(&Code::ClockSkew), "{report:#?}");
    assert!(!warnings(&check_urls(&cache.url(None), &state.url(None)).await).contains(&Code::ClockSkew));
}

#[tokio::test]
async fn a_url_of_one_server_that_leads_to_a_node_of_a_cluster_is_refused() {
    let (cache, state) = (cache().await, state().await);
    let node = RedisServer::state().config("cluster-enabled", "yes").start().await.unwrap();
    assert_errors(&check_urls(&node.url(None), &state.url(None)).await, &[Code::CacheOnCluster]);
    assert_errors(&check_urls(&cache.url(None), &node.url(None)).await, &[Code::TopologyMismatch]);
    assert_errors(&check_urls(&cache.url(None), &node.url(Some(3))).await, &[Code::ClusterDatabaseNumber]);
}

#[tokio::test]
async fn a_server_with_a_broken_disk_accepts_no_writes() {
    let (cache, state) = (cache().await, RedisServer::state().config("save", "3600 1").start().await.unwrap());
    std::fs::remove_dir_all(state.dir()).unwrap();
    wait_until("the snapshot has failed", DEADLINE, async || {
        // refused while one is being tried
        let _ = state.command(&["BGSAVE"]).await;
        state.info("persistence").await.unwrap()["rdb_last_bgsave_status"] == "err"
    })
    .await;
    assert_errors(&check_urls(&cache.url(None), &state.url(None)).await, &[Code::NotWritable]);
    std::fs::create_dir_all(state.dir()).unwrap();
}

/// `HELLO` shows every user what the server is.
#[tokio::test]
async fn hello_identifies_the_server_if_info_is_forbidden() {
    let (cache, state) = (cache().await, state().await);
    let rules = "~* &* +@all -info -config -cluster -role";
    let node = RedisServer::state().config("cluster-enabled", "yes").acl_user("app", "x", rules);
    let node = node.start().await.unwrap();
    assert_errors(&check_urls(&node.user_url("app", "x"), &state.url(None)).await, &[Code::CacheOnCluster]);
    assert_errors(&check_urls(&cache.url(None), &node.user_url("app", "x")).await, &[Code::TopologyMismatch]);
    let replica = RedisServer::state().config("replica-read-only", "no").acl_user("app", "x", rules);
    let replica = replica.replica_of(&state).start().await.unwrap();
    let report = check_urls(&cache.url(None), &replica.user_url("app", "x")).await;
    assert_errors(&report, &[Code::NotWritable]);
    assert!(!warnings(&report).contains(&Code::ServerVersionUnknown), "{report:#?}");
}

#[tokio::test]
async fn a_server_that_hides_info_and_hello_is_unknown() {
    let (cache, rules) = (cache().await, "~* &* +@all -info");
    let state = RedisServer::state().config("rename-command", "HELLO \"\"").acl_user("app", "x", rules);
    let state = state.start().await.unwrap();
    let report = check_urls(&cache.url(None), &state.user_url("app", "x")).await;
    assert_errors(&report, &[]);
    assert!(warnings(&report).contains(&Code::ServerVersionUnknown), "{report:#?}");
}

#[tokio::test]
async fn a_server_that_runs_no_scripts_is_refused() {
    let cache = cache().await;
    for command in ["EVALSHA", "SCRIPT"] {
        let state = RedisServer::state().config("rename-command", &format!("{command} \"\"")).start().await.unwrap();
        let report = check_urls(&cache.url(None), &state.url(None)).await;
        assert_errors(&report, &[Code::ScriptsUnsupported]);
    }
}

/// A proxy that passes the first replies of each connection and then nothing.
async fn falls_silent(server: SocketAddr, after_replies: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (requests, mut replies) = client.into_split();
            let (mut answers, questions) = TcpStream::connect(server).await.unwrap().into_split();
            tokio::spawn(forward(requests, questions, |_| {}));
            tokio::spawn(async move {
                let mut passed = 0;
                let mut chunk = vec![0; 64 * 1024];
                while let Ok(length @ 1..) = answers.read(&mut chunk).await {
                    passed += 1;
                    if passed > after_replies {
                        // the connection stays open
                        std::future::pending::<()>().await;
                    }
                    if replies.write_all(&chunk[..length]).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    url
}

#[tokio::test]
async fn the_whole_preflight_has_one_deadline() {
    let (cache, state, paused) = (cache().await, state().await, state().await);
    let silent = falls_silent(state.address(), 12).await;
    let started = std::time::Instant::now();
    let (cache_url, paused_url) = (cache.url(None), paused.url(None));
    paused.command(&["CLIENT", "PAUSE", "20000", "ALL"]).await.unwrap();
    let more = [("REDIS_STATE_CONNECT_TIMEOUT", "8s"), ("STORE_PREFLIGHT", "warn")];
    let check = async |state: &str| {
        let report = store_validation::check(&crate::environment_with(&cache_url, state, &more)).await;
        assert_errors(&report, &[Code::Unreachable]);
    };
    tokio::join!(check(&silent), check(&paused_url));
    assert!(started.elapsed() < std::time::Duration::from_secs(12), "{:?}", started.elapsed());
}

/// A sentinel with nothing to monitor; dropping it ends it.
struct Sentinel {
    process: std::process::Child,
    _folder: tempfile::TempDir,
    url: String,
}

impl Sentinel {
    async fn start(program: &std::path::Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = testkit::free_port().unwrap();
        let config = folder.path().join("sentinel.conf");
        std::fs::write(&config, format!("port {port}\nbind 127.0.0.1\n")).unwrap();
        let mut command = std::process::Command::new(program);
        command.arg(&config).arg("--sentinel").current_dir(folder.path()).stdout(std::process::Stdio::null());
        let sentinel =
            Self { process: command.spawn().unwrap(), _folder: folder, url: format!("redis://127.0.0.1:{port}") };
        wait_until("the sentinel answers", DEADLINE, async || {
            let opened = testkit::RespConnection::open(("127.0.0.1", port)).await;
            match opened {
                Ok(mut connection) => connection.command(&["PING"]).await.is_ok(),
                Err(_) => false,
            }
        })
        .await;
        sentinel
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Valkey from 8.0 on calls its mode by another name than Redis does. `cargo xtask servers fetch` brings one.
#[tokio::test]
async fn a_sentinel_is_refused() {
    let (cache, state) = (cache().await, state().await);
    for server in testkit::servers::available() {
        let sentinel = Sentinel::start(&server.program).await;
        let as_state = check_urls(&cache.url(None), &sentinel.url).await;
        assert_errors(&as_state, &[Code::UrlInvalid]);
        assert!(what(&as_state, Code::UrlInvalid).contains("sentinel"), "{}: {as_state:#?}", server.name);
        assert_errors(&check_urls(&sentinel.url, &state.url(None)).await, &[Code::UrlInvalid]);
    }
}

/// The Lua engine of Valkey 9.1 is a module. `cargo xtask servers fetch` brings one.
#[tokio::test]
async fn a_valkey_without_its_lua_module_is_refused() {
    let valkey = match testkit::servers::find("valkey-9.1") {
        Ok(valkey) => valkey,
        Err(missing) => return testkit::skipped(missing),
    };
    let state = RedisServer::state().program(valkey.program).config("enable-module-command", "yes");
    let state = state.start().await.unwrap();
    state.command(&["MODULE", "UNLOAD", "lua"]).await.unwrap();
    assert_errors(&check_urls(&cache().await.url(None), &state.url(None)).await, &[Code::ScriptsUnsupported]);
}

/// Valkey restricts a user to databases since 9.1. `cargo xtask servers fetch` brings one.
#[tokio::test]
async fn a_user_of_valkey_is_restricted_to_the_databases_of_its_service() {
    let valkey = match testkit::servers::find("valkey-9.1") {
        Ok(valkey) => valkey,
        Err(missing) => return testkit::skipped(missing),
    };
    let text = include_str!("../../../../deploy/acl/cache.acl");
    let rules = text.lines().find_map(|line| line.strip_prefix("user cache-app on #{cache-app} ")).unwrap();
    let cache = RedisServer::cache().program(valkey.program).acl_user("cache-app", "x", rules).start().await.unwrap();
    let (url, state) = (cache.user_url("cache-app", "x"), state().await);
    let report = check_urls(&url, &state.url(None)).await;
    let mut findings = report.findings().iter();
    let finding = findings.find(|finding| finding.code == Code::AclTooWide && finding.role_name() == "cache").unwrap();
    assert!(finding.what.ends_with("may use the databases of other services"), "{finding}");
    assert!(finding.help.contains("`ACL SETUSER cache-app resetdbs db=0,1`"), "{finding}");
    cache.command(&["ACL", "SETUSER", "cache-app", "resetdbs", "db=0,1"]).await.unwrap();
    let report = check_urls(&url, &state.url(None)).await;
    assert_errors(&report, &[]);
    let mut of_cache = report.findings().iter().filter(|finding| finding.role_name() != "state");
    let is_wrong = |code: Code| code == Code::AclTooWide || code.name().ends_with("-unknown");
    assert!(!of_cache.any(|finding| is_wrong(finding.code)), "{:#?}", report.findings());
}
