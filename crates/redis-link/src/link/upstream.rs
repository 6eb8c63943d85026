//! Where the connections of a link lead: always to the same server, or to the primary that sentinels report.

use std::sync::Arc;
use std::time::{Duration, Instant};

use store_core::{Error, Op, Result};

use crate::wire::{Driver, Failure, Request, Wire};
use crate::{Endpoint, LinkConfig, Reply, Topology};

mod hosts;
mod sentinels;
mod views;

use hosts::Hosts;
use sentinels::Sentinels;

/// Where connections lead. Clones are the same.
#[derive(Clone)]
pub(crate) enum Upstream {
    /// To one server.
    Server(Endpoint),
    /// To the primary of a service that sentinels monitor.
    Primary(Arc<Sentinels>),
    /// To the primary among several servers.
    AnyPrimary(Arc<Hosts>),
}

/// An open connection, and where it leads. Dropping it closes the connection.
pub(crate) struct Opened {
    pub(crate) wire: Wire,
    driver: Driver,
    endpoint: Endpoint,
    upstream: Upstream,
}

impl Upstream {
    /// Where the URL of `config` leads. For a URL with sentinels or several servers, a task begins to ask them; it ends
    /// with the last clone.
    pub(crate) fn of(config: &LinkConfig, op: Op) -> Result<Self> {
        match config.url.topology() {
            Topology::Standalone(endpoint) => Ok(Self::Server(endpoint.clone())),
            Topology::Sentinel { sentinels, service } => {
                Ok(Self::Primary(Sentinels::watch(config, sentinels, service)))
            }
            Topology::Kvrocks(hosts) if hosts.len() == 1 => Ok(Self::Server(hosts[0].clone())),
            Topology::Several(hosts) | Topology::Kvrocks(hosts) => Ok(Self::AnyPrimary(Hosts::watch(config, hosts))),
            Topology::Embedded(_) => Err(Error::unsupported(op, "an embedded store has no server to link to")),
            _ => Err(Error::unsupported(
                op,
                "this version links to one server, to a primary with its replicas, to the primary of sentinels, or to a cluster",
            )),
        }
    }

    /// Opens a connection to the server that is the primary now.
    pub(crate) async fn open(&self, config: &LinkConfig) -> Result<Opened, Failure> {
        let begun = Instant::now();
        let endpoint = self.endpoint(config).await?;
        let opened = self.unless_left(&endpoint, Wire::open(config, &endpoint)).await;
        let mut opened = self.opened(opened, endpoint, config.connect_timeout).await?;
        if let Some(losses) = &config.losses {
            let run = losses.identify(&opened.wire, &opened.endpoint, begun).await.map_err(Failure::before_the_call)?;
            opened.wire = opened.wire.of_run(Some(run));
        }
        Ok(opened)
    }

    /// As [`Upstream::open`], for a connection on which messages arrive.
    pub(crate) async fn open_subscriber(&self, config: &LinkConfig) -> Result<Opened, Failure> {
        let endpoint = self.endpoint(config).await?;
        let opened = self.unless_left(&endpoint, Wire::open_subscriber(config, &endpoint)).await;
        self.opened(opened, endpoint, config.connect_timeout).await
    }

    /// The server for connections now, if it is known.
    pub(crate) fn now(&self) -> Option<Endpoint> {
        match self {
            Self::Server(endpoint) => Some(endpoint.clone()),
            Self::Primary(sentinels) => sentinels.now(),
            Self::AnyPrimary(hosts) => hosts.last(),
        }
    }

    /// Has the sentinels asked again: what they reported last does not fit what was seen.
    pub(crate) fn doubt(&self) {
        if let Self::Primary(sentinels) = self {
            sentinels.ask_again();
        }
    }

    /// Waits until connections no longer lead to `endpoint`.
    pub(crate) async fn left(&self, endpoint: &Endpoint) {
        match self {
            Self::Server(_) => std::future::pending().await,
            Self::Primary(sentinels) => sentinels.left(endpoint).await,
            Self::AnyPrimary(hosts) => hosts.left(endpoint).await,
        }
    }

    /// Gives an attempt up when connections no longer lead to `endpoint`.
    async fn unless_left<T>(
        &self,
        endpoint: &Endpoint,
        opening: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            opened = opening => opened,
            () = self.left(endpoint) => Err(Failure::NotSent("another server has become the primary".into())),
        }
    }

    async fn endpoint(&self, config: &LinkConfig) -> Result<Endpoint, Failure> {
        match self {
            Self::Server(endpoint) => Ok(endpoint.clone()),
            // Ends before the caller's time-out, so that the caller gets the reason.
            Self::Primary(sentinels) => sentinels.primary(config.connect_timeout.mul_f64(0.9)).await,
            Self::AnyPrimary(hosts) => hosts.primary().await,
        }
    }

    fn leads_to(&self, endpoint: &Endpoint) -> bool {
        match self {
            Self::Server(_) => true,
            Self::Primary(sentinels) => sentinels.leads_to(endpoint),
            Self::AnyPrimary(hosts) => hosts.leads_to(endpoint),
        }
    }

    /// Checks that the server is a primary if sentinels reported it: they notice a change later than the server itself.
    async fn opened(
        &self,
        opened: Result<(Wire, Driver), Failure>,
        endpoint: Endpoint,
        patience: Duration,
    ) -> Result<Opened, Failure> {
        let is_checked = matches!(self, Self::Primary(_) | Self::AnyPrimary(_));
        let checked = match opened {
            Ok((wire, driver)) if !is_checked || is_primary(&wire, patience).await => Ok((wire, driver)),
            Ok(_) => Err(Failure::NotSent("the server is no longer a primary".into())),
            Err(failure) => Err(failure),
        };
        let (wire, driver) = checked.inspect_err(|_| self.doubt())?;
        Ok(Opened { wire, driver, endpoint, upstream: self.clone() })
    }
}

impl Opened {
    /// Waits until the connection has ended, or until it leads to the wrong server.
    pub(crate) async fn ended(&mut self) {
        let interrupted = async {
            match self.wire.run() {
                Some(run) => run.interrupted().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.driver.finished() => {}
            () = self.upstream.left(&self.endpoint) => {}
            () = interrupted => {}
        }
    }

    /// Where it leads.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether calls may be sent on it.
    pub(crate) fn is_usable(&self) -> bool {
        let is_interrupted = self.wire.run().is_some_and(|run| run.is_interrupted());
        let leads_there = self.upstream.leads_to(&self.endpoint) && !is_interrupted;
        leads_there && !self.driver.is_finished() && self.wire.is_connected()
    }

    /// Waits until it leads to the wrong server. Does not borrow the connection.
    pub(crate) fn left(&self) -> impl Future<Output = ()> + Send + use<> {
        let (upstream, endpoint) = (self.upstream.clone(), self.endpoint.clone());
        async move { upstream.left(&endpoint).await }
    }
}

/// `HELLO` tells the role without any right; `ROLE` tells it where `HELLO` is unknown.
async fn is_primary(wire: &Wire, patience: Duration) -> bool {
    match wire.greeting() {
        Some(greeting) => greeting.role.as_deref() == Some("master"),
        None => match wire.send(Request::new("ROLE", []), patience).await {
            Ok(Reply::List(fields)) => fields.first().and_then(Reply::as_str) == Some("master"),
            _ => false,
        },
    }
}
