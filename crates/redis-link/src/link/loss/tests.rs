use store_core::{AcknowledgedWrite, Op};

use super::*;

fn at(port: u16) -> Endpoint {
    Endpoint::new("10.0.0.1", port)
}

/// A primary that writes to `stream`, and has the stream `earlier` up to a position.
fn primary(run: &str, stream: &str, earlier: Option<(&str, u64)>) -> Option<Replication> {
    let earlier = earlier.map(|(stream, has)| (stream.to_owned(), has));
    Some(Replication { is_primary: true, run: run.to_owned(), stream: stream.to_owned(), earlier })
}

/// A write whose position is known.
fn write(run: &ServerRun, name: &str, position: u64) {
    run.add(AcknowledgedWrite::new(Op::LeaseAcquire, name, [], Instant::now()), Some(position), None);
}

fn names(writes: &[AcknowledgedWrite]) -> Vec<&str> {
    writes.iter().map(|write| &*write.name).collect()
}

/// The run of a server, found by a connection that was begun now.
fn found(losses: &Losses, endpoint: &Endpoint, replication: Option<Replication>) -> Arc<ServerRun> {
    losses.found(endpoint, replication, Instant::now())
}

fn losses(has_shards: bool) -> Arc<Losses> {
    Losses::begin(has_shards, Duration::from_secs(1))
}

#[tokio::test]
async fn failovers_in_a_row_are_compared_one_by_one() {
    let losses = losses(false);
    let first = found(&losses, &at(1), primary("a", "of-a", None));
    [("one", 10), ("two", 20), ("three", 30)].iter().for_each(|(name, position)| write(&first, name, *position));
    assert!(first.report().is_none(), "it is the primary");
    let second = found(&losses, &at(2), primary("b", "of-b", Some(("of-a", 20))));
    let report = first.report().unwrap();
    assert_eq!((report.survived, names(&report.may_be_lost)), (2, vec!["three"]));
    write(&second, "four", 40);
    found(&losses, &at(3), primary("c", "of-c", Some(("of-b", 15))));
    let report = second.report().unwrap();
    assert_eq!((report.survived, names(&report.may_be_lost)), (1, vec!["two", "four"]));
    // It still answers on an old connection.
    write(&first, "five", 41);
    assert_eq!(names(&first.report().unwrap().may_be_lost), ["five"]);
    assert!(first.report().is_none());
}

#[tokio::test]
async fn a_failover_that_was_not_noticed_leaves_the_writes_unknown() {
    let losses = losses(false);
    let first = found(&losses, &at(1), primary("a", "of-a", None));
    write(&first, "one", 10);
    found(&losses, &at(3), primary("c", "of-c", Some(("of-b", 15))));
    let report = first.report().unwrap();
    assert_eq!((report.survived, names(&report.unknown), report.is_clean()), (0, vec!["one"], false));
}

#[tokio::test]
async fn a_restart_leaves_the_writes_unknown_and_a_lost_connection_does_not() {
    let losses = losses(false);
    let first = found(&losses, &at(1), primary("a", "of-a", None));
    write(&first, "one", 10);
    assert!(Arc::ptr_eq(&first, &found(&losses, &at(1), primary("a", "of-a", None))) && first.report().is_none());
    found(&losses, &at(1), primary("b", "of-b", None));
    assert_eq!(names(&first.report().unwrap().unknown), ["one"]);
}

/// A primary without replicas changes the id of its stream after an hour.
#[tokio::test]
async fn a_stream_with_another_name_in_the_same_run_loses_nothing() {
    let losses = losses(false);
    let first = found(&losses, &at(1), primary("a", "of-a", None));
    write(&first, "one", 10);
    assert!(Arc::ptr_eq(&first, &found(&losses, &at(1), primary("a", "renamed", None))));
    // Connections that were open before write to the same run.
    write(&first, "two", 12);
    assert!(!first.is_replaced() && first.report().is_none());
    found(&losses, &at(2), primary("b", "of-b", Some(("renamed", 11))));
    let report = first.report().unwrap();
    assert_eq!((report.survived, names(&report.may_be_lost)), (1, vec!["two"]));
}

/// The connection may lead to it although another one is the primary: only a write shows which one is in use.
#[tokio::test]
async fn a_connection_to_the_old_primary_changes_nothing() {
    let losses = losses(false);
    found(&losses, &at(1), primary("a", "of-a", None));
    let second = found(&losses, &at(2), primary("b", "of-b", Some(("of-a", 20))));
    write(&second, "one", 30);
    found(&losses, &at(1), primary("a", "of-a", None));
    losses.pass();
    let demoted = Replication { is_primary: false, ..primary("a", "of-b", Some(("of-a", 20))).unwrap() };
    found(&losses, &at(1), Some(demoted));
    assert!(!second.is_replaced() && second.report().is_none());
}

#[tokio::test]
async fn a_server_that_does_not_report_is_unknown_at_another_address() {
    let losses = losses(false);
    let first = found(&losses, &at(1), None);
    write(&first, "one", 10);
    // The connection of the first is still being prepared.
    losses.end_interrupted(&at(1), Instant::now()).await;
    assert!(Arc::ptr_eq(&first, &found(&losses, &at(1), None)) && first.report().is_none());
    found(&losses, &at(2), None);
    assert_eq!(names(&first.report().unwrap().unknown), ["one"]);
}

/// Connections that are opened at the same time end the run once.
#[tokio::test]
async fn a_server_that_does_not_report_has_another_run_after_all_connections_were_lost() {
    let losses = losses(false);
    let first = found(&losses, &at(1), None);
    write(&first, "one", 10);
    first.interrupt(Instant::now());
    let (second, third) = (found(&losses, &at(1), None), found(&losses, &at(1), None));
    assert!(Arc::ptr_eq(&second, &third) && !Arc::ptr_eq(&first, &second) && second.is_in_use());
    write(&second, "two", 20);
    losses.pass();
    assert_eq!(second.lock().ring.judge(None).lost.len(), 1);
    assert!(first.is_replaced() && first.lock().ring.is_empty());
}

#[tokio::test]
async fn the_primaries_of_a_cluster_do_not_replace_each_other() {
    let losses = losses(true);
    let first = found(&losses, &at(1), primary("a", "of-a", None));
    let second = found(&losses, &at(2), primary("b", "of-b", None));
    write(&first, "one", 10);
    write(&second, "two", 10);
    losses.primaries(&[at(2), at(3)], &Arc::default());
    found(&losses, &at(3), primary("c", "of-c", Some(("of-a", 9))));
    assert!(!second.is_replaced());
    assert_eq!(names(&first.report().unwrap().may_be_lost), ["one"]);
}

#[tokio::test(start_paused = true)]
async fn a_primary_of_a_cluster_without_a_successor_is_unknown_until_it_returns() {
    let losses = losses(true);
    let mut reports = losses.reports().unwrap();
    let first = found(&losses, &at(1), primary("a", "of-a", None));
    write(&first, "one", 10);
    losses.primaries(&[at(2)], &Arc::default());
    first.lock().left = Instant::now().checked_sub(SUCCESSION * 2);
    assert_eq!(names(&reports.recv().await.unwrap().unknown), ["one"]);
    let again = found(&losses, &at(1), primary("a", "of-a", None));
    assert!(Arc::ptr_eq(&first, &again) && !again.is_replaced());
}

#[tokio::test]
async fn an_old_primary_that_acknowledges_writes_again_replaces_its_successor() {
    let losses = losses(false);
    let mut reports = losses.reports().unwrap();
    let mut next = || {
        losses.pass();
        reports.try_recv().ok()
    };
    let first = found(&losses, &at(1), primary("a", "of-a", None));
    write(&first, "one", 10);
    let second = found(&losses, &at(2), primary("b", "of-b", Some(("of-a", 10))));
    assert_eq!(next().unwrap().survived, 1);
    write(&second, "two", 20);
    let again = found(&losses, &at(1), primary("a", "of-a", None));
    assert!(next().is_none() && !second.is_replaced(), "a connection alone");
    write(&again, "three", 12);
    assert_eq!(names(&next().unwrap().unknown), ["one", "two"]);
    // Connections from before all this write to the same server.
    write(&first, "four", 13);
    assert!(next().is_none());
    // It is replaced once more by the same server.
    let once_more = found(&losses, &at(2), primary("b", "of-b", Some(("of-a", 10))));
    assert!(next().is_none() && !Arc::ptr_eq(&second, &once_more));
    write(&once_more, "five", 30);
    assert_eq!(names(&next().unwrap().may_be_lost), ["three", "four"]);
    write(&once_more, "six", 31);
    assert!(next().is_none());
    found(&losses, &at(3), primary("c", "of-c", Some(("of-b", 30))));
    let report = next().unwrap();
    assert_eq!((report.survived, names(&report.may_be_lost)), (1, vec!["six"]));
}

/// It answered late, after the other one had become the primary.
#[tokio::test]
async fn a_connection_that_was_begun_before_a_failover_does_not_undo_it() {
    for is_known in [true, false] {
        let losses = losses(false);
        if is_known {
            found(&losses, &at(1), primary("a", "of-a", None));
        }
        let begun = Instant::now();
        let second = found(&losses, &at(2), primary("b", "of-b", Some(("of-a", 20))));
        let late = losses.found(&at(1), primary("a", "of-a", None), begun);
        write(&late, "one", 30);
        losses.pass();
        assert!(late.is_replaced() && late.lock().ring.is_empty() && second.is_in_use(), "{is_known}");
    }
}

#[tokio::test]
async fn a_node_that_returns_replaces_no_other_shard() {
    let losses = losses(true);
    found(&losses, &at(1), primary("a", "of-a", None));
    let other = found(&losses, &at(2), primary("b", "of-b", None));
    let second = found(&losses, &at(3), primary("c", "of-c", Some(("of-a", 9))));
    write(&second, "one", 20);
    write(&found(&losses, &at(1), primary("a", "of-a", None)), "two", 10);
    let mut reports = losses.reports().unwrap();
    losses.pass();
    assert_eq!(names(&reports.try_recv().unwrap().unknown), ["one"]);
    assert!(other.is_in_use());
}
