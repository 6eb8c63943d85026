//! The results of a run, as JSON and as a table.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::case::{Also, OURS, Plan};
use crate::figure::{Figure, Sample, Target};
use crate::machine::Machine;
use crate::statistics::Spread;

/// A whole run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The day on which it began, in UTC.
    pub date: String,
    /// The machine.
    pub machine: Machine,
    /// The version that the server reported; `None` if no case had a server.
    pub server_version: Option<String>,
    /// The settings of the server.
    pub server_settings: &'static str,
    /// Whether sizes were tiny. Then the figures have no meaning.
    pub quick: bool,
    /// How many rounds counted.
    pub rounds: usize,
    /// The seed of the data.
    pub seed: u64,
    /// The load average of the minute before the first case.
    pub load_at_start: Option<f64>,
    /// The load average of the minute after the last case.
    pub load_at_end: Option<f64>,
    /// How long it took.
    pub seconds: f64,
    /// The cases in the order of their run.
    pub cases: Vec<CaseReport>,
}

impl Report {
    /// The cases that did not run to their end.
    pub fn failures(&self) -> impl Iterator<Item = &CaseReport> {
        self.cases.iter().filter(|case| case.failure.is_some())
    }
}

/// One case.
#[derive(Debug, Clone, Serialize)]
pub struct CaseReport {
    /// Its name.
    pub name: String,
    /// What it measures.
    pub about: &'static str,
    /// The load average of the minute before it began.
    pub load: Option<f64>,
    /// Why it did not run to its end.
    pub failure: Option<String>,
    /// The figure that comes first.
    #[serde(serialize_with = "name_of")]
    pub headline: Figure,
    /// Whether a smaller value of it is better.
    pub less_is_better: bool,
    /// Further figures with rows of their own.
    #[serde(skip)]
    pub also: Vec<Also>,
    /// The sides; this library's is the first.
    pub sides: Vec<SideReport>,
    /// The targets and whether they are met.
    pub targets: Vec<Verdict>,
}

/// One side of a case.
#[derive(Debug, Clone, Serialize)]
pub struct SideReport {
    /// Its name.
    pub name: String,
    /// Median and spread of each figure over the rounds.
    pub figures: BTreeMap<&'static str, Spread>,
    /// For each round, the figure of this library's side divided by this side's; empty on this library's side.
    pub ratios: BTreeMap<&'static str, Spread>,
    /// The rounds in their order.
    pub rounds: Vec<BTreeMap<&'static str, f64>>,
}

/// A target and whether it is met.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// The figure.
    #[serde(serialize_with = "name_of")]
    pub figure: Figure,
    /// The side that it is compared with; `None` for a bound on the value itself.
    pub against: Option<&'static str>,
    /// Whether less is better.
    pub at_most: bool,
    /// The limit: a value or a ratio.
    pub limit: f64,
    /// The measured value or ratio, not rounded; its median is judged. `None` if it was not measured.
    pub found: Option<Spread>,
    /// Whether the rounds differ little ([`STEADY`](crate::STEADY)), or are at least all on the same side of the limit.
    pub steady: bool,
    /// Whether it is met; `false` if it was not measured.
    pub met: bool,
}

impl SideReport {
    pub(crate) fn new(name: &str, samples: &[Sample]) -> Self {
        let rounds: Vec<BTreeMap<&'static str, f64>> = samples
            .iter()
            .map(|sample| sample.0.iter().map(|(figure, value)| (figure.name, *value)).collect())
            .collect();
        let names = rounds.iter().flat_map(|round| round.keys().copied());
        let figures = names
            .filter_map(|name| Some((name, Spread::of(rounds.iter().filter_map(|round| round.get(name).copied()))?)))
            .collect();
        Self { name: name.to_owned(), figures, ratios: BTreeMap::new(), rounds }
    }

    /// The ratio of a round compares both sides in the same round, so that it does not change if both are slower.
    fn compare(&mut self, ours: &[BTreeMap<&'static str, f64>]) {
        let ratios_of = |name: &'static str| {
            let pairs = ours.iter().zip(&self.rounds);
            let ratios = pairs.filter_map(|(ours, theirs)| {
                let (ours, theirs) = (ours.get(name)?, theirs.get(name)?);
                (*theirs > 0.0).then(|| ours / theirs)
            });
            Some((name, Spread::of(ratios)?))
        };
        self.ratios = self.figures.keys().filter_map(|name| ratios_of(name)).collect();
    }
}

impl CaseReport {
    pub(crate) fn new(plan: &Plan, load: Option<f64>, mut sides: Vec<SideReport>, failure: Option<String>) -> Self {
        if let Some((ours, others)) = sides.split_first_mut() {
            others.iter_mut().for_each(|side| side.compare(&ours.rounds));
        }
        let mut report = Self {
            name: plan.name.clone(),
            about: plan.about,
            load,
            failure,
            headline: plan.headline,
            less_is_better: plan.headline.less_is_better,
            also: plan.also.clone(),
            sides,
            targets: Vec::new(),
        };
        report.targets = plan.targets.iter().map(|target| report.judge(target)).collect();
        report
    }

    fn judge(&self, target: &Target) -> Verdict {
        let name = target.figure.name;
        let found = match target.bound.reference() {
            Some(side) => self.side(side).and_then(|side| side.ratios.get(name)),
            None => self.side(OURS).and_then(|ours| ours.figures.get(name)),
        };
        Verdict {
            figure: target.figure,
            against: target.bound.reference(),
            at_most: target.bound.is_upper(),
            limit: target.bound.limit(),
            found: found.copied(),
            steady: found.is_some_and(|found| {
                found.is_steady() || target.bound.is_met(found.min) == target.bound.is_met(found.max)
            }),
            met: found.is_some_and(|found| target.bound.is_met(found.median)),
        }
    }

    /// One of its sides.
    pub fn side(&self, name: &str) -> Option<&SideReport> {
        self.sides.iter().find(|side| side.name == name)
    }
}

fn name_of<S: serde::Serializer>(figure: &Figure, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(figure.name)
}
