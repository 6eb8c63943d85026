//! Where frames of protocol versions 2 and 3 end.

/// The position behind the frame that begins at `start`, or `None` while bytes of it are missing.
pub(super) fn frame_end(bytes: &[u8], start: usize) -> Option<usize> {
    let (kind, number, mut end) = header(bytes, start)?;
    let children = match kind {
        b'$' | b'=' | b'!' => {
            if let Ok(length) = usize::try_from(number) {
                end += length + 2;
            }
            0
        }
        b'*' | b'~' | b'>' => number,
        b'%' => 2 * number,
        b'|' => 2 * number + 1,
        _ => 0,
    };
    for _ in 0..children {
        end = frame_end(bytes, end)?;
    }
    (end <= bytes.len()).then_some(end)
}

/// The arguments of the request at the beginning, also of an inline one, and its end.
pub(super) fn request(bytes: &[u8]) -> Option<(Vec<Vec<u8>>, usize)> {
    if bytes.first()? != &b'*' {
        let length = bytes.windows(2).position(|pair| pair == b"\r\n")?;
        let words = bytes[..length].split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        return Some((words.map(<[u8]>::to_vec).collect(), length + 2));
    }
    let end = frame_end(bytes, 0)?;
    let (_, count, mut at) = header(bytes, 0)?;
    let mut arguments = Vec::new();
    for _ in 0..count {
        let (_, length, begin) = header(bytes, at)?;
        at = begin + usize::try_from(length).ok()? + 2;
        arguments.push(bytes[begin..at - 2].to_vec());
    }
    Some((arguments, end))
}

/// The kind, the number (0 where it is none), and where the next line begins.
fn header(bytes: &[u8], start: usize) -> Option<(u8, i64, usize)> {
    let line = bytes.get(start..)?;
    let length = line.windows(2).position(|pair| pair == b"\r\n")?;
    let number = std::str::from_utf8(line.get(1..length)?).ok().and_then(|text| text.parse().ok());
    Some((line[0], number.unwrap_or(0), start + length + 2))
}

/// A string of bytes.
pub(super) fn bulk(text: impl AsRef<[u8]>) -> Vec<u8> {
    let text = text.as_ref();
    [format!("${}\r\n", text.len()).as_bytes(), text, b"\r\n"].concat()
}

/// The text of a status, an error or a string of bytes.
pub(super) fn text(frame: &[u8]) -> &[u8] {
    let begin = match header(frame, 0) {
        Some((b'$', _, begin)) => begin,
        // Behind the kind of the text, such as `txt:`.
        Some((b'=', _, begin)) => begin + 4,
        _ => 1,
    };
    frame.get(begin..frame.len() - 2).unwrap_or_default()
}
