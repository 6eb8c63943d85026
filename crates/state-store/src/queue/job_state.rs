//! The state of a job: what changes while it lives. Written by the scripts alone; `docs/layout.md` describes it.

use bytes::{Buf, Bytes};
use store_core::HolderName;

/// The bits of the flags that a client reads.
const CANCEL_REQUESTED: u8 = 1;
const HAS_BLOB: u8 = 4;
const HAS_ERROR: u8 = 8;

/// Bytes before the priority: status and fence.
const BEFORE_ATTEMPTS: usize = 17;
/// Bytes that repeat the record's.
const REPEATED: usize = 7;

/// A state, read.
#[derive(Debug, Default)]
pub(super) struct JobStateRecord {
    /// Deliveries that have been counted.
    pub(super) attempts: u32,
    pub(super) cancel_requested: bool,
    pub(super) worker: Option<HolderName>,
    pub(super) last_error: Option<String>,
    /// Progress or result.
    pub(super) blob: Option<Bytes>,
}

impl JobStateRecord {
    /// Reads a state; empty bytes are that of a job that was never claimed. `None` if the bytes are no state.
    pub(super) fn decode(mut bytes: Bytes) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self::default());
        }
        if bytes.len() < BEFORE_ATTEMPTS {
            return None;
        }
        bytes.advance(BEFORE_ATTEMPTS);
        let attempts = bytes.try_get_u16().ok()?;
        if bytes.len() < REPEATED {
            return None;
        }
        bytes.advance(REPEATED);
        let flags = bytes.try_get_u8().ok()?;
        let worker_len = bytes.try_get_u8().ok()?;
        let worker = take(&mut bytes, usize::from(worker_len))?;
        let error_len = bytes.try_get_u16().ok()?;
        let error = take(&mut bytes, usize::from(error_len))?;
        Some(Self {
            attempts: attempts.into(),
            cancel_requested: flags & CANCEL_REQUESTED != 0,
            worker: if worker.is_empty() { None } else { Some(HolderName::new(text(&worker)?).ok()?) },
            last_error: if flags & HAS_ERROR == 0 { None } else { Some(text(&error)?.to_owned()) },
            blob: (flags & HAS_BLOB != 0).then_some(bytes),
        })
    }
}

fn take(bytes: &mut Bytes, len: usize) -> Option<Bytes> {
    (bytes.len() >= len).then(|| bytes.split_to(len))
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(flags: u8, worker: &[u8], error: &[u8], blob: &[u8]) -> Bytes {
        let mut bytes = b"r0001700000000000\x00\x03\x02\x00\x0aABCD".to_vec();
        bytes.push(flags);
        bytes.push(worker.len() as u8);
        bytes.extend(worker);
        bytes.extend((error.len() as u16).to_be_bytes());
        bytes.extend(error);
        bytes.extend(blob);
        bytes.into()
    }

    #[test]
    fn a_state_is_read() {
        let read = JobStateRecord::decode(state(1 | 2 | 4 | 8, b"w-1", b"broken", b"half")).unwrap();
        assert_eq!((read.attempts, read.cancel_requested), (3, true));
        assert_eq!(read.worker.unwrap().as_str(), "w-1");
        assert_eq!(read.last_error.as_deref(), Some("broken"));
        assert_eq!(read.blob.as_deref(), Some(&b"half"[..]));
        let read = JobStateRecord::decode(state(0, b"", b"", b"")).unwrap();
        assert!(read.worker.is_none() && read.last_error.is_none() && read.blob.is_none());
        let read = JobStateRecord::decode(state(4 | 8, b"", b"", b"")).unwrap();
        assert_eq!((read.last_error.as_deref(), read.blob.as_deref()), (Some(""), Some(&b""[..])));
        assert_eq!(JobStateRecord::decode(Bytes::new()).unwrap().attempts, 0);
    }

    #[test]
    fn no_prefix_of_a_state_is_read_beyond_its_end() {
        let whole = state(8, b"worker", b"error", b"");
        for len in 1..whole.len() {
            assert!(JobStateRecord::decode(whole.slice(..len)).is_none(), "{len}");
        }
    }
}
