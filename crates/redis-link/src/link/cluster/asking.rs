//! Asks nodes of a cluster for their reports.

use std::collections::HashSet;
use std::time::Duration;

use tokio::task::JoinSet;

use super::NO_NODE;
use super::slots::Report;
use crate::link::node::Node;
use crate::link::waiting::Waiting;
use crate::wire::{Failure, Request, Wire};
use crate::{Endpoint, LinkConfig, Reply};

/// How long the other nodes have after the first has answered.
const GRACE: Duration = Duration::from_millis(200);

/// The newest report of several nodes about the cluster of these ids. Ignores reports that come much later than the first. Without ids,
/// fails if two of them are about different clusters.
pub(super) async fn newest(
    mut asking: JoinSet<Result<Report, Failure>>,
    ids: &HashSet<String>,
) -> Result<Report, Failure> {
    let (mut newest, mut failed): (Option<Report>, _) =
        (None, Failure::NotSent("no node of the cluster has slots".into()));
    loop {
        let next = match &newest {
            None => asking.join_next().await,
            Some(_) => tokio::time::timeout(GRACE, asking.join_next()).await.unwrap_or(None),
        };
        match next {
            Some(Ok(Ok(report))) if !report.is_of(ids) || report.primaries().is_empty() => {}
            Some(Ok(Ok(report))) => match &newest {
                Some(other) if ids.is_empty() && !report.is_of(other.ids()) => return Err(of_two(other, &report)),
                Some(other) if report.standing() <= other.standing() => {}
                _ => newest = Some(report),
            },
            Some(Ok(Err(failure))) => failed = failure,
            Some(Err(_)) => {}
            None => return newest.ok_or(failed),
        }
    }
}

fn of_two(one: &Report, other: &Report) -> Failure {
    let primaries = |report: &Report| report.primaries().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let (one, other) = (primaries(one), primaries(other));
    Failure::InvalidArgument(format!("the URL names nodes of two clusters: that of {one}, and that of {other}").into())
}

/// The newest report of the nodes that the URL names. Fails if they are nodes of different clusters.
pub(super) async fn first_report(config: &LinkConfig, seeds: &[Endpoint]) -> Result<Report, Failure> {
    let mut asking = JoinSet::new();
    for seed in seeds {
        let (config, seed) = (config.clone(), seed.clone());
        asking.spawn(async move { report_of_seed(&config, &seed).await.map_err(Failure::before_the_call) });
    }
    newest(asking, &HashSet::new()).await
}

async fn report_of_seed(config: &LinkConfig, seed: &Endpoint) -> Result<Report, Failure> {
    let (wire, _driver) = Wire::open(config, seed).await?;
    if wire.greeting().is_some_and(|greeting| greeting.mode.as_deref() != Some("cluster")) {
        return Err(Failure::InvalidArgument(NO_NODE.into()));
    }
    let requests = [Request::new("CLUSTER INFO", []), Request::new("CLUSTER SLOTS", [])];
    let mut replies = wire.pipeline(requests.into(), config.command_timeout).await?.into_iter();
    let mut next = || replies.next().unwrap_or(Err(Failure::LOST));
    Report::parse(&next()?, &next()?, seed)
}

/// What a node reports.
pub(super) async fn report_of(node: &Node, endpoint: &Endpoint) -> Result<Report, Failure> {
    let (info, slots) = (ask(node, "CLUSTER INFO").await?, ask(node, "CLUSTER SLOTS").await?);
    let report = Report::parse(&info, &slots, endpoint)?;
    node.reported(report.is_ok());
    Ok(report)
}

/// The slots that are on the way to or from a node, as `CLUSTER NODES` writes them: `[93->-id]`, `[93-<-id]`. None for a user who may
/// not ask.
pub(super) async fn migrations_of(node: &Node) -> Result<Vec<String>, Failure> {
    match ask(node, "CLUSTER NODES").await {
        Ok(nodes) => Ok(migrations(nodes.as_str().unwrap_or_default())),
        Err(failure) if failure.is_forbidden() => Ok(Vec::new()),
        Err(failure) => Err(failure),
    }
}

fn migrations(nodes: &str) -> Vec<String> {
    let words = nodes.lines().flat_map(|line| line.split(' '));
    words.filter(|word| word.starts_with('[')).map(str::to_owned).collect()
}

async fn ask(node: &Node, what: &'static str) -> Result<Reply, Failure> {
    // Not counted among the calls that wait.
    let permit = Waiting::new(usize::MAX >> 1).enter_beyond();
    node.connection()?.send(Request::new(what, []), permit).await
}
