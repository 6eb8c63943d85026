//! The stored form of a loaded value: the version of this layout (1 byte), until when it is fresh (ms, 8 bytes), how long it
//! took to load (ms, 4 bytes), the value as JSON. Numbers are big-endian.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use serde::Serialize;
use serde::de::DeserializeOwned;
use store_core::{Timestamp, millis_ceil};

use super::Found;

const VERSION: u8 = 1;
const HEAD: usize = 13;

/// The bytes to store; `None` if the value cannot be written as JSON.
pub(super) fn write<T: Serialize>(value: &T, fresh_until: Timestamp, took: Duration) -> Option<Bytes> {
    let mut framed = Vec::with_capacity(HEAD + 128);
    framed.put_u8(VERSION);
    framed.put_u64(fresh_until.as_millis());
    framed.put_u32(u32::try_from(millis_ceil(took)).unwrap_or(u32::MAX));
    serde_json::to_writer(&mut framed, value).ok()?;
    Some(framed.into())
}

/// Reads stored bytes. `None` if they are not a value of this type; the caller then loads it again.
pub(super) fn read<T: DeserializeOwned>(framed: &[u8]) -> Option<Found<T>> {
    let (mut head, json) = framed.split_at_checked(HEAD)?;
    if head.get_u8() != VERSION {
        return None;
    }
    let fresh_until = Timestamp::from_millis(head.get_u64());
    let took = Duration::from_millis(head.get_u32().into());
    Some(Found { value: serde_json::from_slice(json).ok()?, fresh_until, took })
}
