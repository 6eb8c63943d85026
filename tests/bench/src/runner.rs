//! Runs cases in interleaved rounds.

use std::time::Instant;

use crate::Result;
use crate::case::{Case, Side};
use crate::environment::{Environment, SERVER_SETTINGS, Settings};
use crate::figure::Sample;
use crate::machine::{Machine, load_average, today};
use crate::report::{CaseReport, Report, SideReport};

/// Whether a filter takes the case with this name. A filter has parts, separated by commas; the name must contain one of them, or
/// begin with it if it follows a `^`. An empty filter takes all.
pub fn is_taken(name: &str, filter: &str) -> bool {
    let mut parts = filter.split(',').filter(|part| !part.is_empty());
    filter.is_empty()
        || parts.any(|part| match part.strip_prefix('^') {
            Some(beginning) => name.starts_with(beginning),
            None => name.contains(part),
        })
}

/// Runs the cases that `filter` takes ([`is_taken`]), one after the other, each on an engine of its own. `started` is called with
/// the name of each before it runs. A case that fails is reported as failed, and the next one runs.
pub async fn run(cases: &[Box<dyn Case>], settings: &Settings, filter: &str, started: impl Fn(&str)) -> Report {
    let begun = Instant::now();
    let mut report = Report {
        date: today(),
        machine: Machine::this(),
        server_version: None,
        server_settings: SERVER_SETTINGS,
        quick: settings.quick,
        rounds: settings.rounds,
        seed: settings.seed,
        load_at_start: load_average(),
        load_at_end: None,
        seconds: 0.0,
        cases: Vec::new(),
    };
    for case in cases {
        let plan = case.plan();
        if !is_taken(&plan.name, filter) {
            continue;
        }
        started(&plan.name);
        let load = load_average();
        let (sides, version, failure) = match run_case(case.as_ref(), settings).await {
            Ok((sides, version)) => (sides, version, None),
            Err(error) => (Vec::new(), None, Some(error.to_string())),
        };
        report.server_version = report.server_version.or(version);
        report.cases.push(CaseReport::new(&plan, load, sides, failure));
    }
    report.load_at_end = load_average();
    report.seconds = begun.elapsed().as_secs_f64();
    report
}

async fn run_case(case: &dyn Case, settings: &Settings) -> Result<(Vec<SideReport>, Option<String>)> {
    let plan = case.plan();
    let environment = Environment::make(plan.engine, settings).await?;
    let mut sides = case.open(&environment).await?;
    let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); sides.len()];
    if plan.warms_up && !settings.quick {
        for side in &mut sides {
            side.round(&environment).await?;
        }
    }
    for round in 0..settings.rounds {
        for place in order(sides.len(), round) {
            let side: &mut Box<dyn Side> = &mut sides[place];
            let sample = side.round(&environment).await.map_err(|error| format!("{}: {error}", side.name()))?;
            samples[place].push(sample);
        }
    }
    let sides = sides.iter().zip(samples).map(|(side, rounds)| SideReport::new(side.name(), &rounds)).collect();
    Ok((sides, environment.server_version().await?))
}

/// Every second round runs the sides in reverse, so that no side always runs after the same other side.
fn order(sides: usize, round: usize) -> Vec<usize> {
    let forwards = 0..sides;
    if round.is_multiple_of(2) { forwards.collect() } else { forwards.rev().collect() }
}

#[cfg(test)]
mod tests {
    use super::is_taken;

    #[test]
    fn a_filter_is_contained_or_stands_at_the_beginning() {
        assert!(is_taken("push-one", "") && is_taken("push-one", "one") && is_taken("push-one", "lease,^push"));
        assert!(!is_taken("each/queue.push", "^push") && !is_taken("push-one", "get"));
    }
}
