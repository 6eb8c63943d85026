//! Opens the connections of a probe: to one server, and in a cluster to the node that has the slot of a key.

use std::sync::{Arc, Mutex, PoisonError};

use store_core::{Op, Result};
use tokio::task::JoinSet;

use super::Probe;
use crate::link::{Opened, Upstream};
use crate::wire::{Failure, Redirection, Request};
use crate::{Endpoint, LinkConfig, Reply, Script, Topology};

/// How many redirections a question follows.
const MAX_REDIRECTIONS: usize = 5;

impl Probe {
    /// Opens the connection.
    ///
    /// # Errors
    /// As [`Link::connect`](crate::Link::connect), within one connect time-out.
    pub async fn open(config: LinkConfig) -> Result<Self> {
        let seeds = match config.url.topology() {
            Topology::Cluster(seeds) => seeds.clone(),
            _ => {
                let opened = Upstream::of(&config, Op::Probe)?.open(&config).await;
                return opened.map(|opened| Self::of(opened, config, None)).map_err(to_error);
            }
        };
        let primary = async {
            let seed = Self::of(first_of(&config, seeds).await?, config.clone(), None);
            let is_primary = |opened: &Opened| {
                opened.wire.greeting().and_then(|greeting| greeting.role.as_deref()) == Some("master")
            };
            let view = if is_primary(&seed.opened) { None } else { seed.cluster().await.known() };
            let primaries: Vec<_> = view.iter().flat_map(|view| view.primaries()).collect();
            match first_of(&config, primaries.iter().map(|node| node.endpoint.clone()).collect()).await {
                Ok(opened) => Ok(opened),
                Err(_) => Ok(seed.opened),
            }
        };
        let opened: std::result::Result<_, Failure> = primary.await;
        opened.map(|opened| Self::of(opened, config, Some(Mutex::default()))).map_err(to_error)
    }

    /// Opens a connection to one node of a cluster, or to one replica. Redirections to other nodes are not followed.
    ///
    /// # Errors
    /// As [`Probe::open`].
    pub async fn open_at(config: LinkConfig, endpoint: &Endpoint) -> Result<Self> {
        let opened = Upstream::Server(endpoint.clone()).open(&config).await;
        opened.map(|opened| Self::of(opened, config, None)).map_err(to_error)
    }

    fn of(opened: Opened, config: LinkConfig, others: Option<Mutex<Vec<Arc<Opened>>>>) -> Self {
        let patience = config.connect_timeout;
        Self { opened, config, patience, others }
    }

    /// Sends a request, and follows the redirections of a cluster.
    pub(super) async fn ask(&self, request: Request<'_>) -> std::result::Result<Reply, Failure> {
        let mut answered = self.ask_at(&self.opened, [request.clone()]).await;
        let mut asked = self.endpoint().clone();
        for _ in 0..MAX_REDIRECTIONS {
            let redirection = answered.as_ref().err().and_then(|failure| failure.redirection(Some(&asked)));
            let Some(redirection) = redirection.filter(|_| self.others.is_some()) else { break };
            let (before, to) = match redirection {
                Redirection::Moved { to, .. } => (None, to),
                Redirection::Asked { to } => (Some(Request::new("ASKING", [])), to),
            };
            let other = Box::pin(self.other(&to)).await?;
            answered = self.ask_at(&other, before.into_iter().chain([request.clone()])).await;
            asked = to;
        }
        answered
    }

    /// Loads a script on each connected server.
    pub(super) async fn load(&self, script: &Script) -> std::result::Result<(), Failure> {
        self.ask_at(&self.opened, [Request::load(script)]).await?;
        for other in self.known_others() {
            self.ask_at(&other, [Request::load(script)]).await?;
        }
        Ok(())
    }

    /// The reply to the last of these requests.
    async fn ask_at<'r>(
        &self,
        opened: &Opened,
        requests: impl IntoIterator<Item = Request<'r>>,
    ) -> std::result::Result<Reply, Failure> {
        if !opened.is_usable() {
            return Err(Failure::NotSent("the server has closed the connection".into()));
        }
        opened.wire.send_last(requests.into_iter().collect(), self.patience).await
    }

    async fn other(&self, endpoint: &Endpoint) -> std::result::Result<Arc<Opened>, Failure> {
        let known = self.known_others().into_iter().find(|other| other.endpoint() == endpoint);
        if let Some(known) = known {
            return Ok(known);
        }
        let opened = Arc::new(Upstream::Server(endpoint.clone()).open(&self.config).await?);
        if let Some(others) = &self.others {
            others.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&opened));
        }
        Ok(opened)
    }

    fn known_others(&self) -> Vec<Arc<Opened>> {
        let others = self.others.as_ref();
        others.map_or_else(Vec::new, |others| others.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// A connection to the first node of a cluster that accepts one.
async fn first_of(config: &LinkConfig, endpoints: Vec<Endpoint>) -> std::result::Result<Opened, Failure> {
    let mut opening = JoinSet::new();
    for endpoint in endpoints {
        let config = config.clone();
        opening.spawn(async move {
            let opened = Upstream::Server(endpoint).open(&config).await?;
            match opened.wire.greeting().and_then(|greeting| greeting.mode.as_deref()) {
                Some(mode) if mode != "cluster" => Err(Failure::InvalidArgument(crate::link::NO_NODE.into())),
                _ => Ok(opened),
            }
        });
    }
    let mut failed = Failure::NotSent("no node of the cluster can be reached".into());
    while let Some(opened) = opening.join_next().await {
        match opened {
            Ok(Ok(opened)) => return Ok(opened),
            // One that answers shows more than one that does not.
            Ok(Err(failure)) if !failure.is_of_connection() || failed.is_of_connection() => failed = failure,
            _ => {}
        }
    }
    Err(failed)
}

fn to_error(failure: Failure) -> store_core::Error {
    failure.into_error(Op::Probe, "connect")
}
