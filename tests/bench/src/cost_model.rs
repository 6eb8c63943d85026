//! The cost model, a page of the documentation: its tables are filled from the JSON of a run.
//!
//! A section of the page is between `<!-- bench: FILTER -->` and `<!-- bench:end -->`. It has the cases that the filter takes,
//! the command that measures them, and the machine. Filling replaces a section if the run has all of its cases, and does not
//! change it if the run has none. So after adding a case, it is enough to measure its section.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Deserialize;

use crate::Result;
use crate::case::{OURS, Plan};
use crate::figure::{BYTES, CLIENT_MICROS, COMMANDS, PER_SECOND, SERVER_BUSY, SERVER_MICROS, rounded_against_us};
use crate::runner::is_taken;
use crate::table::number;

const BEGIN: &str = "<!-- bench: ";
const END: &str = "<!-- bench:end -->";

/// A run, read from its JSON.
#[derive(Debug, Deserialize)]
pub struct Run {
    date: String,
    machine: Machine,
    server_version: Option<String>,
    server_settings: String,
    quick: bool,
    rounds: usize,
    cases: Vec<Case>,
}

#[derive(Debug, Deserialize)]
struct Machine {
    cpu: String,
    cores: usize,
    system: String,
    optimised: bool,
}

#[derive(Debug, Deserialize)]
struct Case {
    name: String,
    about: String,
    load: Option<f64>,
    failure: Option<String>,
    headline: String,
    less_is_better: bool,
    sides: Vec<Side>,
    targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
struct Side {
    name: String,
    figures: BTreeMap<String, Spread>,
    ratios: BTreeMap<String, Spread>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

#[derive(Debug, Deserialize)]
struct Target {
    figure: String,
    against: Option<String>,
    at_most: bool,
    limit: f64,
    found: Option<Spread>,
    steady: bool,
    met: bool,
}

/// The path of the page.
pub fn page() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../crates/twinstore/docs/cost-model.md")
}

/// Fills the page from this run. Returns the filters of the sections that were filled.
///
/// # Errors
/// If the run was quick or not optimised, has failures, has some but not all cases of a section, or the page cannot be
/// read or written.
pub fn fill(run: &Run) -> Result<Vec<String>> {
    if run.quick || !run.machine.optimised {
        return Err("the figures of a quick run, or of one that is not optimised, mean nothing".into());
    }
    let cases = crate::cases::all();
    let plans: Vec<Plan> = cases.iter().map(|case| case.plan()).collect();
    let (filled, filters) = filled(&std::fs::read_to_string(page())?, run, &plans)?;
    std::fs::write(page(), filled)?;
    Ok(filters)
}

/// Returns a page filled from a run, and the filters of the sections that were filled. `plans` are those of all cases.
///
/// # Errors
/// As [`fill`]. If a marker has no end.
pub fn filled(page: &str, run: &Run, plans: &[Plan]) -> Result<(String, Vec<String>)> {
    let (mut text, mut filters, mut rest) = (String::new(), Vec::new(), page);
    while let Some(section) = next_section(rest)? {
        let names: Vec<&str> = taken(plans, section.filter).collect();
        let found: Vec<&Case> = run.cases.iter().filter(|case| names.contains(&case.name.as_str())).collect();
        text.push_str(section.before);
        let _ = writeln!(text, "{BEGIN}{} -->", section.filter);
        if found.is_empty() {
            text.push_str(section.content);
        } else if found.len() < names.len() {
            let missing = names.iter().filter(|name| !found.iter().any(|case| case.name == **name));
            let missing = missing.copied().collect::<Vec<_>>().join(", ");
            let filter = section.filter;
            return Err(format!(
                "of the section {filter:?} the run lacks {missing}; measure it with --filter '{filter}'"
            )
            .into());
        } else {
            text.push_str(&content(section.filter, &found, run)?);
            filters.push(section.filter.to_owned());
        }
        text.push_str(END);
        rest = section.after;
    }
    text.push_str(rest);
    Ok((text, filters))
}

/// What is wrong with a page: a case without a section, a section that has other cases than its filter takes, or a case
/// whose targets it does not judge. Empty if nothing is wrong.
pub fn faults(page: &str, plans: &[Plan]) -> Vec<String> {
    let (mut faults, mut shown, mut rest) = (Vec::new(), Vec::new(), page);
    loop {
        let section = match next_section(rest) {
            Ok(Some(section)) => section,
            Ok(None) => break,
            Err(error) => return vec![error.to_string()],
        };
        let names: Vec<&str> = taken(plans, section.filter).collect();
        let rows: Vec<&str> = section.content.lines().filter_map(|line| line.strip_prefix("| `")).collect();
        let in_rows: Vec<&str> = rows.iter().filter_map(|row| Some(row.split_once('`')?.0)).collect();
        if names != in_rows {
            faults.push(format!(
                "section {:?} has {in_rows:?} instead of {names:?}; measure it with `cargo xtask bench --filter '{0}' --json \
                 run.json`, and fill the page with `cargo xtask bench --cost-model run.json`",
                section.filter
            ));
        }
        for plan in plans.iter().filter(|plan| names.contains(&plan.name.as_str())) {
            let judged = rows.iter().find(|row| row.starts_with(&format!("{}`", plan.name)));
            let judged = judged.map_or(0, |row| row.matches(MET).count() + row.matches(NOT_MET).count());
            if judged != plan.targets.len() {
                faults.push(format!("{} has {} targets, and the page judges {judged}", plan.name, plan.targets.len()));
            }
        }
        shown.extend(names);
        rest = section.after;
    }
    for plan in plans.iter().filter(|plan| !shown.contains(&plan.name.as_str())) {
        faults.push(format!("no section of the page takes the case {}", plan.name));
    }
    faults
}

fn taken<'a>(plans: &'a [Plan], filter: &str) -> impl Iterator<Item = &'a str> {
    plans.iter().map(|plan| plan.name.as_str()).filter(move |name| is_taken(name, filter))
}

struct Section<'a> {
    before: &'a str,
    filter: &'a str,
    content: &'a str,
    after: &'a str,
}

fn next_section(text: &str) -> Result<Option<Section<'_>>> {
    let Some((before, rest)) = text.split_once(BEGIN) else { return Ok(None) };
    let (filter, rest) = rest.split_once(" -->\n").ok_or("a marker of the page has no end")?;
    let (content, after) = rest.split_once(END).ok_or_else(|| format!("the section {filter:?} has no end"))?;
    Ok(Some(Section { before, filter, content, after }))
}

/// The text between the markers: the command and the machine, the table, and the descriptions of the cases.
fn content(filter: &str, cases: &[&Case], run: &Run) -> Result<String> {
    let machine = &run.machine;
    let mut text = format!("\n`cargo xtask bench --filter '{filter}'`, {}: ", run.date);
    let _ = write!(text, "{}, {} cores, {}", machine.cpu, machine.cores, machine.system);
    if let Some(version) = &run.server_version {
        let _ = write!(text, "; redis-server {version} ({})", run.server_settings);
    }
    let load = cases.iter().filter_map(|case| case.load).fold(0.0, f64::max);
    let _ = writeln!(text, "; {} rounds; load average up to {load:.1}.\n", run.rounds);
    text.push_str(
        "| case | side | per second | server µs | ours ÷ it | client µs | commands | bytes | also | asked |\n",
    );
    text.push_str("|---|---|--:|--:|--:|--:|--:|--:|---|---|\n");
    for case in cases {
        if let Some(failure) = &case.failure {
            return Err(format!("{} has failed: {failure}", case.name).into());
        }
        case.sides.iter().for_each(|side| add_row(case, side, &mut text));
    }
    text.push('\n');
    let mut last = "";
    for case in cases {
        // a case on another engine has the description of the case on Redis
        if case.about != last {
            let _ = writeln!(text, "- `{}`: {}. Compared by {}.", case.name, case.about, case.headline);
            last = &case.about;
        }
    }
    text.push('\n');
    Ok(text)
}

fn add_row(case: &Case, side: &Side, text: &mut String) {
    let is_ours = side.name == OURS;
    let name = if is_ours { format!("`{}`", case.name) } else { String::new() };
    let median = |figure: &str| side.figures.get(figure).map(|spread| short(spread.median)).unwrap_or_default();
    let with_spread = |figure: &str| {
        let spread = side.figures.get(figure);
        spread.map(|of| format!("{} ({}–{})", short(of.median), short(of.min), short(of.max))).unwrap_or_default()
    };
    let ratio = side.ratios.get(&case.headline);
    let ratio = ratio.map(|ratio| format!("{:.2}", rounded_against_us(ratio.median, 2, case.less_is_better)));
    let shown = [PER_SECOND, SERVER_MICROS, CLIENT_MICROS, COMMANDS, BYTES].map(|figure| figure.name);
    // how busy the server was matters only in cases that saturate it
    let is_hidden =
        |figure: &str| shown.contains(&figure) || figure == SERVER_BUSY.name && !case.name.starts_with("saturation");
    let also = side.figures.keys().filter(|figure| !is_hidden(figure));
    let also: Vec<String> = also.map(|figure| format!("{figure} {}", with_spread(figure))).collect();
    let asked: Vec<String> = if is_ours { case.targets.iter().map(judgement).collect() } else { Vec::new() };
    let _ = writeln!(
        text,
        "| {name} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
        side.name,
        median(PER_SECOND.name),
        with_spread(SERVER_MICROS.name),
        ratio.unwrap_or_default(),
        median(CLIENT_MICROS.name),
        median(COMMANDS.name),
        median(BYTES.name),
        also.join("; "),
        asked.join("; ")
    );
}

const MET: &str = ": **met**";
const NOT_MET: &str = ": **not met**";

fn judgement(target: &Target) -> String {
    let sign = if target.at_most { '≤' } else { '≥' };
    let against = target.against.as_ref().map(|side| format!(" × {side}")).unwrap_or_default();
    let found = target.found.map(|found| number(rounded_against_us(found.median, 2, target.at_most), 2));
    let verdict = if target.met { MET } else { NOT_MET };
    let unsteady = if target.steady { "" } else { " (unsteady)" };
    format!("{} {sign} {}{against}{verdict}, {}{unsteady}", target.figure, target.limit, found.unwrap_or_default())
}

/// The number with its significant digits.
fn short(value: f64) -> String {
    let decimals = match value.abs() {
        large if large >= 100.0 => 0,
        large if large >= 10.0 => 1,
        large if large >= 1.0 || large == 0.0 => 2,
        _ => 3,
    };
    number(value, decimals)
}
