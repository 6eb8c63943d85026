//! What each sentinel reports, and what follows from it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::wire::Failure;
use crate::{Endpoint, Reply};

/// What the sentinels report, by their addresses.
#[derive(Default)]
pub(super) struct Views(BTreeMap<Endpoint, View>);

/// What one sentinel reports.
#[derive(Default)]
struct View {
    /// Whether the URL names it.
    is_seed: bool,
    /// Whether there is a connection to it.
    is_live: bool,
    /// Its identity.
    id: Option<String>,
    primary: Option<Primary>,
    /// The other sentinels that it knows.
    others: Vec<Sentinel>,
    problem: Option<Problem>,
}

/// The primary that a sentinel reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Primary {
    pub(super) endpoint: Endpoint,
    /// Which failover made it the primary; larger is later.
    epoch: u64,
}

/// A sentinel that another one reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sentinel {
    endpoint: Endpoint,
    id: String,
}

/// Why a sentinel reports no primary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Problem {
    /// It cannot be reached.
    Unreachable,
    /// It refuses the user or the password.
    Refused,
    /// It does not monitor the service.
    UnknownService,
    /// The server is no sentinel.
    NoSentinel,
    /// No encrypted connection could be opened.
    Tls(Cow<'static, str>),
}

impl Views {
    /// Nothing is known but the sentinels that a URL names.
    pub(super) fn of(seeds: &[Endpoint]) -> Self {
        let seed = || View { is_seed: true, ..View::default() };
        Self(seeds.iter().map(|endpoint| (endpoint.clone(), seed())).collect())
    }

    /// The sentinels to watch.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.0.keys()
    }

    /// The primary of the newest failover that any sentinel has reported. The report of a sentinel that cannot be reached is ignored
    /// only if most sentinels can be reached.
    pub(super) fn primary(&self) -> Option<&Endpoint> {
        let newest = |must_live: bool| {
            let views = self.0.values().filter(|view| view.is_live || !must_live);
            views.filter_map(|view| view.primary.as_ref()).max_by_key(|primary| primary.epoch)
        };
        let live = self.0.values().filter(|view| view.is_live && view.primary.is_some()).count();
        let are_most = 2 * live > self.0.len();
        newest(are_most).map(|primary| &primary.endpoint)
    }

    /// Whether each sentinel has answered or failed, and none reports a primary.
    pub(super) fn are_hopeless(&self) -> bool {
        self.0.values().all(|view| view.problem.is_some() && view.primary.is_none())
    }

    /// Why there is no primary: the most telling problem of all sentinels.
    pub(super) fn failure(&self) -> Failure {
        let has = |problem: Problem| self.0.values().any(|view| view.problem.as_ref() == Some(&problem));
        if has(Problem::UnknownService) {
            return Failure::InvalidArgument(
                "the sentinels do not monitor a service of the URL's name; correct the name behind the hosts, or the \
                 `sentinel monitor` line"
                    .into(),
            );
        }
        if has(Problem::Refused) {
            return Failure::Unauthenticated("the sentinels refuse the user or the password for sentinels".into());
        }
        if has(Problem::NoSentinel) {
            return Failure::InvalidArgument(
                "the URL names a server that is no sentinel; use redis:// for a data server".into(),
            );
        }
        let tls = self.0.values().find_map(|view| match &view.problem {
            Some(Problem::Tls(detail)) => Some(Failure::Tls(detail.clone())),
            _ => None,
        });
        tls.unwrap_or(Failure::NotSent("no sentinel answered".into()))
    }

    /// A sentinel was reached. Returns whether it is to be watched: not if another address leads to it.
    pub(super) fn reached(&mut self, endpoint: &Endpoint, id: &str) -> bool {
        let is_known =
            self.0.iter().any(|(other, view)| other != endpoint && view.is_live && view.id.as_deref() == Some(id));
        if let Some(view) = self.0.get_mut(endpoint) {
            (view.is_live, view.id) = (!is_known, Some(id.to_owned()));
        }
        !is_known
    }

    /// A sentinel reports this primary. Returns whether that is news.
    pub(super) fn reported(&mut self, endpoint: &Endpoint, primary: Primary) -> bool {
        let Some(view) = self.0.get_mut(endpoint) else { return false };
        let is_news = view.primary.as_ref() != Some(&primary);
        (view.primary, view.problem) = (Some(primary), None);
        is_news
    }

    /// A sentinel knows these others. Adds those that are not watched yet. Returns whether there are any.
    pub(super) fn learned(&mut self, endpoint: &Endpoint, others: Vec<Sentinel>) -> bool {
        let is_watched = |other: &Sentinel| {
            self.0.contains_key(&other.endpoint)
                || self.0.values().any(|view| view.is_live && view.id.as_deref() == Some(&other.id))
        };
        let fresh: Vec<_> =
            others.iter().filter(|other| !is_watched(other)).map(|other| other.endpoint.clone()).collect();
        if let Some(view) = self.0.get_mut(endpoint) {
            view.others = others;
        }
        let has_any = !fresh.is_empty();
        self.0.extend(fresh.into_iter().map(|endpoint| (endpoint, View::default())));
        has_any
    }

    /// A sentinel cannot be asked. Returns whether it is still to be watched: the URL names it, or another one knows it.
    pub(super) fn failed(&mut self, endpoint: &Endpoint, problem: Problem) -> bool {
        let is_known =
            self.0.values().any(|view| view.is_live && view.others.iter().any(|other| other.endpoint == *endpoint));
        let Some(view) = self.0.get_mut(endpoint) else { return false };
        if !view.is_seed && !is_known {
            self.0.remove(endpoint);
            return false;
        }
        (view.is_live, view.problem) = (false, Some(problem));
        true
    }
}

impl Primary {
    /// Reads the replies to `SENTINEL MASTER`, names and values, and to `SENTINEL GET-MASTER-ADDR-BY-NAME`, host and port.
    pub(super) fn parse(fields: &Reply, address: &Reply) -> Option<Self> {
        let Reply::List(address) = address else { return None };
        let [host, port] = address.as_slice() else { return None };
        let endpoint = Endpoint::new(host.as_str()?, port.as_str()?.parse().ok()?);
        Some(Self { endpoint, epoch: field(fields, "config-epoch")?.parse().ok()? })
    }
}

impl Sentinel {
    /// Reads the reply to `SENTINEL SENTINELS`: a list of names and values for each.
    pub(super) fn parse_all(reply: &Reply) -> Vec<Self> {
        let Reply::List(sentinels) = reply else { return Vec::new() };
        let parse = |reply: &Reply| {
            let endpoint = Endpoint::new(field(reply, "ip")?, field(reply, "port")?.parse().ok()?);
            Some(Self { endpoint, id: field(reply, "runid")?.to_owned() })
        };
        sentinels.iter().filter_map(parse).collect()
    }
}

fn field<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
    let Reply::List(fields) = reply else { return None };
    let pair = fields.chunks_exact(2).find(|pair| pair[0].as_str() == Some(name))?;
    pair[1].as_str().filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> Endpoint {
        Endpoint::new("10.0.0.1", port)
    }

    fn text(text: impl Into<String>) -> Reply {
        Reply::Bytes(text.into().into())
    }

    fn primary(port: u16, epoch: u64) -> Primary {
        let fields = [("name", "main".to_owned()), ("port", "1".to_owned()), ("config-epoch", epoch.to_string())];
        let fields = fields.into_iter().flat_map(|(name, value)| [text(name), text(value)]).collect();
        let address = [text("10.0.0.1"), text(port.to_string())];
        Primary::parse(&Reply::List(fields), &Reply::List(address.to_vec())).unwrap()
    }

    fn sentinels(ports: &[u16]) -> Vec<Sentinel> {
        let one = |port: &u16| {
            let fields = ["ip", "10.0.0.1", "port", &port.to_string(), "runid", &format!("id-{port}")].map(text);
            Reply::List(fields.to_vec())
        };
        Sentinel::parse_all(&Reply::List(ports.iter().map(one).collect()))
    }

    #[test]
    fn the_last_failover_counts_and_sentinels_that_can_be_reached() {
        let mut views = Views::of(&[at(1), at(2), at(3)]);
        assert!(views.primary().is_none() && !views.are_hopeless());
        for (port, epoch) in [(1, 4), (2, 5), (3, 4)] {
            assert!(views.reached(&at(port), &format!("id-{port}")));
            assert!(views.reported(&at(port), primary(100 + epoch, u64::from(epoch))));
        }
        assert_eq!(views.primary(), Some(&at(105)));
        assert!(!views.reported(&at(2), primary(105, 5)), "nothing new");
        assert!(views.failed(&at(2), Problem::Unreachable));
        assert_eq!(views.primary(), Some(&at(104)), "its report is not believed against those of most");
        assert!(views.failed(&at(1), Problem::Unreachable));
        assert_eq!(views.primary(), Some(&at(105)), "one sentinel may be cut off from the others");
        assert!(views.failed(&at(3), Problem::Unreachable));
        assert_eq!(views.primary(), Some(&at(105)), "without any sentinel, the last report is used");
    }

    #[test]
    fn sentinels_are_learned_once_and_forgotten_when_no_other_knows_them() {
        let mut views = Views::of(&[at(1)]);
        assert!(views.reached(&at(1), "id-1"));
        assert!(views.learned(&at(1), sentinels(&[2, 3])) && !views.learned(&at(1), sentinels(&[2, 3])));
        assert_eq!(views.endpoints().count(), 3);
        assert!(views.reached(&at(2), "id-2") && !views.learned(&at(2), sentinels(&[1, 3])));
        assert!(views.failed(&at(3), Problem::Unreachable), "others know it");
        views.learned(&at(1), sentinels(&[2]));
        views.learned(&at(2), sentinels(&[1]));
        assert!(!views.failed(&at(3), Problem::Unreachable) && views.endpoints().count() == 2);
        assert!(views.failed(&at(1), Problem::Unreachable), "the URL names it");
    }

    #[test]
    fn two_addresses_of_one_sentinel_are_watched_once() {
        let mut views = Views::of(&[at(1), Endpoint::new("sentinel-1", 1)]);
        assert!(views.reached(&at(1), "id-1") && !views.reached(&Endpoint::new("sentinel-1", 1), "id-1"));
        views.failed(&at(1), Problem::Unreachable);
        assert!(views.reached(&Endpoint::new("sentinel-1", 1), "id-1"));
    }

    #[test]
    fn without_a_primary_the_most_telling_problem_is_returned() {
        let mut views = Views::of(&[at(1), at(2)]);
        views.failed(&at(1), Problem::Unreachable);
        assert!(!views.are_hopeless());
        views.failed(&at(2), Problem::Unreachable);
        assert!(views.are_hopeless() && matches!(views.failure(), Failure::NotSent(_)));
        views.failed(&at(2), Problem::Refused);
        assert!(matches!(views.failure(), Failure::Unauthenticated(_)));
        views.failed(&at(1), Problem::UnknownService);
        assert!(matches!(views.failure(), Failure::InvalidArgument(text) if text.contains("monitor")));
    }
}
