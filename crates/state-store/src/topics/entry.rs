//! The stored form of an event.

use bytes::{BufMut, Bytes, BytesMut};
use redis_link::{Arg, ReplyReader};
use store_core::{Error, Event, EventId, Key, NewEvent, Op, Result, Timestamp};

/// The length of the key as 3 digits, the key, the payload.
pub(super) fn encode(event: &NewEvent) -> Arg {
    let key = event.key.as_ref().map_or("", Key::as_str);
    let mut value = BytesMut::with_capacity(3 + event.bytes());
    value.put_slice(format!("{:03}", key.len()).as_bytes());
    value.put_slice(key.as_bytes());
    value.put_slice(&event.payload);
    Arg::Bytes(value.freeze())
}

/// An entry of the stream: its id, and a list of one field and its value.
pub(super) fn decode(partition: u16, mut entry: ReplyReader) -> Result<Event> {
    let (id, mut fields) = (entry.next_bytes()?, entry.next_list()?);
    let (field, value) = (fields.next_bytes()?, fields.next_bytes()?);
    parse(partition, &id, &field, value)
        .ok_or_else(|| Error::corrupt(Op::TopicRead, "the entry is no event of a topic"))
}

fn parse(partition: u16, id: &[u8], field: &[u8], value: Bytes) -> Option<Event> {
    let number = std::str::from_utf8(id).ok()?.split('-').next()?.parse().ok()?;
    let (appended, _) = std::str::from_utf8(field.get(1..)?).ok()?.split_once(' ')?;
    let length: usize = std::str::from_utf8(value.get(..3)?).ok()?.parse().ok()?;
    let key = std::str::from_utf8(value.get(3..3 + length)?).ok()?;
    let key = if key.is_empty() { None } else { Some(Key::new(key).ok()?) };
    let appended = Timestamp::from_millis(appended.parse().ok()?);
    Some(Event::new(EventId::new(partition, number), appended, key, value.slice(3 + length..)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_the_key_with_its_length_and_the_payload() {
        let event = NewEvent::new("pay\0load").with_key(Key::new("größe").unwrap());
        let Arg::Bytes(value) = encode(&event) else { unreachable!("bytes") };
        assert_eq!(value.as_ref(), "007größepay\0load".as_bytes());
        let read = parse(3, b"42-0", b"11700000000000 90", value.clone()).unwrap();
        assert_eq!((read.id, read.appended.as_millis()), (EventId::new(3, 42), 1_700_000_000_000));
        assert_eq!((read.key, read.payload.as_ref()), (event.key, b"pay\0load".as_slice()));
        let plain = parse(0, b"1-0", b"15 0", Bytes::from_static(b"000")).unwrap();
        assert_eq!((plain.key, plain.payload.len()), (None, 0));
        for (id, field, value) in [
            (&b"a-0"[..], &b"15 0"[..], &b"000"[..]),
            (b"1-0", b"15", b"000"),
            (b"1-0", b"", b"000"),
            (b"1-0", b"15 0", b"00"),
            (b"1-0", b"15 0", b"004abc"),
            (b"1-0", b"15 0", b"001{"),
        ] {
            assert!(parse(0, id, field, Bytes::copy_from_slice(value)).is_none(), "{value:?}");
        }
    }
}
