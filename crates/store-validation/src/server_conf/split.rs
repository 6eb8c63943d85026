/// The words of a line, by the quoting rules of the server (`sdssplitargs`): in double quotes `\n`, `\r`, `\t`, `\b`, `\a`,
/// `\xHH`, and `\` before any other byte stand for one byte; in single quotes only `\'` does. `None` if a quote is not closed, or
/// if a closing quote is not followed by a blank.
pub(super) fn split(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        while let [b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c, tail @ ..] = rest {
            rest = tail;
        }
        if rest.is_empty() {
            return Some(words);
        }
        let (word, tail) = word(rest)?;
        words.push(word);
        rest = tail;
    }
}

/// The first word, and what follows it.
fn word(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut word = Vec::new();
    loop {
        match rest {
            [] | [b' ' | b'\n' | b'\r' | b'\t' | 0, ..] => return Some((word, rest)),
            [quote @ (b'"' | b'\''), inside @ ..] => {
                let after = quoted(*quote, inside, &mut word)?;
                let ends = after.first().is_none_or(|byte| byte.is_ascii_whitespace() || *byte == 0x0b);
                return ends.then_some((word, after));
            }
            [byte, tail @ ..] => {
                word.push(*byte);
                rest = tail;
            }
        }
    }
}

/// Appends what is in the quotes, and returns what follows the closing one.
fn quoted<'a>(quote: u8, mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        rest = match rest {
            [] => return None,
            [byte, tail @ ..] if *byte == quote => return Some(tail),
            [b'\\', b'\'', tail @ ..] if quote == b'\'' => {
                word.push(b'\'');
                tail
            }
            [b'\\', b'x', high, low, tail @ ..]
                if quote == b'"' && high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or_default();
                word.push(u8::try_from(digit(*high) * 16 + digit(*low)).unwrap_or_default());
                tail
            }
            [b'\\', escaped, tail @ ..] if quote == b'"' => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => *other,
                });
                tail
            }
            [byte, tail @ ..] => {
                word.push(*byte);
                tail
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn words_are_split_as_the_server_splits_them() {
        for (line, words) in [
            ("", Some(vec![])),
            ("a b\tc", Some(vec!["a", "b", "c"])),
            (r#"save """#, Some(vec!["save", ""])),
            (r#"a "b c" 'd e'"#, Some(vec!["a", "b c", "d e"])),
            (r#"a "\x41\n\"\q""#, Some(vec!["a", "A\n\"q"])),
            (r"a 'it\'s\n'", Some(vec!["a", r"it's\n"])),
            (r#"a b"c""#, Some(vec!["a", "bc"])),
            (r#"a "b"c"#, None),
            (r#"a "b"#, None),
            ("a b'c", None),
            (r"a b\ c", Some(vec!["a", r"b\", "c"])),
        ] {
            let words = words.map(|words| words.iter().map(|word| word.as_bytes().to_vec()).collect());
            assert_eq!(split(line.as_bytes()), words, "{line}");
        }
    }
}
