//! How types of this crate appear in JSON: durations as whole milliseconds, bytes as their length. Values of services as JSON.

use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};

use crate::{Error, Op, Result, millis_ceil};

/// A value as JSON. `what` it is, for the error.
pub(crate) fn to_json<T: Serialize + ?Sized>(op: Op, what: &str, value: &T) -> Result<Bytes> {
    match serde_json::to_vec(value) {
        Ok(json) => Ok(json.into()),
        Err(_) => Err(Error::invalid_argument(op, format!("{what} cannot be written as JSON"))),
    }
}

/// A value from JSON. The error has the place, not the text, which may be private.
pub(crate) fn from_json<T: DeserializeOwned>(op: Op, what: &str, json: &[u8]) -> Result<T> {
    serde_json::from_slice(json)
        .map_err(|error| Error::corrupt(op, format!("{what} is not what was expected, at byte {}", error.column())))
}

/// A duration in milliseconds, rounded up. The field's name ends in `_ms`.
pub(crate) fn millis<S: Serializer>(duration: &Duration, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_u64(millis_ceil(*duration))
}

/// As [`millis`]; `None` is `null`.
pub(crate) fn millis_of<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => millis(duration, serializer),
        None => serializer.serialize_none(),
    }
}

/// The length of bytes that belong to the application. The field's name ends in `_bytes`.
pub(crate) fn len<S: Serializer>(bytes: &Bytes, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_u64(bytes.len() as u64)
}

/// As [`len`]; `None` is `null`.
pub(crate) fn len_of<S: Serializer>(bytes: &Option<Bytes>, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    match bytes {
        Some(bytes) => len(bytes, serializer),
        None => serializer.serialize_none(),
    }
}

/// The kind of an error ([`Error::kind`]); `None` is `null`.
pub(crate) fn kind_of<S: Serializer>(error: &Option<Error>, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    match error {
        Some(error) => serializer.serialize_str(error.kind().name()),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_the_place_and_not_the_text() {
        let json = to_json(Op::TopicAppend, "the event", &["a secret"]).unwrap();
        assert_eq!(from_json::<Vec<String>>(Op::TopicRead, "the event", &json).unwrap(), ["a secret"]);
        let error = from_json::<Vec<u8>>(Op::TopicRead, "the event", &json).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }));
        let text = format!("{error} {error:?}");
        assert!(text.contains("the event is not what was expected, at byte 11") && !text.contains("secret"), "{text}");
        let keys_are_no_texts = std::collections::BTreeMap::from([((1, 2), 3)]);
        let error = to_json(Op::TopicAppend, "the event", &keys_are_no_texts).unwrap_err();
        assert!(error.to_string().ends_with("the event cannot be written as JSON"), "{error}");
    }
}
