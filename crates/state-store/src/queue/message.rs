//! Messages that hand jobs over.

use std::time::Duration;

use bytes::{Buf, Bytes};
use store_core::{Claim, Fence, Timestamp};

use super::claim::Delivery;

/// Reads a hand-over: now, fence, how long the leases last, the number of items; then for each value its length and bytes.
pub(super) fn handed_over(mut message: Bytes, partition: u16) -> Option<(Claim, Timestamp)> {
    let now = Timestamp::from_millis(message.try_get_uint(6).ok()?);
    let fence = text(&take(&mut message, 16)?)?.parse().ok()?;
    let lasting = message.try_get_uint(6).ok()?;
    let items = message.try_get_u16().ok()?;
    let mut delivery = Delivery::new(now, Fence::new(fence), lasting, partition);
    for _ in 0..items {
        let id = take_value(&mut message)?;
        delivery.add(&id, take_value(&mut message)?);
    }
    while message.has_remaining() {
        let number = text(&take_value(&mut message)?)?.parse().ok()?;
        delivery.note_past(number, take_value(&mut message)?);
    }
    Some((Claim::new(delivery.jobs().ok()?, Some(Duration::ZERO), false), now))
}

fn take_value(bytes: &mut Bytes) -> Option<Bytes> {
    let length = usize::try_from(bytes.try_get_u32().ok()?).ok()?;
    take(bytes, length)
}

fn take(bytes: &mut Bytes, length: usize) -> Option<Bytes> {
    (bytes.len() >= length).then(|| bytes.split_to(length))
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}
