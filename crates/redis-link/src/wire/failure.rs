//! Why a request has no result, and the error that the caller receives.

use std::borrow::Cow;

use store_core::{Error, Op};

use crate::Endpoint;

mod classify;
mod error_reply;

pub(super) use classify::{During, of_library};
pub(crate) use error_reply::ErrorReply;
use error_reply::Meaning;
pub(crate) use error_reply::Redirection;

const SILENCE: &str = "no reply came in time";
const LOST: &str = "the connection was lost before the reply";
const UNSENT: &str = "the call ended before it was sent";
/// The library closes the connection on `CLUSTERDOWN`, so it does not report which of its calls was refused.
const CLUSTER_DOWN: &str = "the cluster is down or does not serve a slot, and the connection was closed";

/// Why a request has no result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It was not written to any connection. Another attempt may succeed.
    NotSent(Cow<'static, str>),
    /// The link decided not to send it. Another attempt would not change that.
    Withheld(&'static str),
    /// The server refused to run a copy that reached it after its deadline.
    Late,
    /// It may have been written; no reply came.
    Lost(&'static str),
    /// A setting of the link is outside its range; nothing was sent.
    InvalidArgument(Cow<'static, str>),
    /// There is no password to log in with; nothing was sent.
    Unauthenticated(Cow<'static, str>),
    /// No encrypted connection could be opened; nothing was sent.
    Tls(Cow<'static, str>),
    /// The server cannot do it; nothing was sent.
    Unsupported(&'static str),
    /// The server answered with an error.
    Answered(ErrorReply),
}

impl Failure {
    /// No reply came in time, although the connection seemed to be up.
    pub(crate) const SILENCE: Self = Failure::Lost(SILENCE);

    /// The connection ended before the reply came.
    pub(crate) const LOST: Self = Failure::Lost(LOST);

    /// The call timed out, or its connection ended, before it was sent.
    pub(crate) const UNSENT: Self = Failure::NotSent(Cow::Borrowed(UNSENT));

    /// There is no connection to send it on.
    pub(crate) const DOWN: Self = Failure::NotSent(Cow::Borrowed("the connection is down"));

    /// Whether the server does not know the script.
    pub(crate) fn is_unknown_script(&self) -> bool {
        self.means(Meaning::UnknownScript)
    }

    /// Whether the server has become a replica.
    pub(crate) fn is_read_only(&self) -> bool {
        self.means(Meaning::ReadOnly)
    }

    /// Whether the server has become a replica, also while the call waited.
    pub(crate) fn is_of_demotion(&self) -> bool {
        self.is_read_only() || self.means(Meaning::Unblocked)
    }

    /// Whether the user may not run the command or use the key.
    pub(crate) fn is_forbidden(&self) -> bool {
        self.means(Meaning::Forbidden) || self.means(Meaning::ForbiddenInScript)
    }

    /// Whether the server's memory is full.
    pub(crate) fn is_of_memory(&self) -> bool {
        self.means(Meaning::MemoryFull)
    }

    /// Whether a node of a cluster refuses calls on keys because the cluster, or a slot, is down.
    pub(crate) fn is_cluster_down(&self) -> bool {
        self.means(Meaning::ClusterDown) || matches!(self, Failure::Lost(CLUSTER_DOWN))
    }

    /// Whether the server requires credentials first.
    pub(super) fn is_unauthenticated(&self) -> bool {
        self.means(Meaning::PasswordMissing)
    }

    /// Whether the server supports only version 2 of the protocol.
    pub(super) fn is_unknown_protocol(&self) -> bool {
        self.means(Meaning::UnknownProtocol) || self.is_unknown_command()
    }

    /// Whether the server has no such command, or it is renamed or disabled.
    pub(crate) fn is_unknown_command(&self) -> bool {
        self.means(Meaning::UnknownCommand)
    }

    /// Whether the reason that the server gave is unknown.
    pub(super) fn is_without_meaning(&self) -> bool {
        self.means(Meaning::Unknown)
    }

    /// Whether there is no database with that number.
    pub(crate) fn is_no_database(&self) -> bool {
        self.means(Meaning::UnknownDatabase)
    }

    /// Whether a sentinel does not monitor the service.
    pub(crate) fn is_unknown_service(&self) -> bool {
        self.means(Meaning::UnknownService)
    }

    /// Whether a sentinel reaches too few others.
    pub(crate) fn is_no_quorum(&self) -> bool {
        self.means(Meaning::NoQuorum)
    }

    /// Whether the request was sent to the wrong node of a cluster.
    pub(crate) fn is_redirection(&self) -> bool {
        self.means(Meaning::OtherServer)
    }

    /// The redirection by which the node at the address `asked` refused the request.
    pub(crate) fn redirection(&self, asked: Option<&Endpoint>) -> Option<Redirection> {
        match self {
            Failure::Answered(reply) => reply.redirection(asked),
            _ => None,
        }
    }

    /// Whether a node of a cluster cannot serve the slot at the moment.
    pub(crate) fn is_of_routing(&self) -> bool {
        self.means(Meaning::ClusterDown) || self.is_of_moving_slot()
    }

    /// Whether the nodes refused the request, because its slot is on the way between them.
    pub(crate) fn is_of_moving_slot(&self) -> bool {
        self.means(Meaning::SlotMoves) || self.means(Meaning::OtherServer)
    }

    fn means(&self, meaning: Meaning) -> bool {
        matches!(self, Failure::Answered(reply) if reply.meaning() == meaning)
    }

    /// Whether the connection itself failed.
    pub(crate) fn is_of_connection(&self) -> bool {
        match self {
            // It shows nothing about the connection.
            Failure::NotSent(detail) => *detail != UNSENT,
            Failure::Lost(detail) => [LOST, CLUSTER_DOWN].contains(detail),
            _ => false,
        }
    }

    /// Whether no reply came in time.
    pub(crate) fn is_silence(&self) -> bool {
        matches!(self, Failure::Lost(SILENCE))
    }

    /// The failure of a call of which only the preparation was sent: it was not executed, even if a reply was lost.
    pub(crate) fn before_the_call(self) -> Self {
        match self {
            Failure::Lost(detail) => Failure::NotSent(detail.into()),
            other => other,
        }
    }

    /// The error for the caller; `what` is the command or script.
    pub(crate) fn into_error(self, op: Op, what: &str) -> Error {
        match self {
            Failure::NotSent(detail) => Error::unavailable(op, detail),
            Failure::Withheld(detail) => Error::unavailable(op, detail),
            Failure::Late => Error::unavailable(op, "the request reached the server after its time-out"),
            Failure::Lost(detail) => Error::indeterminate(op, detail),
            Failure::InvalidArgument(detail) => Error::invalid_argument(op, detail),
            Failure::Unauthenticated(detail) => Error::unauthenticated(op, detail),
            Failure::Tls(detail) => Error::tls(op, detail),
            Failure::Unsupported(detail) => Error::unsupported(op, detail),
            Failure::Answered(reply) => reply.into_error(op, what),
        }
    }
}
