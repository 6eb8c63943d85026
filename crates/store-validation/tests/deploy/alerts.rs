//! The alerting rules: each names metrics and labels that exist. `promtool` runs their own tests if it is installed.

use std::process::Command;

use store_core::metric;

use crate::{deploy, read};

/// Words of the rules that begin like a metric.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    text.split(move |letter| !is_part(letter)).filter(|word| word.starts_with("twinstore_"))
}

#[test]
fn rules_name_metrics_that_exist_with_labels_that_they_have() {
    for file in ["prometheus/alerts.yaml", "prometheus/alerts_test.yaml"] {
        let text = read(deploy(file));
        assert!(names(&text).count() > 5, "{file}");
        for name in names(&text) {
            assert!(metric::ALL.iter().any(|metric| metric.name == name), "{file}: {name} is no metric");
        }
        // A selector: the name, and labels in braces.
        for (name, rest) in
            text.match_indices('{').filter_map(|(at, _)| Some((names(&text[..at]).last()?, &text[at + 1..])))
        {
            let before = text[..text.len() - rest.len() - 1].ends_with(name);
            let selector = rest.split('}').next().unwrap_or_default();
            let found = metric::ALL.iter().find(|metric| metric.name == name).unwrap();
            for label in selector.split(',').filter_map(|pair| pair.split_once('=')).filter(|_| before) {
                let label = label.0.trim();
                assert!(found.labels.contains(&label) || label == "instance", "{file}: {name} has no label {label}");
            }
        }
    }
}

#[test]
fn rules_pass_their_own_tests() {
    let rules = deploy("prometheus/alerts.yaml");
    let run = |arguments: &[&str]| Command::new("promtool").args(arguments).output();
    let Ok(checked) = run(&["check", "rules", "--lint=all", "--lint-fatal", rules.to_str().unwrap()]) else {
        return testkit::skipped("promtool is not installed");
    };
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let tested = run(&["test", "rules", deploy("prometheus/alerts_test.yaml").to_str().unwrap()]).unwrap();
    assert!(tested.status.success(), "{}", String::from_utf8_lossy(&tested.stderr));
}
