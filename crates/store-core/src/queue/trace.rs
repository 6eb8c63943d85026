//! The trace that a job belongs to.

use crate::{Error, Op, Result};

/// A W3C trace context (<https://www.w3.org/TR/trace-context/>), carried with the job: `traceparent` and `tracestate`.
///
/// ```
/// use twinstore::queue::{NewJob, TraceContext};
///
/// # fn main() -> twinstore::Result<()> {
/// let trace = TraceContext::new("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")?
///     .with_tracestate("rojo=00f067aa0ba902b7, congo=t61rcWkgMzE");
/// let job = NewJob::new("payload").with_trace(trace);
/// assert_eq!(job.trace.unwrap().tracestate(), Some("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    traceparent: String,
    tracestate: Option<String>,
}

/// How many entries the specification allows in a `tracestate`.
const MAX_ENTRIES: usize = 32;

/// Entries that are longer are dropped first.
const LONG_ENTRY: usize = 128;

impl TraceContext {
    /// The longest `tracestate` that is carried, in bytes: as much as the specification requires.
    pub const MAX_TRACESTATE_BYTES: usize = 512;

    /// A `traceparent` header: version, trace id, parent id and flags.
    ///
    /// A later version than 00 is read as the specification requires: the four fields count, anything after a further dash
    /// is ignored, and the context is carried as version 00, with `sampled` as its only flag.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the header is malformed, names the version ff, or has an id of zeros only.
    pub fn new(traceparent: &str) -> Result<Self> {
        let refuse = || {
            let form = "a traceparent has the form 00-<32 hex>-<16 hex>-<2 hex>, in lower case, without an id of zeros";
            Error::invalid_argument(Op::QueuePush, form)
        };
        let mut parts = traceparent.splitn(5, '-');
        let mut field = |len| parts.next().filter(|part| part.len() == len && is_hex(part)).ok_or_else(refuse);
        let (version, trace, parent, flags) = (field(2)?, field(32)?, field(16)?, field(2)?);
        let is_extended = parts.next().is_some();
        if version == "ff" || is_zero(trace) || is_zero(parent) || (version == "00" && is_extended) {
            return Err(refuse());
        }
        if version == "00" {
            return Ok(Self { traceparent: traceparent.to_owned(), tracestate: None });
        }
        // A field of two hexadecimal digits is always a number.
        let sampled = u8::from_str_radix(flags, 16).unwrap_or_default() & 1;
        Ok(Self { traceparent: format!("00-{trace}-{parent}-{sampled:02x}"), tracestate: None })
    }

    /// The same with a `tracestate` header (several of them joined by commas).
    ///
    /// At most [`TraceContext::MAX_TRACESTATE_BYTES`] are carried. A longer header loses whole entries: first those of more than 128
    /// bytes, then the last ones. A malformed header is dropped as a whole, as the specification requires.
    #[must_use]
    pub fn with_tracestate(mut self, tracestate: &str) -> Self {
        self.tracestate = carried(tracestate);
        self
    }

    /// The trace context of a request that was received: its `traceparent` header and its `tracestate` headers, joined by
    /// commas.
    ///
    /// `None` without a `traceparent`, and if it is malformed: the W3C specification requires to ignore it and to begin
    /// another trace. A malformed `tracestate` is ignored.
    ///
    /// ```
    /// use twinstore::queue::{NewJob, TraceContext};
    ///
    /// let traceparent = Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"); // from the request's headers
    /// let job = NewJob::new("payload").with_trace(TraceContext::from_headers(traceparent, None));
    /// assert_eq!(job.trace.unwrap().trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
    ///
    /// let job = NewJob::new("payload").with_trace(TraceContext::from_headers(Some("malformed"), Some("a=1")));
    /// assert_eq!(job.trace, None);
    /// ```
    pub fn from_headers(traceparent: Option<&str>, tracestate: Option<&str>) -> Option<Self> {
        let trace = Self::new(traceparent?.trim_matches([' ', '\t'])).ok()?;
        Some(match tracestate {
            Some(tracestate) => trace.with_tracestate(tracestate),
            None => trace,
        })
    }

    /// The id of the trace: 32 hexadecimal digits.
    pub fn trace_id(&self) -> &str {
        &self.traceparent[3..35]
    }

    /// The id of the span that pushed the job: 16 hexadecimal digits.
    pub fn parent_id(&self) -> &str {
        &self.traceparent[36..52]
    }

    /// Whether the caller recorded the trace.
    pub fn is_sampled(&self) -> bool {
        u8::from_str_radix(&self.traceparent[53..], 16).is_ok_and(|flags| flags & 1 == 1)
    }

    /// The `traceparent` header, of version 00.
    pub fn traceparent(&self) -> &str {
        &self.traceparent
    }

    /// The `tracestate` header, if there is one: at most [`TraceContext::MAX_TRACESTATE_BYTES`].
    pub fn tracestate(&self) -> Option<&str> {
        self.tracestate.as_deref()
    }
}

fn is_hex(part: &str) -> bool {
    part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_zero(part: &str) -> bool {
    part.bytes().all(|byte| byte == b'0')
}

/// The part of a `tracestate` that is carried; `None` if it is malformed or empty.
fn carried(tracestate: &str) -> Option<String> {
    let entries = tracestate.split(',').map(|entry| entry.trim_matches([' ', '\t']));
    let mut entries: Vec<&str> = entries.filter(|entry| !entry.is_empty()).collect();
    if entries.len() > MAX_ENTRIES || !entries.iter().all(|entry| is_entry(entry)) {
        return None;
    }
    let mut bytes = entries.iter().map(|entry| entry.len() + 1).sum::<usize>().saturating_sub(1);
    while bytes > TraceContext::MAX_TRACESTATE_BYTES {
        let long = entries.iter().rposition(|entry| entry.len() > LONG_ENTRY);
        bytes -= 1 + entries.remove(long.unwrap_or(entries.len() - 1)).len();
    }
    (!entries.is_empty()).then(|| entries.join(","))
}

/// Whether this is `key=value` with the characters that the specification allows.
fn is_entry(entry: &str) -> bool {
    let Some((key, value)) = entry.split_once('=') else { return false };
    let is_key_start = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_key = |byte: &u8| is_key_start(byte) || matches!(byte, b'_' | b'-' | b'*' | b'/' | b'@');
    let is_value = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b',' | b'=');
    (1..=256).contains(&key.len())
        && (1..=256).contains(&value.len())
        && key.as_bytes().first().is_some_and(is_key_start)
        && key.as_bytes().iter().all(is_key)
        && value.as_bytes().iter().all(is_value)
}

#[cfg(test)]
mod tests {
    use super::TraceContext;

    const FIELDS: &str = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";

    fn state(tracestate: &str) -> Option<String> {
        let trace = TraceContext::new(&format!("00-{FIELDS}-01")).unwrap();
        trace.with_tracestate(tracestate).tracestate().map(str::to_owned)
    }

    #[test]
    fn traceparents_are_checked() {
        for (flags, is_right) in [("01", true), ("00", true), ("ff", true), ("0", false), ("0G", false), ("01-", false)]
        {
            assert_eq!(TraceContext::new(&format!("00-{FIELDS}-{flags}")).is_ok(), is_right, "{flags}");
        }
        assert!(TraceContext::new("00-00000000000000000000000000000000-00f067aa0ba902b7-01").is_err());
        assert!(TraceContext::new("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01").is_err());
        for wrong in ["", "nonsense", "00", &format!("00-{FIELDS}"), &format!("00-{}-01", FIELDS.to_uppercase())] {
            assert!(TraceContext::new(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn later_versions_are_carried_as_version_00() {
        let parent = |text: &str| TraceContext::new(text).map(|trace| trace.traceparent().to_owned()).ok();
        let sampled = format!("00-{FIELDS}-01");
        assert_eq!(parent(&format!("01-{FIELDS}-03")), Some(sampled.clone()));
        assert_eq!(parent(&format!("cc-{FIELDS}-01-what-the-future-will-be-like")), Some(sampled.clone()));
        assert_eq!(parent(&format!("fe-{FIELDS}-fe-")), Some(format!("00-{FIELDS}-00")));
        assert_eq!(parent(&format!("01-{FIELDS}-01.what")), None);
        assert_eq!(parent(&format!("ff-{FIELDS}-01")), None);
    }

    #[test]
    fn the_fields_of_a_traceparent_are_read_whatever_its_version() {
        for (version, flags, is_sampled) in [("00", "01", true), ("00", "02", false), ("cc", "03-new", true)] {
            let trace = TraceContext::new(&format!("{version}-{FIELDS}-{flags}")).unwrap();
            assert_eq!([trace.trace_id(), trace.parent_id()].join("-"), FIELDS);
            assert_eq!(trace.is_sampled(), is_sampled, "{version} {flags}");
        }
    }

    #[test]
    fn malformed_headers_of_a_request_are_ignored() {
        let parent = format!(" 00-{FIELDS}-01");
        let trace = TraceContext::from_headers(Some(&parent), Some("a=1,b=2")).unwrap();
        assert_eq!((trace.traceparent(), trace.tracestate()), (parent.trim(), Some("a=1,b=2")));
        let trace = TraceContext::from_headers(Some(&parent), Some("malformed")).unwrap();
        assert_eq!(trace.tracestate(), None);
        let zero = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
        let invalid = format!("ff-{FIELDS}-01");
        for malformed in [None, Some(""), Some("00"), Some(zero.as_str()), Some(invalid.as_str()), Some("00-ü")] {
            assert_eq!(TraceContext::from_headers(malformed, Some("a=1")), None, "{malformed:?}");
        }
    }

    #[test]
    fn a_tracestate_is_carried_and_a_malformed_one_is_dropped() {
        assert_eq!(state("rojo=1,t61@congo=a b!").as_deref(), Some("rojo=1,t61@congo=a b!"));
        assert_eq!(state(" a=1 ,\t, 0b=2").as_deref(), Some("a=1,0b=2"));
        for malformed in ["", ",", "a", "a=", "=1", "A=1", "a=b=c", "a =1", "a=ü", "a=1,b", "a=1\r\nb: 2"] {
            assert_eq!(state(malformed), None, "{malformed:?}");
        }
        let entries = |n: usize| (0..n).map(|i| format!("k{i}=v")).collect::<Vec<_>>().join(",");
        assert_eq!(state(&entries(32)), Some(entries(32)));
        assert_eq!(state(&entries(33)), None);
    }

    #[test]
    fn a_long_tracestate_loses_whole_entries() {
        let entry = |key: &str, len: usize| format!("{key}={}", "x".repeat(len - key.len() - 1));
        let exact = [entry("a", 255), entry("b", 256)].join(",");
        assert_eq!(exact.len(), TraceContext::MAX_TRACESTATE_BYTES);
        assert_eq!(state(&exact), Some(exact.clone()));
        assert_eq!(
            state(&[exact.clone(), entry("c", 10)].join(",")),
            Some([entry("a", 255), entry("c", 10)].join(","))
        );
        let many: Vec<_> = ["a", "b", "c", "d", "e"].map(|key| entry(key, 120)).into();
        assert_eq!(state(&many.join(",")), Some(many[..4].join(",")));
    }
}
