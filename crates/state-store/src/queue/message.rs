//! Messages that hand jobs over.

use std::time::Duration;

use bytes::{Buf, Bytes};
use store_core::{Claim, Error, Fence, Result, Timestamp};

use super::claim::Delivery;
use super::waiter::OP;

/// Reads a hand-over: now, fence, how long the leases last, the numbers of items and of earlier states; then for each value its
/// length and bytes. Jobs that cannot be read are delivered again when their leases end.
pub(super) fn handed_over(message: Bytes, partition: u16) -> Result<(Claim, Timestamp)> {
    let unreadable =
        || Error::corrupt(OP, "a message that hands jobs over cannot be read; their leases end without a worker");
    let (delivery, now) = read(message, partition).ok_or_else(unreadable)?;
    let jobs = delivery.jobs()?;
    if jobs.is_empty() {
        return Err(unreadable());
    }
    Ok((Claim::new(jobs, Some(Duration::ZERO), false), now))
}

fn read(mut message: Bytes, partition: u16) -> Option<(Delivery, Timestamp)> {
    let now = Timestamp::from_millis(message.try_get_uint(6).ok()?);
    let fence = text(&take(&mut message, 16)?)?.parse().ok()?;
    let lasting = message.try_get_uint(6).ok()?;
    let (items, past) = (message.try_get_u16().ok()?, message.try_get_u16().ok()?);
    let mut delivery = Delivery::new(now, Fence::new(fence), lasting, partition);
    for _ in 0..items {
        let id = take_value(&mut message)?;
        delivery.add(&id, take_value(&mut message)?);
    }
    for _ in 0..past {
        let number = text(&take_value(&mut message)?)?.parse().ok()?;
        delivery.note_past(number, take_value(&mut message)?);
    }
    message.is_empty().then_some((delivery, now))
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
