//! The tokens of Lua 5.1.

/// A token. Numbers and texts are all alike here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Name(&'a str),
    Keyword(&'a str),
    Symbol(&'a str),
    Number,
    Text,
    End,
}

/// What is wrong, and in which line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SyntaxError {
    pub(super) line: usize,
    pub(super) what: String,
}

const KEYWORDS: [&str; 21] = [
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "if", "in", "local", "nil", "not", "or",
    "repeat", "return", "then", "true", "until", "while",
];
/// Longer ones first.
const SYMBOLS: [&str; 26] = [
    "...", "..", "==", "~=", "<=", ">=", "+", "-", "*", "/", "%", "^", "#", "<", ">", "=", "(", ")", "{", "}", "[",
    "]", ";", ":", ",", ".",
];

/// The tokens of a text, each with its line from 1, and at the end [`Token::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<(Token<'_>, usize)>, SyntaxError> {
    let mut found = Vec::new();
    let (mut rest, mut line) = (text, 1);
    if rest.starts_with("#!") {
        rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
        line += 1;
    }
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r']);
        let Some(first) = rest.chars().next() else { break };
        let error = |what: &str| SyntaxError { line, what: what.to_owned() };
        let (token, length) = if first == '\n' {
            (None, 1)
        } else if let Some(comment) = rest.strip_prefix("--") {
            let length = match long_text(comment) {
                Some(long) => long.map_err(|()| error("a comment has no end"))?,
                None => comment.find('\n').unwrap_or(comment.len()),
            };
            (None, 2 + length)
        } else if let Some(long) = long_text(rest) {
            (Some(Token::Text), long.map_err(|()| error("a text has no end"))?)
        } else if first == '\'' || first == '"' {
            (Some(Token::Text), quoted(rest, first).ok_or_else(|| error("a text has no end"))?)
        } else if first.is_ascii_digit() || is_fraction(rest) {
            (Some(Token::Number), number(rest))
        } else if first.is_ascii_alphabetic() || first == '_' {
            let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            let name = &rest[..length];
            (Some(if KEYWORDS.contains(&name) { Token::Keyword(name) } else { Token::Name(name) }), length)
        } else if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            (Some(Token::Symbol(symbol)), symbol.len())
        } else {
            return Err(error(&format!("`{first}` is no Lua")));
        };
        found.extend(token.map(|token| (token, line)));
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    found.push((Token::End, line));
    Ok(found)
}

/// The length of a text in long brackets that begins here; `None` if none begins, an error if it has no end.
fn long_text(text: &str) -> Option<Result<usize, ()>> {
    let level = text.strip_prefix('[')?.chars().take_while(|c| *c == '=').count();
    text[1 + level..].starts_with('[').then(|| {
        let close = format!("]{}]", "=".repeat(level));
        text.find(&close).map(|at| at + close.len()).ok_or(())
    })
}

/// The length of a text in quotes; `None` if its line ends first.
fn quoted(text: &str, quote: char) -> Option<usize> {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '\n' => return None,
            _ if c == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

fn is_fraction(text: &str) -> bool {
    text.strip_prefix('.').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// The length of a number. Two dots behind it belong to the next token.
fn number(text: &str) -> usize {
    let mut before = ' ';
    let is_hexadecimal = text.starts_with("0x") || text.starts_with("0X");
    for (at, c) in text.char_indices() {
        let is_exponent_sign = matches!(c, '+' | '-') && matches!(before, 'e' | 'E') && !is_hexadecimal;
        let is_dot = c == '.' && !text[at..].starts_with("..");
        if !(c.is_ascii_alphanumeric() || is_dot || is_exponent_sign) {
            return at;
        }
        before = c;
    }
    text.len()
}
