//! Three processes watch one file, as the example `watch` does. The one that consumes it is killed or suspended, and another one
//! continues from the exact token.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use testkit::{DEADLINE, Program, RedisServer, RunningProgram, wait_until};

/// How many lines are appended at a time.
const LINES: usize = 600;

/// The file that grows, with the position behind each of its lines.
struct Growing<'a> {
    path: &'a Path,
    ends: Vec<u64>,
}

impl<'a> Growing<'a> {
    fn new(path: &'a Path) -> Self {
        let mut growing = Self { path, ends: vec![0] };
        growing.append();
        growing
    }

    fn append(&mut self) {
        let mut file = OpenOptions::new().append(true).create(true).open(self.path).unwrap();
        for _ in 0..LINES {
            let line = format!("{}\n", name_of(self.ends.len() - 1));
            file.write_all(line.as_bytes()).unwrap();
            self.ends.push(self.end() + line.len() as u64);
        }
    }

    /// The position behind the last line.
    fn end(&self) -> u64 {
        *self.ends.last().unwrap()
    }

    /// How many lines end before this position.
    fn lines_before(&self, position: u64) -> usize {
        self.ends.binary_search(&position).expect("a token is a position at the end of a line")
    }
}

/// The line with this index.
fn name_of(index: usize) -> String {
    format!("event {index}")
}

fn start(file: &Path, state: &str) -> RunningProgram {
    let program =
        Program::built("examples/watch").expect("run `cargo build --package twinstore --example watch` first");
    let program = program.arg(file).env("SERVICE_NAME", "watch").env("REDIS_CONN_BASE_URL", "embedded:");
    program.env("REDIS_WORKERCACHE_CONN_URL", state).start().unwrap()
}

/// What a process did under one fence.
#[derive(Debug, Default)]
struct Term {
    from: u64,
    delivered: Vec<String>,
    saved: Vec<u64>,
}

/// The terms of all processes, by fence.
fn terms<'a>(outputs: impl IntoIterator<Item = &'a String>) -> BTreeMap<u64, Term> {
    let mut terms: BTreeMap<u64, Term> = BTreeMap::new();
    // the last line of a process that was killed may be incomplete
    let lines = outputs.into_iter().flat_map(|output| output.split_inclusive('\n')).filter(|line| line.ends_with('\n'));
    for line in lines {
        let mut words = line.trim_end().splitn(3, ' ');
        let (Some(word @ ("begins" | "line" | "saved")), Some(fence), Some(rest)) =
            (words.next(), words.next(), words.next())
        else {
            continue;
        };
        let term = terms.entry(fence.parse().unwrap()).or_default();
        match word {
            "begins" => term.from = rest.parse().unwrap(),
            "line" => term.delivered.push(rest.to_owned()),
            _ => term.saved.push(rest.parse().unwrap()),
        }
    }
    terms
}

/// Waits until one of the processes has saved this position, and returns its index.
async fn saved_by(running: &[RunningProgram], position: u64) -> usize {
    let mut index = None;
    let end = format!(" {position}");
    wait_until("the position is saved", DEADLINE, async || {
        let has_saved = |program: &RunningProgram| {
            program.stdout().lines().any(|line| line.starts_with("saved ") && line.ends_with(&end))
        };
        index = running.iter().position(has_saved);
        index.is_some()
    })
    .await;
    index.unwrap()
}

/// Kills the consumer twice, in the middle of its work, and checks what all of them did.
async fn take_turns(state: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events");
    let mut growing = Growing::new(&file);
    let mut running: Vec<_> = (0..3).map(|_| start(&file, state)).collect();
    let mut outputs = Vec::new();
    for _ in 0..2 {
        let active = saved_by(&running, growing.end()).await;
        growing.append();
        let in_the_middle = name_of(growing.ends.len() - LINES / 2);
        running[active].wait_line(|line| line.starts_with("line ") && line.ends_with(&in_the_middle)).await;
        outputs.push(running.remove(active).kill().await.stdout);
        // it may have delivered all lines before it was killed
        growing.append();
    }
    saved_by(&running, growing.end()).await;
    outputs.push(running.remove(0).kill().await.stdout);
    check(&growing, &terms(&outputs));
}

/// Each term continued from the token of the one before, and none skipped or repeated a line.
fn check(growing: &Growing<'_>, terms: &BTreeMap<u64, Term>) {
    assert!(terms.len() >= 3, "{terms:?}");
    let mut may_be_saved = vec![0];
    for (fence, Term { from, delivered, saved }) in terms {
        assert!(may_be_saved.contains(from), "{fence} continued at {from}, not at one of {may_be_saved:?}");
        let first = growing.lines_before(*from);
        let lines: Vec<_> = (first..first + delivered.len()).map(name_of).collect();
        assert_eq!(*delivered, lines, "the lines of {fence}");
        assert!(saved.is_sorted_by(|one, next| one < next), "{saved:?}");
        // a process that is killed after a save may not have reported it
        may_be_saved = vec![*saved.last().unwrap_or(from), growing.ends[first + delivered.len()]];
        assert!(may_be_saved[0] <= may_be_saved[1], "{fence} saved what it had not delivered");
    }
    let last = terms.values().last().unwrap();
    assert_eq!(last.saved.last(), Some(&growing.end()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_process_continues_from_the_exact_token_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    take_turns(&format!("embedded:{}", folder.path().join("state.redb").display())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_process_continues_from_the_exact_token_on_a_server() {
    let server = RedisServer::state().start().await.unwrap();
    take_turns(&server.url(None)).await;
}

/// A process that was suspended for longer than its lease does not know that another one has taken over.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_suspended_saves_nothing_after_another_one_has_taken_over() {
    let server = RedisServer::state().start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events");
    let mut growing = Growing::new(&file);
    let mut running: Vec<_> = (0..3).map(|_| start(&file, &server.url(None))).collect();
    let first = saved_by(&running, growing.end()).await;
    let suspended = running.remove(first);
    let token = growing.end();
    suspended.pause().unwrap();
    growing.append();
    saved_by(&running, growing.end()).await;
    suspended.resume().unwrap();
    let stopped = suspended.wait_line(|line| line.starts_with("stops ")).await;
    let fence: u64 = stopped.split([' ', ',']).nth(1).unwrap().parse().unwrap();
    let outputs: Vec<_> = running.iter().chain([&suspended]).map(RunningProgram::stdout).collect();
    let terms = terms(&outputs);
    let loser = &terms[&fence];
    assert_eq!(loser.saved.last(), Some(&token), "it saved nothing after it was suspended");
    assert!(loser.delivered.len() > LINES, "it delivered more, so it tried to save: {loser:?}");
    let (_, next) = terms.range(fence + 1..).next().expect("another process took over");
    assert_eq!(next.from, token);
    assert!(stopped.contains("because"), "the store refused the token: {stopped}");
}
