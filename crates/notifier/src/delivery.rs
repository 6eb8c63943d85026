//! Reading webhook deliveries, one JSON object a line.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncBufRead, AsyncBufReadExt};
use twinstore::idempotency::Fingerprint;
use twinstore::name::Key;
use twinstore::queue::{Backoff, JobId, JobType, NewJob, RetryPolicy};

use crate::follow::Grown;

/// One webhook delivery.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    /// The number of its line, from 1; of a file that is followed, the lines of this reading.
    pub(crate) line: u64,
    /// Its id: job id and idempotency key.
    pub(crate) id: JobId,
    /// The same as a key of the cache store.
    pub(crate) key: Key,
    /// The digest of the line without its end.
    pub(crate) fingerprint: Fingerprint,
    /// What the job carries.
    pub(crate) webhook: Webhook,
}

/// A webhook: what a line holds, and the type of the jobs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Webhook {
    /// The delivery's id.
    pub(crate) id: String,
    /// The event's name.
    pub(crate) event: String,
    /// What happened, for events that have kinds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) action: Option<String>,
    /// The event's content.
    pub(crate) payload: BTreeMap<String, Value>,
}

impl JobType for Webhook {
    const QUEUE: &'static str = "notifications";

    fn retry_policy() -> RetryPolicy {
        let (first, max) = (Duration::from_millis(200), Duration::from_secs(30));
        RetryPolicy::new(8, Backoff::Exponential { first, max })
    }
}

impl Webhook {
    /// The full name of the repository that the event is about.
    pub(crate) fn repository(&self) -> Option<&str> {
        self.payload.get("repository")?.get("full_name")?.as_str()
    }
}

/// Why a line was not accepted. Says where, never what the line holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    line: u64,
    why: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

/// Reads lines with bounded memory, however long they are.
pub(crate) struct Deliveries<R> {
    input: R,
    line: u64,
    /// How many bytes were read. After `next`, where the next line begins.
    position: u64,
    at_end: AtEnd,
}

/// What to do when nothing more can be read.
pub(crate) enum AtEnd {
    /// The last line may lack its end.
    Stop,
    /// Others append lines to this file; the last one may be incomplete.
    Wait(Grown),
}

impl<R: AsyncBufRead + Unpin> Deliveries<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { input, line: 0, position: 0, at_end: AtEnd::Stop }
    }

    /// The lines of a file that others append to, from this position.
    pub(crate) fn following(input: R, position: u64, file: Grown) -> Self {
        Self { input, line: 0, position, at_end: AtEnd::Wait(file) }
    }

    /// Where the next line begins.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The next delivery, or why the next line is none; `None` at the end. Empty lines are passed over.
    pub(crate) async fn next(&mut self) -> std::io::Result<Option<Result<Delivery, Refused>>> {
        loop {
            let Some((line, len)) = self.read_line(NewJob::MAX_PAYLOAD_BYTES).await? else {
                return Ok(None);
            };
            self.line += 1;
            if len > NewJob::MAX_PAYLOAD_BYTES {
                return Ok(Some(Err(self.refuse(format!(
                    "has {len} bytes; at most {most} are accepted: keep large contents elsewhere and send where",
                    most = NewJob::MAX_PAYLOAD_BYTES
                )))));
            }
            if !line.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some(parse(line, self.line).map_err(|why| self.refuse(why))));
            }
        }
    }

    /// One line without its end, and its length; no more than `limit` bytes of it are kept.
    async fn read_line(&mut self, limit: usize) -> std::io::Result<Option<(Vec<u8>, usize)>> {
        let (mut line, mut len, mut ended) = (Vec::new(), 0, false);
        while !ended {
            let chunk = self.input.fill_buf().await?;
            if chunk.is_empty() {
                match &self.at_end {
                    AtEnd::Stop => break,
                    AtEnd::Wait(file) => file.wait(self.position).await?,
                }
                continue;
            }
            let end = chunk.iter().position(|&byte| byte == b'\n');
            let part = &chunk[..end.unwrap_or(chunk.len())];
            line.extend_from_slice(&part[..part.len().min(limit.saturating_sub(line.len()))]);
            len += part.len();
            ended = end.is_some();
            let used = part.len() + usize::from(ended);
            self.input.consume(used);
            self.position += used as u64;
        }
        Ok((ended || len > 0).then_some((line, len)))
    }

    fn refuse(&self, why: String) -> Refused {
        Refused { line: self.line, why }
    }
}

fn parse(mut line: Vec<u8>, number: u64) -> Result<Delivery, String> {
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    let text = std::str::from_utf8(&line).map_err(|error| format!("not UTF-8 at byte {}", error.valid_up_to() + 1))?;
    let webhook: Webhook = serde_json::from_str(text).map_err(|error| {
        let place = error.column();
        match error.classify() {
            serde_json::error::Category::Data => format!("not a delivery, at column {place}: {}", data_error(&error)),
            _ => format!("broken JSON at column {place}"),
        }
    })?;
    let id = JobId::new(&webhook.id).map_err(|error| format!("the id cannot be used: {error}"))?;
    let key = Key::new(&webhook.id).map_err(|error| format!("the id cannot be used: {error}"))?;
    if webhook.event.is_empty() {
        return Err("the event's name is empty".to_owned());
    }
    Ok(Delivery { line: number, id, key, fingerprint: Fingerprint::of(&line), webhook })
}

/// What serde reports of a wrong shape, without the place (given already) and without the value that was found, which may contain
/// any text.
fn data_error(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(&*text, |(text, _)| text);
    let Some(found) = text.strip_prefix("invalid ") else { return text.to_owned() };
    let expected = found.rsplit_once(", expected ").map_or("another value", |(_, expected)| expected);
    let kind = found.split_once(": ").map_or("", |(_, found)| found);
    let kind = kind.split([',', '`', '"']).next().unwrap_or_default();
    format!("found {}, expected {expected}", kind.trim_end())
}

#[cfg(test)]
mod tests {
    use super::Deliveries;

    async fn read(input: &[u8]) -> Vec<Result<String, String>> {
        let mut deliveries = Deliveries::new(input);
        let mut seen = Vec::new();
        while let Some(next) = deliveries.next().await.unwrap() {
            seen.push(next.map(|delivery| delivery.id.to_string()).map_err(|refused| refused.to_string()));
        }
        seen
    }

    #[tokio::test]
    async fn a_bad_line_is_named_and_the_rest_is_read() {
        let mut input = br#"{"id":"a","event":"push","payload":{}}
{"id":"b","event":"push","payl
{"event":"push","payload":{}}
{"id":7,"event":"push","payload":{}}

"#
        .to_vec();
        input.extend_from_slice(b"\xff\xfe\n");
        input.extend(std::iter::repeat_n(b'x', 5 << 20));
        input.extend_from_slice(b"\n{\"id\":\"c\",\"event\":\"push\",\"action\":null,\"payload\":{}}\r\n");
        input.extend_from_slice(b"{\"id\":\"d\",\"event\":\"push\",\"payload\":{}}");
        let seen = read(&input).await;
        assert_eq!(seen[0], Ok("a".to_owned()));
        assert_eq!(seen[1], Err("line 2: broken JSON at column 30".to_owned()));
        assert_eq!(seen[2], Err("line 3: not a delivery, at column 29: missing field `id`".to_owned()));
        assert_eq!(seen[3], Err("line 4: not a delivery, at column 7: found integer, expected a string".to_owned()));
        assert_eq!(seen[4], Err("line 6: not UTF-8 at byte 1".to_owned()));
        assert!(seen[5].as_ref().unwrap_err().starts_with("line 7: has 5242880 bytes"));
        assert_eq!(seen[6..], [Ok("c".to_owned()), Ok("d".to_owned())]);
    }

    #[tokio::test]
    async fn a_refusal_shows_nothing_of_the_content() {
        for (payload, found) in [
            (r#""s3cret at line 1""#, "found string, expected a map"),
            (r#""x, expected s3cret""#, "found string, expected a map"),
            (r#"["s3cret"]"#, "found sequence, expected a map"),
            ("31.5", "found floating point, expected a map"),
        ] {
            let line = format!(r#"{{"id":"a","event":"e","payload":{payload}}}"#);
            let seen = read(line.as_bytes()).await;
            let why = seen[0].as_ref().unwrap_err();
            assert!(why.ends_with(found) && !why.contains("s3cret"), "{why}");
        }
    }

    #[tokio::test]
    async fn an_empty_input_has_no_deliveries() {
        assert_eq!(read(b"").await, []);
        assert_eq!(read(b"\n\n").await, []);
    }
}
