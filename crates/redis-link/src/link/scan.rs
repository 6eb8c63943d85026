//! Iterates over all keys, in a cluster over those of all nodes.

use store_core::{Durability, Error, Op, Result};

use super::node::Node;
use super::routes::Routes;
use super::{Link, loss};
use crate::wire::{Failure, Request};
use crate::{Arg, Reply, ReplyReader};

/// Where an iteration continues.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// `None` on one server.
    node: Option<NodePlace>,
    /// The cursor of the server.
    cursor: String,
    /// The process to which the cursor belongs: its `run_id`, or if the server hides that, its address. A cursor is a position in the
    /// order that a process gives the keys, so at another process the iteration of this part begins again.
    process: Option<String>,
}

/// The node of a cluster that is being iterated over.
#[derive(Debug, Clone, PartialEq, Eq)]
struct NodePlace {
    /// How the slots were divided when the iteration began, or when it began again.
    division: u64,
    /// The first slot of the node, which identifies it: a replica that replaces the node has the same slots.
    slot: u16,
}

impl Link {
    /// One step of an iteration over all keys, which examines about `count` of them. Returns the keys that match `pattern`, and the
    /// cursor of the next step, unless this was the last. A key that exists from the first step to the last is returned at least
    /// once. If a server was restarted or replaced meanwhile, the iteration over its keys begins again. One round trip, `INFO server`
    /// and `SCAN`; then another one. The cursor names the process of the server by its `run_id`, or by its address if the user may not
    /// send `INFO`: such a user may miss a key after a restart.
    ///
    /// If slots of a cluster have moved between nodes meanwhile, or are on the way, the iteration visits all nodes again. It asks for
    /// them with `CLUSTER NODES`: a user without that right may miss a key that moves with an unfinished migration. So does an iteration
    /// during which a migration is abandoned.
    ///
    /// # Errors
    /// `InvalidArgument` for a text that is not a cursor; `Unavailable` while a slot of a cluster has no node. Otherwise as
    /// [`Link::call`].
    pub async fn scan(
        &self,
        op: Op,
        pattern: &str,
        count: u64,
        after: Option<&str>,
    ) -> Result<(ReplyReader, Option<String>)> {
        let routes = &self.inner.routes;
        let place = match after {
            Some(after) => Place::read(after, routes.is_cluster()),
            None => Place::first(routes),
        };
        let place = place.ok_or_else(|| match after {
            Some(_) => Error::invalid_argument(op, "the cursor is not one of this listing"),
            None => Error::unavailable(op, UNCOVERED),
        })?;
        let step = || self.scan_at(&place, pattern, count);
        let ((next, keys), _) = self.attempts(op, "SCAN", &self.copies(Durability::Accepted), step).await?;
        Ok((keys.reader(op), next.map(|place| place.write())))
    }

    /// The next place, and the keys.
    async fn scan_at(&self, place: &Place, pattern: &str, count: u64) -> Result<(Option<Place>, Reply), Failure> {
        self.inner.check_open()?;
        let mut place = place.clone();
        let node = match (&place.node, &self.inner.routes) {
            (Some(at), Routes::Cluster(cluster)) => cluster.owner(at.slot)?.1,
            (_, routes) => routes.first(None)?.node,
        };
        let answered = self.scan_node(&node, &mut place, pattern, count).await;
        if let (Err(failure), Routes::Cluster(cluster)) = (&answered, &self.inner.routes) {
            cluster.note(failure);
        }
        let Reply::List(mut fields) = answered? else { return Err(UNREADABLE) };
        let (Some(keys @ Reply::List(_)), Some(cursor)) = (fields.pop(), fields.pop()) else { return Err(UNREADABLE) };
        cursor.as_str().unwrap_or(FIRST).clone_into(&mut place.cursor);
        Ok((place.next(&self.inner.routes).await?, keys))
    }

    /// The reply to `SCAN`, from the process to which the cursor of `place` belongs, or from another one with its first cursor.
    async fn scan_node(&self, node: &Node, place: &mut Place, pattern: &str, count: u64) -> Result<Reply, Failure> {
        let _permit = self.inner.enter()?;
        let wire = node.connection()?.wire()?;
        loop {
            let args = [place.cursor.as_str(), "MATCH", pattern, "COUNT"].map(Arg::from);
            let scan = Request::new("SCAN", args.into_iter().chain([Arg::from(count)]));
            let requests = vec![Request::new("INFO", [Arg::fixed("server")]), scan];
            let mut replies = wire.pipeline(requests, self.inner.config.command_timeout).await?.into_iter();
            let (server, scanned) = (replies.next(), replies.next().unwrap_or(Err(Failure::LOST)));
            let run = server.as_ref().and_then(|server| loss::run_id(server.as_ref().ok()?).map(str::to_owned));
            let process = run.or_else(|| node.endpoint().map(|node| format!("{}:{}", node.host, node.port)));
            let is_same = process == place.process;
            place.process = process;
            if is_same || place.cursor == FIRST || scanned.is_err() {
                return scanned;
            }
            FIRST.clone_into(&mut place.cursor);
        }
    }
}

/// The cursor with which an iteration begins; a server returns it at the end.
const FIRST: &str = "0";

const UNCOVERED: &str = "a slot of the cluster has no node";
const UNREADABLE: Failure = Failure::Unsupported("the server's answer to SCAN is not a cursor and a list");

impl Place {
    /// The first place; `None` if a slot has no node.
    fn first(routes: &Routes) -> Option<Self> {
        let node = match routes {
            Routes::One(_) => None,
            Routes::Cluster(cluster) => {
                let division = cluster.division()?;
                Some(NodePlace { division, slot: 0 })
            }
        };
        Some(Self::at(node))
    }

    /// The beginning of a part.
    fn at(node: Option<NodePlace>) -> Self {
        Self { node, cursor: FIRST.to_owned(), process: None }
    }

    /// The next place; `None` after the last one.
    async fn next(self, routes: &Routes) -> Result<Option<Self>, Failure> {
        let (Some(at), Routes::Cluster(cluster)) = (&self.node, routes) else {
            return Ok(Some(self).filter(|place| place.cursor != FIRST));
        };
        if self.cursor != FIRST {
            return Ok(Some(self));
        }
        let uncovered = Failure::NotSent(UNCOVERED.into());
        let node = match cluster.first_slot_behind(at.slot) {
            Some(_) if cluster.division().is_none() => return Err(uncovered),
            Some(slot) => NodePlace { division: at.division, slot },
            None => match cluster.division_now().await?.ok_or(uncovered)? {
                division if division == at.division => return Ok(None),
                // A key may have moved from a node that had not been visited to one that had.
                division => NodePlace { division, slot: 0 },
            },
        };
        Ok(Some(Self::at(Some(node))))
    }

    fn read(text: &str, is_cluster: bool) -> Option<Self> {
        let mut parts = text.split('/');
        let cursor = parts.next().filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))?;
        let node = match is_cluster {
            true => {
                let (division, slot) = (u64::from_str_radix(parts.next()?, 16).ok()?, parts.next()?.parse().ok()?);
                Some(NodePlace { division, slot })
            }
            false => None,
        };
        let process = parts.next()?;
        let process = (!process.is_empty()).then(|| process.to_owned());
        parts.next().is_none().then(|| Self { node, cursor: cursor.to_owned(), process })
    }

    fn write(&self) -> String {
        let Self { node, cursor, process } = self;
        let process = process.as_deref().unwrap_or_default();
        match node {
            Some(node) => format!("{cursor}/{:x}/{}/{process}", node.division, node.slot),
            None => format!("{cursor}/{process}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let processes = [None, Some("0123456789abcdef0123456789abcdef01234567"), Some("2001:db8::1:7000")];
        for process in processes.map(|process| process.map(str::to_owned)) {
            for node in [None, Some(NodePlace { division: u64::MAX, slot: 16_383 })] {
                let place = Place { node, cursor: "123".to_owned(), process: process.clone() };
                let text = place.write();
                assert!(text.len() <= 90, "{text}");
                assert_eq!(Place::read(&text, place.node.is_some()), Some(place));
            }
        }
        for text in ["", "x", "-1", "1/", "1/2/3", "1/x/3/", "1/2/70000/", "1/2/3/a:1/"] {
            assert_eq!(Place::read(text, true), None, "{text}");
        }
        for text in ["", "x/", "1", "1/2/3/a:1"] {
            assert_eq!(Place::read(text, false), None, "{text}");
        }
    }
}
