//! Job ids as they are stored: a UUID in lower case and with dashes as a byte 1 and its 16 bytes, all others as they are. No
//! id begins with a control character, so the two cannot be confused.

use bytes::{BufMut, BytesMut};
use store_core::JobId;

pub(super) const UUID: u8 = 1;
const UUID_TEXT: usize = 36;

/// Appends the packed id.
pub(super) fn pack(id: &JobId, buffer: &mut BytesMut) {
    match uuid_bytes(id.as_str().as_bytes()) {
        Some(bytes) => {
            buffer.put_u8(UUID);
            buffer.put_slice(&bytes);
        }
        None => buffer.put_slice(id.as_str().as_bytes()),
    }
}

/// The id that was packed; `None` for what no version of this code has written.
pub(super) fn unpack(packed: &[u8]) -> Option<JobId> {
    match packed.split_first()? {
        (&UUID, bytes) => JobId::new(std::str::from_utf8(&uuid_text(bytes.try_into().ok()?)).ok()?).ok(),
        _ => JobId::new(std::str::from_utf8(packed).ok()?).ok(),
    }
}

fn is_dash(position: usize) -> bool {
    matches!(position, 8 | 13 | 18 | 23)
}

fn uuid_bytes(text: &[u8]) -> Option<[u8; 16]> {
    if text.len() != UUID_TEXT {
        return None;
    }
    let mut bytes = [0; 16];
    let mut digits = 0;
    for (position, &character) in text.iter().enumerate() {
        let digit = match character {
            b'-' if is_dash(position) => continue,
            _ if is_dash(position) => return None,
            b'0'..=b'9' => character - b'0',
            b'a'..=b'f' => character - b'a' + 10,
            _ => return None,
        };
        bytes[digits / 2] = bytes[digits / 2] << 4 | digit;
        digits += 1;
    }
    Some(bytes)
}

fn uuid_text(bytes: &[u8; 16]) -> [u8; UUID_TEXT] {
    let mut text = [b'-'; UUID_TEXT];
    let places = (0..UUID_TEXT).filter(|&position| !is_dash(position));
    for (digit, place) in places.enumerate() {
        let half = if digit % 2 == 0 { bytes[digit / 2] >> 4 } else { bytes[digit / 2] & 15 };
        text[place] = b"0123456789abcdef"[usize::from(half)];
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_comes_back_as_it_was() {
        let (uuid, random) = ("018f6d2a-1b2c-7d3e-8f90-a1b2c3d4e5f6", "018f6d2a-1b2c-4d3e-8f90-a1b2c3d4e5f6");
        let lookalikes = [
            "018F6D2A-1B2C-7D3E-8F90-A1B2C3D4E5F6",
            "018f6d2a-1b2c-7d3e-8f90-a1b2c3d4e5fg",
            "018f6d2a11b2c-7d3e-8f90-a1b2c3d4e5f6",
            "018f6d2a1b2c7d3e8f90a1b2c3d4e5f6",
            "message",
            "größe",
            "0",
            "0123456789abcdefg",
        ];
        for text in lookalikes.into_iter().chain([uuid, random]) {
            let id = JobId::new(text).unwrap();
            let mut packed = BytesMut::new();
            pack(&id, &mut packed);
            assert_eq!(packed.len(), if text == uuid || text == random { 17 } else { text.len() }, "{text}");
            assert_eq!(unpack(&packed), Some(id));
        }
    }

    #[test]
    fn bytes_that_are_no_id_are_refused() {
        for packed in [&b""[..], b"\x01short", b"\x01", b"\xff\xff", b"a\x00b", b"\x0112345678901234567"] {
            assert_eq!(unpack(packed), None);
        }
    }
}
