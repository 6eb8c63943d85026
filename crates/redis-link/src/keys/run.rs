//! The keys of runs of agents and of sessions, and of their listings.

use store_core::{AgentName, Namespace, RunFilter, RunId, SessionId};

/// `ns:{r.run}:run`: hash: `run` (layout, state, version, times, fence, events, agent, session), payloads, events. TTL: that of
/// the run, since its last write.
pub fn run(namespace: &Namespace, run: &RunId) -> String {
    format!("{namespace}:{{r.{run}}}:run")
}

/// `ns:{s.session}:session`: hash: the record of a session, as that of a run which never begins. Its state is the payload `input`. TTL: that
/// of the session, since its last save. The ids of sessions have the characters of those of runs.
pub fn session(namespace: &Namespace, session: &RunId) -> String {
    format!("{namespace}:{{s.{session}}}:session")
}

/// Records that the scripts of runs write: each kind has keys and listings of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunKeys {
    /// [`run`]; the listings have the tag `x.runs`.
    OfRuns,
    /// [`session`]; the listings have the tag `x.sessions`, and the keys of those of runs without a session.
    OfSessions,
}

impl RunKeys {
    /// The key of a record.
    pub fn record(self, namespace: &Namespace, id: &RunId) -> String {
        match self {
            Self::OfRuns => run(namespace, id),
            Self::OfSessions => session(namespace, id),
        }
    }

    /// `ns:{r.run}:call:id` or `ns:{s.session}:call:id`: string: the record that a call has created. TTL: as long as the call may be
    /// repeated.
    pub fn call(self, namespace: &Namespace, id: &RunId, call: u64) -> String {
        let tag = match self {
            Self::OfRuns => "r",
            Self::OfSessions => "s",
        };
        format!("{namespace}:{{{tag}.{id}}}:call:{call:016x}")
    }

    /// What the keys of the listings begin with: `ns:{x.runs}` or `ns:{x.sessions}`.
    pub fn listings(self, namespace: &Namespace) -> String {
        let tag = match self {
            Self::OfRuns => "x.runs",
            Self::OfSessions => "x.sessions",
        };
        format!("{namespace}:{{{tag}}}")
    }
}

/// The entries of one run in listings: sorted sets under one tag, so that one script writes them and listings have one order. No
/// TTL: `sweep` removes the entries of expired runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunIndexKeys {
    /// `ns:{x.runs}:ends`: sorted set: id, agent and session of a run and when it was created in µs with blanks between them, a time
    /// before which it has not expired in ms.
    pub ends: String,
    /// `ns:{x.runs}:all`: sorted set: id of a run, minus the time at which it was created in µs.
    pub all: String,
    /// `ns:{x.runs}:agent:agent`: as `all`, the runs of an agent.
    pub agent: String,
    /// `ns:{x.runs}:session:session`: as `all`, the runs of a session. That of the agent if there is no session.
    pub session: String,
    /// `ns:{x.runs}:both:agent+session`: as `all`, the runs of an agent in a session. That of the agent if there is no session.
    pub both: String,
}

impl RunIndexKeys {
    /// The keys that begin with `listings` ([`RunKeys::listings`], or [`HomeKeys::runs`](super::HomeKeys::runs)) for a record of this
    /// agent and session.
    pub fn under(listings: &str, agent: &AgentName, session: Option<&SessionId>) -> Self {
        let of = |filter: RunFilter| run_listing(listings, &filter);
        let of_agent = || RunFilter::default().of_agent(agent.clone());
        let in_session = |filter: RunFilter| of(session.map_or_else(of_agent, |name| filter.in_session(name.clone())));
        Self {
            ends: run_ends(listings),
            all: of(RunFilter::default()),
            agent: of(of_agent()),
            session: in_session(RunFilter::default()),
            both: in_session(of_agent()),
        }
    }

    /// All keys, in the order in which scripts take them.
    pub fn into_vec(self) -> Vec<String> {
        vec![self.ends, self.all, self.agent, self.session, self.both]
    }
}

/// [`RunIndexKeys::ends`] of these listings.
pub fn run_ends(listings: &str) -> String {
    format!("{listings}:ends")
}

/// The key of [`RunIndexKeys`] with the runs of this filter. No name holds a plus sign.
pub fn run_listing(listings: &str, filter: &RunFilter) -> String {
    let part = match (&filter.agent, &filter.session) {
        (None, None) => "all".to_owned(),
        (Some(agent), None) => format!("agent:{agent}"),
        (None, Some(session)) => format!("session:{session}"),
        (Some(agent), Some(session)) => format!("both:{agent}+{session}"),
    };
    format!("{listings}:{part}")
}

#[cfg(test)]
mod tests {
    use store_core::{AgentName, Namespace, RunId, SessionId};

    use super::{super::tag_of, RunIndexKeys, RunKeys, run, session};

    #[test]
    fn the_keys_of_listings_share_a_tag_and_none_is_that_of_another() {
        let namespace = Namespace::new("tw").unwrap();
        let (agent, of) = (AgentName::new("a:b").unwrap(), SessionId::new("c").unwrap());
        let keys = RunIndexKeys::under(&RunKeys::OfRuns.listings(&namespace), &agent, Some(&of)).into_vec();
        assert_eq!(
            keys,
            ["ends", "all", "agent:a:b", "session:c", "both:a:b+c"].map(|part| format!("tw:{{x.runs}}:{part}"))
        );
        let without = RunIndexKeys::under(&RunKeys::OfSessions.listings(&namespace), &agent, None);
        assert_eq!([&without.session, &without.both], [&without.agent; 2]);
        assert!(keys.iter().all(|key| tag_of(key.as_bytes()) == b"x.runs"));
        assert_eq!(without.agent, "tw:{x.sessions}:agent:a:b");
        let id = RunId::new("7/b").unwrap();
        assert_eq!(
            (run(&namespace, &id).as_str(), session(&namespace, &id).as_str()),
            ("tw:{r.7/b}:run", "tw:{s.7/b}:session")
        );
    }
}
