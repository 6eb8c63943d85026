//! What an operation answers when it could not answer.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::{Durability, Op, Reached, Repeat};

/// The result of an operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The cause below an [`Error`], for logs. Shared, so that callers who waited for one call can all be told.
pub type Source = Arc<dyn std::error::Error + Send + Sync>;

/// The question was not answered. Expected outcomes (a key that is absent, a lease that was lost) are values, not errors.
///
/// The variants separate what matters to a caller: whether the operation was executed, and what to do next.
/// No variant carries a URL, a payload, a token or the text of a key.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It was not executed: the server could not be reached, is loading, is read-only for the moment, or the local
    /// bound on waiting operations is reached. Try again later, any operation.
    #[error("{op}: the store is not available, nothing was executed: {detail}")]
    Unavailable {
        /// The operation.
        op: Op,
        /// What happened.
        detail: Cow<'static, str>,
        /// The cause, if another error caused it.
        source: Option<Source>,
    },
    /// It may or may not have been executed: the reply was lost. An idempotent operation may be sent again unchanged;
    /// [`Error::is_retryable`] returns `true` for those.
    ///
    /// When this is returned for an idempotent operation, no copy of its request can run any more, so none can undo what the
    /// caller does next. An operation that is never repeated returns at once; its request may still run until the command
    /// time-out after it was sent.
    #[error("{op}: the reply was lost, it may have been executed: {detail}")]
    Indeterminate {
        /// The operation.
        op: Op,
        /// What happened.
        detail: Cow<'static, str>,
        /// The cause, if another error caused it.
        source: Option<Source>,
    },
    /// It was refused and will be refused again: an argument outside its range, a missing permission, wrong credentials.
    #[error("{op}: refused: {detail}")]
    Rejected {
        /// The operation.
        op: Op,
        /// What was wrong and how to mend it.
        detail: Cow<'static, str>,
    },
    /// What is stored could not be read: written by something else, or by a newer version.
    #[error("{op}: stored data could not be read: {detail}")]
    Corrupt {
        /// The operation.
        op: Op,
        /// What was found, without the data.
        detail: Cow<'static, str>,
    },
    /// This engine or this server version cannot do it.
    #[error("{op}: not supported: {detail}")]
    Unsupported {
        /// The operation.
        op: Op,
        /// What is missing.
        detail: Cow<'static, str>,
    },
    /// A bound was reached: the server's memory, a queue's size. Nothing was executed; try again after a pause.
    #[error("{op}: a limit was reached, nothing was executed: {detail}")]
    Limit {
        /// The operation.
        op: Op,
        /// Which limit.
        detail: Cow<'static, str>,
        /// How long to wait, where the store knows.
        retry_after: Option<Duration>,
    },
    /// The write was executed and stands, but did not reach the durability that was asked for in the time allowed.
    #[error("{op}: written, but not as durable as asked: wanted {wanted}, reached {reached}")]
    NotDurable {
        /// The operation.
        op: Op,
        /// What was asked for.
        wanted: Durability,
        /// What was reached.
        reached: Reached,
    },
}

impl Error {
    /// An argument was outside its range, or the server refused.
    pub fn rejected(op: Op, detail: impl Into<Cow<'static, str>>) -> Self {
        Error::Rejected { op, detail: detail.into() }
    }

    /// The store holds something that this version does not understand.
    pub fn corrupt(op: Op, detail: impl Into<Cow<'static, str>>) -> Self {
        Error::Corrupt { op, detail: detail.into() }
    }

    /// The engine or the server cannot do it.
    pub fn unsupported(op: Op, detail: impl Into<Cow<'static, str>>) -> Self {
        Error::Unsupported { op, detail: detail.into() }
    }

    /// It was not executed.
    pub fn unavailable(op: Op, detail: impl Into<Cow<'static, str>>) -> Self {
        Error::Unavailable { op, detail: detail.into(), source: None }
    }

    /// It may have been executed.
    pub fn indeterminate(op: Op, detail: impl Into<Cow<'static, str>>) -> Self {
        Error::Indeterminate { op, detail: detail.into(), source: None }
    }

    /// A bound was reached.
    pub fn limit(op: Op, detail: impl Into<Cow<'static, str>>) -> Self {
        Error::Limit { op, detail: detail.into(), retry_after: None }
    }

    /// The same with its cause, where the variant has a place for one.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        if let Error::Unavailable { source, .. } | Error::Indeterminate { source, .. } = &mut self {
            *source = Some(Arc::from(cause.into()));
        }
        self
    }

    /// The operation that was asked for.
    pub fn op(&self) -> Op {
        match self {
            Error::Unavailable { op, .. }
            | Error::Indeterminate { op, .. }
            | Error::Rejected { op, .. }
            | Error::Corrupt { op, .. }
            | Error::Unsupported { op, .. }
            | Error::Limit { op, .. }
            | Error::NotDurable { op, .. } => *op,
        }
    }

    /// What happened, in words, without the operation and the kind that `Display` puts before it.
    pub fn detail(&self) -> Cow<'static, str> {
        match self {
            Error::Unavailable { detail, .. }
            | Error::Indeterminate { detail, .. }
            | Error::Rejected { detail, .. }
            | Error::Corrupt { detail, .. }
            | Error::Unsupported { detail, .. }
            | Error::Limit { detail, .. } => detail.clone(),
            Error::NotDurable { wanted, reached, .. } => format!("wanted {wanted}, reached {reached}").into(),
        }
    }

    /// A short stable word for metrics: `unavailable`, `indeterminate`, `rejected` …
    pub fn kind(&self) -> &'static str {
        match self {
            Error::Unavailable { .. } => "unavailable",
            Error::Indeterminate { .. } => "indeterminate",
            Error::Rejected { .. } => "rejected",
            Error::Corrupt { .. } => "corrupt",
            Error::Unsupported { .. } => "unsupported",
            Error::Limit { .. } => "limit",
            Error::NotDurable { .. } => "not_durable",
        }
    }

    /// Whether sending the same request again can help and cannot do harm.
    ///
    /// What was not executed may always be repeated; what may have been executed only when the store recognises it.
    pub fn is_retryable(&self) -> bool {
        match self {
            Error::Unavailable { .. } | Error::Limit { .. } => true,
            Error::Indeterminate { op, .. } | Error::NotDurable { op, .. } => op.repeat() != Repeat::Never,
            Error::Rejected { .. } | Error::Corrupt { .. } | Error::Unsupported { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Error;
    use crate::Op;

    #[test]
    fn only_recognised_operations_are_repeated_after_a_lost_reply() {
        assert!(Error::indeterminate(Op::QueuePush, "cut").is_retryable());
        assert!(!Error::indeterminate(Op::RateLimitCheck, "cut").is_retryable());
        assert!(Error::unavailable(Op::RateLimitCheck, "down").is_retryable());
        assert!(!Error::rejected(Op::QueuePush, "no").is_retryable());
    }
}
