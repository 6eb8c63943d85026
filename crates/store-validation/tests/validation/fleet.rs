use store_validation::{Code, Report, check, check_environment, check_fleet};
use testkit::FaultProxy;

use crate::{cache, environment_with, state};

const CACHE: &str = "redis://cache.internal:6379";
const STATE: &str = "redis://state.internal:6379";

fn report(more: &[(&str, &str)]) -> Report {
    check_environment(&environment_with(CACHE, STATE, more))
}

fn codes(one: &Report, other: &Report) -> Vec<(usize, Code)> {
    let findings = check_fleet(&[("a.env", one), ("b.env", other)]);
    assert!(findings.iter().all(|(_, finding)| finding.what.contains("a.env")), "{findings:?}");
    findings.into_iter().map(|(place, finding)| (place, finding.code)).collect()
}

#[test]
fn two_services_may_not_share_a_number() {
    let billing = report(&[]);
    assert_eq!(codes(&billing, &report(&[("SERVICE_NAME", "mailer")])), [(1, Code::DatabaseNumberTaken)]);
    assert_eq!(codes(&billing, &report(&[("SERVICE_NAME", "mailer"), ("REDIS_CACHE_DB", "2")])), []);
    assert_eq!(codes(&billing, &report(&[])), [], "two environments of one service");
    let elsewhere = [("SERVICE_NAME", "mailer"), ("REDIS_CONN_BASE_URL", "redis://other.internal")];
    assert_eq!(codes(&billing, &report(&elsewhere)), []);
}

#[test]
fn the_shared_number_is_the_same_for_all_and_nobody_owns_it() {
    let billing = report(&[]);
    let mailer = report(&[("SERVICE_NAME", "mailer"), ("REDIS_CACHE_DB", "2"), ("REDIS_CACHE_SHARED_DB", "3")]);
    assert_eq!(codes(&billing, &mailer), [(1, Code::ConfInvalid)]);
    let taken = report(&[("SERVICE_NAME", "mailer"), ("REDIS_CACHE_DB", "2"), ("REDIS_CACHE_SHARED_DB", "1")]);
    assert_eq!(codes(&billing, &taken), [(1, Code::ConfInvalid), (1, Code::DatabaseNumberTaken)]);
}

#[test]
fn services_on_one_number_are_one_finding() {
    let reports: Vec<_> = (0..50).map(|index| report(&[("SERVICE_NAME", &format!("service-{index}"))])).collect();
    let names: Vec<_> = (0..50).map(|index| format!("{index}.env")).collect();
    let named: Vec<_> = names.iter().map(String::as_str).zip(&reports).collect();
    let findings = check_fleet(&named);
    assert_eq!(findings.len(), 1, "{findings:#?}");
    let (place, finding) = &findings[0];
    assert_eq!((*place, finding.code), (49, Code::DatabaseNumberTaken));
    assert!(finding.what.contains("service-0 (0.env), ") && finding.what.contains("service-49 (49.env)"), "{finding}");

    let other = |number: &str, shared: &str, name: &str| {
        report(&[("SERVICE_NAME", name), ("REDIS_CACHE_DB", number), ("REDIS_CACHE_SHARED_DB", shared)])
    };
    let fleet = [other("1", "0", "a"), other("2", "0", "b"), other("3", "2", "c"), other("2", "0", "d")];
    let named: Vec<_> = ["a", "b", "c", "d"].into_iter().zip(&fleet).collect();
    let findings = check_fleet(&named);
    let codes: Vec<_> = findings.iter().map(|(place, finding)| (*place, finding.code)).collect();
    assert_eq!(codes, [(3, Code::ConfInvalid), (3, Code::DatabaseNumberTaken)], "{findings:#?}");
    assert_eq!(findings[1].1.what, "REDIS_CACHE_DB is 2 for b (b), d (d); REDIS_CACHE_SHARED_DB is 2 in c");
}

#[test]
fn a_finding_of_the_fleet_can_be_allowed() {
    let allowed = report(&[("SERVICE_NAME", "mailer"), ("STORE_PREFLIGHT_ALLOW", "database-number-taken")]);
    let billing = report(&[]);
    let findings = check_fleet(&[("a.env", &billing), ("b.env", &allowed)]);
    assert!(findings.len() == 1 && !findings[0].1.is_error(), "{findings:?}");
}

#[tokio::test]
async fn one_cache_server_is_recognised_by_its_identity() {
    let (cache, state) = (cache().await, state().await);
    let proxy = FaultProxy::start(cache.address()).await.unwrap();
    let billing = check(&environment_with(&cache.url(None), &state.url(None), &[])).await;
    for url in [cache.url_through(&proxy, None), cache.url(None).replace("127.0.0.1", "localhost")] {
        let mailer = check(&environment_with(&url, &state.url(None), &[("SERVICE_NAME", "mailer")])).await;
        assert_eq!(codes(&billing, &mailer), [(1, Code::DatabaseNumberTaken)], "{url}");
    }
}

#[test]
fn a_server_has_one_role_in_the_whole_fleet() {
    let billing = report(&[]);
    let reversed =
        check_environment(&environment_with(STATE, CACHE, &[("SERVICE_NAME", "mailer"), ("REDIS_CACHE_DB", "2")]));
    assert_eq!(codes(&billing, &reversed), [(1, Code::RoleMismatch), (1, Code::RoleMismatch)], "each server");
    let third = [("SERVICE_NAME", "mailer"), ("REDIS_CACHE_DB", "2"), ("REDIS_CONN_BASE_URL", "redis://other")];
    let half = check_environment(&environment_with(CACHE, CACHE, &third));
    let findings = check_fleet(&[("a.env", &billing), ("b.env", &half)]);
    assert_eq!(findings.len(), 1, "{findings:#?}");
    let what = &findings[0].1.what;
    assert_eq!(what, "cache.internal:6379 is the cache store of billing (a.env) and the state store of mailer (b.env)");
}

#[tokio::test]
async fn swapped_servers_are_recognised_by_their_identity() {
    let (cache, state) = (cache().await, state().await);
    let proxy = FaultProxy::start(cache.address()).await.unwrap();
    let billing = check(&environment_with(&cache.url(None), &state.url(None), &[])).await;
    let mailer = [("SERVICE_NAME", "mailer"), ("REDIS_CACHE_DB", "2")];
    let mailer = check(&environment_with("redis://127.0.0.1:1", &state.url_through(&proxy, None), &mailer)).await;
    assert_eq!(codes(&billing, &mailer), [(1, Code::RoleMismatch)]);
}

#[test]
fn a_fleet_has_one_environment() {
    let production = report(&[("STORE_ENVIRONMENT", "production")]);
    let mailer = |more: &[(&str, &str)]| {
        let mailer = [("SERVICE_NAME", "mailer"), ("REDIS_CACHE_DB", "2")];
        report(&mailer.into_iter().chain(more.iter().copied()).collect::<Vec<_>>())
    };
    let staging = mailer(&[("STORE_ENVIRONMENT", "staging")]);
    assert_eq!(codes(&production, &staging), [(1, Code::EnvironmentMismatch)]);
    assert_eq!(codes(&production, &mailer(&[])), [(1, Code::EnvironmentMismatch)], "one of them names none");
    assert_eq!(codes(&production, &mailer(&[("STORE_ENVIRONMENT", "production")])), []);
    let embedded = check_environment(&environment_with("embedded:", "embedded:", &[("SERVICE_NAME", "tool")]));
    assert_eq!(codes(&production, &embedded), [], "it shares nothing");
}

#[test]
fn an_embedded_file_belongs_to_one_environment() {
    let folder = tempfile::tempdir().unwrap();
    let of = |name: &str, file: &str| {
        let url = format!("embedded:{}", folder.path().join(file).display());
        check_environment(&environment_with("embedded:", &url, &[("SERVICE_NAME", name)]))
    };
    assert_eq!(codes(&of("billing", "a.redb"), &of("mailer", "./a.redb")), [(1, Code::EmbeddedFileTaken)]);
    assert_eq!(codes(&of("billing", "a.redb"), &of("billing", "a.redb")), [(1, Code::EmbeddedFileTaken)]);
    assert_eq!(codes(&of("billing", "a.redb"), &of("mailer", "b.redb")), []);
}
