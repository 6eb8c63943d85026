//! Rigatoni's keys, and the streams and leases that they name.

use rigatoni_core::pipeline::PipelineConfig;
use rigatoni_core::state::StateStoreError;
use rigatoni_core::watch_level::WatchLevel;
use twinstore::lease::LeaseName;
use twinstore::name::HolderName;
use twinstore::resume_token::StreamName;

/// The prefix of a pipeline's locks.
const LOCK: &str = "rigatoni:lock:";

/// The prefix of the keys under which a pipeline reads its position, and under which it saves each event that it receives.
const RECEIVED: &str = "resume_token:";

/// The prefix of the streams' names.
const STREAM: &str = "rigatoni";

/// The suffix of the lock of a whole database.
const WHOLE_DATABASE: &str = "__database__";

/// The lock of all databases, behind its prefix; also the key of their position.
const DEPLOYMENT: &str = "__deployment__";

/// What one change stream watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Watched {
    Collection(String),
    Database,
    Deployment,
}

/// A key of a resume token.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TokenKey {
    pub(crate) watched: Watched,
    /// A pipeline saves under such a key when it receives an event, before the event is written to the destination.
    pub(crate) is_received: bool,
}

/// The keys of the pipelines that watch this database.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    database: String,
}

impl Keys {
    pub(crate) fn new(database: &str) -> Self {
        Self { database: database.to_owned() }
    }

    pub(crate) fn database(&self) -> &str {
        &self.database
    }

    /// What a resume token belongs to. A pipeline reads under `resume_token:{db}:{coll}`, `resume_token:database:{db}` or
    /// `resume_token:deployment`, and saves a written batch under `{coll}`, `__db:{db}` or `__deployment__`.
    pub(crate) fn of_token(&self, key: &str) -> Result<TokenKey, StateStoreError> {
        let Some(rest) = key.strip_prefix(RECEIVED) else {
            let watched = match key.strip_prefix("__db:") {
                Some(database) if database == self.database => Watched::Database,
                Some(_) => return Err(self.foreign(key)),
                None if key == DEPLOYMENT => Watched::Deployment,
                None => Watched::Collection(key.to_owned()),
            };
            return Ok(TokenKey { watched, is_received: false });
        };
        let collection = rest.strip_prefix(&*self.database).and_then(|rest| rest.strip_prefix(':'));
        let is_database = rest.strip_prefix("database:") == Some(&self.database);
        let watched = match collection {
            Some(_) if is_database => {
                let text =
                    format!("{key:?} names both a collection and a database: choose another name for one of them");
                return Err(StateStoreError::Other(text));
            }
            Some(collection) => Watched::Collection(collection.to_owned()),
            None if is_database => Watched::Database,
            None if rest == "deployment" => Watched::Deployment,
            None => return Err(self.foreign(key)),
        };
        Ok(TokenKey { watched, is_received: true })
    }

    /// What a lock protects. `None`: no change stream.
    pub(crate) fn of_lock(&self, key: &str) -> Result<Option<Watched>, StateStoreError> {
        let Some(rest) = key.strip_prefix(LOCK) else { return Ok(None) };
        if rest == DEPLOYMENT {
            return Ok(Some(Watched::Deployment));
        }
        match rest.strip_prefix(&*self.database).and_then(|rest| rest.strip_prefix(':')) {
            Some(WHOLE_DATABASE) => Ok(Some(Watched::Database)),
            Some(collection) => Ok(Some(Watched::Collection(collection.to_owned()))),
            None => Err(self.foreign(key)),
        }
    }

    /// What the pipeline of this configuration watches.
    pub(crate) fn of_config(&self, config: &PipelineConfig) -> Result<Watched, StateStoreError> {
        if config.database != self.database {
            let text =
                format!("the store is for the database {:?}, the pipeline for {:?}", self.database, config.database);
            return Err(StateStoreError::Other(text));
        }
        match &config.watch_level {
            WatchLevel::Collection(collections) => match collections.as_slice() {
                [collection] => Ok(Watched::Collection(collection.clone())),
                several => Err(StateStoreError::Other(format!(
                    "the pipeline watches {} collections, but a pipeline resumes from one token: make a pipeline for each \
                     collection, or watch the database",
                    several.len()
                ))),
            },
            WatchLevel::Database => Ok(Watched::Database),
            WatchLevel::Deployment => Ok(Watched::Deployment),
        }
    }

    /// The lock that a pipeline acquires before it watches.
    pub(crate) fn lock(&self, watched: &Watched) -> String {
        let database = &self.database;
        match watched {
            Watched::Collection(collection) => format!("{LOCK}{database}:{collection}"),
            Watched::Database => format!("{LOCK}{database}:{WHOLE_DATABASE}"),
            Watched::Deployment => format!("{LOCK}{DEPLOYMENT}"),
        }
    }

    /// The key under which a pipeline saves a written batch.
    pub(crate) fn written(&self, watched: &Watched) -> String {
        match watched {
            Watched::Collection(collection) => collection.clone(),
            Watched::Database => format!("__db:{}", self.database),
            Watched::Deployment => DEPLOYMENT.to_owned(),
        }
    }

    /// The stream: `rigatoni:{db}:{coll}`, `rigatoni:{db}` or `rigatoni`. Different watched things have different names, because
    /// an escaped database name has no colon.
    pub(crate) fn stream(&self, watched: &Watched) -> Result<StreamName, StateStoreError> {
        let database = self.escaped_database();
        let name = match watched {
            Watched::Collection(collection) => format!("{STREAM}:{database}:{}", escaped(collection, '%', in_stream)),
            Watched::Database => format!("{STREAM}:{database}"),
            Watched::Deployment => STREAM.to_owned(),
        };
        StreamName::new(name).map_err(|error| StateStoreError::Other(error.to_string()))
    }

    /// What a stream belongs to. `None`: to another database, or not to Rigatoni.
    pub(crate) fn of_stream(&self, stream: &StreamName) -> Option<Watched> {
        let rest = stream.as_str().strip_prefix(STREAM)?;
        if rest.is_empty() {
            return Some(Watched::Deployment);
        }
        let rest = rest.strip_prefix(':')?.strip_prefix(&self.escaped_database())?;
        if rest.is_empty() {
            return Some(Watched::Database);
        }
        Some(Watched::Collection(unescaped(rest.strip_prefix(':')?)?))
    }

    fn escaped_database(&self) -> String {
        escaped(&self.database, '%', |letter| in_stream(letter) && letter != ':')
    }

    fn foreign(&self, key: &str) -> StateStoreError {
        let text =
            format!("{key:?} is not a key of the database {:?}: give each pipeline its own store", self.database);
        StateStoreError::Other(text)
    }
}

/// The lease of a lock. Different keys have different leases.
pub(crate) fn lease(key: &str) -> Result<LeaseName, StateStoreError> {
    LeaseName::new(escaped(key, '@', in_name)).map_err(|error| StateStoreError::Other(error.to_string()))
}

/// The holder of a lease, for an owner of a lock.
pub(crate) fn holder(owner: &str) -> Result<HolderName, StateStoreError> {
    HolderName::new(escaped(owner, '@', in_name)).map_err(|error| StateStoreError::Other(error.to_string()))
}

/// Whether a name of a stream may contain the character.
fn in_stream(letter: char) -> bool {
    !letter.is_control() && !matches!(letter, '{' | '}')
}

/// Whether a name of a lease or a holder may contain the character.
fn in_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-' | ':' | '/')
}

/// Replaces each byte of the escape character and of every character that is not allowed by the escape character and two digits.
fn escaped(text: &str, escape: char, is_allowed: impl Fn(char) -> bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter != escape && is_allowed(letter) {
            escaped.push(letter);
        } else {
            let mut bytes = [0; 4];
            for byte in letter.encode_utf8(&mut bytes).bytes() {
                escaped.push_str(&format!("{escape}{byte:02x}"));
            }
        }
    }
    escaped
}

/// The text that was escaped with `%`. `None` if it was not.
fn unescaped(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(database: &str) -> [(Keys, Watched); 5] {
        let keys = || Keys::new(database);
        [
            (keys(), Watched::Collection("users".to_owned())),
            (keys(), Watched::Collection("{odd}%7b:\u{7}ü".to_owned())),
            (keys(), Watched::Collection("__db_users".to_owned())),
            (keys(), Watched::Database),
            (keys(), Watched::Deployment),
        ]
    }

    #[test]
    fn a_pipeline_reads_and_saves_one_stream_under_its_three_kinds_of_keys() {
        for (keys, watched) in all("shop").into_iter().chain(all("a:b%")) {
            let level = match &watched {
                Watched::Collection(collection) => WatchLevel::Collection(vec![collection.clone()]),
                Watched::Database => WatchLevel::Database,
                Watched::Deployment => WatchLevel::Deployment,
            };
            let collection = match &watched {
                Watched::Collection(collection) => Some(collection.as_str()),
                _ => None,
            };
            let read = keys.of_token(&level.resume_token_key(keys.database(), collection)).unwrap();
            assert_eq!(read, TokenKey { watched: watched.clone(), is_received: true });
            let saved = keys.of_token(&keys.written(&watched)).unwrap();
            assert_eq!(saved, TokenKey { watched: watched.clone(), is_received: false });
            assert_eq!(keys.of_lock(&keys.lock(&watched)).unwrap(), Some(watched.clone()));
            assert_eq!(keys.of_stream(&keys.stream(&watched).unwrap()), Some(watched));
        }
    }

    #[test]
    fn databases_and_collections_with_colons_have_streams_of_their_own() {
        let name = |database: &str, collection: &str| {
            Keys::new(database).stream(&Watched::Collection(collection.to_owned())).unwrap()
        };
        assert_eq!(name("shop", "users").as_str(), "rigatoni:shop:users");
        assert_ne!(name("a", "b:c"), name("a:b", "c"));
        assert_ne!(name("a", "b%3ac"), name("a", "b:c"));
        assert_eq!(Keys::new("a").of_stream(&name("a:b", "c")), None);
        assert_eq!(Keys::new("sho").of_stream(&name("shop", "users")), None);
    }

    #[test]
    fn keys_of_another_database_are_refused() {
        let keys = Keys::new("shop");
        for key in ["resume_token:other:users", "resume_token:shop", "resume_token:database:other", "__db:other"] {
            assert!(keys.of_token(key).is_err(), "{key}");
        }
        for key in ["rigatoni:lock:other:users", "rigatoni:lock:shop", "rigatoni:lock:shopping:users"] {
            assert!(keys.of_lock(key).is_err(), "{key}");
        }
        assert_eq!(keys.of_lock("another:lock").unwrap(), None);
        assert!(Keys::new("database").of_token("resume_token:database:database").is_err(), "two meanings");
    }

    #[test]
    fn every_lock_has_a_lease_of_its_own() {
        assert_eq!(lease("rigatoni:lock:shop:users").unwrap().as_str(), "rigatoni:lock:shop:users");
        let odd = ["a b", "a@20b", "a{b}", "ü"];
        let names: std::collections::HashSet<_> = odd.iter().map(|key| lease(key).unwrap()).collect();
        assert_eq!(names.len(), odd.len());
        assert_eq!(holder("host-1 (blue)").unwrap().as_str(), "host-1@20@28blue@29");
    }
}
