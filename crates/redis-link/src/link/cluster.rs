//! The nodes of a cluster, and the node of each slot.
//!
//! The link asks all nodes at the same time: at the start, every 10 s, and when a call shows a change. Of the reports of a working
//! cluster, the one with the highest epoch counts: a node that was cut off from the others reports an older epoch. A report that names
//! none of the known nodes is of another cluster, and is ignored. But if no known node reports, the cluster may have been created again:
//! then the servers that the URL names are believed.

use std::collections::{BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::task::{AbortHandle, JoinSet};

use super::node::Node;
use super::upstream::Upstream;
use crate::wire::Failure;
use crate::{Endpoint, LinkConfig};

mod asking;
mod slots;

use asking::{first_report, migrations_of, newest, report_of};
pub(super) use slots::SlotMap;
pub(crate) use slots::announced;
use slots::{Report, Standing};

/// How often the nodes are asked without a sign of a change.
const ASKED_EVERY: Duration = Duration::from_secs(10);
/// The pause after a question, twice as long after each answer that changes nothing.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause. Calls reach the successor of a dead node after at most this time.
const LONGEST_PAUSE: Duration = Duration::from_millis(400);
/// How long the connections to a node without slots are kept after a call was sent there.
const KEPT: Duration = Duration::from_secs(30);
/// How long the other primaries have to accept connections after the first has; at most a quarter of the connect time-out, which all
/// steps of a connect share.
const LATE: Duration = Duration::from_secs(1);

/// Why a server that is not a node of a cluster is refused.
pub(crate) const NO_NODE: &str = "the URL names a server that is no node of a cluster; use redis:// or rediss://";

pub(super) struct Cluster {
    shared: Arc<Shared>,
    keeper: AbortHandle,
}

/// What calls and the task that asks the nodes share.
pub(crate) struct Shared {
    config: LinkConfig,
    seeds: Vec<Endpoint>,
    members: RwLock<Members>,
    /// The slots of `members`.
    slots: watch::Sender<Arc<SlotMap>>,
    stale: Arc<Notify>,
}

/// The node of each slot, for subscriptions. Ends with the cluster.
#[derive(Clone)]
pub(super) struct Slots {
    map: watch::Receiver<Arc<SlotMap>>,
    stale: Arc<Notify>,
}

#[derive(Default)]
struct Members {
    /// The primaries, and nodes that are reported to have a slot.
    nodes: Vec<(Endpoint, Arc<Node>)>,
    /// Nodes to which slots are on the way, and when the last call was sent there.
    importing: Vec<(Endpoint, Arc<Node>, Instant)>,
    slots: Arc<SlotMap>,
    /// The standing of the report from which `slots` was read.
    standing: Standing,
    /// The ids of its nodes.
    ids: HashSet<String>,
}

impl Cluster {
    /// Asks the nodes that the URL names, and opens the connections to all primaries. One that cannot be reached does not
    /// prevent that, as long as another can.
    pub(super) async fn open(config: &LinkConfig, seeds: &[Endpoint]) -> Result<Self, Failure> {
        let report = first_report(config, seeds).await?;
        let mut opening = JoinSet::new();
        for endpoint in report.primaries() {
            let config = config.clone();
            opening.spawn(async move {
                let opened = Node::open(&config, &Upstream::Server(endpoint.clone())).await;
                (endpoint, opened)
            });
        }
        let (mut nodes, mut refused) = (Vec::new(), Vec::new());
        let late = LATE.min(config.connect_timeout / 4);
        loop {
            let next = match nodes.as_slice() {
                [] => opening.join_next().await,
                // The others are opened by tasks.
                _ => tokio::time::timeout(late, opening.join_next()).await.unwrap_or(None),
            };
            let Some(opened) = next else { break };
            match opened {
                Ok((endpoint, Ok(node))) => nodes.push((endpoint, Arc::new(node))),
                Ok((endpoint, Err(failure))) => refused.push((endpoint, failure)),
                Err(_) => {}
            }
        }
        if nodes.is_empty() {
            let failure = refused.pop().map(|(_, failure)| failure);
            return Err(failure.unwrap_or(Failure::NotSent("the cluster has no node with slots".into())));
        }
        let mut members = Members { nodes, ..Members::default() };
        members.apply(config, &report);
        let shared = Arc::new(Shared {
            config: config.clone(),
            seeds: seeds.to_vec(),
            slots: watch::Sender::new(Arc::clone(&members.slots)),
            members: RwLock::new(members),
            stale: Arc::default(),
        });
        let keeper = tokio::spawn(Arc::clone(&shared).keep()).abort_handle();
        Ok(Self { shared, keeper })
    }

    /// The node of a slot; any that can be reached, if slots do not matter.
    pub(super) fn node(&self, slot: Option<u16>) -> Result<Arc<Node>, Failure> {
        match slot {
            Some(slot) => {
                let (_, node) = self.owner(slot)?;
                if node.is_refusing() {
                    self.shared.stale.notify_one();
                    return Err(Failure::NotSent("the cluster is down".into()));
                }
                Ok(node)
            }
            None => self.shared.read().usable().map(|(_, node)| Arc::clone(node)).ok_or_else(|| self.lacking()),
        }
    }

    /// The node of a slot, and its address.
    pub(super) fn owner(&self, slot: u16) -> Result<(Endpoint, Arc<Node>), Failure> {
        let members = self.shared.read();
        let owner = members.slots.owner(slot);
        let found = owner.and_then(|owner| Some((owner.clone(), Arc::clone(members.at(owner)?))));
        found.ok_or_else(|| self.lacking())
    }

    fn lacking(&self) -> Failure {
        self.shared.stale.notify_one();
        Failure::NotSent("no node of the cluster has the slot of the key".into())
    }

    /// Identifies the division of the slots into parts, whichever node has each part; `None` if a slot has no node.
    pub(super) fn division(&self) -> Option<u64> {
        self.shared.read().slots.division()
    }

    /// As [`Cluster::division`], after asking all nodes. Differs while slots are on the way between nodes.
    pub(super) async fn division_now(&self) -> Result<Option<u64>, Failure> {
        if let Some(report) = self.shared.ask().await {
            self.shared.write(|members| members.apply(&self.shared.config, &report));
        }
        let mut asking = JoinSet::new();
        for node in self.nodes() {
            asking.spawn(async move { migrations_of(&node).await });
        }
        let mut migrations = BTreeSet::new();
        while let Some(answered) = asking.join_next().await {
            migrations.extend(answered.unwrap_or(Err(Failure::LOST))?);
        }
        let with_migrations = |division: u64| {
            let mut hasher = DefaultHasher::new();
            (division, &migrations).hash(&mut hasher);
            hasher.finish()
        };
        let division = self.division();
        Ok(if migrations.is_empty() { division } else { division.map(with_migrations) })
    }

    /// The lowest first slot of a node that is higher than `slot`.
    pub(super) fn first_slot_behind(&self, slot: u16) -> Option<u16> {
        self.shared.read().slots.firsts().into_iter().flatten().filter(|first| *first > slot).min()
    }

    /// A node reports that another has this slot.
    pub(super) fn moved(&self, slot: u16, to: &Endpoint) -> Arc<Node> {
        let node = self.shared.write(|members| {
            if members.slots.owner(slot) != Some(to) {
                Arc::make_mut(&mut members.slots).set(slot, to);
            }
            members.node(&self.shared.config, to)
        });
        self.shared.stale.notify_one();
        node
    }

    /// A node reports that a slot is on the way to another one.
    pub(super) fn asked(&self, to: &Endpoint) -> Arc<Node> {
        self.shared.write(|members| members.importing(&self.shared.config, to))
    }

    /// Asks the nodes if the failure of a call may mean that another node has its slot.
    pub(super) fn note(&self, failure: &Failure) {
        if failure.is_of_connection() || failure.is_silence() || failure.is_of_routing() {
            self.shared.stale.notify_one();
        }
    }

    /// The addresses of the nodes.
    pub(super) fn endpoints(&self) -> Vec<Endpoint> {
        self.shared.read().nodes.iter().map(|(endpoint, _)| endpoint.clone()).collect()
    }

    pub(super) fn nodes(&self) -> Vec<Arc<Node>> {
        self.shared.read().nodes.iter().map(|(_, node)| Arc::clone(node)).collect()
    }

    /// The slots, as they change.
    pub(super) fn slots(&self) -> Slots {
        Slots { map: self.shared.slots.subscribe(), stale: Arc::clone(&self.shared.stale) }
    }

    pub(super) fn close(&self) {
        self.keeper.abort();
        self.nodes().iter().for_each(|node| node.close());
        self.shared.read().importing.iter().for_each(|(_, node, _)| node.close());
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.close();
    }
}

impl Slots {
    /// The node that has a slot.
    pub(super) fn owner(&self, slot: u16) -> Option<Endpoint> {
        self.map.borrow().owner(slot).cloned()
    }

    /// Waits until the nodes were asked again, or a call was answered by another node. Returns whether the cluster still exists.
    pub(super) async fn changed(&mut self) -> bool {
        self.map.changed().await.is_ok()
    }

    /// Asks the nodes, because a connection showed a change.
    pub(super) fn doubt(&self) {
        self.stale.notify_one();
    }
}

impl Shared {
    async fn keep(self: Arc<Self>) {
        let mut pause = SHORTEST_PAUSE;
        loop {
            if !self.read().nodes.iter().any(|(_, node)| node.is_refusing()) {
                let within = ASKED_EVERY.mul_f64(0.75 + fastrand::f64() / 2.0);
                if tokio::time::timeout(within, self.stale.notified()).await.is_err() {
                    pause = SHORTEST_PAUSE;
                }
            }
            let newest = match self.ask().await {
                Some(report) => Some(report),
                None => first_report(&self.config, &self.seeds).await.ok(),
            };
            let is_news = newest.is_some_and(|report| self.write(|members| members.apply(&self.config, &report)));
            pause = if is_news { SHORTEST_PAUSE } else { pause };
            tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Asks all nodes at the same time. The newest report about this cluster; `None` if there is none.
    async fn ask(&self) -> Option<Report> {
        let (members, ids) = {
            let members = self.read();
            (members.nodes.clone(), members.ids.clone())
        };
        let mut asking = JoinSet::new();
        for (endpoint, node) in members {
            asking.spawn(async move { report_of(&node, &endpoint).await });
        }
        newest(asking, &ids).await.ok()
    }

    fn read(&self) -> RwLockReadGuard<'_, Members> {
        self.members.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write<T>(&self, change: impl FnOnce(&mut Members) -> T) -> T {
        let mut members = self.members.write().unwrap_or_else(PoisonError::into_inner);
        let before = Arc::clone(&members.slots);
        let changed = change(&mut members);
        if !Arc::ptr_eq(&before, &members.slots) {
            self.slots.send_replace(Arc::clone(&members.slots));
        }
        changed
    }
}

impl Members {
    fn at(&self, endpoint: &Endpoint) -> Option<&Arc<Node>> {
        self.nodes.iter().find(|(other, _)| other == endpoint).map(|(_, node)| node)
    }

    /// A node that can be reached; not always the same.
    fn usable(&self) -> Option<&(Endpoint, Arc<Node>)> {
        let first = fastrand::usize(..self.nodes.len().max(1));
        let (later, earlier) = self.nodes.split_at_checked(first)?;
        earlier.iter().chain(later).find(|(_, node)| node.is_usable())
    }

    /// The node at an address, which is begun if there is none.
    fn node(&mut self, config: &LinkConfig, endpoint: &Endpoint) -> Arc<Node> {
        if let Some(node) = self.at(endpoint) {
            return Arc::clone(node);
        }
        let imported = self.importing.extract_if(.., |(other, ..)| other == endpoint).next();
        let node = imported.map_or_else(|| begin(config, endpoint), |(_, node, _)| node);
        self.nodes.push((endpoint.clone(), Arc::clone(&node)));
        node
    }

    /// The node at an address, which is kept for some time although it has no slots.
    fn importing(&mut self, config: &LinkConfig, endpoint: &Endpoint) -> Arc<Node> {
        if let Some(node) = self.at(endpoint) {
            return Arc::clone(node);
        }
        if let Some((_, node, last)) = self.importing.iter_mut().find(|(other, ..)| other == endpoint) {
            *last = Instant::now();
            return Arc::clone(node);
        }
        let node = begin(config, endpoint);
        self.importing.push((endpoint.clone(), Arc::clone(&node), Instant::now()));
        node
    }

    /// Replaces the primaries, unless a newer report is known. Calls in progress at other nodes end. Returns whether that changes which
    /// node has which slot.
    fn apply(&mut self, config: &LinkConfig, report: &Report) -> bool {
        let primaries = report.primaries();
        let is_older = report.is_of(&self.ids) && report.standing() < self.standing;
        if primaries.is_empty() || is_older {
            return false;
        }
        self.standing = report.standing();
        self.ids.clone_from(report.ids());
        if let Some(losses) = &config.losses {
            losses.primaries(&primaries, report.slots());
        }
        self.nodes.retain(|(endpoint, _)| primaries.contains(endpoint));
        for endpoint in &primaries {
            self.node(config, endpoint);
        }
        self.importing.retain(|(.., last)| last.elapsed() < KEPT);
        let is_news = !self.slots.is_same(report.slots());
        if is_news {
            self.slots = Arc::clone(report.slots());
        }
        is_news
    }
}

fn begin(config: &LinkConfig, endpoint: &Endpoint) -> Arc<Node> {
    tracing::debug!(node = %endpoint, "connections to another node of the cluster are opened");
    Arc::new(Node::begin(config, &Upstream::Server(endpoint.clone())))
}
