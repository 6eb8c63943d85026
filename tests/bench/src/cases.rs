//! Every benchmark. To add one, add a file here and a line in [`all`].

use crate::case::Case;

mod aggregates;
mod batch;
mod claim_latency;
mod claim_settle;
mod cluster;
mod each;
mod growth;
mod handoff;
mod idempotency;
mod idle;
mod ids;
mod key_value;
mod latency;
mod leases;
mod partitions;
mod payload;
mod push;
mod rate_limit;
pub mod recovery;
mod scheduled_memory;
mod topics;
mod whole_life;
mod workers;

/// All benchmarks, in the order in which they run.
pub fn all() -> Vec<Box<dyn Case>> {
    let files = [
        push::cases,
        claim_settle::cases,
        whole_life::cases,
        batch::cases,
        latency::cases,
        claim_latency::cases,
        idle::cases,
        scheduled_memory::cases,
        growth::cases,
        partitions::cases,
        cluster::cases,
        payload::cases,
        ids::cases,
        workers::cases,
        recovery::cases,
        leases::cases,
        rate_limit::cases,
        key_value::cases,
        idempotency::cases,
        handoff::cases,
        topics::cases,
        aggregates::cases,
        each::cases,
        each::embedded::cases,
    ];
    files.iter().flat_map(|cases| cases()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    #[test]
    fn no_two_cases_share_a_name() {
        let plans: Vec<_> = super::all().iter().map(|case| case.plan()).collect();
        let names: HashSet<&str> = plans.iter().map(|plan| plan.name.as_str()).collect();
        assert_eq!(names.len(), plans.len());
    }
}
