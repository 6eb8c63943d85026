//! The frame of a stored value. It contains the request that stored the value, by which a repeated
//! [`set_if_absent`](store_core::KeyValue::set_if_absent) is recognised.
//!
//! The first byte states what follows: 0 the value; 1 the 16 bytes of a request, then the value.

use bytes::{BufMut, Bytes, BytesMut};
use store_core::{Error, Op, RequestId, Result};

const PLAIN: u8 = 0;
const WITH_REQUEST: u8 = 1;

/// The value in a frame that contains `request`.
pub(super) fn framed(value: &[u8], request: Option<RequestId>) -> Bytes {
    let mut framed = BytesMut::with_capacity(17 + value.len());
    match request {
        None => framed.put_u8(PLAIN),
        Some(request) => {
            framed.put_u8(WITH_REQUEST);
            framed.put_slice(request.as_bytes());
        }
    }
    framed.put_slice(value);
    framed.freeze()
}

/// The value in a frame, and the request that stored it. No copy.
pub(super) fn unframed(op: Op, framed: &Bytes) -> Result<(Bytes, Option<RequestId>)> {
    match framed.first() {
        Some(&PLAIN) => Ok((framed.slice(1..), None)),
        Some(&WITH_REQUEST) => match framed.get(1..17).and_then(|bytes| <[u8; 16]>::try_from(bytes).ok()) {
            Some(request) => Ok((framed.slice(17..), Some(RequestId::from_bytes(request)))),
            None => Err(unknown(op)),
        },
        _ => Err(unknown(op)),
    }
}

fn unknown(op: Op) -> Error {
    Error::corrupt(op, "the value was not written by this library, or by a newer version of it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_framed_value_is_read_back() {
        for value in [&b""[..], b"\0", b"\x01", b"subscribe", &[7; 100]] {
            for request in [None, Some(RequestId::generate())] {
                let stored = framed(value, request);
                let (read, by) = unframed(Op::KeyValueGetMany, &stored).unwrap();
                assert_eq!((read.as_ref(), by), (value, request));
            }
        }
    }

    #[test]
    fn foreign_values_are_corrupt_and_not_shown() {
        for foreign in [&b""[..], b"canary", b"\x01short", b"\x02canary"] {
            let error = unframed(Op::KeyValueGetMany, &Bytes::from_static(foreign)).unwrap_err();
            assert!(matches!(error, Error::Corrupt { .. }));
            assert!(!format!("{error:?} {error}").contains("canary"));
        }
    }
}
