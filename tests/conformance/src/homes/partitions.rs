//! Homes in a queue of any number of partitions: the keys of one partition share one home, and those of another have another.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use store_core::{
    Committed, Error, Fence, Home, NewRun, Op, Outcome, PageRequest, RunFilter, RunId, SaveRequest, StreamName,
    UniqueKey,
};

use super::{ACCEPTED, AtHome, TTL, token};
use crate::case::cases;
use crate::engine::Capability;
use crate::fixture::{Fixture, unique_key};
use crate::verdict::{BrokenPromise, Verdict, check, check_eq, check_matches};

cases! { Op::HomeCommit;
    a_commit_to_the_home_of_another_partition_is_an_error_and_writes_nothing,
    records_of_a_key_are_listed_in_its_own_home_alone,
    a_home_that_is_read_first_is_the_one_that_is_written,
    a_sweep_of_homes_removes_the_expired_runs_of_all_of_them,
}

/// More keys than partitions.
fn keys() -> impl Iterator<Item = UniqueKey> {
    (0..40).map(|number| unique_key(&format!("key {number}")))
}

fn home(fixture: &Fixture, key: &UniqueKey) -> Arc<dyn Home> {
    fixture.state.home(&fixture.queue("queue"), key)
}

fn run_of(key: &UniqueKey) -> Result<RunId, BrokenPromise> {
    Ok(RunId::new(key.as_str().replace(' ', "-"))?)
}

fn stream_of(key: &UniqueKey) -> Result<StreamName, BrokenPromise> {
    Ok(StreamName::new(key.as_str().replace(' ', "-"))?)
}

async fn fill(fixture: &Fixture, key: &UniqueKey) -> Verdict {
    let home = home(fixture, key);
    let run = NewRun::new(run_of(key)?, "importer".try_into()?).with_ttl(TTL);
    check!(home.runs().create(&run, ACCEPTED).await?.value.done().is_some());
    let save = SaveRequest::new(stream_of(key)?, "page 1", Fence::new(1), None);
    check!(home.resume_tokens().save(&save, ACCEPTED).await?.value.done().is_some());
    Ok(())
}

/// The runs, or else the streams, of all pages.
async fn listed(home: &dyn Home) -> Result<[BTreeSet<String>; 2], BrokenPromise> {
    let (mut runs, mut page) = (BTreeSet::new(), PageRequest::first(7));
    loop {
        let found = home.runs().list(&RunFilter::default(), page.clone()).await?;
        runs.extend(found.items.into_iter().map(|run| run.run.to_string()));
        match found.next {
            Some(next) => page = page.with_cursor(next),
            None => break,
        }
    }
    let (mut streams, mut after) = (BTreeSet::new(), None);
    loop {
        let found = home.resume_tokens().tokens(None, after).await?;
        streams.extend(found.items.into_iter().map(|token| token.stream.to_string()));
        after = found.next;
        if after.is_none() {
            return Ok([runs, streams]);
        }
    }
}

/// All keys of a partition have one home, so the commits there are repetitions of the first one.
async fn a_commit_to_the_home_of_another_partition_is_an_error_and_writes_nothing(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    let before = at.stored().await?;
    let commit = at.ending(Outcome::Complete(None)).with_token(token(1));
    let (mut done, mut refused) = (0, 0);
    // So many that each partition has some. Most calls send nothing.
    for key in (0..300).map(|number| unique_key(&format!("key {number}"))) {
        match home(&at.queue.fixture, &key).commit(&commit, ACCEPTED).await {
            Err(error) => {
                check_matches!(&error, Error::InvalidArgument { op: Op::HomeCommit, .. });
                check!(done > 0 || at.stored().await? == before, "the refused commit has written something");
                refused += 1;
            }
            Ok(committed) => {
                check_matches!(committed.value, Committed::Done(_));
                done += 1;
            }
        }
    }
    check!(done > 0, "no key has the home of the job");
    check_eq!(refused == 0, at.queue.fixture.can(Capability::OneOrder));
    check!(at.stored().await?.token.is_some());
    Ok(())
}

async fn records_of_a_key_are_listed_in_its_own_home_alone(fixture: Fixture) -> Verdict {
    for key in keys() {
        fill(&fixture, &key).await?;
    }
    let mut homes: BTreeMap<BTreeSet<String>, usize> = BTreeMap::new();
    for key in keys() {
        let [runs, streams] = listed(&*home(&fixture, &key)).await?;
        check_eq!(runs, streams);
        check!(runs.contains(run_of(&key)?.as_str()), "{key:?}: {runs:?}");
        *homes.entry(runs).or_default() += 1;
    }
    check_eq!(homes.len() == 1, fixture.can(Capability::OneOrder));
    // Each home is seen by the keys that it has, and by no other.
    for (records, seen) in &homes {
        check_eq!(records.len(), *seen);
    }
    check_eq!(homes.values().sum::<usize>(), 40);
    check_eq!(homes.keys().flatten().collect::<BTreeSet<_>>().len(), 40);
    Ok(())
}

async fn a_home_that_is_read_first_is_the_one_that_is_written(fixture: Fixture) -> Verdict {
    for key in keys() {
        check_eq!(home(&fixture, &key).runs().get(&run_of(&key)?).await?, None);
        check_eq!(home(&fixture, &key).resume_tokens().load(&stream_of(&key)?).await?, None);
    }
    for key in keys() {
        fill(&fixture, &key).await?;
    }
    for key in keys() {
        check!(home(&fixture, &key).runs().get(&run_of(&key)?).await?.is_some());
        check!(home(&fixture, &key).resume_tokens().load(&stream_of(&key)?).await?.is_some());
    }
    Ok(())
}

async fn a_sweep_of_homes_removes_the_expired_runs_of_all_of_them(fixture: Fixture) -> Verdict {
    let queue = fixture.queue("queue");
    let nothing = fixture.state.sweep_homes(&queue).await?;
    check_eq!((nothing.removed, nothing.left), (0, 0));
    for key in keys() {
        fill(&fixture, &key).await?;
    }
    check_eq!(fixture.state.sweep_homes(&queue).await?.removed, 0);
    fixture.advance(TTL.as_duration() + std::time::Duration::from_secs(60));
    let swept = fixture.state.sweep_homes(&queue).await?;
    // The creations have removed none: no run had expired.
    check_eq!((swept.removed, swept.left), (40, 0));
    for key in keys() {
        check_eq!(home(&fixture, &key).runs().list(&RunFilter::default(), PageRequest::default()).await?.total, 0);
    }
    Ok(())
}
