//! The store itself, which all capabilities share.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use redis_link::{Link, LossReports, args, idempotency, keys};
use store_core::{Durability, Namespace, Op, QueueName, Result, Retention, Scope, ServiceName, StateOptions};

use crate::leases::LeaseCalls;
use crate::queue::{Failing, HomeOf, KeptPushes, Outboxes, PushGroups, Shapes, Waking};
use crate::resume_tokens::TokenCalls;
use crate::retries::RetryCalls;
use crate::runs::RunCalls;
use crate::steps::StepCalls;
use crate::topics::TopicCalls;

/// The piece of a script that remembers its reply. The script then takes the remembered call as its last key, and as its last argument
/// [`StateStore::remembered_arg`].
pub(crate) const ONCE: &str = include_str!("../lua/once.lua");

/// The worker state store on one server. Clones share its connections.
///
/// Each call is one script in one round trip. Concurrent calls of one operation are coalesced: each has its own
/// outcome, and waits for at most one call before it. A dropped call may have been executed; sending it again is safe,
/// and jobs of a dropped claim return when its lease expires.
#[derive(Clone)]
pub struct StateStore {
    pub(crate) link: Link,
    pub(crate) namespace: Namespace,
    pub(crate) scope: Scope,
    /// The bounds of finished jobs.
    pub(crate) retention: Retention,
    /// The declared number of partitions of queues.
    pub(crate) partitions: Arc<BTreeMap<QueueName, u16>>,
    pub(crate) shapes: Arc<Shapes>,
    /// Selects the partition of the next push, claim or append.
    pub(crate) turn: Arc<AtomicUsize>,
    pub(crate) waking: Arc<Waking>,
    pub(crate) failing: Arc<Failing>,
    pub(crate) push_groups: Arc<PushGroups>,
    pub(crate) kept: Arc<KeptPushes>,
    pub(crate) calls: Arc<Calls>,
    pub(crate) heartbeats: Durability,
    /// The home of its steps, runs and resume tokens.
    pub(crate) home: Option<Arc<HomeOf>>,
    pub(crate) outboxes: Arc<Outboxes>,
}

/// The coalesced calls, by capability.
pub(crate) struct Calls {
    pub(crate) leases: LeaseCalls,
    pub(crate) idempotency: idempotency::Entries,
    pub(crate) resume_tokens: TokenCalls,
    pub(crate) steps: StepCalls,
    pub(crate) runs: RunCalls,
    pub(crate) sessions: RunCalls,
    pub(crate) topics: TopicCalls,
    pub(crate) retries: RetryCalls,
}

impl StateStore {
    /// Opens the namespace on the server of `link`, for `service`. One round trip that writes nothing. The first store of an empty
    /// namespace, and the first one that writes newer layouts or a new kind of data, record that in another round trip. A full server
    /// can be opened and drained.
    ///
    /// Idempotency keys, leases, pools, workflow runs and retries belong to the service; [`StateStore::shared`] has those of the whole
    /// namespace.
    ///
    /// # Errors
    /// [`Error::Unsupported`](store_core::Error::Unsupported) if the namespace has layouts that this version does not read; those of the link.
    pub async fn open(link: Link, namespace: Namespace, service: ServiceName, options: StateOptions) -> Result<Self> {
        let (link, key) = (with_layouts(link, &options), keys::layouts(&namespace));
        let layouts = link.layouts();
        let lacks = match recorded_layouts(&link, &key).await? {
            Some(recorded) => layouts.compare(Op::Connect, &recorded)?,
            None => true,
        };
        if lacks {
            // A newer version may have recorded its layouts meanwhile.
            layouts.compare(Op::Connect, &link.record_layouts(Op::Connect, &key).await?)?;
        }
        Ok(Self::on(link, namespace, service, options))
    }

    /// Opens the namespace as [`StateStore::open`] does, but never writes: `None` if no store was ever opened there. One
    /// round trip.
    ///
    /// # Errors
    /// As [`StateStore::open`].
    pub async fn open_existing(
        link: Link,
        namespace: Namespace,
        service: ServiceName,
        options: StateOptions,
    ) -> Result<Option<Self>> {
        let link = with_layouts(link, &options);
        let Some(recorded) = recorded_layouts(&link, &keys::layouts(&namespace)).await? else { return Ok(None) };
        link.layouts().compare(Op::Connect, &recorded)?;
        Ok(Some(Self::on(link, namespace, service, options)))
    }

    fn on(link: Link, namespace: Namespace, service: ServiceName, options: StateOptions) -> Self {
        let link = link.with_clock(options.clock);
        let calls = Calls {
            leases: LeaseCalls::new(&link),
            idempotency: idempotency::Entries::new(&link)
                .with_durability(options.durabilities.idempotency.unwrap_or_default()),
            resume_tokens: TokenCalls::new(&link),
            steps: StepCalls::new(&link),
            runs: RunCalls::of_runs(&link),
            sessions: RunCalls::of_sessions(&link),
            topics: TopicCalls::new(&link),
            retries: RetryCalls::new(&link),
        };
        Self {
            link,
            namespace,
            scope: service.into(),
            retention: options.retention,
            partitions: Arc::new(options.partitions),
            shapes: Arc::default(),
            turn: Arc::new(AtomicUsize::new(fastrand::usize(..))),
            waking: Arc::default(),
            failing: Arc::default(),
            push_groups: Arc::default(),
            kept: Arc::new(KeptPushes::new(options.kept_push_bytes)),
            calls: Arc::new(calls),
            heartbeats: options.durabilities.heartbeats.unwrap_or_default(),
            home: None,
            outboxes: Arc::default(),
        }
    }

    /// The same store with the idempotency keys, leases, pools, runs and retries that all services of the namespace share. Queues are the
    /// same.
    #[must_use]
    pub fn shared(&self) -> Self {
        Self { scope: Scope::Shared, ..self.clone() }
    }

    /// The reports of the writes that failovers after this call may lose: see [`Link::loss_reports`].
    pub fn loss_reports(&self) -> LossReports {
        self.link.loss_reports()
    }

    /// The same store with the idempotency keys, leases, pools, runs and retries of another service. Queues are the same.
    #[must_use]
    pub fn for_service(&self, service: ServiceName) -> Self {
        Self { scope: service.into(), ..self.clone() }
    }
}

fn with_layouts(link: Link, options: &StateOptions) -> Link {
    let layouts = link.layouts();
    link.with_layouts(if options.newest_layouts { layouts.write_newest() } else { layouts })
}

/// The record of the namespace's layouts; `None` if the namespace was never opened.
async fn recorded_layouts(link: &Link, key: &str) -> Result<Option<String>> {
    let stored = link.command(Op::Connect, "GET", args![key]).await?.reply;
    Ok((!stored.is_nil()).then(|| stored.as_str().unwrap_or_default().to_owned()))
}

impl fmt::Debug for StateStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateStore")
            .field("namespace", &self.namespace)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}
