//! Acknowledged writes survive `kill -9`.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use embedded_store::{EmbeddedState, StateOptions};
use store_core::{Durability, NewJob, Outcome, Queue, QueueExt, QueueInspect};

use crate::{claim, job, job_id, queue, service};

/// The child's file. Set only by the test that starts it.
const FILE: &str = "EMBEDDED_STORE_TEST_FILE";

/// The name of the test that is the child.
const CHILD: &str = "durability::child_that_writes_until_it_is_killed";

/// Not a test of its own: the process that `kept_after_kill_9` kills. Prints a line for each acknowledged write.
#[test]
fn child_that_writes_until_it_is_killed() {
    let Some(file) = std::env::var_os(FILE) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = EmbeddedState::open(Path::new(&file), service("orders"), StateOptions::default()).unwrap();
        let writers: Vec<_> = (0..4).map(|writer| tokio::spawn(write(store.clone(), writer))).collect();
        for writer in writers {
            writer.await.unwrap();
        }
    });
}

async fn write(store: EmbeddedState, writer: usize) {
    let name = format!("settled-{writer}");
    for number in 0_u64.. {
        let id = format!("{writer}-{number}");
        let receipt = store.push(&queue("kept"), &[job(&id)], Durability::Accepted).await.unwrap();
        assert!(receipt.reached.on_disk);
        say(&format!("pushed {id}"));
        store.push_one(&queue(&name), job(&id)).await.unwrap();
        let claimed = claim(&store, &name, 1).await.jobs.remove(0);
        store.settle_one(&queue(&name), claimed.lease, Outcome::Dead { reason: "done".to_owned() }).await.unwrap();
        say(&format!("settled {name} {id}"));
    }
}

/// One write per line, so that a kill leaves no partial line. Ends the process when nobody reads any more.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    if out.write_all(format!("\n{line}\n").as_bytes()).and_then(|()| out.flush()).is_err() {
        std::process::exit(1);
    }
}

#[tokio::test]
async fn kept_after_kill_9() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("state.redb");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", CHILD, "--nocapture", "--test-threads=1"])
        .env(FILE, &file)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        acknowledged.extend(line.ok());
        if acknowledged.len() == 1000 {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(acknowledged.len() >= 1000, "the child ended before it was killed");

    let store = EmbeddedState::open(&file, service("orders"), StateOptions::default()).unwrap();
    let (mut pushed, mut settled) = (0, 0);
    for line in &acknowledged {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["pushed", id] => {
                assert!(store.get(&queue("kept"), &job_id(id)).await.unwrap().is_some(), "lost {id}");
                pushed += 1;
            }
            ["settled", name, id] => {
                let found = store.get(&queue(name), &job_id(id)).await.unwrap().unwrap();
                assert_eq!(found.last_error.as_deref(), Some("done"), "unsettled {id}");
                settled += 1;
            }
            _ => {}
        }
    }
    assert!(pushed > 100 && settled > 100, "{pushed} pushed, {settled} settled");
}

#[tokio::test]
async fn a_reopened_file_has_the_state_of_its_last_commit() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("state.redb");
    let request = NewJob::new("a");
    let store = EmbeddedState::open(&file, service("orders"), StateOptions::default()).unwrap();
    store.push_one(&queue("mail"), request.clone()).await.unwrap();
    let first = claim(&store, "mail", 1).await.jobs.remove(0);
    drop(store);

    let store = EmbeddedState::open(&file, service("orders"), StateOptions::default()).unwrap();
    assert!(store.push_one(&queue("mail"), request).await.unwrap().is_new());
    store.settle_one(&queue("mail"), first.lease.clone(), Outcome::Release).await.unwrap();
    let second = claim(&store, "mail", 1).await.jobs.remove(0);
    assert!(second.lease.fence > first.lease.fence);
}
