use std::ops::RangeInclusive;

use crate::RedisServer;

/// One line of `CLUSTER NODES`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) id: String,
    flags: String,
    /// The id of its primary.
    pub(super) replicates: Option<String>,
    /// The epoch of its claim of the slots.
    pub(super) epoch: u64,
    is_connected: bool,
    pub(super) slots: Vec<RangeInclusive<u16>>,
}

impl Node {
    pub(super) fn is_primary(&self) -> bool {
        self.has("master")
    }

    /// Whether the node that reports this line has a link to it and does not take it for down.
    pub(super) fn is_up(&self) -> bool {
        !["fail", "fail?", "handshake", "noaddr"].iter().any(|flag| self.has(flag))
            && (self.is_connected || self.has("myself"))
    }

    pub(super) fn owns(&self, slot: u16) -> bool {
        self.slots.iter().any(|slots| slots.contains(&slot))
    }

    fn has(&self, flag: &str) -> bool {
        self.flags.split(',').any(|has| has == flag)
    }

    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(' ');
        let mut next = || fields.next();
        let (id, _address, flags, primary) = (next()?, next()?, next()?, next()?);
        let (_ping, _pong, epoch, link) = (next()?, next()?, next()?, next()?);
        let slots = fields.filter(|slots| !slots.starts_with('[')).filter_map(|slots| {
            let (first, last) = slots.split_once('-').unwrap_or((slots, slots));
            Some(first.parse().ok()?..=last.parse().ok()?)
        });
        Some(Self {
            id: id.to_owned(),
            flags: flags.to_owned(),
            replicates: (primary != "-").then(|| primary.to_owned()),
            epoch: epoch.parse().ok()?,
            is_connected: link == "connected",
            slots: slots.collect(),
        })
    }
}

/// The cluster as one node reports it.
pub(super) async fn view(server: &RedisServer) -> Option<Vec<Node>> {
    let nodes = server.command(&["CLUSTER", "NODES"]).await.ok()?;
    nodes.as_str()?.lines().filter(|line| !line.is_empty()).map(Node::parse).collect()
}
