//! Several servers: a primary and its replicas. Only the servers themselves report a failover.
//!
//! Each new connection asks all servers. Besides, one task asks them every 10 s, because a primary that was replaced may still answer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use super::is_primary;
use crate::wire::{Driver, Failure, Request, Wire};
use crate::{Arg, Endpoint, LinkConfig, Reply};

/// How long the other servers have after the first primary has answered.
const GRACE: Duration = Duration::from_millis(200);
/// How often the servers are asked without a reason.
const ASKED_EVERY: Duration = Duration::from_secs(10);
const RIVALS: &str = "two of the servers report that they are primaries, and neither has replaced the other";

pub(crate) struct Hosts {
    shared: Arc<Shared>,
    task: AbortHandle,
}

struct Shared {
    config: LinkConfig,
    all: Vec<Endpoint>,
    /// The primary that was found last.
    primary: watch::Sender<Option<Endpoint>>,
    /// The connections of the task, by server.
    asked: Vec<Mutex<Option<(Wire, Driver)>>>,
}

/// A server that reports that it is a primary.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Primary {
    endpoint: Endpoint,
    /// The replication stream that it writes to, and the one that it received before; `None` if it does not report them.
    streams: Option<(String, Option<String>)>,
}

impl Hosts {
    /// Begins to watch. Dropping the last reference ends it.
    pub(super) fn watch(config: &LinkConfig, all: &[Endpoint]) -> Arc<Self> {
        let shared = Arc::new(Shared {
            config: config.clone(),
            all: all.to_vec(),
            primary: watch::Sender::default(),
            asked: all.iter().map(|_| Mutex::default()).collect(),
        });
        let task = tokio::spawn(Arc::clone(&shared).watch_all()).abort_handle();
        Arc::new(Self { shared, task })
    }

    pub(super) fn last(&self) -> Option<Endpoint> {
        self.shared.primary.borrow().clone()
    }

    pub(super) fn leads_to(&self, endpoint: &Endpoint) -> bool {
        self.shared.primary.borrow().as_ref().is_none_or(|primary| primary == endpoint)
    }

    /// Waits until another server is the primary.
    pub(super) async fn left(&self, endpoint: &Endpoint) {
        let mut primary = self.shared.primary.subscribe();
        // `self` holds the sender, so it is not gone.
        let _ = primary.wait_for(|primary| primary.as_ref().is_some_and(|primary| primary != endpoint)).await;
    }

    /// The server that is the primary: the only one that reports it, or the one that has replaced the others.
    pub(super) async fn primary(&self) -> Result<Endpoint, Failure> {
        let mut asking = JoinSet::new();
        for host in self.shared.all.clone() {
            let config = self.shared.config.clone();
            asking.spawn(async move {
                let (wire, driver) = Wire::open_subscriber(&config, &host).await?;
                Ok::<_, Failure>(is_primary(&wire, config.connect_timeout).await.then_some((host, wire, driver)))
            });
        }
        let (mut found, mut failed) = (Vec::new(), Failure::NotSent("none of the servers is a primary".into()));
        loop {
            let next = match found.as_slice() {
                [] => asking.join_next().await,
                _ => tokio::time::timeout(GRACE, asking.join_next()).await.unwrap_or(None),
            };
            match next {
                Some(Ok(Ok(primary))) => found.extend(primary),
                Some(Ok(Err(failure))) => failed = failure,
                Some(Err(_)) => {}
                None => break,
            }
        }
        let mut primaries = Vec::new();
        for (endpoint, wire, _driver) in &found {
            let streams = match found.len() {
                1 => None,
                _ => streams(&self.shared.ask(wire).await.unwrap_or(Reply::Nil)),
            };
            primaries.push(Primary { endpoint: endpoint.clone(), streams });
        }
        let rivals = |rivals| Failure::NotSent(format!("{RIVALS}: {rivals}").into());
        let primary = newest(&primaries).map_err(rivals)?.ok_or(failed.before_the_call())?;
        self.shared.found(primary);
        Ok(primary.endpoint.clone())
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    async fn watch_all(self: Arc<Self>) {
        loop {
            tokio::time::sleep(ASKED_EVERY.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
            let mut asking = JoinSet::new();
            for index in 0..self.all.len() {
                asking.spawn(Arc::clone(&self).ask_one(index));
            }
            let answered: Vec<_> = asking.join_all().await.into_iter().flatten().collect();
            let primaries: Vec<_> = answered.iter().filter_map(|(_, primary)| primary.clone()).collect();
            let now = self.primary.borrow().clone();
            // Connections to a primary that does not answer end for another reason.
            let has_answered = answered.iter().any(|(endpoint, _)| Some(endpoint) == now.as_ref());
            match newest(&primaries) {
                Ok(Some(primary)) if has_answered => self.found(primary),
                Ok(_) => {}
                Err(rivals) => tracing::warn!("{RIVALS}: {rivals}"),
            }
        }
    }

    fn found(&self, primary: &Primary) {
        self.primary.send_if_modified(|known| {
            let is_news = known.as_ref() != Some(&primary.endpoint);
            if let (true, Some(before)) = (is_news, &known) {
                tracing::info!(%before, after = %primary.endpoint, "another server is the primary");
            }
            *known = Some(primary.endpoint.clone());
            is_news
        });
    }

    /// What a server reports, on a connection that is kept; `None` if it does not answer.
    async fn ask_one(self: Arc<Self>, index: usize) -> Option<(Endpoint, Option<Primary>)> {
        let (endpoint, kept) = (self.all.get(index)?.clone(), self.asked.get(index)?);
        let taken = kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        let opened = match taken.filter(|(wire, driver)| wire.is_connected() && !driver.is_finished()) {
            Some(opened) => opened,
            None => Wire::open_subscriber(&self.config, &endpoint).await.ok()?,
        };
        let primary = match self.ask(&opened.0).await {
            Ok(reply) => (field(&reply, "role")? == "master").then(|| streams(&reply)),
            Err(Failure::Answered(_)) => is_primary(&opened.0, self.config.connect_timeout).await.then_some(None),
            Err(_) => return None,
        };
        *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(opened);
        let primary = primary.map(|streams| Primary { endpoint: endpoint.clone(), streams });
        Some((endpoint, primary))
    }

    async fn ask(&self, wire: &Wire) -> Result<Reply, Failure> {
        wire.send(Request::new("INFO", [Arg::fixed("replication")]), self.config.connect_timeout).await
    }
}

/// The only primary, or the one that has replaced the others: it was promoted while it received the stream of another one. Fails with
/// the addresses of those of which none has replaced the others.
fn newest(primaries: &[Primary]) -> Result<Option<&Primary>, String> {
    let is_replaced = |one: &&Primary| {
        let Some((stream, _)) = &one.streams else { return false };
        let replaces = |other: &Primary| matches!(&other.streams, Some((_, Some(earlier))) if earlier == stream);
        primaries.iter().any(replaces)
    };
    let left: Vec<_> = primaries.iter().filter(|one| !is_replaced(one)).collect();
    match left.as_slice() {
        [] => Ok(None),
        [newest] => Ok(Some(newest)),
        rivals => Err(rivals.iter().map(|rival| rival.endpoint.to_string()).collect::<Vec<_>>().join(", ")),
    }
}

/// The replication streams in the reply to `INFO replication`.
fn streams(replication: &Reply) -> Option<(String, Option<String>)> {
    let earlier = field(replication, "master_replid2").filter(|stream| stream.bytes().any(|byte| byte != b'0'));
    Some((field(replication, "master_replid")?.to_owned(), earlier.map(str::to_owned)))
}

fn field<'r>(replication: &'r Reply, name: &str) -> Option<&'r str> {
    replication.as_str()?.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn primary(port: u16, stream: &str, earlier: &str) -> Primary {
        let text = format!("role:master\r\nmaster_replid:{stream}\r\nmaster_replid2:{earlier}\r\n");
        Primary { endpoint: Endpoint::new("10.0.0.1", port), streams: streams(&Reply::Bytes(text.into())) }
    }

    #[test]
    fn of_several_primaries_the_one_that_replaced_the_others_counts() {
        let (first, second, third) = (primary(1, "a1", "0000"), primary(2, "b2", "a1"), primary(3, "c3", "b2"));
        let alone = Primary { streams: None, ..first.clone() };
        assert_eq!(newest(&[]).unwrap(), None);
        assert_eq!(newest(std::slice::from_ref(&alone)).unwrap(), Some(&alone));
        for primaries in
            [[first.clone(), second.clone(), third.clone()], [third.clone(), first.clone(), second.clone()]]
        {
            assert_eq!(newest(&primaries).unwrap(), Some(&third));
        }
        let restarted = primary(1, "d4", "a1");
        for unrelated in [[first.clone(), third], [restarted, second.clone()], [alone, second]] {
            assert_eq!(newest(&unrelated).unwrap_err(), unrelated.map(|one| one.endpoint.to_string()).join(", "));
        }
    }
}
