//! The inventory of a namespace: one file per operation.

mod leases;
mod pools;
mod queues;
mod topics;

use std::fmt;

use crate::case::Case;

/// The cases of every operation of the inventory.
pub(crate) const CASES: &[&[Case]] = &[queues::CASES, leases::CASES, pools::CASES, topics::CASES];

/// The most steps of a listing in the suite, even on a server with other data.
const MAX_STEPS: usize = 100_000;

/// A function that returns all names of a listing, each as [`spelled`] writes it.
macro_rules! listed {
    ($operation:ident) => {
        async fn listed(fixture: &Fixture) -> Result<BTreeSet<String>, BrokenPromise> {
            let (mut names, mut after) = (BTreeSet::new(), None);
            for _ in 0..super::MAX_STEPS {
                let page = fixture.state.$operation(after).await?;
                names.extend(page.items.iter().map(spelled));
                match page.next {
                    Some(next) => after = Some(next),
                    None => return Ok(names),
                }
            }
            Err(BrokenPromise::new("the listing has no end"))
        }
    };
}

use listed;

fn spelled(name: &impl fmt::Debug) -> String {
    format!("{name:?}")
}
