//! The table of the README: one run for each topology, fault and durability.

use std::path::PathBuf;

use crate::checker::{Lost, Pause, Rule, Verdict};
use crate::topology::{Level, PrimaryFault, Topology};

const BEGIN: &str = "<!-- faults -->\n";
const END: &str = "<!-- faults:end -->";

const HEADER: &str = "\
| topology | fault of the primary | level | writes | pushes lost (in the report) | ends lost (in the report) | others lost (in the report) | leases overlap | delivered again | errors | faults | pause | pause without the library | load | seed |
|---|---|---|--:|--:|--:|--:|--:|--:|---|--:|--:|--:|--:|--:|
";

/// The page that has the table.
pub fn page() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../README.md")
}

/// One row, and the run that it describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Row {
    /// The servers of the state store.
    pub topology: Topology,
    /// The fault.
    pub fault: PrimaryFault,
    /// The durability of writes.
    pub durability: Level,
    /// The name of a fetched server; by default the installed one.
    pub server: Option<&'static str>,
}

impl Row {
    /// All rows: every fault at every level, except that slots move at one level only.
    pub fn all() -> Vec<Self> {
        let levels = [
            (Topology::Sentinel, Level::ReplicatedAll),
            (Topology::Cluster, Level::ReplicatedAll),
            (Topology::Sentinel, Level::ReplicatedOne),
            (Topology::Sentinel, Level::Accepted),
            (Topology::Cluster, Level::Accepted),
        ];
        let rows = levels.into_iter().flat_map(|(topology, durability)| {
            let faults = PrimaryFault::of(topology).into_iter();
            let faults =
                faults.filter(move |fault| durability == Level::ReplicatedAll || *fault != PrimaryFault::MoveSlots);
            faults.map(move |fault| Self { topology, fault, durability, server: None })
        });
        let mut rows: Vec<_> = rows.collect();
        // only this server moves a slot in one operation
        let moves = rows.iter().position(|row| row.fault == PrimaryFault::MoveSlots);
        rows.extend(moves.map(|moves| Self { server: Some("valkey-9.1"), ..rows[moves] }));
        rows.sort_by_key(|row| (row.topology as u8, std::cmp::Reverse(row.durability as u8)));
        rows
    }

    /// The options of its run.
    pub fn arguments(&self) -> String {
        use clap::ValueEnum as _;
        let name = |value: Option<clap::builder::PossibleValue>| {
            value.map_or_else(String::new, |value| value.get_name().to_owned())
        };
        let Self { topology, fault, durability, server } = self;
        let (topology, fault) = (name(topology.to_possible_value()), name(fault.to_possible_value()));
        let durability = name(durability.to_possible_value());
        let server = server.map_or_else(String::new, |server| format!(" --server {server}"));
        format!("--topology {topology} --fault {fault} --durability {durability}{server}")
    }

    /// Its line, if the run has ended.
    pub fn line(&self, verdict: &Verdict, seed: u64, load: f64) -> String {
        let (tally, losses) = (&verdict.tally, &verdict.losses);
        let errors: Vec<_> = tally.errors.iter().map(|(kind, count)| format!("{} {kind}", grouped(*count))).collect();
        let errors = if errors.is_empty() { "none".to_owned() } else { errors.join(", ") };
        let faults: u64 = tally.faults.values().sum();
        let pauses = || losses.pauses.values();
        let load_pause = pauses().map(|pause: &Pause| pause.load).max();
        let probe_pause = pauses().filter_map(|pause| pause.probe).max();
        let broken = match verdict.violations.len() {
            0 => String::new(),
            count => format!("**{count} violations**; "),
        };
        format!(
            "{} {} | {} | {} | {} | {} | {} | {broken}{errors} | {faults} | {} | {} | {load:.0} | {seed} |\n",
            self.head(),
            grouped(tally.writes),
            lost(losses.pushes),
            lost(losses.settlements),
            lost(losses.others),
            grouped(losses.explained.get(&Rule::LeasesOverlap).copied().unwrap_or_default()),
            grouped(tally.redelivered),
            millis(load_pause),
            millis(probe_pause),
        )
    }

    /// Its line, if there is no result.
    fn empty(&self, why: &str) -> String {
        let empty = " |".repeat(HEADER.lines().next().unwrap_or_default().matches('|').count() - 5);
        format!("{} {why} |{empty}\n", self.head())
    }

    /// The cells that identify it.
    fn head(&self) -> String {
        let topology = match self.topology {
            Topology::Standalone => "one server",
            Topology::Sentinel => "sentinels",
            Topology::Cluster => "cluster",
        };
        let fault = match (self.fault, self.server) {
            (PrimaryFault::Kill, _) => "killed",
            (PrimaryFault::Stop, _) => "suspended, then resumed",
            (PrimaryFault::Partition, _) => "cut off from its replicas",
            (PrimaryFault::PartitionKill, _) => "cut off from its replicas, then killed",
            (PrimaryFault::Failover, _) => "replaced by a command",
            (PrimaryFault::Restart, _) => "each node restarted",
            (PrimaryFault::MoveSlots, None) => "slots moved with `MIGRATE`",
            (PrimaryFault::MoveSlots, Some(_)) => "slots moved by `CLUSTER MIGRATESLOTS` (Valkey 9.1)",
        };
        let level = match self.durability {
            Level::Accepted => "`Accepted`",
            Level::ReplicatedOne => "one replica",
            Level::ReplicatedAll => "all replicas",
        };
        format!("| {topology} | {fault} | {level} |")
    }
}

/// Returns the page with these lines. Rows without a line keep the one that the page has. `None`: the page has no table.
pub fn filled(page: &str, lines: &[(Row, String)]) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (old, after) = rest.split_once(END)?;
    let mut text = format!("{before}{BEGIN}{HEADER}");
    for row in Row::all() {
        let new = lines.iter().find(|(of, _)| *of == row).map(|(_, line)| line.clone());
        let old = || old.lines().find(|line| line.starts_with(&row.head())).map(|line| format!("{line}\n"));
        text.push_str(&new.or_else(old).unwrap_or_else(|| row.empty("not run")));
    }
    Some(text + END + after)
}

fn lost(lost: Lost) -> String {
    format!("{} ({})", grouped(lost.lost), grouped(lost.named))
}

fn millis(time: Option<u64>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| format!("{} ms", grouped(time / 1000)))
}

/// The number with a comma before each group of three digits.
fn grouped(number: u64) -> String {
    match number {
        small if small < 1000 => small.to_string(),
        large => format!("{},{:03}", grouped(large / 1000), large % 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::check;
    use crate::history::History;

    fn written(lines: &[(Row, String)], page: &str) -> String {
        filled(page, lines).expect("the page has a table")
    }

    #[test]
    fn a_run_fills_its_rows_and_keeps_the_others() {
        let rows = Row::all();
        let verdict = check(&History::default());
        let empty = written(&[], &format!("a\n{BEGIN}{END}\nb\n"));
        assert_eq!(empty.matches("not run").count(), rows.len());
        assert!(empty.starts_with("a\n") && empty.ends_with("\nb\n"));
        let one = written(&[(rows[3], rows[3].line(&verdict, 17, 1.0))], &empty);
        let both = written(&[(rows[0], rows[0].line(&verdict, 4, 1.0))], &one);
        assert_eq!(both.matches("not run").count(), rows.len() - 2);
        assert!(both.contains(" | 17 |\n") && both.contains(" | 4 |\n"));
        let columns: Vec<_> =
            both.lines().filter(|line| line.starts_with('|')).map(|line| line.matches('|').count()).collect();
        assert!(columns.iter().all(|count| *count == columns[0]), "{columns:?}");
        assert_eq!(filled("no table", &[]), None);
    }

    #[test]
    fn each_row_has_cells_of_its_own_which_the_readme_has() {
        let page = std::fs::read_to_string(page()).expect("the README");
        for (index, row) in Row::all().iter().enumerate() {
            assert!(Row::all()[..index].iter().all(|other| other.head() != row.head()), "{}", row.head());
            assert_eq!(page.matches(&row.head()).count(), 1, "{}: run `cargo xtask faults --matrix`", row.head());
        }
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1000, 1_020_304].map(grouped), ["0", "999", "1,000", "1,020,304"]);
    }
}
