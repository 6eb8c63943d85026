//! The table of a run.

use std::fmt::Write as _;

use crate::case::OURS;
use crate::figure::{BYTES, CLIENT_MICROS, COMMANDS, Figure, PER_SECOND, rounded_against_us};
use crate::report::{CaseReport, Report, SideReport, Verdict};
use crate::statistics::Spread;

const HEADER: [&str; 12] = [
    "case",
    "side",
    "per second",
    "figure",
    "median [min-max]",
    "floor",
    "ratio",
    "client µs",
    "commands",
    "bytes",
    "target",
    "met",
];

/// Marks a judgement whose rounds differ so much that another run may judge otherwise.
const UNSTEADY: &str = " unsteady";

/// The first column with right-aligned numbers.
const FIRST_NUMBER: usize = 4;

type Row = [String; HEADER.len()];

/// The machine and the whole table.
pub fn render(report: &Report) -> String {
    let mut rows = vec![HEADER.map(str::to_owned)];
    for case in &report.cases {
        add_case(case, &mut rows);
    }
    let mut text = head(report);
    text.push_str(&aligned(&rows));
    text.push_str(
        "\nper op (a job is one op): µs of CPU, commands with those inside scripts, bytes both ways. \
         Ratio: ours over the floor's, the median over the rounds, never rounded in our favour. \
         Unsteady: the rounds of the figure, or of the ratio that is judged, lie more than 25 % of their median apart.\n",
    );
    add_summary(report, &mut text);
    for case in report.failures() {
        let _ = writeln!(text, "FAILED {}: {}", case.name, case.failure.as_deref().unwrap_or_default());
    }
    text
}

fn head(report: &Report) -> String {
    let machine = &report.machine;
    let load = |load: Option<f64>| load.map_or_else(|| "unknown".to_owned(), |load| format!("{load:.2}"));
    let mut text = format!("{}, {} cores, {}\n", machine.cpu, machine.cores, machine.system);
    if let Some(version) = &report.server_version {
        let _ = writeln!(text, "redis-server {version}, {}", report.server_settings);
    }
    let _ = writeln!(
        text,
        "{}, {} rounds, seed {}, {:.0} s, load average {} at the start, {} at the end",
        report.date,
        report.rounds,
        report.seed,
        report.seconds,
        load(report.load_at_start),
        load(report.load_at_end)
    );
    if report.quick {
        text.push_str("QUICK: tiny sizes; the figures mean nothing\n");
    }
    if !machine.optimised {
        text.push_str("NOT OPTIMISED: the client's figures mean nothing\n");
    }
    text.push('\n');
    text
}

/// How many targets are met, and which are not.
fn add_summary(report: &Report, text: &mut String) {
    let verdicts: Vec<(&CaseReport, &Verdict)> =
        report.cases.iter().flat_map(|case| case.targets.iter().map(move |verdict| (case, verdict))).collect();
    let met = verdicts.iter().filter(|(_, verdict)| verdict.met).count();
    let _ = writeln!(text, "\n{met} of {} targets are met.", verdicts.len());
    for (case, verdict) in verdicts.iter().filter(|(_, verdict)| !verdict.met) {
        let found = verdict.found.map_or_else(
            || "not measured".to_owned(),
            |found| number(rounded_against_us(found.median, 2, verdict.at_most), 2),
        );
        let _ = writeln!(text, "NOT MET {}: {} {found}, asked {}", case.name, verdict.figure.name, asked(verdict));
    }
}

fn asked(verdict: &Verdict) -> String {
    let sign = if verdict.at_most { '≤' } else { '≥' };
    match verdict.against {
        Some(side) => format!("{sign} {} × {side}", verdict.limit),
        None => format!("{sign} {}", verdict.limit),
    }
}

fn add_case(case: &CaseReport, rows: &mut Vec<Row>) {
    let Some(ours) = case.side(OURS) else {
        let mut row = Row::default();
        (row[0], row[3]) = (case.name.clone(), "FAILED".to_owned());
        rows.push(row);
        return;
    };
    let floor = case.sides.iter().find(|side| side.name != OURS);
    let mut first = side_row(case, ours);
    first[0].clone_from(&case.name);
    compare(case.headline, floor, &mut first);
    let mut targets: Vec<&Verdict> = case.targets.iter().collect();
    // the target of the headline is in the row of the headline if both compare with the same side
    let shown =
        |verdict: &&Verdict| verdict.against.is_none() || verdict.against == floor.map(|side| side.name.as_str());
    if let Some(at) = targets.iter().position(|verdict| verdict.figure == case.headline && shown(verdict)) {
        judge(targets.remove(at), &mut first);
    }
    rows.push(first);
    for verdict in targets {
        let mut row = figure_row(ours, verdict.figure);
        let against = verdict.against.and_then(|name| case.side(name));
        compare(verdict.figure, against, &mut row);
        judge(verdict, &mut row);
        rows.push(row);
    }
    for also in &case.also {
        let mut row = figure_row(ours, also.figure);
        match also.against {
            Some(name) => {
                row[1] = format!("÷ {name}");
                compare(also.figure, case.side(name), &mut row);
            }
            None => compare(also.figure, floor, &mut row),
        }
        rows.push(row);
    }
    for side in case.sides.iter().filter(|side| side.name != OURS) {
        let mut row = side_row(case, side);
        if floor.is_some_and(|floor| floor.name != side.name) {
            row[6] = ratio(case.headline, side);
        }
        rows.push(row);
    }
}

/// A side's rate, headline and costs.
fn side_row(case: &CaseReport, side: &SideReport) -> Row {
    let mut row = figure_row(side, case.headline);
    row[1].clone_from(&side.name);
    row[2] = median(side, PER_SECOND);
    (row[7], row[8], row[9]) = (median(side, CLIENT_MICROS), median(side, COMMANDS), median(side, BYTES));
    row
}

fn figure_row(side: &SideReport, figure: Figure) -> Row {
    let mut row = Row::default();
    row[3] = figure.name.to_owned();
    let spread = side.figures.get(figure.name);
    row[4] = spread.map_or_else(|| "-".to_owned(), |spread| with_spread(*spread, figure));
    if spread.is_some_and(|spread| !spread.is_steady()) {
        row[11] = UNSTEADY.trim_start().to_owned();
    }
    row
}

fn compare(figure: Figure, floor: Option<&SideReport>, row: &mut Row) {
    if let Some(floor) = floor {
        (row[5], row[6]) = (median(floor, figure), ratio(figure, floor));
    }
}

fn ratio(figure: Figure, side: &SideReport) -> String {
    let ratio = side.ratios.get(figure.name);
    ratio.map_or_else(String::new, |ratio| format!("{:.2}", rounded_against_us(ratio.median, 2, figure.less_is_better)))
}

fn judge(verdict: &Verdict, row: &mut Row) {
    row[10] = asked(verdict);
    if verdict.against.is_none()
        && let Some(found) = verdict.found
    {
        // a value next to its limit is not rounded in this library's favour
        let shown =
            number(rounded_against_us(found.median, verdict.figure.decimals, verdict.at_most), verdict.figure.decimals);
        if let Some((_, spread)) = row[4].split_once(' ') {
            row[4] = format!("{shown} {spread}");
        }
    }
    row[11] = (if verdict.met { "yes" } else { "NO" }).to_owned();
    if !verdict.steady {
        row[11].push_str(UNSTEADY);
    }
}

fn median(side: &SideReport, figure: Figure) -> String {
    side.figures.get(figure.name).map_or_else(String::new, |spread| number(spread.median, figure.decimals))
}

fn with_spread(spread: Spread, figure: Figure) -> String {
    let decimals = figure.decimals;
    let median = number(spread.median, decimals);
    // rounded outwards, so that the rounded median is between them
    let min = number(rounded_against_us(spread.min, decimals, false), decimals);
    let max = number(rounded_against_us(spread.max, decimals, true), decimals);
    format!("{median} [{min}-{max}]")
}

/// A number with separated thousands.
pub(crate) fn number(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

fn aligned(rows: &[Row]) -> String {
    let mut widths = [0; HEADER.len()];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            let is_number = column == 2 || (FIRST_NUMBER..10).contains(&column);
            let _ = if is_number { write!(line, "{cell:>width$}  ") } else { write!(line, "{cell:<width$}  ") };
        }
        text.push_str(line.trim_end());
        text.push('\n');
        if index == 0 {
            text.push_str(&"-".repeat(widths.iter().sum::<usize>() + 2 * (widths.len() - 1)));
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::render;
    use crate::case::{OURS, Plan};
    use crate::figure::{Bound, PER_SECOND, SERVER_MICROS, Sample, Target};
    use crate::machine::Machine;
    use crate::report::{CaseReport, Report, SideReport};

    fn sample(micros: f64, rate: f64) -> Sample {
        Sample::default().with(SERVER_MICROS, micros).with(PER_SECOND, rate)
    }

    #[test]
    fn a_case_shows_its_floor_and_whether_its_targets_are_met() {
        let plan = Plan::new("whole-life", "")
            .with_target(Target::new(SERVER_MICROS, Bound::AtMost(14.0)))
            .with_target(Target::new(SERVER_MICROS, Bound::AtMostTimes(1.5, "streams")))
            .with_target(Target::new(PER_SECOND, Bound::AtLeastTimes(0.6, "streams")));
        let ours = SideReport::new(OURS, &[sample(13.0, 50_000.0), sample(15.001, 60_000.0)]);
        let floor = SideReport::new("streams", &[sample(10.0, 100_000.0), sample(10.0, 90_000.0)]);
        let case = CaseReport::new(&plan, None, vec![ours, floor], None);
        let report = Report {
            date: String::new(),
            machine: Machine::this(),
            server_version: Some("7.0.15".to_owned()),
            server_settings: "",
            quick: false,
            rounds: 2,
            seed: 1,
            load_at_start: None,
            load_at_end: None,
            seconds: 1.0,
            cases: vec![case],
        };
        let table = render(&report);
        assert!(table.contains("1 of 3 targets are met."), "{table}");
        let line = |what: &str| table.lines().find(|line| line.contains(what)).unwrap().to_owned();
        // 14.0005 is over 14 and must be shown as more
        assert!(line("≤ 14").contains("14.01") && line("≤ 14").ends_with("NO"), "{table}");
        assert!(line("≤ 1.5 × streams").ends_with("yes"), "{table}");
        assert!(
            line("≥ 0.6 × streams").contains("0.58") && line("≥ 0.6 × streams").ends_with("NO unsteady"),
            "{table}"
        );
    }
}
