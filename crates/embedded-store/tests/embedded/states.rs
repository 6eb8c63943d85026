//! The diagram of a job's states: it is the same in both places, and the engine has these transitions and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use embedded_store::{EmbeddedState, StateOptions};
use store_core::{
    ClaimRequest, Durability, HolderName, JobId, JobLease, JobState, Kept, Outcome, PageRequest, Queue, QueueControl,
    QueueInspect, Retention, Settlement,
};

use crate::{LEASE, job, job_id, manual_clock, queue, service};

const STATES: [JobState; 5] =
    [JobState::Ready, JobState::Scheduled, JobState::Running, JobState::Completed, JobState::Dead];

/// From and to; `None` is a job that the queue does not have.
type Transition = (Option<JobState>, Option<JobState>);

#[tokio::test]
async fn the_diagram_has_exactly_the_transitions_of_the_engine() {
    let diagram = diagram();
    let mut seen = BTreeSet::new();
    for seed in 0..10 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (clock, options) = manual_clock();
        let retention = Retention::default().with_dead_count(5).with_completed_count(5);
        let options = StateOptions::default().with_clock(options).with_retention(retention);
        let store = EmbeddedState::in_memory(service("orders"), options);
        let mut leases = Vec::new();
        let mut before = states(&store).await;
        for step in 0..300 {
            let between = act(&store, &mut random, &mut leases).await;
            let after = states(&store).await;
            for id in before.keys().chain(after.keys()) {
                let change = (before.get(id).copied(), after.get(id).copied());
                if change.0 != change.1 {
                    let is_in_two_steps = between.is_some_and(|state| {
                        diagram.contains(&(change.0, state)) && diagram.contains(&(state, change.1))
                    });
                    assert!(is_in_two_steps || diagram.contains(&change), "seed {seed}, step {step}: {change:?}");
                    seen.insert(change);
                }
            }
            before = after;
            if random.u8(..) < 60 {
                clock.advance(Duration::from_millis(random.u64(..20_000)));
            }
        }
    }
    let missing: Vec<_> = diagram.difference(&seen).collect();
    assert!(missing.is_empty(), "in the diagram and never seen: {missing:?}");
}

/// The transitions of the diagram, which is the same in ARCHITECTURE.md and in the documentation of [`JobState`].
fn diagram() -> BTreeSet<Transition> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let [architecture, rustdoc] = ["ARCHITECTURE.md", "crates/store-core/src/queue/inspect.rs"].map(|file| {
        let text = fs::read_to_string(root.join(file)).unwrap().replace("\n/// ", "\n");
        let (_, diagram) = text.split_once("stateDiagram-v2\n").expect("a diagram");
        diagram.split_once("```").expect("the diagram ends").0.to_owned()
    });
    assert_eq!(architecture, rustdoc);
    let transition = |line: &str| {
        let (from, rest) = line.trim().split_once(" --> ").expect("a transition");
        (state(from), state(rest.split_once(": ").expect("a cause").0))
    };
    architecture.lines().map(transition).collect()
}

fn state(name: &str) -> Option<JobState> {
    let mut states = STATES.into_iter();
    (name != "[*]").then(|| states.find(|state| format!("{state:?}") == name).expect("a state"))
}

/// One random operation on one queue. Returns the state that a job may pass through: a claim makes due jobs ready and then
/// takes them; a push removes expired jobs and then adds jobs.
async fn act(
    store: &EmbeddedState,
    random: &mut fastrand::Rng,
    leases: &mut Vec<JobLease>,
) -> Option<Option<JobState>> {
    let (name, id) = (queue("q"), random.u8(..30).to_string());
    let choice = random.u8(..13);
    match choice {
        0..4 => {
            let mut new = job(&id).with_delay(Duration::from_secs(random.u64(..2) * 5));
            if random.bool() {
                new = new.with_start_within(LEASE);
            }
            let _ = store.push(&name, &[new], Durability::Accepted).await.unwrap();
        }
        4..6 => {
            let request = ClaimRequest::new(name, HolderName::new("w").unwrap(), random.usize(1..5), LEASE);
            leases.extend(store.claim(&request).await.unwrap().jobs.into_iter().map(|job| job.lease));
        }
        6..9 if !leases.is_empty() => {
            let lease = leases.swap_remove(random.usize(..leases.len()));
            let after = Duration::from_secs(random.u64(..3));
            let outcome = match random.u8(..7) {
                0 => Outcome::Complete(None),
                1 => Outcome::Complete(Some(Kept::new("r", LEASE))),
                2 => Outcome::Retry { after, error: "e".to_owned() },
                3 => Outcome::Snooze { after },
                4 => Outcome::Dead { reason: "d".to_owned() },
                5 => Outcome::Cancelled,
                _ => Outcome::Release,
            };
            let _ = store.settle(&name, &[Settlement::new(lease, outcome)], Durability::Accepted).await.unwrap();
        }
        9 => drop(store.cancel(&name, &job_id(&id)).await.unwrap()),
        10 => drop(store.replay(&name, &[job_id(&id)]).await.unwrap()),
        11 => drop(store.delete(&name, &[job_id(&id)]).await.unwrap()),
        _ => drop(store.promote(&name, &[job_id(&id)]).await.unwrap()),
    }
    match choice {
        0..4 => Some(None),
        4..6 => Some(Some(JobState::Ready)),
        _ => None,
    }
}

async fn states(store: &EmbeddedState) -> BTreeMap<JobId, JobState> {
    let mut states = BTreeMap::new();
    for state in STATES {
        let page = store.list(&queue("q"), state, PageRequest::first(100)).await.unwrap();
        states.extend(page.items.into_iter().map(|job| (job.id, state)));
    }
    states
}
