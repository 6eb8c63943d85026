//! The page of the cost model has exactly the existing cases, and a run fills it.

use bench::cost_model::{Run, faults, filled, page};
use bench::{Plan, Report};

fn plans() -> Vec<Plan> {
    bench::cases::all().iter().map(|case| case.plan()).collect()
}

#[test]
fn the_page_shows_every_case_and_judges_every_target() {
    let text = std::fs::read_to_string(page()).unwrap();
    let faults = faults(&text, &plans());
    assert!(faults.is_empty(), "{}:\n{}", page().display(), faults.join("\n"));
}

#[test]
fn a_page_without_a_case_is_found_out() {
    let text = std::fs::read_to_string(page()).unwrap();
    let row = text.lines().find(|line| line.starts_with("| `push-one` ")).unwrap();
    assert!(!faults(&text.replace(row, ""), &plans()).is_empty());
    assert!(!faults(&text.replacen("**met**", "", 1), &plans()).is_empty());
    assert!(!faults(&text.replace("<!-- bench: ^push- -->", "<!-- bench: ^pull- -->"), &plans()).is_empty());
}

/// The figures of a whole run fill all sections of the page.
pub(crate) fn fills(report: &Report) -> bench::Result<()> {
    let run: Run = serde_json::from_value(serde_json::to_value(report)?)?;
    let text = std::fs::read_to_string(page())?;
    let (text, filters) = filled(&text, &run, &plans())?;
    assert_eq!(filters.len(), text.matches("<!-- bench: ").count());
    assert_eq!(faults(&text, &plans()), Vec::<String>::new());
    assert_eq!(filled(&text, &run, &plans())?.0, text);
    Ok(())
}
