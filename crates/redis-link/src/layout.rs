//! The layouts of what is stored. Each kind of data has its own version, which its values carry.
//!
//! A rolling upgrade to a new layout takes two steps, so that no process meets data that it cannot read:
//! 1. Deploy the version that reads both layouts. It still writes the old one.
//! 2. When no older process is left, set the stores to write the newest ([`Layouts::write_newest`]) and deploy that. What is
//!    written from then on has the new layout; what is not written keeps the old one, and stays readable.
//!
//! A process that meets a layout that it does not read changes nothing and returns [`Error::Unsupported`]. The state store
//! also records the newest layouts written in a namespace ([`keys::layouts`](crate::keys::layouts)), so that a process that is
//! too old is refused when it starts.

use std::fmt::Write as _;
use std::ops::RangeInclusive;

use store_core::{Error, Op};

use crate::{Arg, Link, Script, args};

/// The shared piece of scripts that read or write such values. It takes `ARGV[2]`: [`Layouts::argument`].
pub const PIECE: &str = include_str!("../lua/layout.lua");

static RECORD: Script = Script::frees("link/record_layouts", &[include_str!("../lua/link/record_layouts.lua")]);

#[cfg(test)]
pub(crate) static SCRIPTS: [&Script; 1] = [&RECORD];

/// A kind of data whose layout has a version of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Aggregate {
    /// A partition of a queue.
    Queue,
    /// A lease.
    Lease,
    /// The members of a pool.
    Pool,
    /// An idempotent request, in both roles.
    Idempotency,
    /// The steps of a workflow run.
    Step,
    /// A value for another service, in the cache role.
    Handoff,
    /// The resume token of a stream.
    ResumeToken,
    /// A run of an agent with its events.
    Run,
    /// A topic.
    Topic,
    /// The retries of an operation.
    Retry,
}

impl Aggregate {
    /// Those that a namespace of the state role holds.
    const OF_STATE: [Aggregate; 9] = [
        Self::Queue,
        Self::Lease,
        Self::Pool,
        Self::Idempotency,
        Self::ResumeToken,
        Self::Step,
        Self::Run,
        Self::Topic,
        Self::Retry,
    ];

    /// Its name in errors, arguments of scripts and the record of a namespace.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Lease => "lease",
            Self::Pool => "pool",
            Self::Idempotency => "idempotency",
            Self::Step => "step",
            Self::Handoff => "handoff",
            Self::ResumeToken => "resume_token",
            Self::Run => "run",
            Self::Topic => "topic",
            Self::Retry => "retry",
        }
    }
}

/// The layouts of one kind of data that a process reads: `oldest` to `newest`, 1 to 9.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Readable {
    oldest: u8,
    newest: u8,
}

/// Which layouts a process reads, and whether it writes the oldest (the default) or the newest of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layouts {
    readable: [Readable; 10],
    writes_newest: bool,
}

impl Default for Layouts {
    /// Those of this version.
    fn default() -> Self {
        let only = |layout| Readable { oldest: layout, newest: layout };
        let mut readable = [only(1); 10];
        readable[Aggregate::Queue as usize] = only(4);
        Self { readable, writes_newest: false }
    }
}

impl Layouts {
    /// Writes the newest layout of everything, once each process of the fleet reads it.
    #[must_use]
    pub fn write_newest(mut self) -> Self {
        self.writes_newest = true;
        self
    }

    /// The layouts of another version of this library, in tests.
    #[doc(hidden)]
    #[must_use]
    pub fn with(mut self, aggregate: Aggregate, oldest: u8, newest: u8) -> Self {
        self.readable[aggregate as usize] = Readable { oldest, newest };
        self
    }

    /// The layouts that are read.
    pub fn readable(&self, aggregate: Aggregate) -> RangeInclusive<u8> {
        let Readable { oldest, newest } = self.readable[aggregate as usize];
        oldest..=newest
    }

    /// The layout that is written.
    pub fn written(&self, aggregate: Aggregate) -> u8 {
        let Readable { oldest, newest } = self.readable[aggregate as usize];
        if self.writes_newest { newest } else { oldest }
    }

    /// Compares the layout of stored data.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if this process does not read it.
    pub fn check(&self, op: Op, aggregate: Aggregate, found: u8) -> Result<(), Error> {
        match self.readable(aggregate).contains(&found) {
            true => Ok(()),
            false => Err(refusal(op, aggregate.name(), found, &self.digits(aggregate))),
        }
    }

    /// The argument of [`PIECE`]: the name, a blank, and three digits: the oldest and the newest readable layout, and the one
    /// that is written.
    pub fn argument(&self, aggregate: Aggregate) -> Arg {
        Arg::from(format!("{} {}", aggregate.name(), self.digits(aggregate)))
    }

    fn digits(&self, aggregate: Aggregate) -> String {
        let Readable { oldest, newest } = self.readable[aggregate as usize];
        format!("{oldest}{newest}{}", self.written(aggregate))
    }

    /// What a store adds to the record of its namespace: the name and the written layout of each kind of data.
    pub fn record(&self) -> String {
        let mut text = String::new();
        for aggregate in Aggregate::OF_STATE {
            let _ = write!(text, "{} {} ", aggregate.name(), self.written(aggregate));
        }
        text.trim_end().to_owned()
    }

    /// Compares with what a namespace has recorded. Returns whether the record lacks a kind of data, or a newer layout that is
    /// written from now on: then [`Link::record_layouts`] adds it.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if a newer layout is written there than this process reads; [`Error::Corrupt`] if it is no
    /// such record.
    pub fn compare(&self, op: Op, recorded: &str) -> Result<bool, Error> {
        let mut up_to_date = Vec::new();
        let mut words = recorded.split(' ');
        let corrupt = || Error::corrupt(op, "the record of the namespace's layouts is damaged");
        while let Some(name) = words.next() {
            let number: u8 = words.next().and_then(|word| word.parse().ok()).ok_or_else(corrupt)?;
            // A newer version may store other kinds of data.
            let known = Aggregate::OF_STATE.into_iter().find(|aggregate| aggregate.name() == name);
            if let Some(aggregate) = known.filter(|aggregate| number > *self.readable(*aggregate).end()) {
                self.check(op, aggregate, number)?;
            }
            up_to_date.extend(known.filter(|aggregate| number >= self.written(*aggregate)));
        }
        Ok(Aggregate::OF_STATE.iter().any(|aggregate| !up_to_date.contains(aggregate)))
    }
}

/// The error of data in a layout that this process does not read; `readable`: digits of the oldest and the newest one.
fn refusal(op: Op, name: &str, found: u8, readable: &str) -> Error {
    let (oldest, newest) = (&readable[..1], &readable[1..2]);
    let reads = if oldest == newest { oldest.to_owned() } else { format!("{oldest} to {newest}") };
    let remedy = if oldest.parse().is_ok_and(|oldest: u8| found < oldest) {
        "it is too old: run a version that reads it, until no such data is left"
    } else {
        "this process is too old: upgrade it to the version of the others"
    };
    Error::unsupported(op, format!("{name} data has layout {found}, and this process reads layout {reads}; {remedy}"))
}

/// The error that [`PIECE`] returns: the found layout, the name, the digits.
pub(crate) fn refused(op: Op, said: &str) -> Error {
    let mut words = said.split(' ');
    let found = words.next().and_then(|word| word.parse().ok());
    match (found, words.next(), words.next()) {
        (Some(found), Some(name), Some(digits)) if digits.len() == 3 && digits.is_ascii() => {
            refusal(op, name, found, digits)
        }
        _ => Error::corrupt(op, "a script reports an unknown layout"),
    }
}

impl Link {
    /// The same link, whose scripts read and write these layouts.
    #[must_use]
    pub fn with_layouts(mut self, layouts: Layouts) -> Self {
        self.layouts = layouts;
        self
    }

    /// The layouts that its scripts read and write. Default: those of this version.
    pub fn layouts(&self) -> Layouts {
        self.layouts
    }

    /// Adds the layouts that it writes to the record of a namespace ([`keys::layouts`](crate::keys::layouts)), which never loses a newer
    /// one, even if another process changes the record at the same time. Also works if the server's memory is full. Returns the
    /// record. One round trip; another two if the server does not have the script.
    ///
    /// # Errors
    /// As [`Link::call`].
    pub async fn record_layouts(&self, op: Op, key: &str) -> Result<String, Error> {
        let mut reply = self.call(op, &RECORD, &[key], args![self.layouts.record()]).await?.reader(op);
        match reply.next_word()?.as_ref() {
            b"recorded" => reply.next_text(),
            _ => Err(reply.unknown_word()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upgraded() -> Layouts {
        Layouts::default().with(Aggregate::Lease, 1, 2)
    }

    #[test]
    fn a_new_version_writes_the_old_layout_until_it_is_set_to_write_the_newest() {
        assert_eq!((upgraded().written(Aggregate::Lease), upgraded().written(Aggregate::Pool)), (1, 1));
        assert_eq!(upgraded().write_newest().written(Aggregate::Lease), 2);
        assert_eq!(upgraded().digits(Aggregate::Lease), "121");
        assert_eq!(upgraded().write_newest().digits(Aggregate::Lease), "122");
    }

    #[test]
    fn a_record_rises_when_newer_layouts_are_written_and_refuses_older_versions() {
        let record = Layouts::default().record();
        assert_eq!(record, "queue 4 lease 1 pool 1 idempotency 1 resume_token 1 step 1 run 1 topic 1 retry 1");
        let lacks = |layouts: Layouts, record: &str| layouts.compare(Op::Connect, record).unwrap();
        assert!(!lacks(Layouts::default(), &record) && !lacks(upgraded(), &record));
        assert!(lacks(upgraded().write_newest(), &record));
        let raised = upgraded().write_newest().record();
        assert_eq!(raised, "queue 4 lease 2 pool 1 idempotency 1 resume_token 1 step 1 run 1 topic 1 retry 1");
        // of a version that did not have retries
        assert!(lacks(Layouts::default(), record.strip_suffix(" retry 1").unwrap()));
        // the new version, also if it is no longer set to write the newest
        assert!(!lacks(upgraded(), &raised));
        let error = Layouts::default().compare(Op::Connect, &raised).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }));
        let text = "lease data has layout 2, and this process reads layout 1; this process is too old: upgrade it to the \
                    version of the others";
        assert!(error.to_string().ends_with(text), "{error}");
        // a kind of data of a later version
        assert!(!lacks(Layouts::default(), &format!("{record} quota 7")));
        for damaged in ["", "3", "lease", "lease x", "lease 1 pool"] {
            assert!(
                matches!(Layouts::default().compare(Op::Connect, damaged), Err(Error::Corrupt { .. })),
                "{damaged}"
            );
        }
    }

    #[test]
    fn data_that_is_too_old_names_the_way_back() {
        let error = refused(Op::LeaseRenew, "1 lease 232");
        let text = "lease data has layout 1, and this process reads layout 2 to 3; it is too old: run a version that reads \
                    it, until no such data is left";
        assert!(error.to_string().ends_with(text), "{error}");
        assert!(matches!(refused(Op::LeaseRenew, "odd"), Error::Corrupt { .. }));
    }
}
