//! Damage to a closed file: it is reported, and never read as data.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use embedded_store::{EmbeddedState, StateOptions};
use store_core::{
    ClaimRequest, Deleted, Durability, Error, HolderName, JobId, JobState, NewJob, Outcome, PageRequest, Queue,
    QueueControl, QueueExt, QueueInspect, Settled, Settlement,
};

use crate::{LEASE, claim, job_id, queue, service};

const JOBS: usize = 100;
const SEEDS: u64 = 100;

fn open(file: &Path) -> Result<EmbeddedState, Error> {
    EmbeddedState::open(file, service("orders"), StateOptions::default())
}

/// A payload that contains its position, so that it occurs once in the file.
fn payload(number: usize) -> Vec<u8> {
    format!("<payload {number:03}>").repeat(40).into_bytes()
}

async fn write_jobs(file: &Path) -> BTreeMap<JobId, Vec<u8>> {
    let store = open(file).unwrap();
    let jobs: Vec<_> =
        (0..JOBS).map(|number| NewJob::new(payload(number)).with_id(job_id(&format!("job-{number:03}")))).collect();
    let _ = store.push(&queue("mail"), &jobs, Durability::Accepted).await.unwrap();
    store.close().await;
    jobs.into_iter().map(|job| (job.id.unwrap(), job.payload.to_vec())).collect()
}

/// Claims and completes until no readable job is left. Returns how many were correct.
async fn drain(store: &EmbeddedState, expected: &BTreeMap<JobId, Vec<u8>>, what: &str) -> usize {
    let mut right = 0;
    loop {
        let request = ClaimRequest::new(queue("mail"), HolderName::new("worker").unwrap(), 30, LEASE);
        let jobs = match store.claim(&request).await {
            Ok(claim) if claim.jobs.is_empty() => return right,
            Ok(claim) => claim.jobs,
            Err(Error::Corrupt { .. }) => return right,
            Err(error) => panic!("{what}: {error:?}"),
        };
        let mut settlements = Vec::new();
        for job in jobs {
            assert_eq!(expected.get(&job.lease.job).map(Vec::as_slice), Some(&job.payload[..]), "{what}: wrong data");
            right += 1;
            settlements.push(Settlement::new(job.lease, Outcome::Complete(None)));
        }
        match store.settle(&queue("mail"), &settlements, Durability::Accepted).await {
            Ok(settled) => assert!(settled.value.iter().all(|settled| *settled == Settled::Done), "{what}"),
            Err(Error::Corrupt { .. }) => {}
            Err(error) => panic!("{what}: {error:?}"),
        }
    }
}

#[tokio::test]
async fn random_bits_that_flip_in_a_closed_file_never_change_a_payload() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("state.redb");
    let expected = write_jobs(&file).await;
    let whole = fs::read(&file).unwrap();
    let (mut refused, mut partly) = (0, 0);
    for seed in 0..SEEDS {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut bytes = whole.clone();
        // Only bytes in use can be damaged with a visible effect.
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        for _ in 0..random.usize(1..40) {
            bytes[random.usize(..=used)] ^= 1 << random.u8(..8);
        }
        fs::write(&file, bytes).unwrap();
        match open(&file) {
            Err(Error::Corrupt { .. }) => refused += 1,
            Err(error) => panic!("seed {seed}: {error:?}"),
            Ok(store) => {
                let right = drain(&store, &expected, &format!("seed {seed}")).await;
                partly += usize::from(right < JOBS);
            }
        }
    }
    println!("of {SEEDS} files {refused} were refused, {partly} had jobs that cannot be read");
    assert!(partly > 20, "{partly}");
}

#[tokio::test]
async fn a_damaged_job_blocks_no_other_and_can_be_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("state.redb");
    let expected = write_jobs(&file).await;
    let mut bytes = fs::read(&file).unwrap();
    // In the middle of the payload of one job, wherever redb has stored it.
    let marked = payload(42);
    let at = bytes.windows(marked.len()).position(|window| window == marked).unwrap();
    bytes[at + marked.len() / 2] ^= 1;
    fs::write(&file, bytes).unwrap();

    let store = open(&file).unwrap();
    let damaged = job_id("job-042");
    assert_eq!(store.counts(&queue("mail")).await.unwrap().ready, 100);
    let page = PageRequest::first(1000);
    assert_eq!(store.list(&queue("mail"), JobState::Ready, page.clone()).await.unwrap().items.len(), 100);
    let error = store.get(&queue("mail"), &damaged).await.unwrap_err();
    assert!(matches!(&error, Error::Corrupt { .. }) && error.to_string().contains("table jobs"), "{error}");
    assert!(!error.to_string().contains("payload"), "{error}");

    assert_eq!(drain(&store, &expected, "one damaged job").await, 99);
    let counts = store.counts(&queue("mail")).await.unwrap();
    assert_eq!((counts.pending(), counts.dead), (0, 1));
    let dead = store.list(&queue("mail"), JobState::Dead, page).await.unwrap().items;
    assert_eq!(dead[0].id, damaged);
    assert_eq!(dead[0].last_error.as_deref(), Some("a row of the table jobs is damaged"));
    assert_eq!(store.delete(&queue("mail"), std::slice::from_ref(&damaged)).await.unwrap(), [Deleted::Deleted]);
    store.push_one(&queue("mail"), NewJob::new("again").with_id(damaged)).await.unwrap();
    assert_eq!(claim(&store, "mail", 1).await.jobs[0].payload, "again");
}
