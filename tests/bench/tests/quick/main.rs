//! Every benchmark works: each runs once with tiny sizes, and its figures fill the page of the cost model. The test
//! does not judge the figures.

mod cost_model;

use std::path::PathBuf;

use bench::{OURS, Settings};

#[tokio::test(flavor = "multi_thread")]
async fn every_case_runs_and_every_side_is_measured() {
    let settings = Settings::quick(PathBuf::from(env!("CARGO_BIN_EXE_bench")));
    let cases = bench::cases::all();
    let report = bench::run(&cases, &settings, "", |_| ()).await;
    let table = bench::render(&report);
    assert_eq!(report.failures().count(), 0, "{table}");
    assert_eq!(report.cases.len(), cases.len());
    for case in &report.cases {
        assert_eq!(case.sides[0].name, OURS, "{}", case.name);
        for side in &case.sides {
            assert!(side.figures.contains_key(case.headline.name), "{} of {}\n{table}", side.name, case.name);
        }
        assert!(case.targets.iter().all(|target| target.found.is_some()), "{}\n{table}", case.name);
    }
    cost_model::fills(&report).unwrap();
}
