use faults::checker::{Rule, check};
use faults::history::Outcome;

use crate::written::{QUEUE, Written, push};
use crate::{Case, case};

const KILL: &str = "kill-primary state";

/// A job is pushed from 900 to 901, and the primary is killed from 1000 to 4000.
fn killed(is_replicated: bool) -> Written {
    Written::with_failovers(is_replicated).created(900, 901, "a").fault(1000, 4000, KILL)
}

pub(crate) fn cases() -> Vec<Case> {
    let early = |acknowledged| {
        let late = Written::with_failovers(false).fault(2000, 4000, KILL).lost(3000, acknowledged, "b");
        late.listed(&[], &[])
    };
    let delivered = |written: Written| written.claimed(910, 911, "a", 5);
    let unconfirmed = || Written::with_failovers(true).unknown(900, 905, push("a")).fault(1000, 4000, KILL);
    let ended = |written: Written| {
        delivered(written).settled(920, 921, "a", 5, Outcome::Complete, true).fault(1000, 4000, KILL)
    };
    let created = |is_replicated| Written::with_failovers(is_replicated).created(900, 901, "a");
    let again = |written: Written| {
        let again = written.claimed(4100, 4101, "a", 9).settled(4200, 4201, "a", 9, Outcome::Complete, true);
        again.listed(&[], &[])
    };
    vec![
        // every replica confirmed it
        case(Rule::JobLost, killed(true).listed(&[], &[]), killed(true).listed(&[], &["a"])),
        // no replica confirmed it, and a report names it
        case(Rule::LossUnnamed, killed(false).listed(&[], &[]), killed(false).lost(3000, 901, "a").listed(&[], &[])),
        case(Rule::LossTooOld, early(999), early(1001)),
        // it was delivered, but its push was not confirmed
        case(Rule::JobLost, delivered(killed(true)).listed(&[], &[]), delivered(unconfirmed()).listed(&[], &[])),
        // no failover lies between the push and the listing
        case(
            Rule::JobLost,
            Written::with_failovers(false).fault(0, 800, KILL).created(900, 901, "a").listed(&[], &[]),
            killed(false).lost(3000, 901, "a").listed(&[], &[]),
        ),
        // a confirmed settlement does not vanish
        case(Rule::JobRevived, again(ended(created(true))), again(ended(created(false)))),
    ]
}

#[test]
fn what_a_failover_explains_is_counted() {
    let tally = check(&killed(false).lost(3000, 901, "a").listed(&[], &[]).history()).losses;
    assert_eq!((tally.lost, tally.named, tally.reported), (1, 1, 1));
    assert_eq!(tally.explained.get(&Rule::JobLost), Some(&1));
    let tally = check(&killed(true).created(5000, 5001, "b").listed(&[], &["a", "b"]).history()).losses;
    assert_eq!(tally.longest_gap.get(KILL), Some(&4_100_000), "from the push to {QUEUE} before to the one after");
}
