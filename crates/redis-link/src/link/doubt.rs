//! Errors after an attempt that may have been executed.

use store_core::Error;

/// If an earlier attempt may have been executed, the error must not state that nothing was.
pub(super) fn in_doubt(error: Error) -> Error {
    let (op, detail) = (error.op(), error.detail());
    match error {
        Error::Unavailable { source, .. } => Error::Indeterminate { op, detail, source },
        Error::InvalidArgument { .. }
        | Error::Unauthenticated { .. }
        | Error::Forbidden { .. }
        | Error::Tls { .. }
        | Error::Unsupported { .. }
        | Error::Limit { .. } => Error::indeterminate(op, detail),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use store_core::{Durability, Error, ErrorKind, Op, Reached};

    use super::in_doubt;

    fn of_kind(kind: ErrorKind) -> Error {
        let op = Op::QueuePush;
        match kind {
            ErrorKind::Unavailable => Error::unavailable(op, "the detail"),
            ErrorKind::Indeterminate => Error::indeterminate(op, "the detail"),
            ErrorKind::InvalidArgument => Error::invalid_argument(op, "the detail"),
            ErrorKind::Unauthenticated => Error::unauthenticated(op, "the detail"),
            ErrorKind::Forbidden => Error::forbidden(op, "the detail"),
            ErrorKind::Tls => Error::tls(op, "the detail"),
            ErrorKind::Corrupt => Error::corrupt(op, "the detail"),
            ErrorKind::Unsupported => Error::unsupported(op, "the detail"),
            ErrorKind::Limit => Error::limit(op, "the detail"),
            ErrorKind::NotDurable => {
                Error::NotDurable { op, wanted: Durability::Accepted, reached: Reached::default() }
            }
            ErrorKind::Unexpected => Error::unexpected(op, "the detail"),
            other => panic!("{other} is not listed"),
        }
    }

    #[test]
    fn after_a_lost_reply_no_error_states_that_nothing_was_executed() {
        for kind in ErrorKind::ALL {
            let (before, after) = (of_kind(kind), in_doubt(of_kind(kind)));
            let admits_execution = matches!(kind, ErrorKind::Corrupt | ErrorKind::NotDurable | ErrorKind::Unexpected);
            let expected = if admits_execution { kind } else { ErrorKind::Indeterminate };
            assert_eq!(after.kind(), expected, "{kind}");
            assert_eq!((after.op(), after.detail()), (before.op(), before.detail()), "{kind}");
            assert!(!after.to_string().contains("nothing was executed"), "{after}");
        }
    }
}
