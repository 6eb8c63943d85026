//! Every finding, caused by a real server, a real file, or the lack of one.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod access;
mod advice;
mod claims;
mod clusters;
mod encryption;
mod engines;
mod fleet;
mod hosts;
mod instances;
mod readme;
mod sentinels;
mod servers;
mod start;
mod variables;

use std::collections::BTreeSet;

use store_validation::{Code, Environment, Report, Severity, check};
use testkit::RedisServer;

/// A secret that must not appear in any output.
const CANARY: &str = "hunter2-canary";

/// A service named `billing` with database 1, and these URLs.
fn variables(cache: &str, state: &str) -> Vec<(String, String)> {
    let variables = [
        ("SERVICE_NAME", "billing"),
        ("REDIS_CONN_BASE_URL", cache),
        ("REDIS_CACHE_DB", "1"),
        ("REDIS_WORKERCACHE_CONN_URL", state),
    ];
    variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

fn environment(cache: &str, state: &str) -> Environment {
    Environment::from_variables(variables(cache, state))
}

/// The same with further, or other, variables.
fn environment_with(cache: &str, state: &str, more: &[(&str, &str)]) -> Environment {
    let more = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Environment::from_variables(variables(cache, state).into_iter().chain(more))
}

fn of_severity(report: &Report, severity: Severity) -> BTreeSet<Code> {
    report.findings().iter().filter(|finding| finding.severity == severity).map(|finding| finding.code).collect()
}

fn errors(report: &Report) -> BTreeSet<Code> {
    of_severity(report, Severity::Error)
}

fn warnings(report: &Report) -> BTreeSet<Code> {
    of_severity(report, Severity::Warning)
}

/// Expects exactly these errors, and the canary in no finding.
#[track_caller]
fn assert_errors(report: &Report, expected: &[Code]) {
    assert_eq!(errors(report), expected.iter().copied().collect(), "{:#?}", report.findings());
    assert!(!format!("{report:?}").contains(CANARY));
    let shown: Vec<_> = report.findings().iter().map(ToString::to_string).collect();
    assert!(!shown.concat().contains(CANARY) && !serde_json::to_string(report.findings()).unwrap().contains(CANARY));
}

/// The text of the finding with this code.
#[track_caller]
fn what(report: &Report, code: Code) -> String {
    let found = report.findings().iter().find(|finding| finding.code == code);
    found.unwrap_or_else(|| panic!("no {code}: {:#?}", report.findings())).what.clone()
}

async fn cache() -> RedisServer {
    RedisServer::cache().start().await.unwrap()
}

async fn state() -> RedisServer {
    RedisServer::state().start().await.unwrap()
}

async fn check_urls(cache: &str, state: &str) -> Report {
    check(&environment(cache, state)).await
}
