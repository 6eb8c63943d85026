//! Iterates over all keys, in a cluster over those of all nodes.

use store_core::{Durability, Error, Op, Result};

use super::Link;
use super::routes::Routes;
use crate::wire::{Failure, Request};
use crate::{Arg, Endpoint, Reply, ReplyReader};

/// Where an iteration continues.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// `None` on one server.
    node: Option<NodePlace>,
    /// The cursor of the server.
    cursor: String,
}

/// The node of a cluster that is being iterated over.
#[derive(Debug, Clone, PartialEq, Eq)]
struct NodePlace {
    /// How the slots were divided when the iteration began, or when it began again.
    division: u64,
    /// The first slot of the node, which identifies it: a replica that replaces the node has the same slots.
    slot: u16,
    /// The node to which the cursor belongs. At another node, the iteration of this part begins again.
    endpoint: Option<Endpoint>,
}

impl Link {
    /// One step of an iteration over all keys, which examines about `count` of them. Returns the keys that match `pattern`, and the
    /// cursor of the next step, unless this was the last. A key that exists from the first step to the last is returned at least
    /// once. In a cluster too: if slots have moved between nodes meanwhile, or are on the way, the iteration visits all nodes again. It
    /// asks for them with `CLUSTER NODES`: a user without that right may miss a key that moves with an unfinished migration. So does an
    /// iteration during which a migration is abandoned.
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
        let node = match (&mut place.node, &self.inner.routes) {
            (Some(at), Routes::Cluster(cluster)) => {
                let (endpoint, node) = cluster.owner(at.slot)?;
                if at.endpoint.as_ref() != Some(&endpoint) {
                    "0".clone_into(&mut place.cursor);
                }
                at.endpoint = Some(endpoint);
                node
            }
            (_, routes) => routes.first(None)?.node,
        };
        let args = [place.cursor.as_str(), "MATCH", pattern, "COUNT"].map(Arg::from);
        let request = Request::new("SCAN", args.into_iter().chain([Arg::from(count)]));
        let answered = match node.connection() {
            Ok(connection) => connection.send(request, self.inner.enter()?).await,
            Err(failure) => Err(failure),
        };
        if let (Err(failure), Routes::Cluster(cluster)) = (&answered, &self.inner.routes) {
            cluster.note(failure);
        }
        let Reply::List(mut fields) = answered? else { return Err(UNREADABLE) };
        let (Some(keys @ Reply::List(_)), Some(cursor)) = (fields.pop(), fields.pop()) else { return Err(UNREADABLE) };
        cursor.as_str().unwrap_or("0").clone_into(&mut place.cursor);
        Ok((place.next(&self.inner.routes).await?, keys))
    }
}

const UNCOVERED: &str = "a slot of the cluster has no node";
const UNREADABLE: Failure = Failure::Unsupported("the server's answer to SCAN is not a cursor and a list");

impl Place {
    /// The first place; `None` if a slot has no node.
    fn first(routes: &Routes) -> Option<Self> {
        let node = match routes {
            Routes::One(_) => None,
            Routes::Cluster(cluster) => {
                let division = cluster.division()?;
                Some(NodePlace { division, slot: 0, endpoint: None })
            }
        };
        Some(Self { node, cursor: "0".to_owned() })
    }

    /// The next place; `None` after the last one.
    async fn next(self, routes: &Routes) -> Result<Option<Self>, Failure> {
        let (Some(at), Routes::Cluster(cluster)) = (&self.node, routes) else {
            return Ok(Some(self).filter(|place| place.cursor != "0"));
        };
        if self.cursor != "0" {
            return Ok(Some(self));
        }
        let uncovered = Failure::NotSent(UNCOVERED);
        let node = match cluster.first_slot_behind(at.slot) {
            Some(_) if cluster.division().is_none() => return Err(uncovered),
            Some(slot) => NodePlace { division: at.division, slot, endpoint: None },
            None => match cluster.division_now().await?.ok_or(uncovered)? {
                division if division == at.division => return Ok(None),
                // A key may have moved from a node that had not been visited to one that had.
                division => NodePlace { division, slot: 0, endpoint: None },
            },
        };
        Ok(Some(Self { node: Some(node), cursor: "0".to_owned() }))
    }

    fn read(text: &str, is_cluster: bool) -> Option<Self> {
        let mut parts = text.splitn(4, '/');
        let cursor = parts.next().filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))?;
        let node = match is_cluster {
            true => {
                let (division, slot) = (u64::from_str_radix(parts.next()?, 16).ok()?, parts.next()?.parse().ok()?);
                let endpoint = match parts.next()? {
                    "" => None,
                    text => {
                        let (host, port) = text.rsplit_once(':')?;
                        Some(Endpoint::new(host, port.parse().ok()?))
                    }
                };
                Some(NodePlace { division, slot, endpoint })
            }
            false => None,
        };
        parts.next().is_none().then(|| Self { node, cursor: cursor.to_owned() })
    }

    fn write(&self) -> String {
        let Self { node: Some(node), cursor } = self else { return self.cursor.clone() };
        let endpoint = node.endpoint.as_ref().map(|node| format!("{}:{}", node.host, node.port)).unwrap_or_default();
        format!("{cursor}/{:x}/{}/{endpoint}", node.division, node.slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let endpoint = |host| Some(Endpoint::new(host, 7000));
        let nodes = [None, Some(None), Some(endpoint("10.0.0.1")), Some(endpoint("2001:db8::1"))];
        for node in nodes {
            let node = node.map(|endpoint| NodePlace { division: u64::MAX, slot: 16_383, endpoint });
            let place = Place { node, cursor: "123".to_owned() };
            assert_eq!(Place::read(&place.write(), place.node.is_some()), Some(place));
        }
        for text in ["", "x", "-1", "1/", "1/2/3", "1/x/3/", "1/2/70000/", "1/2/3/host", "1/2/3/a:1/"] {
            assert_eq!(Place::read(text, true), None, "{text}");
        }
        assert_eq!(Place::read("1/2/3/a:1", false), None);
    }
}
