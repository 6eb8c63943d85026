//! Scripts: assembled once, sent by their digest, loaded if the server does not have them.

#[cfg(debug_assertions)]
mod head;

use std::sync::OnceLock;

use bytes::Bytes;

/// A Lua script with a name. Keep it in a `static`: its text and its digest are made once.
///
/// The kind of a script determines how it begins. Scripts that write begin with the check of a deadline, so a late copy
/// of a request changes nothing (see [`Link`](crate::Link)). In all kinds except [`Script::new`], `ARGV[1]` belongs to
/// the link, and the caller's arguments start at `ARGV[2]`. The text can use `call` (`redis.call`), `micros` and `now`
/// (the time in µs and in whole ms, rounded down) and `decimal(number)`; a script that writes also `now_up` (ms,
/// rounded up) and `is_repeat` (whether an earlier copy of the same request may have been executed).
///
/// ```
/// use redis_link::Script;
///
/// static TOUCH: Script = Script::frees("lease/touch", &["call('PEXPIRE', KEYS[1], ARGV[2])\nreturn {'touched', now_up}"]);
/// assert!(TOUCH.source().starts_with("#!lua flags=allow-oom\n"));
/// assert_eq!(TOUCH.digest().len(), 40);
/// ```
pub struct Script {
    name: &'static str,
    kind: Kind,
    /// The whole text of a bare script, otherwise empty.
    bare: &'static str,
    pieces: &'static [&'static str],
    text: OnceLock<Text>,
    /// The text without flags.
    plain: OnceLock<Text>,
}

struct Text {
    source: Bytes,
    digest: Bytes,
    #[cfg(debug_assertions)]
    head: Option<head::Head>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bare,
    Reads,
    Adds,
    Frees,
}

impl Script {
    /// A script called `name` (its file without `.lua`) that is sent unchanged, without an argument of the link and without
    /// a deadline: for scripts that change nothing, and for tests.
    pub const fn new(name: &'static str, source: &'static str) -> Self {
        Self { name, kind: Kind::Bare, bare: source, pieces: &[], text: OnceLock::new(), plain: OnceLock::new() }
    }

    /// A script that only reads. A server whose memory is full and a replica run it.
    pub const fn reads(name: &'static str, pieces: &'static [&'static str]) -> Self {
        Self::of(name, Kind::Reads, pieces)
    }

    /// A script that adds to the server's data. A server whose memory is full refuses it.
    pub const fn adds(name: &'static str, pieces: &'static [&'static str]) -> Self {
        Self::of(name, Kind::Adds, pieces)
    }

    /// A script that writes, and removes or moves data but adds none. A server whose memory is full runs it.
    pub const fn frees(name: &'static str, pieces: &'static [&'static str]) -> Self {
        Self::of(name, Kind::Frees, pieces)
    }

    const fn of(name: &'static str, kind: Kind, pieces: &'static [&'static str]) -> Self {
        Self { name, kind, bare: "", pieces, text: OnceLock::new(), plain: OnceLock::new() }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its text as it is sent to the server.
    pub fn source(&self) -> &str {
        // Joined on first use.
        std::str::from_utf8(&self.text().source).unwrap_or_default()
    }

    /// The texts from which it is joined: its first line, the prelude of its kind, shared pieces, and last its own file. A
    /// script of [`Script::new`] is one text.
    pub fn pieces(&self) -> Vec<&'static str> {
        let (clock, deadline) = (include_str!("../lua/clock.lua"), include_str!("../lua/deadline.lua"));
        let begin = match self.kind {
            Kind::Bare => return vec![self.bare],
            Kind::Reads => ["#!lua flags=no-writes\n", clock],
            Kind::Adds => ["#!lua\n", deadline],
            Kind::Frees => ["#!lua flags=allow-oom\n", deadline],
        };
        [&begin, self.pieces].concat()
    }

    /// The SHA-1 of its text in hexadecimal digits, by which the server identifies it.
    pub fn digest(&self) -> &Bytes {
        &self.text().digest
    }

    /// [`Script::source`] as an argument, without a copy.
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.text().source
    }

    /// [`Script::bytes`] and [`Script::digest`] for a server that refuses flags in the first line: the line is `#!lua`.
    pub(crate) fn plain(&self) -> (&Bytes, &Bytes) {
        let text = self.plain.get_or_init(|| {
            let source = self.source();
            let (first, rest) = source.split_once('\n').unwrap_or((source, ""));
            let first = if first.starts_with("#!lua ") { "#!lua" } else { first };
            Text::new(self.name, format!("{first}\n{rest}"))
        });
        (&text.source, &text.digest)
    }

    /// Whether its first argument is the link's.
    pub(crate) fn takes_clock(&self) -> bool {
        self.kind != Kind::Bare
    }

    /// Whether each copy of a request carries a deadline.
    pub(crate) fn has_deadline(&self) -> bool {
        matches!(self.kind, Kind::Adds | Kind::Frees)
    }

    /// Whether it adds data to the server.
    pub(crate) fn adds_data(&self) -> bool {
        self.kind == Kind::Adds
    }

    /// What a call sends contrary to the head of the script; `arguments` counts the link's own one. Only for debug builds.
    #[cfg(debug_assertions)]
    pub(crate) fn mismatch(&self, keys: usize, arguments: usize) -> Option<String> {
        self.text().head.as_ref()?.mismatch(keys, arguments)
    }

    fn text(&self) -> &Text {
        self.text.get_or_init(|| Text::new(self.name, self.pieces().concat()))
    }
}

impl Text {
    #[cfg_attr(
        not(debug_assertions),
        expect(unused_variables, reason = "only debug builds compare calls with the head")
    )]
    fn new(name: &str, source: String) -> Self {
        Self {
            digest: sha1_smol::Sha1::from(&source).digest().to_string().into(),
            #[cfg(debug_assertions)]
            head: head::Head::of(name, &source),
            source: source.into(),
        }
    }
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Script({})", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::Script;

    #[test]
    fn a_plain_script_differs_in_its_first_line_alone() {
        static FREES: Script = Script::frees("a", &["return {'a'}"]);
        static ADDS: Script = Script::adds("b", &["return {'b'}"]);
        let (source, digest) = FREES.plain();
        let expected = FREES.source().replacen("#!lua flags=allow-oom\n", "#!lua\n", 1);
        assert_eq!(source.as_ref(), expected.as_bytes());
        assert_ne!(digest, FREES.digest());
        assert_eq!(ADDS.plain(), (ADDS.bytes(), ADDS.digest()));
    }
}
