//! The number of partitions that is recorded with a queue. This engine keeps all of them together.

use embedded_store::{EmbeddedState, StateOptions};
use store_core::{Durability, Error, JobId, NewJob, Queue, QueueControl, QueueExt, QueueInspect};

use crate::{claim, in_memory, queue, service};

fn declaring(partitions: u16) -> StateOptions {
    StateOptions::default().with_partitions(queue("mail"), partitions)
}

fn assert_refused<T: std::fmt::Debug>(answer: Result<T, Error>) {
    match answer {
        Err(Error::InvalidArgument { detail, .. }) => {
            assert!(detail.contains('4') && detail.contains("12"), "{detail}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn another_number_of_partitions_is_refused_by_every_call() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let open = |options| EmbeddedState::open(&path, service("orders"), options).unwrap();
    open(declaring(4)).push_one(&queue("mail"), NewJob::new("a")).await.unwrap();

    let other = open(declaring(12));
    assert_refused(other.push_one(&queue("mail"), NewJob::new("a")).await);
    assert_refused(other.counts(&queue("mail")).await);
    assert_refused(other.pause(&queue("mail")).await);
    other.push_one(&queue("another"), NewJob::new("a")).await.unwrap();
    drop(other);

    for (options, found) in [(StateOptions::default(), 2), (declaring(4), 1)] {
        let store = open(options);
        store.push_one(&queue("mail"), NewJob::new("a")).await.unwrap();
        assert_eq!(claim(&store, "mail", 10).await.jobs.len(), found);
    }
}

#[tokio::test]
async fn a_number_of_partitions_outside_its_bounds_is_refused() {
    for partitions in [0, JobId::MAX_PARTITIONS + 1] {
        let store = EmbeddedState::in_memory(service("orders"), declaring(partitions));
        let pushed = store.push_one(&queue("mail"), NewJob::new("a")).await;
        assert!(matches!(pushed, Err(Error::InvalidArgument { .. })), "{pushed:?}");
    }
}

#[tokio::test]
async fn assigned_ids_name_partition_0_and_their_place_in_the_push() {
    let store = in_memory();
    let pushed = store.push(&queue("mail"), &vec![NewJob::new("a"); 130], Durability::Accepted).await.unwrap().value;
    let places: Vec<_> = pushed.iter().map(|pushed| pushed.id().unwrap().place().unwrap()).collect();
    for (index, (batch, position)) in places.iter().enumerate() {
        assert_eq!((batch.partition(), usize::from(*position)), (0, index % 64));
        assert_eq!(*batch, places[index / 64 * 64].0);
    }
    assert!(places[0].0 != places[64].0 && places[64].0 != places[128].0);
}
