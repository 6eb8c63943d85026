//! Tests of the checker: for each rule a history that breaks it, and a similar one that does not.

mod broadcasts;
mod commits;
mod deliveries;
mod heartbeats;
mod jobs;
mod leases;
mod losses;
mod requests;
mod resume_tokens;
mod retries;
mod runs;
mod schedules;
mod steps;
mod topics;
mod written;

use std::collections::BTreeSet;

use faults::checker::{Rule, check};
use written::Written;

/// A rule, a history that breaks only this rule, and a similar one that breaks no rule.
struct Case {
    rule: Rule,
    wrong: Written,
    right: Written,
}

fn case(rule: Rule, wrong: Written, right: Written) -> Case {
    Case { rule, wrong, right }
}

fn cases() -> Vec<Case> {
    let of_progress = [resume_tokens::cases(), steps::cases(), runs::cases(), retries::cases()];
    let of_events = [schedules::cases(), topics::cases(), commits::cases(), deliveries::cases(), broadcasts::cases()];
    [jobs::cases(), leases::cases(), requests::cases(), heartbeats::cases(), losses::cases()]
        .into_iter()
        .chain(of_progress)
        .chain(of_events)
        .flatten()
        .collect()
}

#[test]
fn each_rule_is_broken_by_its_wrong_history_and_by_no_right_one() {
    for (index, case) in cases().iter().enumerate() {
        let found: BTreeSet<Rule> =
            check(&case.wrong.history()).violations.iter().map(|violation| violation.rule).collect();
        assert!(found.contains(&case.rule), "case {index}: {} is not found, but {found:?}", case.rule);
        let found = check(&case.right.history()).violations;
        assert!(found.is_empty(), "case {index}, {}: the right history breaks {found:?}", case.rule);
    }
}

#[test]
fn each_rule_has_a_case() {
    let covered: BTreeSet<Rule> = cases().iter().map(|case| case.rule).collect();
    let missing: Vec<_> = Rule::ALL.iter().filter(|rule| !covered.contains(rule)).collect();
    assert!(missing.is_empty(), "no case for {missing:?}");
}
