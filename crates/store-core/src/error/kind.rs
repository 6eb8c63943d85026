//! The kinds of errors, and what a caller answers to each.

use std::fmt;

use serde::{Serialize, Serializer};

/// The kind of an [`Error`](crate::Error), whose documentation explains each in a table.
///
/// ```
/// use twinstore::ErrorKind;
///
/// let alerting: Vec<_> = ErrorKind::ALL.into_iter().filter(|kind| kind.should_alert()).collect();
/// assert!(alerting.contains(&ErrorKind::Forbidden) && !alerting.contains(&ErrorKind::Unavailable));
/// assert_eq!(ErrorKind::NotDurable.name(), "not_durable");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// [`Error::Unavailable`](crate::Error::Unavailable)
    Unavailable,
    /// [`Error::Indeterminate`](crate::Error::Indeterminate)
    Indeterminate,
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument)
    InvalidArgument,
    /// [`Error::Unauthenticated`](crate::Error::Unauthenticated)
    Unauthenticated,
    /// [`Error::Forbidden`](crate::Error::Forbidden)
    Forbidden,
    /// [`Error::Tls`](crate::Error::Tls)
    Tls,
    /// [`Error::Corrupt`](crate::Error::Corrupt)
    Corrupt,
    /// [`Error::Unsupported`](crate::Error::Unsupported)
    Unsupported,
    /// [`Error::Limit`](crate::Error::Limit)
    Limit,
    /// [`Error::NotDurable`](crate::Error::NotDurable)
    NotDurable,
    /// [`Error::Unexpected`](crate::Error::Unexpected)
    Unexpected,
}

impl ErrorKind {
    /// All kinds, in the order of the table.
    pub const ALL: [ErrorKind; 11] = [
        ErrorKind::Unavailable,
        ErrorKind::Indeterminate,
        ErrorKind::InvalidArgument,
        ErrorKind::Unauthenticated,
        ErrorKind::Forbidden,
        ErrorKind::Tls,
        ErrorKind::Corrupt,
        ErrorKind::Unsupported,
        ErrorKind::Limit,
        ErrorKind::NotDurable,
        ErrorKind::Unexpected,
    ];

    /// A short stable word for metrics and logs: `unavailable`, `invalid_argument` …
    pub const fn name(self) -> &'static str {
        match self {
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::Indeterminate => "indeterminate",
            ErrorKind::InvalidArgument => "invalid_argument",
            ErrorKind::Unauthenticated => "unauthenticated",
            ErrorKind::Forbidden => "forbidden",
            ErrorKind::Tls => "tls",
            ErrorKind::Corrupt => "corrupt",
            ErrorKind::Unsupported => "unsupported",
            ErrorKind::Limit => "limit",
            ErrorKind::NotDurable => "not_durable",
            ErrorKind::Unexpected => "unexpected",
        }
    }

    /// The status with which an HTTP service answers a request that failed with this error.
    ///
    /// It is never 401 or 403: the server refused this service, not the client of the request. `InvalidArgument` is 400,
    /// which is right if the argument came from the request; otherwise answer 500.
    pub const fn http_status(self) -> u16 {
        match self {
            ErrorKind::InvalidArgument => 400,
            ErrorKind::Unauthenticated
            | ErrorKind::Forbidden
            | ErrorKind::Tls
            | ErrorKind::Corrupt
            | ErrorKind::Unexpected => 500,
            ErrorKind::Unsupported => 501,
            ErrorKind::Unavailable | ErrorKind::Limit | ErrorKind::NotDurable => 503,
            ErrorKind::Indeterminate => 504,
        }
    }

    /// Whether one such error is a reason to alert an operator. For the other kinds, alert if they last.
    pub const fn should_alert(self) -> bool {
        !matches!(self, ErrorKind::Unavailable | ErrorKind::Indeterminate | ErrorKind::InvalidArgument)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// As its [`name`](ErrorKind::name).
impl Serialize for ErrorKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
