//! Why an operation returned no result.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::{Durability, Op, Reached, Repeat};

mod kind;

pub use kind::ErrorKind;

/// The result of an operation.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::{Cache, name::Key, time::Ttl};
///
/// /// Counts a visit of a page. Returns how many there were within a day.
/// async fn visit(cache: &Cache, page: &Key) -> twinstore::Result<i64> {
///     cache.key_value().add(page, 1, Ttl::from_secs(24 * 3600)).await
/// }
///
/// assert_eq!(visit(stores.cache(), &Key::new("home")?).await?, 1);
/// # Ok(())
/// # }
/// ```
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The cause of an [`Error`], for logs. It is shared, so that all callers who waited for one call receive it.
pub type Source = Arc<dyn std::error::Error + Send + Sync>;

/// The operation returned no result. Expected outcomes (an absent key, a lost lease) are values, not errors.
///
/// [`Error::kind`] returns the kind. This table lists for each kind whether the operation was executed, what an HTTP
/// service answers ([`ErrorKind::http_status`]), whether the same request may be sent again
/// ([`Error::is_retryable`]), and whether an operator has to act ([`ErrorKind::should_alert`]):
///
/// | kind | executed | HTTP status | retry | alert | meaning |
/// |---|---|---|---|---|---|
/// | `Unavailable` | no | 503 | yes, after a pause | no; alert if it lasts | the server is down, starting, failing over or busy, or too many calls wait in this process |
/// | `Indeterminate` | perhaps | 504 | if the operation is idempotent | no; alert if it lasts | the reply was lost, a node of a cluster closed the connection with `CLUSTERDOWN`, or the server stopped a script because its disk is full |
/// | `InvalidArgument` | no | 400 | no | no | an argument or a setting is outside its range; 400 if it came from the request, otherwise 500 |
/// | `Unauthenticated` | no | 500 | no, the password has to be corrected first | yes | the server does not accept the user and password, or the password file cannot be read |
/// | `Forbidden` | perhaps in part | 500 | no, the ACL has to be corrected first | yes | the user lacks the right for a command, a key or a channel |
/// | `Tls` | no | 500 | no, the certificates have to be corrected first | yes | client and server could not agree on an encrypted connection |
/// | `Corrupt` | perhaps in part | 500 | no | yes | stored data cannot be read |
/// | `Unsupported` | perhaps in part | 501 | no | yes | the engine or this version of the server cannot do it |
/// | `Limit` | no | 503 | yes, after `retry_after` or a pause | yes | the server's memory is full, or a queue has reached its bounds |
/// | `NotDurable` | yes | 503 | if the operation is idempotent | yes | the write was executed and is kept, but did not reach the requested durability in time |
/// | `Unexpected` | perhaps in part | 500 | no | yes | the server answered with an error that this version does not know |
///
/// "Perhaps in part": if a script was running, the error stopped it. Scripts order their writes so that the same request,
/// sent again after the repair, completes them.
///
/// No error contains a URL, a payload, a token or the text of a key.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::{Error, ErrorKind, Op, name::Key, time::Ttl};
///
/// let (store, key) = (stores.cache().key_value(), Key::new("visits")?);
/// store.add(&key, i64::MAX, Ttl::from_secs(60)).await?;
/// let error: Error = store.add(&key, 1, Ttl::from_secs(60)).await.expect_err("the sum is too large");
/// assert_eq!((error.op(), error.kind()), (Op::KeyValueAdd, ErrorKind::InvalidArgument));
/// assert_eq!(error.kind().http_status(), 400);
/// assert!(!error.is_retryable() && !error.kind().should_alert());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operation was not executed: the server cannot be reached, is loading, or is read-only at the moment, or too many
    /// calls wait in this process. Any operation may be repeated later.
    #[error("{op}: the store is not available, nothing was executed: {detail}")]
    Unavailable {
        /// The operation.
        op: Op,
        /// What happened.
        detail: Cow<'static, str>,
        /// The cause, if another error caused it.
        source: Option<Source>,
    },
    /// The reply was lost, or the server stopped a script (Kvrocks at `max-db-size`); the operation may have been executed, also in
    /// part. An idempotent operation may be sent again unchanged;
    /// [`Error::is_retryable`] returns `true` for those.
    ///
    /// A refusal `CLUSTERDOWN` executes nothing, but also returns this error: the client library then closes the connection and does
    /// not report which of the calls on it was refused.
    ///
    /// When this is returned for an idempotent operation, no copy of its request can run any more, so none can undo what the
    /// caller does next. An operation that is never repeated returns immediately; its request may still run until the command
    /// time-out after it was sent.
    #[error("{op}: it may have been executed: {detail}")]
    Indeterminate {
        /// The operation.
        op: Op,
        /// What happened.
        detail: Cow<'static, str>,
        /// The cause, if another error caused it.
        source: Option<Source>,
    },
    /// An argument or a setting is outside its range. The same call is refused again.
    #[error("{op}: invalid argument, nothing was executed: {detail}")]
    InvalidArgument {
        /// The operation.
        op: Op,
        /// Which argument, and what is allowed.
        detail: Cow<'static, str>,
    },
    /// The server does not accept the user and password, or requires a password, or the password file cannot be read.
    #[error("{op}: not authenticated, nothing was executed: {detail}")]
    Unauthenticated {
        /// The operation.
        op: Op,
        /// What was wrong.
        detail: Cow<'static, str>,
    },
    /// The server's ACL denies the user a command, a key or a channel. If a script sends that command, the script's earlier
    /// writes are kept.
    #[error("{op}: forbidden: {detail}")]
    Forbidden {
        /// The operation.
        op: Op,
        /// Which command is denied.
        detail: Cow<'static, str>,
    },
    /// No encrypted connection could be opened: a certificate is not accepted, or a file cannot be read.
    #[error("{op}: no TLS connection, nothing was executed: {detail}")]
    Tls {
        /// The operation.
        op: Op,
        /// What was wrong.
        detail: Cow<'static, str>,
    },
    /// Stored data cannot be read: another program or a newer version wrote it, or a file is damaged.
    #[error("{op}: stored data could not be read: {detail}")]
    Corrupt {
        /// The operation.
        op: Op,
        /// What was found, without the data.
        detail: Cow<'static, str>,
    },
    /// This engine or this server version cannot do it. If a script sends a command that the server does not know, the
    /// script's earlier writes are kept.
    #[error("{op}: not supported: {detail}")]
    Unsupported {
        /// The operation.
        op: Op,
        /// What is missing.
        detail: Cow<'static, str>,
    },
    /// A bound was reached: the server's memory, or the size of a queue. Nothing was executed. Try again after a pause.
    #[error("{op}: a limit was reached, nothing was executed: {detail}")]
    Limit {
        /// The operation.
        op: Op,
        /// Which limit.
        detail: Cow<'static, str>,
        /// How long to wait, if the store can compute it.
        retry_after: Option<Duration>,
    },
    /// The write was executed and is kept, but did not reach the requested durability within the allowed time.
    #[error("{op}: written, but not as durable as requested: wanted {wanted}, reached {reached}")]
    NotDurable {
        /// The operation.
        op: Op,
        /// The requested level.
        wanted: Durability,
        /// The level that was reached.
        reached: Reached,
    },
    /// The server answered with an error that this version does not know.
    #[error("{op}: the server answered with an unknown error: {detail}")]
    Unexpected {
        /// The operation.
        op: Op,
        /// The code word of the error, without its text: the text may contain data.
        detail: Cow<'static, str>,
    },
}

impl Error {
    /// [`Error::InvalidArgument`].
    pub fn invalid_argument(op: Op, detail: impl Into<Cow<'static, str>>) -> Self {
        Error::InvalidArgument { op, detail: detail.into() }
    }

    /// [`Error::Unauthenticated`].
    pub fn unauthenticated(op: Op, detail: impl Into<Cow<'static, str>>) -> Self {
        Error::Unauthenticated { op, detail: detail.into() }
    }

    /// [`Error::Forbidden`].
    pub fn forbidden(op: Op, detail: impl Into<Cow<'static, str>>) -> Self {
        Error::Forbidden { op, detail: detail.into() }
    }

    /// [`Error::Tls`].
    pub fn tls(op: Op, detail: impl Into<Cow<'static, str>>) -> Self {
        Error::Tls { op, detail: detail.into() }
    }

    /// [`Error::Corrupt`].
    pub fn corrupt(op: Op, detail: impl Into<Cow<'static, str>>) -> Self {
        Error::Corrupt { op, detail: detail.into() }
    }

    /// [`Error::Unsupported`].
    pub fn unsupported(op: Op, detail: impl Into<Cow<'static, str>>) -> Self {
        Error::Unsupported { op, detail: detail.into() }
    }

    /// [`Error::Unavailable`] without a cause.
    pub fn unavailable(op: Op, detail: impl Into<Cow<'static, str>>) -> Self {
        Error::Unavailable { op, detail: detail.into(), source: None }
    }

    /// [`Error::Indeterminate`] without a cause.
    pub fn indeterminate(op: Op, detail: impl Into<Cow<'static, str>>) -> Self {
        Error::Indeterminate { op, detail: detail.into(), source: None }
    }

    /// [`Error::Limit`] without a time to wait.
    pub fn limit(op: Op, detail: impl Into<Cow<'static, str>>) -> Self {
        Error::Limit { op, detail: detail.into(), retry_after: None }
    }

    /// [`Error::Unexpected`].
    pub fn unexpected(op: Op, detail: impl Into<Cow<'static, str>>) -> Self {
        Error::Unexpected { op, detail: detail.into() }
    }

    /// Adds the cause to `Unavailable` and `Indeterminate`; the other variants have none.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        if let Error::Unavailable { source, .. } | Error::Indeterminate { source, .. } = &mut self {
            *source = Some(Arc::from(cause.into()));
        }
        self
    }

    /// The operation that returned the error.
    pub fn op(&self) -> Op {
        match self {
            Error::Unavailable { op, .. }
            | Error::Indeterminate { op, .. }
            | Error::InvalidArgument { op, .. }
            | Error::Unauthenticated { op, .. }
            | Error::Forbidden { op, .. }
            | Error::Tls { op, .. }
            | Error::Corrupt { op, .. }
            | Error::Unsupported { op, .. }
            | Error::Limit { op, .. }
            | Error::NotDurable { op, .. }
            | Error::Unexpected { op, .. } => *op,
        }
    }

    /// What happened, in words, without the operation and the kind that `Display` puts before it.
    pub fn detail(&self) -> Cow<'static, str> {
        match self {
            Error::Unavailable { detail, .. }
            | Error::Indeterminate { detail, .. }
            | Error::InvalidArgument { detail, .. }
            | Error::Unauthenticated { detail, .. }
            | Error::Forbidden { detail, .. }
            | Error::Tls { detail, .. }
            | Error::Corrupt { detail, .. }
            | Error::Unsupported { detail, .. }
            | Error::Limit { detail, .. }
            | Error::Unexpected { detail, .. } => detail.clone(),
            Error::NotDurable { wanted, reached, .. } => format!("wanted {wanted}, reached {reached}").into(),
        }
    }

    /// The kind, to match on without the fields.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Unavailable { .. } => ErrorKind::Unavailable,
            Error::Indeterminate { .. } => ErrorKind::Indeterminate,
            Error::InvalidArgument { .. } => ErrorKind::InvalidArgument,
            Error::Unauthenticated { .. } => ErrorKind::Unauthenticated,
            Error::Forbidden { .. } => ErrorKind::Forbidden,
            Error::Tls { .. } => ErrorKind::Tls,
            Error::Corrupt { .. } => ErrorKind::Corrupt,
            Error::Unsupported { .. } => ErrorKind::Unsupported,
            Error::Limit { .. } => ErrorKind::Limit,
            Error::NotDurable { .. } => ErrorKind::NotDurable,
            Error::Unexpected { .. } => ErrorKind::Unexpected,
        }
    }

    /// Whether sending the same request again can succeed and does no harm.
    ///
    /// A request that was not executed may always be repeated; one that may have been executed only if the operation is
    /// idempotent. A claim, which the caller repeats by marking its request ([`Repeat::ByCaller`]), counts as not retryable.
    pub fn is_retryable(&self) -> bool {
        match self.kind() {
            ErrorKind::Unavailable | ErrorKind::Limit => true,
            ErrorKind::Indeterminate | ErrorKind::NotDurable => {
                matches!(self.op().repeat(), Repeat::Reads | Repeat::Idempotent)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_kind(kind: ErrorKind, op: Op) -> Error {
        let wanted = Durability::Accepted;
        match kind {
            ErrorKind::Unavailable => Error::unavailable(op, "it"),
            ErrorKind::Indeterminate => Error::indeterminate(op, "it"),
            ErrorKind::InvalidArgument => Error::invalid_argument(op, "it"),
            ErrorKind::Unauthenticated => Error::unauthenticated(op, "it"),
            ErrorKind::Forbidden => Error::forbidden(op, "it"),
            ErrorKind::Tls => Error::tls(op, "it"),
            ErrorKind::Corrupt => Error::corrupt(op, "it"),
            ErrorKind::Unsupported => Error::unsupported(op, "it"),
            ErrorKind::Limit => Error::limit(op, "it"),
            ErrorKind::NotDurable => Error::NotDurable { op, wanted, reached: Reached::default() },
            ErrorKind::Unexpected => Error::unexpected(op, "it"),
        }
    }

    #[test]
    fn each_error_has_its_kind_and_its_operation() {
        for kind in ErrorKind::ALL {
            let error = of_kind(kind, Op::QueuePush);
            assert_eq!((error.kind(), error.op()), (kind, Op::QueuePush));
            assert!(error.to_string().starts_with("queue.push: "), "{error}");
        }
    }

    /// Reads the table in the documentation of [`Error`].
    #[test]
    fn the_documented_table_of_errors_equals_the_code() {
        let rows = include_str!("error.rs").lines().filter_map(|line| line.strip_prefix("/// | `"));
        let rows: Vec<Vec<&str>> = rows.map(|row| row.split('|').map(str::trim).collect()).collect();
        assert_eq!(rows.len(), ErrorKind::ALL.len());
        for (row, kind) in rows.iter().zip(ErrorKind::ALL) {
            let [name, executed, status, retry, alert, meaning, ""] = row[..] else { panic!("{row:?}") };
            assert_eq!(name, format!("{kind:?}`"));
            assert_eq!(status, kind.http_status().to_string(), "{kind}");
            let again = [Op::QueuePush, Op::RateLimitCheck].map(|op| of_kind(kind, op).is_retryable());
            let expected = match again {
                [true, true] => "yes",
                [true, false] => "if the operation is idempotent",
                _ => "no",
            };
            assert_eq!(retry.split(',').next(), Some(expected), "{kind}");
            let expected = if kind.should_alert() { "yes" } else { "no" };
            assert_eq!(alert.split(';').next(), Some(expected), "{kind}");
            let says_no = of_kind(kind, Op::QueuePush).to_string().contains("nothing was executed");
            assert!(!says_no || executed == "no", "{kind}");
            let stops_scripts = matches!(
                kind,
                ErrorKind::Forbidden | ErrorKind::Corrupt | ErrorKind::Unsupported | ErrorKind::Unexpected
            );
            assert_eq!(executed == "perhaps in part", stops_scripts, "{kind}");
            assert!(["no", "perhaps", "perhaps in part", "yes"].contains(&executed) && !meaning.is_empty(), "{kind}");
        }
    }
}
