//! Validated names and ids. Only these become part of a key.

use std::fmt;
use std::sync::Arc;

mod handle_kind;
mod holder_name;
mod job_id;
mod name_error;
mod queue_name;
mod request_id;

pub use handle_kind::HandleKind;
#[doc(hidden)]
pub use job_id::BatchId;
pub use name_error::NameError;
pub use request_id::RequestId;

const NAME_CHARACTERS: &str = "ASCII letters, digits and . _ - : / @";
const NAMESPACE_CHARACTERS: &str = "ASCII letters, digits and . _ - / @";
const ANY_CHARACTERS: &str = "all";
const TEXT_CHARACTERS: &str = "all but control characters and braces";

fn is_name_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-' | ':' | '/' | '@')
}

/// A colon would end the namespace in a key: the namespace `a:b` and the service `b` in the namespace `a` would share keys.
fn is_namespace_character(character: char) -> bool {
    character != ':' && is_name_character(character)
}

fn is_text_character(character: char) -> bool {
    !character.is_control() && !matches!(character, '{' | '}')
}

fn is_any_character(_: char) -> bool {
    true
}

fn validate(
    text: &str,
    what: &'static str,
    max: usize,
    allowed: &'static str,
    is_allowed: fn(char) -> bool,
) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty { what });
    }
    if text.len() > max {
        return Err(NameError::TooLong { what, len: text.len(), max });
    }
    match text.char_indices().find(|(_, character)| !is_allowed(*character)) {
        Some((position, character)) => Err(NameError::Character { what, character, position, allowed }),
        None => Ok(()),
    }
}

macro_rules! validated {
    ($($(#[$doc:meta])* $name:ident: $what:literal, $max:literal, $allowed:ident, $check:ident $(, $suffix:expr)?;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The largest length, in bytes.
            pub const MAX_BYTES: usize = $max;

            /// Validates the text.
            ///
            /// # Errors
            /// [`NameError`] if it is empty, too long, or contains a character that is not allowed.
            pub fn new(text: impl AsRef<str>) -> Result<Self, NameError> {
                let text = text.as_ref();
                let own = text;
                $(let own = own.strip_suffix($suffix).unwrap_or(own);)?
                validate(own, $what, $max, $allowed, $check)?;
                Ok(Self(text.into()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:?})"), &*self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = NameError;

            fn try_from(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().to_owned()
            }
        }
    )*};
}

validated! {
    /// The name of a microservice.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use twinstore::Stores;
    /// use twinstore::config::Environment;
    /// use twinstore::name::ServiceName;
    ///
    /// let environment = Environment::from_variables([
    ///     ("SERVICE_NAME", "billing"),
    ///     ("REDIS_CONN_BASE_URL", "embedded:"),
    ///     ("REDIS_WORKERCACHE_CONN_URL", "embedded:"),
    /// ]);
    /// let stores = Stores::open(&environment).await?;
    /// assert_eq!(stores.service(), &ServiceName::new("billing")?);
    /// # Ok(())
    /// # }
    /// ```
    ServiceName: "a service name", 64, NAME_CHARACTERS, is_name_character;
    /// The first segment of every state key.
    Namespace: "a namespace", 32, NAMESPACE_CHARACTERS, is_namespace_character;
    /// The name of a queue, or of its outbox: the name of the queue and `~outbox`.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use twinstore::queue::QueueName;
    ///
    /// let mails: QueueName = "mails".try_into()?;
    /// assert_eq!(mails.as_str(), "mails");
    /// assert!(QueueName::new("my mails").is_err());
    /// # Ok(())
    /// # }
    /// ```
    QueueName: "a queue name", 128, NAME_CHARACTERS, is_name_character, queue_name::OUTBOX;
    /// The name of a lease.
    ///
    /// ```
    /// use twinstore::lease::LeaseName;
    ///
    /// assert_eq!(LeaseName::new("import:2026-01")?.as_str(), "import:2026-01");
    /// assert!(LeaseName::new("import of today").is_err()); // a space is not allowed
    /// # Ok::<(), twinstore::name::NameError>(())
    /// ```
    LeaseName: "a lease name", 256, NAME_CHARACTERS, is_name_character;
    /// The name of a pool of processes that send heartbeats.
    ///
    /// ```
    /// use twinstore::heartbeat::PoolName;
    ///
    /// assert_eq!(PoolName::new("importers")?.to_string(), "importers");
    /// assert!(PoolName::new("").is_err());
    /// # Ok::<(), twinstore::name::NameError>(())
    /// ```
    PoolName: "a pool name", 128, NAME_CHARACTERS, is_name_character;
    /// The name of a stream whose consumer saves resume tokens.
    ///
    /// ```
    /// use twinstore::resume_token::StreamName;
    ///
    /// assert_eq!(StreamName::new("shop.orders$2026")?.as_str(), "shop.orders$2026");
    /// assert!(StreamName::new("{shop}").is_err()); // braces are not allowed
    /// # Ok::<(), twinstore::name::NameError>(())
    /// ```
    StreamName: "a stream name", 256, TEXT_CHARACTERS, is_text_character;
    /// The name of a process or worker that claims jobs, holds a lease, or sends heartbeats.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (stores, _) = twinstore::testing::stores();
    /// use twinstore::name::HolderName;
    /// use twinstore::worker::Job;
    ///
    /// let name = HolderName::unique("mailer")?; // no other process has it
    /// let worker = stores.state().worker().with_name(name).with_queue("mails", async |_: Job| Ok(())).build()?;
    /// assert!(worker.name().as_str().starts_with("mailer-"));
    /// # Ok(())
    /// # }
    /// ```
    HolderName: "a holder name", 128, NAME_CHARACTERS, is_name_character;
    /// The id of a job, unique within its queue for as long as the job is retained.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use twinstore::queue::{JobId, NewJob};
    ///
    /// let job = NewJob::new("to ann").with_id(JobId::new("welcome/ann@example.org")?);
    /// assert_eq!(job.id.unwrap().as_str(), "welcome/ann@example.org");
    /// assert_ne!(JobId::generate(), JobId::generate());
    /// # Ok(())
    /// # }
    /// ```
    JobId: "a job id", 256, TEXT_CHARACTERS, is_text_character;
    /// The key of a value in the cache store, of an idempotent request, of a rate limit, or of a hand-off.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (stores, _) = twinstore::testing::stores();
    /// use twinstore::name::{HandleName, Key};
    /// use twinstore::time::Ttl;
    ///
    /// let names = stores.cache().values::<String>(HandleName::new("names")?, Ttl::from_secs(60));
    /// let key = Key::new("users/42")?;
    /// names.set(&key, &"ann".to_owned()).await?;
    /// assert_eq!(names.get(&key).await?.as_deref(), Some("ann"));
    /// # Ok(())
    /// # }
    /// ```
    Key: "a key", 512, TEXT_CHARACTERS, is_text_character;
    /// The name of a typed handle: a kind of value, such as `prices`. Part of the key of each of its values.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (stores, _) = twinstore::testing::stores();
    /// use twinstore::name::{HandleName, Key};
    /// use twinstore::time::Ttl;
    ///
    /// let names = stores.cache().values::<String>(HandleName::new("names")?, Ttl::from_secs(60));
    /// let cities = stores.cache().values::<String>(HandleName::new("cities")?, Ttl::from_secs(60));
    /// let key = Key::new("42")?;
    /// names.set(&key, &"ann".to_owned()).await?;
    /// assert_eq!(cities.get(&key).await?, None); // another handle, another key
    /// # Ok(())
    /// # }
    /// ```
    HandleName: "the name of a handle", 128, NAME_CHARACTERS, is_name_character;
    /// The id of a run of an agent.
    ///
    /// ```
    /// use twinstore::run::RunId;
    ///
    /// assert_eq!(RunId::new("run-7/b")?.as_str(), "run-7/b");
    /// assert!(RunId::new("run 7").is_err()); // a space is not allowed
    /// # Ok::<(), twinstore::name::NameError>(())
    /// ```
    RunId: "the id of a run", 128, NAME_CHARACTERS, is_name_character;
    /// The name of an agent, which carries out runs.
    ///
    /// ```
    /// use twinstore::run::AgentName;
    ///
    /// assert_eq!(AgentName::new("planner")?.to_string(), "planner");
    /// assert!(AgentName::new("").is_err());
    /// # Ok::<(), twinstore::name::NameError>(())
    /// ```
    AgentName: "the name of an agent", 128, NAME_CHARACTERS, is_name_character;
    /// The id of a session, to which runs belong.
    ///
    /// ```
    /// use twinstore::run::SessionId;
    ///
    /// assert_eq!(SessionId::new("ann@example.org")?.as_str(), "ann@example.org");
    /// # Ok::<(), twinstore::name::NameError>(())
    /// ```
    SessionId: "the id of a session", 128, NAME_CHARACTERS, is_name_character;
    /// The name of a step within its run: any text, as the activity ids of Temporal, which has the same limit by default.
    ///
    /// ```
    /// use twinstore::step::StepName;
    ///
    /// assert_eq!(StepName::new("charge {7}: ✓")?.as_str(), "charge {7}: ✓");
    /// assert!(StepName::new("x".repeat(1001)).is_err());
    /// # Ok::<(), twinstore::name::NameError>(())
    /// ```
    StepName: "a step name", 1000, ANY_CHARACTERS, is_any_character;
    /// The name of a schedule within its queue.
    ///
    /// ```
    /// use twinstore::schedule::ScheduleName;
    ///
    /// assert_eq!(ScheduleName::new("digest:weekly")?.as_str(), "digest:weekly");
    /// assert!(ScheduleName::new("weekly digest").is_err()); // a space is not allowed
    /// # Ok::<(), twinstore::name::NameError>(())
    /// ```
    ScheduleName: "a schedule name", 128, NAME_CHARACTERS, is_name_character;
    /// The name of a topic.
    ///
    /// ```
    /// use twinstore::topic::TopicName;
    ///
    /// assert_eq!(TopicName::new("orders.eu")?.as_str(), "orders.eu");
    /// assert!(TopicName::new("orders of today").is_err()); // a space is not allowed
    /// # Ok::<(), twinstore::name::NameError>(())
    /// ```
    TopicName: "a topic name", 128, NAME_CHARACTERS, is_name_character;
    /// The name of a group of consumers of a topic.
    ///
    /// ```
    /// use twinstore::topic::GroupName;
    ///
    /// assert_eq!(GroupName::new("billing")?.as_str(), "billing");
    /// assert!(GroupName::new("").is_err());
    /// # Ok::<(), twinstore::name::NameError>(())
    /// ```
    GroupName: "a group name", 128, NAME_CHARACTERS, is_name_character;
    /// The name of broadcasts, to which processes listen.
    ///
    /// ```
    /// use twinstore::broadcast::BroadcastName;
    ///
    /// assert_eq!(BroadcastName::new("configuration")?.as_str(), "configuration");
    /// assert!(BroadcastName::new("all processes").is_err()); // a space is not allowed
    /// # Ok::<(), twinstore::name::NameError>(())
    /// ```
    BroadcastName: "a broadcast name", 128, NAME_CHARACTERS, is_name_character;
    /// The unique key of a job. While one job holds it, the queue accepts no other job with it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (stores, _) = twinstore::testing::stores();
    /// use twinstore::queue::{NewJob, QueueExt, QueueName, Unique, UniqueKey, UniqueUntil};
    ///
    /// let (queue, mails) = (stores.state().queue(), QueueName::new("mails")?);
    /// let unique = Unique::new(UniqueKey::new("digest/ann")?, UniqueUntil::Claimed);
    /// let job = || NewJob::new("digest").with_unique(unique.clone());
    /// assert!(queue.push_one(&mails, job()).await?.is_new());
    /// assert!(!queue.push_one(&mails, job()).await?.is_new()); // the first job holds the key
    /// # Ok(())
    /// # }
    /// ```
    UniqueKey: "a unique key", 250, TEXT_CHARACTERS, is_text_character;
}

#[cfg(test)]
mod tests;
