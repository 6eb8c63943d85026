//! The URLs of the two stores, each in the forms that its role accepts.

use redis_link::{MAX_DATABASE, ServerUrl, Topology, UrlError};
use store_core::Role;

use super::Reader;
use crate::draft::Connection;
use crate::settings::Engine;
use crate::variable::{CACHE_URL, STATE_URL};
use crate::{Code, Finding};

/// The part of the parser's advice that applies to this version and this role.
fn advice(error: UrlError, role: Role) -> String {
    match (error, role) {
        (UrlError::Scheme, Role::Cache) => {
            "the URL's scheme is unknown; write redis://, rediss://, redis-sentinel://, rediss-sentinel:// or embedded:"
                .to_owned()
        }
        (UrlError::Scheme, Role::State) => {
            "the URL's scheme is unknown; write redis://, rediss://, redis-sentinel://, rediss-sentinel://, \
             redis-cluster://, rediss-cluster://, kvrocks://, kvrockss:// or embedded:"
                .to_owned()
        }
        (UrlError::Database, Role::Cache) => "the URL has a path; remove it".to_owned(),
        (error, _) => error.to_string(),
    }
}

const NOT_SERVED: &str = "names a topology that this version does not serve; use one server or a primary and its replicas (redis:// or rediss://), \
                          the primary of sentinels (redis-sentinel:// or rediss-sentinel://), or embedded:";

impl Reader<'_> {
    pub(super) fn cache(&mut self) -> Option<Engine<Connection>> {
        let url = self.url(CACHE_URL, Role::Cache)?;
        if let Some(number) = url.database() {
            let what = format!("{CACHE_URL} ends in the database number {number}");
            self.findings.push(Finding::new(Code::CacheUrlHasDatabase, Role::Cache, what));
        }
        self.engine(url, Role::Cache)
    }

    pub(super) fn state(&mut self) -> Option<Engine<Connection>> {
        let url = self.url(STATE_URL, Role::State)?;
        if url.database().is_some_and(|number| number > MAX_DATABASE) {
            let what = format!("{STATE_URL} names a database number above {MAX_DATABASE}");
            self.broken(Finding::new(Code::DatabaseNumberOutOfRange, Role::State, what));
            return None;
        }
        self.engine(url, Role::State)
    }

    /// The URL, if the role accepts it.
    fn url(&mut self, name: &str, role: Role) -> Option<ServerUrl> {
        let Some(text) = self.environment.get(name) else {
            let meant = self.environment.suspects().into_iter().find(|suspect| suspect.nearest == Some(name));
            let meant =
                meant.map_or_else(String::new, |suspect| format!("; {} is set, but is not a variable", suspect.name));
            self.broken(Finding::new(Code::UrlMissing, role, format!("{name} is not set{meant}")));
            return None;
        };
        let (code, what) = match ServerUrl::parse(&text) {
            Ok(url) => match (url.topology(), role) {
                (
                    Topology::Standalone(_) | Topology::Several(_) | Topology::Sentinel { .. } | Topology::Embedded(_),
                    _,
                )
                | (Topology::Cluster(_) | Topology::Kvrocks(_), Role::State) => return Some(url),
                (Topology::Cluster(_), Role::Cache) => (Code::CacheOnCluster, "names a cluster".to_owned()),
                (Topology::Kvrocks(_), Role::Cache) => (Code::CacheEngineUnsupported, "names Kvrocks".to_owned()),
                _ => (Code::UrlInvalid, NOT_SERVED.to_owned()),
            },
            Err(UrlError::ClusterDatabase) => {
                let is_kvrocks = text.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("kvrocks"));
                let code = match role {
                    Role::Cache if is_kvrocks => Code::CacheEngineUnsupported,
                    Role::Cache => Code::CacheOnCluster,
                    Role::State => Code::ClusterDatabaseNumber,
                };
                (code, UrlError::ClusterDatabase.to_string())
            }
            Err(error) => (Code::UrlInvalid, advice(error, role)),
        };
        self.broken(Finding::new(code, role, format!("{name}: {what}")));
        None
    }

    fn engine(&mut self, url: ServerUrl, role: Role) -> Option<Engine<Connection>> {
        match url.topology() {
            Topology::Embedded(path) => Some(Engine::Embedded(path.clone())),
            _ => self.connection(url, role).map(Engine::Server),
        }
    }
}
