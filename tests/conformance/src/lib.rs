//! One suite for every engine. Each behaviour that the contract promises has a case.
//!
//! An [`Engine`] opens stores and declares its [`Capability`]s; [`all`] lists the [`Case`]s; [`run_all`] runs them and
//! counts the results. The cases use only the traits. Each gets a [`Fixture`]: stores opened for it, unique
//! names, and a clock of its own, so that all can run concurrently on shared servers.
//!
//! The cases of an operation are in the file with its name: those of `queue.claim` in `src/queue/claim.rs`.

mod against;
mod broadcasts;
mod case;
mod embedded;
mod engine;
mod fixture;
mod handoff;
mod heartbeats;
mod homes;
mod hostile;
mod idempotency;
mod inventory;
mod key_value;
mod leases;
mod pressure;
mod promises;
mod queue;
mod rate_limit;
mod redis;
mod resume_tokens;
mod retries;
mod runner;
mod runs;
mod schedules;
mod sessions;
mod steps;
mod topics;
mod verdict;

use std::collections::BTreeSet;

pub use against::{AgainstError, Target, against};
pub use case::Case;
pub use embedded::{EmbeddedFile, EmbeddedMemory};
pub use engine::{Capability, Engine, Options, Stores};
pub use fixture::Fixture;
pub use promises::Promise;
pub use redis::RedisEngine;
pub use runner::{Report, run_all};
pub use verdict::{BrokenPromise, Verdict};

/// Every case, by operation.
pub fn all() -> impl Iterator<Item = &'static Case> {
    let groups: [&[&'static [Case]]; 18] = [
        queue::CASES,
        leases::CASES,
        heartbeats::CASES,
        resume_tokens::CASES,
        inventory::CASES,
        idempotency::CASES,
        runs::CASES,
        sessions::CASES,
        steps::CASES,
        homes::CASES,
        pressure::ALL,
        schedules::CASES,
        topics::CASES,
        broadcasts::CASES,
        retries::CASES,
        rate_limit::CASES,
        key_value::CASES,
        handoff::CASES,
    ];
    groups.into_iter().flatten().copied().chain([hostile::CASES]).flatten()
}

/// The names of the cases that contain `filter`, in a line each; then the promises of the state role that such a case shows, in a line
/// each; the last line has the numbers of all three: cases, operations, promises.
///
/// # Errors
/// [`AgainstError::NoCase`] if there is none.
pub fn listing(filter: &str) -> Result<String, AgainstError> {
    let cases: Vec<_> = all().filter(|case| case.name().contains(filter)).collect();
    if cases.is_empty() {
        return Err(AgainstError::NoCase(filter.to_owned()));
    }
    let operations: BTreeSet<_> = cases.iter().map(|case| case.op.name()).collect();
    let promises: Vec<_> = Promise::all().filter(|it| it.cases.iter().any(|case| case.contains(filter))).collect();
    let last = format!("{} cases, {} operations, {} promises", cases.len(), operations.len(), promises.len());
    let lines = cases.iter().map(|case| case.name()).chain(promises.iter().map(ToString::to_string)).chain([last]);
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use store_core::Op;

    #[test]
    fn every_operation_of_the_traits_has_cases() {
        let covered: BTreeSet<&str> = crate::all().map(|case| case.op.name()).collect();
        let missing =
            Op::ALL.iter().map(|op| op.name()).filter(|name| !name.starts_with("link.") && !covered.contains(name));
        assert_eq!(missing.collect::<Vec<_>>(), Vec::<&str>::new());
    }

    #[test]
    fn the_listing_has_each_case_in_a_line() {
        let listing = crate::listing("").unwrap();
        assert_eq!(listing.lines().count(), crate::all().count() + crate::Promise::all().count() + 1);
        let push = crate::listing("queue.push.").unwrap();
        let names = crate::all().map(|case| case.name()).filter(|name| name.starts_with("queue.push."));
        let names: Vec<_> = names.collect();
        assert!(push.lines().take(names.len()).eq(&names), "{push}");
        let promises: Vec<_> = push.lines().skip(names.len()).collect();
        assert!(promises[0].starts_with("Queue: push of many"), "{push}");
        assert!(promises.last().unwrap().ends_with(" cases, 1 operations, 3 promises"), "{push}");
        assert!(crate::listing("no such case").is_err());
    }

    #[test]
    fn no_two_cases_share_a_name() {
        let mut seen = BTreeSet::new();
        let twice: Vec<String> =
            crate::all().map(|case| case.name()).filter(|name| !seen.insert(name.clone())).collect();
        assert_eq!(twice, Vec::<String>::new());
    }
}
