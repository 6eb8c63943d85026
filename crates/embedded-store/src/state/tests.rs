//! What a damaged row holds up, and what expired records leave.

use std::ops::ControlFlow;
use std::time::Duration;

use store_core::{
    AgentName, Beat, ClaimRequest, Clock, Commit, Committed, Cursor, Durability, Event, GroupName, Heartbeats,
    HolderName, Homes, Inventory, ManualClock, NewEvent, NewJob, NewRun, Op, Outcome, PageRequest, PoolName, Queue,
    QueueInspect, QueueName, ReadRequest, RequestId, RunEvent, RunFilter, RunId, RunOutcome, RunWrite, Runs, Schedule,
    ScheduleName, Schedules, ServiceName, Timestamp, TopicConfig, TopicName, Topics, Ttl, UniqueKey,
};

use super::EmbeddedState;
use crate::StateOptions;
use crate::rows::{Change, Rows, Table};

const DAY: Duration = Duration::from_secs(24 * 3600);
const MINUTE: Ttl = Ttl::from_secs(60);

fn store() -> (EmbeddedState, ManualClock) {
    let clock = ManualClock::new(Timestamp::from_millis(1_700_000_000_000));
    let options = StateOptions::default().with_clock(Clock::Manual(clock.clone()));
    (EmbeddedState::in_memory(ServiceName::new("orders").unwrap(), options), clock)
}

async fn keys(store: &EmbeddedState, table: Table) -> Vec<Vec<u8>> {
    let look = move |view: &mut crate::rows::View<'_>| {
        let mut keys = Vec::new();
        view.scan(table, &[][..]..&[0xff], |key, _| {
            keys.push(key.to_vec());
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(keys)
    };
    store.database.read(Op::Ping, look).await.unwrap()
}

/// Makes the only row unreadable whose key ends with this.
async fn damage(store: &EmbeddedState, table: Table, end: &[u8]) {
    let found: Vec<_> = keys(store, table).await.into_iter().filter(|key| key.ends_with(end)).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    let apply = move |change: &mut Change<'_>| change.put(table, &found[0], Vec::new());
    store.database.write(Op::Ping, apply).await.unwrap();
}

fn new_run(id: &str) -> NewRun {
    NewRun::new(RunId::new(id).unwrap(), AgentName::new("writer").unwrap()).with_ttl(MINUTE)
}

async fn create(store: &EmbeddedState, run: NewRun) {
    let created = Runs::create(store, &run, Durability::Accepted).await.unwrap().value;
    assert!(matches!(created, RunOutcome::Done(_)), "{created:?}");
}

#[tokio::test]
async fn a_damaged_run_that_has_expired_is_removed_and_holds_up_no_other() {
    let (store, clock) = store();
    create(&store, new_run("damaged")).await;
    create(&store, new_run("whole")).await;
    damage(&store, Table::Runs, b"damaged\0\0").await;
    clock.advance(Duration::from_secs(120));
    let swept = Runs::sweep(&store).await.unwrap();
    assert_eq!((swept.removed, swept.left), (2, 0));
    assert_eq!(keys(&store, Table::Runs).await, [[0; 0]; 0]);
    create(&store, new_run("damaged")).await;
    let page = Runs::list(&store, &RunFilter::default(), PageRequest::default()).await.unwrap();
    assert_eq!(page.items.len(), 1);
}

#[tokio::test]
async fn a_damaged_run_holds_up_no_listing_and_is_cleared() {
    let (store, _) = store();
    for id in ["1", "damaged", "3"] {
        create(&store, new_run(id)).await;
    }
    damage(&store, Table::Runs, b"damaged\0\0").await;
    let page = Runs::list(&store, &RunFilter::default(), PageRequest::default()).await.unwrap();
    assert_eq!(page.items.iter().map(|run| run.run.as_str()).collect::<Vec<_>>(), ["3", "1"]);
    assert_eq!((page.unreadable, page.total), (vec![RunId::new("damaged").unwrap()], 3));
    assert_eq!(Runs::clear(&store, "", None).await.unwrap().removed, 3);
}

#[tokio::test]
async fn a_damaged_run_can_be_deleted_and_created_again() {
    let (store, clock) = store();
    create(&store, new_run("damaged")).await;
    damage(&store, Table::Runs, b"damaged\0\0").await;
    assert!(Runs::delete(&store, &RunId::new("damaged").unwrap()).await.unwrap());
    assert_eq!(keys(&store, Table::Runs).await, [[0; 0]; 0]);
    clock.advance(Duration::from_secs(30));
    create(&store, new_run("damaged")).await;
    // The end of the first one is over, that of the second one is not.
    clock.advance(Duration::from_secs(40));
    let swept = Runs::sweep(&store).await.unwrap();
    assert_eq!((swept.removed, swept.left), (0, 0));
    assert!(Runs::get(&store, &RunId::new("damaged").unwrap()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_sweep_removes_a_bounded_number_of_rows() {
    let (store, clock) = store();
    create(&store, new_run("long").with_max_events(NewRun::MAX_EVENTS)).await;
    let event = RunEvent::new("token", "text");
    for _ in 0..50 {
        let mut write = RunWrite::new(RunId::new("long").unwrap());
        write.events = vec![event.clone(); 50];
        Runs::write(&store, &write, Durability::Accepted).await.unwrap().value.done().unwrap();
    }
    let before = keys(&store, Table::Runs).await.len();
    assert!(before > 2500, "{before}");
    clock.advance(Duration::from_secs(120));
    create(&store, new_run("short")).await;
    let left = keys(&store, Table::Runs).await.len();
    assert!((before - 2000..before).contains(&left), "{left} of {before}");
    let swept = Runs::sweep(&store).await.unwrap();
    assert_eq!((swept.removed, swept.left), (1, 0));
    let left = keys(&store, Table::Runs).await;
    assert!(left.iter().all(|key| key.starts_with(b"short\0")), "{left:?}");
}

#[tokio::test]
async fn a_damaged_schedule_stops_no_other_and_can_be_deleted() {
    let (store, clock) = store();
    let queue = QueueName::new("mail").unwrap();
    let [damaged, whole] = ["damaged", "whole"].map(|name| ScheduleName::new(name).unwrap());
    let schedule = Schedule::every(Duration::from_secs(60), NewJob::new("send")).unwrap();
    for name in [&damaged, &whole] {
        let _ = Schedules::put(&store, &queue, name, &schedule, None, Durability::Accepted).await.unwrap();
    }
    damage(&store, Table::Schedules, b"\0\0\0\0\0damaged").await;
    clock.advance(Duration::from_secs(120));
    let due = store.due(&queue, 10).await.unwrap();
    assert_eq!(due.schedules.iter().map(|due| &due.name).collect::<Vec<_>>(), [&whole]);
    assert_eq!(due.unreadable, std::slice::from_ref(&damaged));
    let error = Schedules::list(&store, &queue, PageRequest::default()).await.unwrap_err();
    assert!(matches!(error, store_core::Error::Corrupt { .. }) && error.to_string().contains("`damaged`"), "{error}");
    Schedules::delete(&store, &queue, &damaged).await.unwrap();
    let due = store.due(&queue, 10).await.unwrap();
    assert_eq!((due.schedules.len(), due.unreadable.len()), (1, 0));
    let _ = Schedules::put(&store, &queue, &damaged, &schedule, None, Durability::Accepted).await.unwrap();
    assert_eq!(store.due(&queue, 10).await.unwrap().schedules.len(), 2);
}

async fn append(store: &EmbeddedState, topic: &TopicName, events: usize) {
    let events = vec![NewEvent::new("event"); events];
    let _ = Topics::append(store, topic, &events, Durability::Accepted).await.unwrap();
}

async fn read(store: &EmbeddedState, topic: &TopicName) -> Vec<Event> {
    let [group, consumer] = ["group", "consumer"];
    let consumer = HolderName::new(consumer).unwrap();
    let request = ReadRequest::new(topic.clone(), 0, GroupName::new(group).unwrap(), consumer);
    let read = Topics::read(store, &request.with_request(RequestId::from_bytes([1; 16]))).await.unwrap();
    read.events().unwrap().events
}

async fn declare(store: &EmbeddedState, name: &str) -> TopicName {
    let topic = TopicName::new(name).unwrap();
    let config = TopicConfig::default().with_partitions(1).with_max_age(Duration::from_secs(3600));
    store.declare(&topic, &config).await.unwrap();
    topic
}

#[tokio::test]
async fn a_damaged_group_of_an_expired_partition_holds_up_no_append() {
    for appends_there in [false, true] {
        let (store, clock) = store();
        let (damaged, other) = (declare(&store, "damaged").await, declare(&store, "other").await);
        append(&store, &damaged, 1).await;
        assert_eq!(read(&store, &damaged).await.len(), 1);
        damage(&store, Table::Topics, b"group").await;
        clock.advance(3 * DAY);
        append(&store, if appends_there { &damaged } else { &other }, 1).await;
        append(&store, &damaged, 1).await;
        assert!(!read(&store, &damaged).await.is_empty());
    }
}

#[tokio::test]
async fn a_consumer_that_polls_removes_the_events_of_an_expired_partition() {
    let (store, clock) = store();
    let topic = declare(&store, "topic").await;
    append(&store, &topic, 1000).await;
    append(&store, &topic, 1000).await;
    append(&store, &topic, 500).await;
    clock.advance(3 * DAY);
    let before = keys(&store, Table::Topics).await.len();
    assert!(before > 2500, "{before}");
    assert_eq!(read(&store, &topic).await, []);
    let left = keys(&store, Table::Topics).await.len();
    assert!((before - 2000..before).contains(&left), "{left} of {before}");
    assert_eq!(read(&store, &topic).await, []);
    // The configuration, the head and the group.
    assert_eq!(keys(&store, Table::Topics).await.len(), 3);
    append(&store, &topic, 2).await;
    assert_eq!(read(&store, &topic).await.len(), 2);
}

#[tokio::test]
async fn a_pool_without_beats_is_forgotten_after_a_day() {
    let (store, clock) = store();
    let pools = ["a", "b", "c"].map(|name| PoolName::new(name).unwrap());
    for (pool, members) in [(&pools[0], 150), (&pools[2], 1)] {
        for member in 0..members {
            let member = HolderName::new(format!("member-{member}")).unwrap();
            store
                .for_service(ServiceName::new("older").unwrap())
                .beat(&Beat::new(pool.clone(), member, Duration::from_secs(10)))
                .await
                .unwrap();
        }
    }
    clock.advance(DAY + Duration::from_secs(11));
    let lost = store.for_service(ServiceName::new("older").unwrap());
    let lost = lost.lost(&pools[0], Timestamp::from_millis(0), PageRequest::default()).await.unwrap();
    assert_eq!(lost.items, []);
    assert_eq!(store.pools(None::<Cursor>).await.unwrap().items, []);
    let beat = Beat::new(pools[1].clone(), HolderName::new("member").unwrap(), Duration::from_secs(10));
    for left in [151 - 100, 151 - 150, 0] {
        store.beat(&beat).await.unwrap();
        for table in [Table::Members, Table::MemberEnds] {
            assert_eq!(keys(&store, table).await.len(), left + 1);
        }
    }
    assert_eq!(store.pools(None).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn a_refused_commit_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("state.redb");
    let file = EmbeddedState::open(file, ServiceName::new("orders").unwrap(), StateOptions::default()).unwrap();
    for store in [store().0, file] {
        let queue = QueueName::new("mail").unwrap();
        let _ = store.push(&queue, &[NewJob::new("job")], Durability::Accepted).await.unwrap();
        let request = ClaimRequest::new(queue.clone(), HolderName::new("worker").unwrap(), 1, Duration::from_secs(60));
        let claimed = store.claim(&request).await.unwrap().jobs.remove(0);
        let home = store.home(&queue, &UniqueKey::new("order").unwrap());
        let event = RunEvent::new("token", "text");
        let commit = Commit::new(claimed.lease, Outcome::Complete(None)).with_job(NewJob::new("next"));
        let absent = commit.clone().with_run(RunWrite::new(RunId::new("absent").unwrap()).with_event(event));
        let refused = home.commit(&absent, Durability::Accepted).await.unwrap().value;
        assert!(matches!(&refused, Committed::Refused(parts) if parts.run == Some(RunOutcome::Absent)), "{refused:?}");
        let counts = store.counts(&queue).await.unwrap();
        assert_eq!((counts.ready, counts.running), (0, 1));
        home.commit(&commit, Durability::Accepted).await.unwrap().value.done().unwrap();
        let counts = store.counts(&queue).await.unwrap();
        assert_eq!((counts.ready, counts.running), (1, 0));
    }
}
