//! Why an operation could not be applied in a transaction.

use store_core::{Error, Op};

/// Why an operation could not be applied.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The operation refuses, and has not written anything: the other operations of the transaction may be committed.
    Refused(Error),
    /// A row could not be read.
    Corrupt(&'static str),
    /// The database failed. The writes of the operation have to be rolled back.
    Storage(Box<redb::Error>),
}

macro_rules! storage_faults {
    ($($error:ty),*) => {$(
        impl From<$error> for Fault {
            fn from(error: $error) -> Self {
                Fault::Storage(Box::new(error.into()))
            }
        }
    )*};
}

storage_faults!(redb::Error, redb::StorageError, redb::TableError);

impl Fault {
    /// The error for a caller whose operation was rolled back.
    pub(crate) fn into_error(self, op: Op) -> Error {
        match self {
            Fault::Refused(error) => error,
            Fault::Corrupt(what) => Error::corrupt(op, what),
            Fault::Storage(error) => not_executed(op, &error),
        }
    }
}

/// The database failed before anything was committed.
pub(crate) fn not_executed(op: Op, error: &redb::Error) -> Error {
    match error {
        redb::Error::Corrupted(_) => Error::corrupt(op, "a page of the file is damaged; restore it from a backup"),
        error => Error::unavailable(op, "the embedded database failed, and is being opened again")
            .caused_by(error.to_string()),
    }
}

/// The database failed while it committed: the operation may have been executed.
pub(crate) fn failed_commit(op: Op, error: &redb::Error) -> Error {
    Error::indeterminate(op, "the embedded database failed while it committed, and is being opened again")
        .caused_by(error.to_string())
}
