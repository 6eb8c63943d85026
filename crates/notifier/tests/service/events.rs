//! `events`: what happened to the deliveries, and a command that continues where an earlier one was killed.

use std::collections::BTreeMap;

use serde_json::Value;
use testkit::{DEADLINE, wait_until};

use crate::fixture::{Fixture, counts, report};

/// Whole lines of the output. Each has a later sequence than the one before.
pub(crate) fn events(stdout: &str) -> Vec<Value> {
    let lines = stdout.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let events: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(events.is_sorted_by_key(sequence), "{stdout}");
    events
}

pub(crate) fn sequence(event: &Value) -> u64 {
    event["sequence"].as_u64().unwrap()
}

/// The events of each delivery, in their order.
fn by_id(events: &[Value]) -> BTreeMap<&str, Vec<&Value>> {
    let mut by_id = BTreeMap::<_, Vec<_>>::new();
    for event in events {
        by_id.entry(event["id"].as_str().unwrap()).or_default().push(event);
    }
    by_id
}

#[tokio::test]
async fn the_log_has_each_step_of_each_delivery() {
    let fixture = Fixture::new().await;
    let empty = fixture.notifier(&["events"]).run().await.unwrap();
    assert_eq!((empty.code, empty.stdout.as_str()), (Some(0), ""), "{}", empty.stderr);

    let input = fixture.folder.deliveries(40);
    let run = ["run", "--input", &input, "--sink", "file:out.txt", "--failure-rate", "0.3", "--json"];
    let exit = fixture.notifier(&run).run().await.unwrap();
    let report = report(&exit);
    let [delivered, retried, dead] = counts(&report, ["delivered", "retried", "dead"]);
    assert!(retried > 0, "{report}");

    let exit = fixture.notifier(&["events"]).run().await.unwrap();
    let events = events(&exit.stdout);
    let of_kind = |kind: &str| events.iter().filter(|event| event["event"] == kind).count() as u64;
    let found = ["received", "delivered", "failed", "dead"].map(of_kind);
    assert_eq!(found, [40, delivered, retried, dead], "{}", exit.stdout);
    for (id, steps) in by_id(&events) {
        assert_eq!(steps[0]["event"], "received", "{id}");
        let attempts: Vec<_> = steps[1..].iter().map(|step| step["attempt"].as_u64().unwrap()).collect();
        assert_eq!(attempts, (1..steps.len() as u64).collect::<Vec<_>>(), "{id}");
        let failed = steps.iter().filter(|step| step["error"] == "failed on purpose (--failure-rate)").count();
        assert_eq!(failed, steps.len() - if steps.last().unwrap()["event"] == "dead" { 1 } else { 2 }, "{id}");
    }
    let last = sequence(events.last().unwrap());
    let exit = fixture.notifier(&["events", "--from", &last.to_string()]).run().await.unwrap();
    assert_eq!(exit.stdout.lines().count(), 1, "{}", exit.stdout);
    assert!(!exit.stderr.contains("the log ends before"), "{}", exit.stderr);

    // The next sequence continues. A later one is that of another log: it reports this and shows the log from its beginning.
    let exit = fixture.notifier(&["events", "--from", &(last + 1).to_string()]).run().await.unwrap();
    assert_eq!(exit.stdout, "");
    assert!(!exit.stderr.contains("the log ends before"), "{}", exit.stderr);
    let exit = fixture.notifier(&["events", "--from", "1000000"]).run().await.unwrap();
    assert_eq!(exit.stdout.lines().count(), events.len());
    assert!(exit.stderr.contains("the log ends before event 1000000"), "{}", exit.stderr);
    let mut following = fixture.notifier(&["events", "--follow", "--from", "1000000"]).start().unwrap();
    let shown = async || following.stdout().lines().count() == events.len();
    wait_until("the log is shown from its beginning", DEADLINE, shown).await;
    assert!(following.kill().await.stderr.contains("the log ends before event 1000000"));
}

#[tokio::test]
async fn a_killed_command_continues_after_the_last_event_that_it_has_shown() {
    const JOBS: usize = 500;
    let fixture = Fixture::new().await;
    let input = fixture.folder.deliveries(JOBS);
    // It waits for the log, which does not exist yet.
    let mut first = fixture.notifier(&["events", "--follow"]).start().unwrap();
    let run = ["run", "--input", &input, "--delay", "200ms", "--json"];
    let mut running = fixture.notifier(&run).start().unwrap();
    wait_until("some events are shown", DEADLINE, async || events(&first.stdout()).len() > JOBS).await;
    let mut shown = events(&first.kill().await.stdout);
    assert!(shown.len() < 2 * JOBS, "it was killed in the middle");

    let from = (sequence(shown.last().unwrap()) + 1).to_string();
    let mut second = fixture.notifier(&["events", "--follow", "--from", &from]).start().unwrap();
    let more = async || shown.len() + events(&second.stdout()).len() >= 2 * JOBS;
    wait_until("all events are shown", DEADLINE, more).await;
    let exit = running.wait_exit(DEADLINE).await;
    assert_eq!(counts(&report(&exit), ["delivered"]), [JOBS as u64], "{}", exit.stderr);
    second.terminate().unwrap();
    let exit = second.wait_exit(DEADLINE).await;
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
    shown.extend(events(&exit.stdout));
    let expected: Vec<_> = (0..2 * JOBS as u64).map(|number| sequence(&shown[0]) + number).collect();
    assert_eq!(shown.iter().map(sequence).collect::<Vec<_>>(), expected, "none is missing, none is repeated");
}
