//! Job ids as they are stored: a UUID in lower case and with dashes as a byte 1 and its 16 bytes, all others as they are. No
//! id begins with a control character, so the two cannot be confused.

use bytes::{BufMut, BytesMut};
use store_core::JobId;

const UUID: u8 = 1;
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

/// How many bytes the packed id has, and whether it has a family.
pub(super) fn form(id: &JobId) -> (usize, bool) {
    let text = id.as_str().as_bytes();
    uuid_bytes(text).map_or((text.len(), false), |bytes| (LEN, bytes[6] >> 4 == 7))
}

/// The id that was packed; `None` for what no version of this code has written.
pub(super) fn unpack(packed: &[u8]) -> Option<JobId> {
    match packed.split_first()? {
        (&UUID, bytes) => JobId::new(std::str::from_utf8(&uuid_text(bytes.try_into().ok()?)).ok()?).ok(),
        _ => JobId::new(std::str::from_utf8(packed).ok()?).ok(),
    }
}

/// Whether this is an id that has a family: a UUID of version 7.
pub(super) fn has_family(packed: &[u8]) -> bool {
    packed.first() == Some(&UUID) && packed.get(7).is_some_and(|version| version >> 4 == 7)
}

/// UUIDs of version 7 that differ only in their last 6 bits, in rising order. [`JobId::generate`] makes such ids, and many of
/// them are told to the server, and found there, as one.
#[derive(Debug, PartialEq, Eq)]
struct Run {
    /// The packed id with zeros in place of the 6 bits.
    family: [u8; LEN],
    /// Which ids: bit n for the one with the number n.
    numbers: u64,
}

/// A packed UUID.
const LEN: usize = 17;

impl Run {
    fn of(packed: [u8; LEN]) -> Self {
        let (mut family, number) = (packed, packed[LEN - 1] % 64);
        family[LEN - 1] -= number;
        Self { family, numbers: 1 << number }
    }

    /// Takes the next id in, if it belongs to this run.
    fn takes(&mut self, next: &Self) -> bool {
        let is_next = self.family == next.family && self.numbers < next.numbers;
        self.numbers |= if is_next { next.numbers } else { 0 };
        is_next
    }

    /// Appends the family, two words of 32 bits for the numbers 0 to 31 and 32 to 63, and how many there are.
    fn write(&self, buffer: &mut BytesMut) {
        buffer.put_slice(&self.family);
        buffer.put_u64(self.numbers.rotate_left(32));
        // At most 64.
        buffer.put_u8(self.numbers.count_ones() as u8);
    }
}

/// Appends the runs of packed ids; nothing if one of them has no family.
pub(super) fn put_runs<'a>(ids: impl Iterator<Item = &'a [u8]>, buffer: &mut BytesMut) {
    let before = buffer.len();
    let mut run: Option<Run> = None;
    for id in ids {
        let Some(next) = id.try_into().ok().filter(|_| has_family(id)).map(Run::of) else {
            return buffer.truncate(before);
        };
        if run.as_mut().is_some_and(|run| run.takes(&next)) {
            continue;
        }
        if let Some(run) = run.replace(next) {
            run.write(buffer);
        }
    }
    if let Some(run) = run {
        run.write(buffer);
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
            assert_eq!((packed.len(), has_family(&packed)), form(&id));
            assert_eq!(packed.len(), if text == uuid || text == random { 17 } else { text.len() }, "{text}");
            assert_eq!(has_family(&packed), text == uuid);
            assert_eq!(unpack(&packed), Some(id));
        }
    }

    const RUN: usize = LEN + 9;

    #[test]
    fn ids_that_are_made_together_are_few_runs() {
        let packed = |id: &JobId| {
            let mut packed = BytesMut::new();
            pack(id, &mut packed);
            packed
        };
        let family = "018f6d2a-1b2c-7d3e-8f90-a1b2c3d4e5";
        let ids = ["c0", "c1", "df", "e0", "ff", "c2", "80"]
            .map(|last| packed(&JobId::new(format!("{family}{last}")).unwrap()));
        let mut runs = BytesMut::new();
        put_runs(ids.iter().map(|id| &id[..]), &mut runs);
        let expected = [(0xc0, 0x8000_0003_8000_0001_u64, 5), (0xc0, 0x0000_0004_0000_0000, 1), (0x80, 1 << 32, 1)];
        assert_eq!(runs.len(), expected.len() * RUN);
        for (run, (last, words, count)) in runs.chunks(RUN).zip(expected) {
            assert_eq!((&run[..16], run[16]), (&ids[0][..16], last));
            assert_eq!((&run[17..25], run[25]), (&words.to_be_bytes()[..], count));
        }
        let mut mixed = BytesMut::from("before");
        put_runs([&ids[0][..], b"another"].into_iter(), &mut mixed);
        assert_eq!(&mixed[..], b"before");
    }

    #[test]
    fn what_is_no_id_is_told() {
        for packed in [&b""[..], b"\x01short", b"\x01", b"\xff\xff", b"a\x00b", b"\x0112345678901234567"] {
            assert_eq!(unpack(packed), None);
        }
    }
}
