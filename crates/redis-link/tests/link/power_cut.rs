//! `Fsynced` is granted if a power cut loses no acknowledged write, and refused otherwise. The cuts are simulated:
//! every file of the server is cut to its synced length.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use redis_link::{Link, Script, args};
use store_core::{Durability, Error, Op};
use testkit::servers::{ServerProgram, available};
use testkit::{DEADLINE, RedisServer, RedisServerBuilder, wait_until};
use tokio::task::JoinSet;

use crate::link_to;

static WRITE: Script = Script::new("test/write", "#!lua\nredis.call('SET', KEYS[1], '1')\nreturn {'written'}");

const ON_DISK: Durability = Durability::Fsynced { within: Duration::from_secs(20) };
/// Longer than `everysec` needs.
const SOON: Durability = Durability::Fsynced { within: Duration::from_secs(3) };
const WRITERS: usize = 8;

fn server(program: &ServerProgram, policy: &str) -> RedisServerBuilder {
    let server = RedisServer::builder().program(&program.program).appendonly(true).config("appendfsync", policy);
    server.records_fsyncs()
}

async fn write(link: &Link, key: &str, durability: Durability) -> Result<(), Error> {
    link.call_durable(Op::QueuePush, &WRITE, &[key], args![], durability).await.map(drop)
}

/// Writers that run until they are stopped or the server is gone.
struct Writers {
    tasks: JoinSet<(Vec<String>, Vec<Error>)>,
    receipts: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Writers {
    fn start(link: &Link, durability: Durability) -> Self {
        let (mut tasks, receipts, stop) = (JoinSet::new(), Arc::new(AtomicUsize::new(0)), Arc::default());
        for writer in 0..WRITERS {
            let (link, receipts, stop) = (link.clone(), Arc::clone(&receipts), Arc::<AtomicBool>::clone(&stop));
            tasks.spawn(async move {
                let (mut granted, mut refused) = (Vec::new(), Vec::new());
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) || !link.is_connected() {
                        break;
                    }
                    let key = format!("{writer}:{number}");
                    match write(&link, &key, durability).await {
                        Ok(()) => {
                            granted.push(key);
                            receipts.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => refused.push(error),
                    }
                }
                (granted, refused)
            });
        }
        Self { tasks, receipts, stop }
    }

    /// Waits for this many receipts.
    async fn granted(&self, count: usize) {
        wait_until("receipts", DEADLINE, async || self.receipts.load(Ordering::Relaxed) >= count).await;
    }

    /// The keys of all receipts, and the errors.
    async fn end(self) -> (Vec<String>, Vec<Error>) {
        self.stop.store(true, Ordering::Relaxed);
        let (granted, refused): (Vec<_>, Vec<_>) = self.tasks.join_all().await.into_iter().unzip();
        (granted.concat(), refused.into_iter().flatten().collect())
    }
}

/// How many of these keys the server does not have.
async fn lost(server: &RedisServer, keys: &[String]) -> usize {
    let mut connection = server.connect().await.unwrap();
    let mut lost = 0;
    for some in keys.chunks(1000) {
        let words: Vec<&str> = std::iter::once("EXISTS").chain(some.iter().map(String::as_str)).collect();
        let there = connection.command(&words).await.unwrap().as_integer().unwrap();
        lost += some.len() - usize::try_from(there).unwrap();
    }
    lost
}

/// Cuts the power while writers are running. Returns how many receipts there were, and how many of them were lost.
async fn receipts_and_losses(server: &RedisServer, durability: Durability, count: usize) -> (usize, usize) {
    let link = link_to(server).await;
    let writers = Writers::start(&link, durability);
    writers.granted(count).await;
    server.cut_power().await.unwrap();
    let (granted, _) = writers.end().await;
    server.start_again().await.unwrap();
    (granted.len(), lost(server, &granted).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_receipt_of_fsynced_is_lost_in_a_power_cut() {
    for program in available() {
        let always = server(&program, "always").start().await.unwrap();
        let (receipts, lost) = receipts_and_losses(&always, ON_DISK, 500).await;
        assert_eq!(lost, 0, "{}, always: of {receipts}", program.name);

        let everysec = server(&program, "everysec").start().await.unwrap();
        if program.name != "redis-8.2" {
            let refused = write(&link_to(&everysec).await, "refused", ON_DISK).await;
            assert!(matches!(&refused, Err(Error::Unsupported { .. })), "{}: {refused:?}", program.name);
            assert_eq!(everysec.keys_count().await.unwrap(), 0, "refused before it was written");
            continue;
        }
        let (receipts, lost) = receipts_and_losses(&everysec, ON_DISK, 4 * WRITERS).await;
        assert_eq!(lost, 0, "{}, everysec: of {receipts}", program.name);
    }
}

/// The simulated cut does lose writes that are not on disk; otherwise the tests here could not fail.
#[tokio::test(flavor = "multi_thread")]
async fn receipts_of_accepted_are_lost_in_a_power_cut() {
    for program in available() {
        let everysec = server(&program, "everysec").start().await.unwrap();
        let (receipts, lost) = receipts_and_losses(&everysec, Durability::Accepted, 2000).await;
        assert!(lost > 0, "{}: none of {receipts} was lost", program.name);
    }
}

#[tokio::test]
async fn settings_that_do_not_sync_each_write_are_refused_with_a_remedy() {
    for program in available() {
        let server = server(&program, "always").start().await.unwrap();
        let link = link_to(&server).await;
        write(&link, "first", ON_DISK).await.unwrap();
        for (setting, value, mended, remedy) in [
            ("no-appendfsync-on-rewrite", "yes", "no", "`no-appendfsync-on-rewrite no`"),
            ("appendfsync", "no", "always", "`appendfsync always`"),
            ("appendonly", "no", "yes", "`appendonly yes`"),
        ] {
            server.command(&["CONFIG", "SET", setting, value]).await.unwrap();
            let soon = Durability::Fsynced { within: Duration::from_millis(200) };
            let first = write(&link, "changed", soon).await;
            // the connection had proved it with its last write: only this write, already executed, reads the change
            assert!(matches!(first, Err(Error::NotDurable { .. })), "{} {setting}: {first:?}", program.name);
            let refused = write(&link, "refused", ON_DISK).await.unwrap_err();
            assert!(matches!(&refused, Error::Unsupported { detail, .. } if detail.contains(remedy)), "{refused:?}");
            server.command(&["CONFIG", "SET", setting, mended]).await.unwrap();
            wait_until("it is granted again", DEADLINE, async || write(&link, "repaired", ON_DISK).await.is_ok()).await;
        }
        assert_eq!(server.command(&["EXISTS", "refused"]).await.unwrap().as_integer(), Some(0));
    }
}

/// Until the first rewrite has ended, Redis 7.0 answers before the data is in the final file.
#[tokio::test(flavor = "multi_thread")]
async fn an_append_only_file_that_was_just_switched_on_grants_nothing_before_it_is_in_use() {
    for program in available() {
        let server = server(&program, "always").start().await.unwrap();
        server.command(&["CONFIG", "SET", "appendonly", "no"]).await.unwrap();
        for key in 0..50 {
            server.command(&["SET", &format!("before:{key}"), "1"]).await.unwrap();
        }
        // 50 keys of 20 ms: the rewrite takes a second
        server.command(&["CONFIG", "SET", "rdb-key-save-delay", "20000"]).await.unwrap();
        server.command(&["CONFIG", "SET", "appendonly", "yes"]).await.unwrap();
        let link = link_to(&server).await;
        let soon = Durability::Fsynced { within: Duration::from_millis(50) };
        let refused = write(&link, "early", soon).await;
        assert!(matches!(refused, Err(Error::Unavailable { .. } | Error::NotDurable { .. })), "{refused:?}");
        let rewriting = server.info("persistence").await.unwrap()["aof_rewrite_in_progress"].clone();
        assert_eq!(rewriting, "1", "{}: the rewrite lasted long enough for the test", program.name);
        wait_until("it is granted", DEADLINE, async || write(&link, "late", ON_DISK).await.is_ok()).await;
        server.cut_power().await.unwrap();
        server.command(&["PING"]).await.unwrap_err();
        server.start_again().await.unwrap();
        assert_eq!(lost(&server, &["late".to_owned(), "before:49".to_owned()]).await, 0, "{}", program.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_receipt_is_lost_while_the_settings_change() {
    for program in available() {
        let server = server(&program, "always").start().await.unwrap();
        let link = link_to(&server).await;
        let writers = Writers::start(&link, ON_DISK);
        writers.granted(50).await;
        let mut connection = server.connect().await.unwrap();
        for round in 1..=20 {
            for policy in ["no", "always"] {
                connection.command(&["CONFIG", "SET", "appendfsync", policy]).await.unwrap();
            }
            writers.granted(50 + round).await;
        }
        connection.command(&["CONFIG", "SET", "appendfsync", "no"]).await.unwrap();
        let link_after = link_to(&server).await;
        wait_until("there are writes that nothing syncs", DEADLINE, async || {
            write(&link_after, "unsynced", Durability::Accepted).await.is_ok()
        })
        .await;
        server.cut_power().await.unwrap();
        let (granted, refused) = writers.end().await;
        server.start_again().await.unwrap();
        assert_eq!(lost(&server, &granted).await, 0, "{}: of {}", program.name, granted.len());
        assert!(!refused.is_empty(), "{}: a change was read", program.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_fsync_returns_no_receipt() {
    for program in available() {
        for policy in ["always", "everysec"] {
            let server = server(&program, policy).start().await.unwrap();
            let link = link_to(&server).await;
            if write(&link, "before", ON_DISK).await.is_err() {
                continue;
            }
            server.fail_fsyncs(true).unwrap();
            let mut failing = JoinSet::new();
            for key in 0..WRITERS {
                let link = link.clone();
                failing.spawn(async move { write(&link, &key.to_string(), SOON).await });
            }
            for answer in failing.join_all().await {
                assert!(answer.is_err(), "{} {policy}: acknowledged although the fsync failed", program.name);
            }
        }
    }
}

/// A user without the right to read the settings is refused. The error states that the right also shows passwords.
#[tokio::test]
async fn hidden_settings_are_refused_with_the_right_that_shows_them() {
    for program in available() {
        let server = server(&program, "always").acl_user("app", "p", "~* +@all -config").start().await.unwrap();
        let link = Link::connect(crate::config(&server.user_url("app", "p"))).await.unwrap();
        let refused = write(&link, "refused", ON_DISK).await.unwrap_err();
        assert!(
            matches!(&refused, Error::Unsupported { detail, .. }
            if detail.contains("`+config|get`") && detail.contains("`masterauth`")),
            "{refused:?}"
        );
        server.command(&["ACL", "SETUSER", "app", "+config|get"]).await.unwrap();
        write(&link, "granted", ON_DISK).await.unwrap();
        assert_eq!(server.command(&["EXISTS", "refused"]).await.unwrap().as_integer(), Some(0));
    }
}

/// On a server that can wait, a write costs one more round trip only on a new connection.
#[tokio::test]
async fn a_durable_write_reads_the_settings_in_its_own_round_trip() {
    for program in available() {
        let server = server(&program, "always").start().await.unwrap();
        let link = link_to(&server).await;
        write(&link, "warm", ON_DISK).await.unwrap();
        let before = server.command_calls().await.unwrap();
        for _ in 0..10 {
            write(&link, "key", ON_DISK).await.unwrap();
        }
        let after = server.command_calls().await.unwrap();
        let more = |name: &str| after.get(name).unwrap_or(&0) - before.get(name).unwrap_or(&0);
        assert_eq!((more("evalsha"), more("config|get"), more("hello")), (10, 20, 0), "{}", program.name);
    }
}
