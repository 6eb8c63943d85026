//! Broadcasts: one file per operation. These cases take real time, but none depends on how long they take.

mod listen;
mod publish;

use bytes::Bytes;
use store_core::{BroadcastEvent, BroadcastListener, BroadcastName, Result};

use crate::BrokenPromise;
use crate::case::Case;
use crate::fixture::Fixture;

/// The cases of every operation on broadcasts.
pub(crate) const CASES: &[&[Case]] = &[publish::CASES, listen::CASES];

fn name(fixture: &Fixture, what: &str) -> BroadcastName {
    BroadcastName::new(fixture.text(what)).expect("invariant: cases use short plain names")
}

async fn listen(fixture: &Fixture, what: &str) -> Result<BroadcastListener> {
    fixture.state.broadcasts().listen(&name(fixture, what)).await
}

/// Returns the number of processes to which it was sent.
async fn publish(fixture: &Fixture, what: &str, message: &str) -> Result<u64> {
    fixture.state.broadcasts().publish(&name(fixture, what), &Bytes::copy_from_slice(message.as_bytes())).await
}

fn message(text: &str) -> BroadcastEvent {
    BroadcastEvent::Message(Bytes::copy_from_slice(text.as_bytes()))
}

/// The texts of the next messages. On a busy machine, the connection may be lost: then the case proves nothing, and fails.
async fn texts(listener: &mut BroadcastListener, count: usize) -> Result<Vec<String>, BrokenPromise> {
    let mut texts = Vec::new();
    for _ in 0..count {
        match listener.next().await? {
            BroadcastEvent::Message(message) => texts.push(String::from_utf8_lossy(&message).into_owned()),
            other => return Err(BrokenPromise::new(format!("{other:?} came after {texts:?}"))),
        }
    }
    Ok(texts)
}
