//! Watches the sentinels of a service: which server is its primary.
//!
//! One connection to each sentinel, also to those that only other sentinels name. A sentinel publishes each change when it
//! learns of it; besides, it is asked periodically, and when what it reported does not fit what was seen.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use store_core::Op;
use tokio::sync::{Notify, watch};
use tokio::task::{AbortHandle, JoinSet};

use super::views::{Primary, Problem, Sentinel, Views};
use crate::link::connection::Backoff;
use crate::wire::{Failure, Received, Request, Wire};
use crate::{Arg, Endpoint, LinkConfig};

/// The channel on which a sentinel publishes a new primary.
const SWITCHED: &str = "+switch-master";
/// How often a sentinel is asked without a reason.
const ASKED_EVERY: Duration = Duration::from_secs(5);
/// How often at most a sentinel is asked.
const ASKED_AT_MOST_EVERY: Duration = Duration::from_millis(100);

/// The watched sentinels of one service.
pub(crate) struct Sentinels {
    shared: Arc<Shared>,
    task: AbortHandle,
}

struct Shared {
    /// How to reach the sentinels.
    config: LinkConfig,
    service: String,
    views: watch::Sender<Views>,
    doubted: Notify,
    learned: Notify,
}

impl Sentinels {
    /// Begins to watch. Dropping the last reference ends it.
    pub(super) fn watch(config: &LinkConfig, seeds: &[Endpoint], service: &str) -> Arc<Self> {
        let shared = Arc::new(Shared {
            config: config.of_sentinels(),
            service: service.to_owned(),
            views: watch::Sender::new(Views::of(seeds)),
            doubted: Notify::new(),
            learned: Notify::new(),
        });
        let task = tokio::spawn(Arc::clone(&shared).watch_all()).abort_handle();
        Arc::new(Self { shared, task })
    }

    /// The primary. If none is known, waits up to `within` for the sentinels to report one.
    pub(super) async fn primary(&self, within: Duration) -> Result<Endpoint, Failure> {
        let mut views = self.shared.views.subscribe();
        let reported = views.wait_for(|views| views.primary().is_some() || views.are_hopeless());
        let reported = tokio::time::timeout(within, reported).await.ok().and_then(Result::ok);
        let reported = reported.and_then(|views| views.primary().cloned());
        reported.ok_or_else(|| self.shared.views.borrow().failure())
    }

    /// The primary, if one is known.
    pub(super) fn now(&self) -> Option<Endpoint> {
        self.shared.views.borrow().primary().cloned()
    }

    pub(super) fn leads_to(&self, endpoint: &Endpoint) -> bool {
        self.shared.views.borrow().primary() == Some(endpoint)
    }

    /// Waits until another server is the primary.
    pub(super) async fn left(&self, endpoint: &Endpoint) {
        let mut views = self.shared.views.subscribe();
        // `self` holds the sender, so it is not gone.
        let _ = views.wait_for(|views| views.primary().is_some_and(|primary| primary != endpoint)).await;
    }

    pub(super) fn ask_again(&self) {
        self.shared.doubted.notify_waiters();
    }
}

impl Drop for Sentinels {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    /// One task for each sentinel.
    async fn watch_all(self: Arc<Self>) {
        let (mut tasks, mut watched) = (JoinSet::new(), HashSet::new());
        loop {
            let known: Vec<_> = self.views.borrow().endpoints().cloned().collect();
            for endpoint in known {
                if watched.insert(endpoint.clone()) {
                    tasks.spawn(Arc::clone(&self).watch_one(endpoint));
                }
            }
            tokio::select! {
                () = self.learned.notified() => {}
                Some(Ok(forgotten)) = tasks.join_next() => {
                    watched.remove(&forgotten);
                }
            }
        }
    }

    /// Returns when the sentinel is forgotten.
    async fn watch_one(self: Arc<Self>, endpoint: Endpoint) -> Endpoint {
        let mut backoff = Backoff::new();
        loop {
            let failure = match Wire::open_subscriber(&self.config, &endpoint).await {
                Ok((wire, mut driver)) => {
                    let asked = tokio::select! {
                        asked = self.ask(&endpoint, &wire, &mut backoff) => asked,
                        () = driver.finished() => Ok(Problem::Unreachable),
                    };
                    asked.unwrap_or_else(problem)
                }
                Err(failure) => problem(failure),
            };
            tracing::debug!(sentinel = %endpoint, problem = ?failure, "a sentinel cannot be asked");
            let mut is_wanted = true;
            self.views.send_modify(|views| is_wanted = views.failed(&endpoint, failure));
            if !is_wanted {
                return endpoint;
            }
            backoff.pause().await;
        }
    }

    /// Asks until the connection fails, or until there is no reason to ask this sentinel.
    async fn ask(&self, endpoint: &Endpoint, wire: &Wire, backoff: &mut Backoff) -> Result<Problem, Failure> {
        let patience = self.config.command_timeout;
        let service = || [Arg::from(self.service.as_str())];
        let id = wire.send(Request::new("SENTINEL MYID", []), patience).await?;
        let mut is_first = false;
        self.views.send_if_modified(|views| {
            is_first = views.reached(endpoint, id.as_str().unwrap_or_default());
            is_first
        });
        if !is_first {
            tokio::time::sleep(ASKED_EVERY).await;
            return Ok(Problem::Unreachable);
        }
        // Received from now on, so no change is missed between the question and the subscription.
        let mut switched = wire.messages();
        wire.subscribe(SWITCHED, patience).await?;
        loop {
            // During a failover, only the second answer has the new address.
            let questions = ["SENTINEL MASTER", "SENTINEL GET-MASTER-ADDR-BY-NAME"];
            let questions = questions.map(|question| Request::new(question, service()));
            let mut answers = wire.pipeline(questions.into(), patience).await?.into_iter();
            let mut next = || answers.next().unwrap_or(Err(Failure::LOST));
            let primary = Primary::parse(&next()?, &next()?);
            let primary = primary.ok_or(Failure::Unsupported("the sentinel's answer has no address"))?;
            backoff.reset();
            self.report(endpoint, primary);
            let doubted = self.doubted.notified();
            let is_due = tokio::select! {
                received = switched.next() => match received {
                    Received::Ended => return Ok(Problem::Unreachable),
                    _ => false,
                },
                () = doubted => {
                    tokio::time::sleep(ASKED_AT_MOST_EVERY).await;
                    false
                }
                () = tokio::time::sleep(ASKED_EVERY) => true,
            };
            if is_due {
                let others = wire.send(Request::new("SENTINEL SENTINELS", service()), patience).await?;
                let others = Sentinel::parse_all(&others);
                if self.views.send_if_modified(|views| views.learned(endpoint, others)) {
                    self.learned.notify_one();
                }
            }
        }
    }

    fn report(&self, sentinel: &Endpoint, primary: Primary) {
        let before = self.views.borrow().primary().cloned();
        self.views.send_if_modified(|views| views.reported(sentinel, primary));
        let after = self.views.borrow().primary().cloned();
        if let (Some(before), Some(after)) = (before, after)
            && before != after
        {
            tracing::info!(service = self.service, %before, %after, "the sentinels report a new primary");
        }
    }
}

fn problem(failure: Failure) -> Problem {
    if failure.is_unknown_command() {
        return Problem::NoSentinel;
    }
    if failure.is_unknown_service() {
        return Problem::UnknownService;
    }
    if let Failure::Tls(detail) = failure {
        return Problem::Tls(detail);
    }
    match failure.into_error(Op::Connect, "SENTINEL MASTER") {
        store_core::Error::Unauthenticated { .. } | store_core::Error::Forbidden { .. } => Problem::Refused,
        _ => Problem::Unreachable,
    }
}
