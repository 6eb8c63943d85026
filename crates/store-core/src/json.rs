//! How types of this crate appear in JSON: durations as whole milliseconds, bytes as their length.

use std::time::Duration;

use bytes::Bytes;
use serde::Serializer;

use crate::{Error, millis_ceil};

/// A duration in milliseconds, rounded up. The field's name ends in `_ms`.
pub(crate) fn millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(millis_ceil(*duration))
}

/// As [`millis`]; `None` is `null`.
pub(crate) fn millis_of<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => millis(duration, serializer),
        None => serializer.serialize_none(),
    }
}

/// The length of bytes that belong to the application. The field's name ends in `_bytes`.
pub(crate) fn len<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(bytes.len() as u64)
}

/// As [`len`]; `None` is `null`.
pub(crate) fn len_of<S: Serializer>(bytes: &Option<Bytes>, serializer: S) -> Result<S::Ok, S::Error> {
    match bytes {
        Some(bytes) => len(bytes, serializer),
        None => serializer.serialize_none(),
    }
}

/// The kind of an error ([`Error::kind`]); `None` is `null`.
pub(crate) fn kind_of<S: Serializer>(error: &Option<Error>, serializer: S) -> Result<S::Ok, S::Error> {
    match error {
        Some(error) => serializer.serialize_str(error.kind().name()),
        None => serializer.serialize_none(),
    }
}
