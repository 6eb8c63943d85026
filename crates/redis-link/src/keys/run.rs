//! The keys of runs of agents, and of their listings.

use store_core::{AgentName, Namespace, RunFilter, RunId, SessionId};

/// `ns:{r.run}:run`: hash: `run` (layout, state, version, times, fence, events, agent, session), payloads, events. TTL: that of
/// the run, since its last write.
pub fn run(namespace: &Namespace, run: &RunId) -> String {
    format!("{namespace}:{{r.{run}}}:run")
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
    /// The keys for a run of this agent and session.
    pub fn new(namespace: &Namespace, agent: &AgentName, session: Option<&SessionId>) -> Self {
        let of = |filter: RunFilter| run_listing(namespace, &filter);
        let of_agent = || RunFilter::default().of_agent(agent.clone());
        let in_session = |filter: RunFilter| of(session.map_or_else(of_agent, |name| filter.in_session(name.clone())));
        Self {
            ends: run_ends(namespace),
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

/// [`RunIndexKeys::ends`].
pub fn run_ends(namespace: &Namespace) -> String {
    format!("{namespace}:{{x.runs}}:ends")
}

/// The key of [`RunIndexKeys`] with the runs of this filter. No name holds a plus sign.
pub fn run_listing(namespace: &Namespace, filter: &RunFilter) -> String {
    let part = match (&filter.agent, &filter.session) {
        (None, None) => "all".to_owned(),
        (Some(agent), None) => format!("agent:{agent}"),
        (None, Some(session)) => format!("session:{session}"),
        (Some(agent), Some(session)) => format!("both:{agent}+{session}"),
    };
    format!("{namespace}:{{x.runs}}:{part}")
}

#[cfg(test)]
mod tests {
    use store_core::{AgentName, Namespace, RunId, SessionId};

    use super::{super::tag_of, RunIndexKeys, run};

    #[test]
    fn the_keys_of_listings_share_a_tag_and_none_is_that_of_another() {
        let namespace = Namespace::new("tw").unwrap();
        let (agent, session) = (AgentName::new("a:b").unwrap(), SessionId::new("c").unwrap());
        let keys = RunIndexKeys::new(&namespace, &agent, Some(&session)).into_vec();
        assert_eq!(
            keys,
            ["ends", "all", "agent:a:b", "session:c", "both:a:b+c"].map(|part| format!("tw:{{x.runs}}:{part}"))
        );
        let without = RunIndexKeys::new(&namespace, &agent, None);
        assert_eq!([&without.session, &without.both], [&without.agent; 2]);
        assert!(keys.iter().all(|key| tag_of(key.as_bytes()) == b"x.runs"));
        assert_eq!(run(&namespace, &RunId::new("7/b").unwrap()), "tw:{r.7/b}:run");
    }
}
