//! Replies of a server, and their reader.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use store_core::{AcknowledgedWrite, Error, JobId, Op, Result};

use crate::link::Acknowledged;

/// A server's reply. Status and bulk strings are the same; RESP3 booleans become 0 and 1, doubles their text, maps flat
/// lists of key and value, sets lists. Bytes share the read buffer and are never copied.
#[derive(Clone, PartialEq, Eq)]
pub enum Reply {
    /// An integer.
    Int(i64),
    /// A string.
    Bytes(Bytes),
    /// Nil.
    Nil,
    /// A list.
    List(Vec<Reply>),
}

impl Reply {
    /// A reader over the elements of a list; over the reply itself if it is not a list.
    pub fn reader(self, op: Op) -> ReplyReader {
        let elements = match self {
            Reply::List(elements) => elements,
            single => vec![single],
        };
        ReplyReader { op, elements: elements.into_iter(), acknowledged: None }
    }

    /// Whether it is nil.
    pub fn is_nil(&self) -> bool {
        matches!(self, Reply::Nil)
    }

    /// The string, if it is one.
    pub fn as_bytes(&self) -> Option<&Bytes> {
        match self {
            Reply::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The string, if it is one and UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        self.as_bytes().and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// The integer, or the string that spells one.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Reply::Int(number) => Some(*number),
            _ => self.as_str()?.parse().ok(),
        }
    }
}

/// Shows the shape only: replies contain payloads.
impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reply::Int(_) => f.write_str("Int"),
            Reply::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
            Reply::Nil => f.write_str("Nil"),
            Reply::List(elements) => write!(f, "List({} elements)", elements.len()),
        }
    }
}

/// A reply and the number of attempts that it took.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Answer {
    /// The reply of the last attempt.
    pub reply: Reply,
    /// How many attempts were made; above 1, an earlier one may have been executed.
    pub attempts: u32,
    acknowledged: Option<Acknowledged>,
}

impl Answer {
    pub(crate) fn new(reply: Reply, attempts: u32) -> Self {
        Self { reply, attempts, acknowledged: None }
    }

    /// Adds the receipt of the write.
    pub(crate) fn acknowledged(self, acknowledged: Option<Acknowledged>) -> Self {
        Self { acknowledged, ..self }
    }

    /// The first element of the reply, if it is a string.
    pub fn first_word(&self) -> Option<&Bytes> {
        match &self.reply {
            Reply::List(elements) => elements.first().and_then(Reply::as_bytes),
            _ => None,
        }
    }

    /// A reader over the reply's elements.
    pub fn reader(self, op: Op) -> ReplyReader {
        ReplyReader { acknowledged: self.acknowledged, ..self.reply.reader(op) }
    }
}

/// Reads a reply element by element. Each method returns [`Error::Corrupt`] if the next element is missing or of
/// another kind; no error shows an element's content.
pub struct ReplyReader {
    op: Op,
    elements: std::vec::IntoIter<Reply>,
    /// The receipt of the call, if it writes.
    acknowledged: Option<Acknowledged>,
}

impl ReplyReader {
    /// A word of our scripts: a string. Match on it: `match reader.next_word()?.as_ref() { b"claimed" => … }`.
    ///
    /// # Errors
    /// [`Error::Corrupt`]
    pub fn next_word(&mut self) -> Result<Bytes> {
        self.next_bytes()
    }

    /// An integer, or a string that spells one.
    ///
    /// # Errors
    /// [`Error::Corrupt`]
    pub fn next_int(&mut self) -> Result<i64> {
        let element = self.next_reply()?;
        element.as_int().ok_or_else(|| self.expected("an integer"))
    }

    /// An integer of at least 0, or a string that spells one.
    ///
    /// # Errors
    /// [`Error::Corrupt`]
    pub fn next_u64(&mut self) -> Result<u64> {
        match self.next_reply()? {
            Reply::Int(number) => u64::try_from(number).ok(),
            other => other.as_str().and_then(|text| text.parse().ok()),
        }
        .ok_or_else(|| self.expected("an integer from 0 on"))
    }

    /// An integer, a string that spells one, or nothing (nil or an empty string).
    ///
    /// # Errors
    /// [`Error::Corrupt`]
    pub fn next_opt_int(&mut self) -> Result<Option<i64>> {
        match self.next_reply()? {
            Reply::Nil => Ok(None),
            Reply::Bytes(bytes) if bytes.is_empty() => Ok(None),
            other => other.as_int().map(Some).ok_or_else(|| self.expected("an integer or nothing")),
        }
    }

    /// A string.
    ///
    /// # Errors
    /// [`Error::Corrupt`]
    pub fn next_bytes(&mut self) -> Result<Bytes> {
        match self.next_reply()? {
            Reply::Bytes(bytes) => Ok(bytes),
            _ => Err(self.expected("a string")),
        }
    }

    /// A string, or nothing (nil; a script's `false`).
    ///
    /// # Errors
    /// [`Error::Corrupt`]
    pub fn next_opt_bytes(&mut self) -> Result<Option<Bytes>> {
        match self.next_reply()? {
            Reply::Bytes(bytes) => Ok(Some(bytes)),
            Reply::Nil => Ok(None),
            _ => Err(self.expected("a string or nothing")),
        }
    }

    /// A string of UTF-8.
    ///
    /// # Errors
    /// [`Error::Corrupt`]
    pub fn next_text(&mut self) -> Result<String> {
        let bytes = self.next_bytes()?;
        String::from_utf8(bytes.into()).map_err(|_| self.expected("UTF-8 text"))
    }

    /// A string of UTF-8, or nothing.
    ///
    /// # Errors
    /// [`Error::Corrupt`]
    pub fn next_opt_text(&mut self) -> Result<Option<String>> {
        let bytes = self.next_opt_bytes()?;
        bytes.map(|bytes| String::from_utf8(bytes.into())).transpose().map_err(|_| self.expected("UTF-8 text"))
    }

    /// A nested list.
    ///
    /// # Errors
    /// [`Error::Corrupt`]
    pub fn next_list(&mut self) -> Result<ReplyReader> {
        match self.next_reply()? {
            Reply::List(elements) => Ok(Reply::List(elements).reader(self.op)),
            _ => Err(self.expected("a list")),
        }
    }

    /// The next element, of any kind.
    ///
    /// # Errors
    /// [`Error::Corrupt`] at the end.
    pub fn next_reply(&mut self) -> Result<Reply> {
        self.elements.next().ok_or_else(|| Error::corrupt(self.op, "the reply ends too early"))
    }

    /// Records that the call wrote, so that [`Link::loss_reports`](crate::Link::loss_reports) can report it. `name` is the queue,
    /// the lease, the pool or the key. Does nothing if the link does not report losses.
    pub fn record(&self, name: &str, jobs: impl IntoIterator<Item = JobId>) {
        if let Some(acknowledged) = &self.acknowledged {
            acknowledged.record(AcknowledgedWrite::new(self.op, name, jobs, Instant::now()));
        }
    }

    /// The same for a write without jobs. `describe` adds its part and its number.
    pub fn record_write(
        &self,
        name: impl Into<Arc<str>>,
        describe: impl FnOnce(AcknowledgedWrite) -> AcknowledgedWrite,
    ) {
        if let Some(acknowledged) = &self.acknowledged {
            acknowledged.record(describe(AcknowledgedWrite::new(self.op, name, [], Instant::now())));
        }
    }

    pub(crate) fn with_receipt(self, acknowledged: Option<Acknowledged>) -> Self {
        Self { acknowledged, ..self }
    }

    pub(crate) fn receipt(&self) -> Option<Acknowledged> {
        self.acknowledged.clone()
    }

    /// How many elements are left.
    pub fn remaining(&self) -> usize {
        self.elements.len()
    }

    /// The error for an unknown word.
    pub fn unknown_word(&self) -> Error {
        Error::corrupt(self.op, "the reply begins with a word that this version does not know")
    }

    fn expected(&self, what: &str) -> Error {
        Error::corrupt(self.op, format!("the reply has something else where {what} was expected"))
    }
}

impl std::fmt::Debug for ReplyReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ReplyReader({}, {} left)", self.op, self.remaining())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Reply {
        Reply::Bytes(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn elements_are_read_in_order() {
        let nested = Reply::List(vec![Reply::Int(1)]);
        let list = vec![bytes("ok"), Reply::Int(7), bytes("8"), Reply::Nil, bytes("x"), bytes(""), nested];
        let mut reader = Reply::List(list).reader(Op::QueueClaim);
        assert_eq!(reader.next_word().unwrap().as_ref(), b"ok");
        assert_eq!((reader.next_int().unwrap(), reader.next_u64().unwrap()), (7, 8));
        assert_eq!(reader.next_opt_bytes().unwrap(), None);
        assert_eq!(reader.next_text().unwrap(), "x");
        assert_eq!(reader.next_opt_int().unwrap(), None);
        assert_eq!(reader.next_list().unwrap().next_int().unwrap(), 1);
        assert_eq!(reader.remaining(), 0);
        assert!(matches!(reader.next_bytes(), Err(Error::Corrupt { op: Op::QueueClaim, .. })));
    }

    #[test]
    fn a_wrong_kind_is_corrupt_and_not_shown() {
        let error = bytes("canary").reader(Op::QueueGet).next_int().unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }));
        assert!(!format!("{error} {error:?} {:?}", bytes("canary")).contains("canary"));
        assert!(Reply::Int(-1).reader(Op::QueueGet).next_u64().is_err());
        assert!(Reply::Int(1).reader(Op::QueueGet).next_bytes().is_err());
    }
}
