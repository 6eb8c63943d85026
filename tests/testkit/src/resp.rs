use std::io;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, ToSocketAddrs};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

/// A reply of the server, protocol version 2. Texts share the memory that they were read into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A missing value, or a missing array.
    Nil,
    /// A status such as `OK`.
    Status(Bytes),
    /// An error inside an array; an error as the whole reply is [`CommandError::Refused`].
    Error(String),
    /// An integer.
    Integer(i64),
    /// A string of bytes.
    Bulk(Bytes),
    /// An array.
    Array(Vec<Value>),
}

impl Value {
    /// Whether nothing was there.
    pub fn is_nil(&self) -> bool {
        *self == Self::Nil
    }

    /// The number, when this is an integer.
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// The bytes, when this is a string or a status.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bulk(bytes) | Self::Status(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The text, when this is a status or a string of valid UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        self.as_bytes().and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// The elements, when this is an array.
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Self::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// The bytes, when this is a string or a status.
    pub fn into_bytes(self) -> Option<Bytes> {
        match self {
            Self::Bulk(bytes) | Self::Status(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The elements; none when this is no array.
    pub fn into_array(self) -> Vec<Value> {
        match self {
            Self::Array(elements) => elements,
            _ => Vec::new(),
        }
    }

    /// The elements as texts, when this is an array of nothing else.
    pub fn as_strings(&self) -> Option<Vec<String>> {
        self.as_array()?.iter().map(|element| element.as_str().map(str::to_owned)).collect()
    }

    /// Reads one whole frame: what [`frame_end`] delimits.
    ///
    /// # Errors
    /// [`CommandError::Refused`] if the reply is an error, [`CommandError::Malformed`].
    pub fn decode(frame: &Bytes) -> Result<Self, CommandError> {
        match decode(frame, &mut 0)? {
            Value::Error(text) => Err(CommandError::Refused(text)),
            value => Ok(value),
        }
    }
}

/// Why a command of the kit's own client has no reply.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The server answered with this error.
    #[error("the server refused: {0}")]
    Refused(String),
    /// The connection could not be made, or broke.
    #[error("the connection failed")]
    Connection(#[from] io::Error),
    /// What arrived is not the protocol.
    #[error("the reply is not RESP2")]
    Malformed,
    /// No reply came within [`DEADLINE`](crate::DEADLINE).
    #[error("no reply within the deadline")]
    NoReply,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// One connection of the kit's own minimal client: protocol version 2, no time-outs, no reconnection, no database
/// number and no user but what its caller sends. After an error of the connection it is of no further use.
pub struct RespConnection {
    stream: Box<dyn Stream>,
    received: BytesMut,
}

impl RespConnection {
    /// Connects without TLS and sends nothing.
    ///
    /// # Errors
    /// [`CommandError::Connection`] when nobody accepts.
    pub async fn open(address: impl ToSocketAddrs) -> Result<Self, CommandError> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: Box::new(stream), received: BytesMut::new() })
    }

    pub(crate) async fn open_tls(address: impl ToSocketAddrs, connector: &TlsConnector) -> Result<Self, CommandError> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").expect("invariant: a valid DNS name");
        let stream = connector.connect(name, stream).await?;
        Ok(Self { stream: Box::new(stream), received: BytesMut::new() })
    }

    /// Sends one command and waits for its reply.
    ///
    /// # Errors
    /// [`CommandError`]; an error reply is [`CommandError::Refused`] and leaves the connection usable.
    pub async fn command<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> Result<Value, CommandError> {
        self.send(arguments).await?;
        self.receive().await
    }

    /// Sends one command and leaves its reply to [`receive`](Self::receive).
    ///
    /// # Errors
    /// [`CommandError::Connection`].
    pub async fn send<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> Result<(), CommandError> {
        self.stream.write_all(&encode(arguments)).await?;
        self.stream.flush().await?;
        Ok(())
    }

    /// Waits for the next reply or message. Cancelling it loses nothing.
    ///
    /// # Errors
    /// As [`command`](Self::command).
    pub async fn receive(&mut self) -> Result<Value, CommandError> {
        loop {
            if let Some(end) = frame_end(&self.received, 0)? {
                return Value::decode(&self.received.split_to(end).freeze());
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }
}

/// A command as it goes over the wire.
pub(crate) fn encode<A: AsRef<[u8]>>(arguments: &[A]) -> Vec<u8> {
    let mut request = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments.iter().map(AsRef::as_ref) {
        request.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        request.extend_from_slice(argument);
        request.extend_from_slice(b"\r\n");
    }
    request
}

/// Where the frame that starts at `start` ends, or `None` while bytes of it are missing.
///
/// # Errors
/// [`CommandError::Malformed`] if this is not the protocol.
pub fn frame_end(bytes: &[u8], start: usize) -> Result<Option<usize>, CommandError> {
    let Some((kind, line, mut end)) = header(bytes, start) else { return Ok(None) };
    match kind {
        b'+' | b'-' | b':' => {}
        b'$' => end += usize::try_from(number(line)?).map_or(0, |length| length + 2),
        b'*' => {
            for _ in 0..number(line)? {
                let Some(next) = frame_end(bytes, end)? else { return Ok(None) };
                end = next;
            }
        }
        _ => return Err(CommandError::Malformed),
    }
    Ok((end <= bytes.len()).then_some(end))
}

/// The places of the arguments of the whole request that begins at `start`; none of an inline command.
pub(crate) fn arguments(bytes: &[u8], start: usize) -> Result<Vec<Range<usize>>, CommandError> {
    let Some((b'*', line, mut at)) = header(bytes, start) else { return Ok(Vec::new()) };
    let mut places = Vec::new();
    for _ in 0..number(line)? {
        let (_, line, begin) = header(bytes, at).ok_or(CommandError::Malformed)?;
        let length = usize::try_from(number(line)?).map_err(|_| CommandError::Malformed)?;
        places.push(begin..begin + length);
        at = begin + length + 2;
    }
    Ok(places)
}

/// Reads the value at `*at` of complete frames and moves `at` behind it.
fn decode(frame: &Bytes, at: &mut usize) -> Result<Value, CommandError> {
    let (kind, line, end) = header(frame, *at).ok_or(CommandError::Malformed)?;
    let text = *at + 1..end - 2;
    *at = end;
    match kind {
        b'+' => Ok(Value::Status(frame.slice(text))),
        b'-' => Ok(Value::Error(String::from_utf8_lossy(line).into_owned())),
        b':' => Ok(Value::Integer(number(line)?)),
        b'$' => {
            let Ok(length) = usize::try_from(number(line)?) else { return Ok(Value::Nil) };
            if end + length > frame.len() {
                return Err(CommandError::Malformed);
            }
            *at = end + length + 2;
            Ok(Value::Bulk(frame.slice(end..end + length)))
        }
        b'*' => match usize::try_from(number(line)?) {
            Ok(count) => (0..count).map(|_| decode(frame, at)).collect::<Result<_, _>>().map(Value::Array),
            Err(_) => Ok(Value::Nil),
        },
        _ => Err(CommandError::Malformed),
    }
}

/// The kind, the rest of the line at `start`, and where the next line begins.
fn header(bytes: &[u8], start: usize) -> Option<(u8, &[u8], usize)> {
    let rest = bytes.get(start..)?;
    let length = rest.iter().position(|byte| *byte == b'\r')?;
    (length > 0 && rest.len() > length + 1).then(|| (rest[0], &rest[1..length], start + length + 2))
}

fn number(line: &[u8]) -> Result<i64, CommandError> {
    let (digits, is_negative) = line.strip_prefix(b"-").map_or((line, false), |digits| (digits, true));
    let mut number = 0_i64;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        let shifted = number.checked_mul(10).and_then(|shifted| shifted.checked_add(i64::from(digit)));
        number = shifted.filter(|_| digit < 10).ok_or(CommandError::Malformed)?;
    }
    if digits.is_empty() { Err(CommandError::Malformed) } else { Ok(if is_negative { -number } else { number }) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use bytes::Bytes;

    use super::{CommandError, Value, arguments, encode, frame_end};

    #[test]
    fn replies_are_decoded_when_they_are_whole() {
        let whole = b"*4\r\n$2\r\nab\r\n:-12\r\n$-1\r\n+OK\r\n:1\r\n";
        let end = whole.len() - 4;
        for length in 0..end {
            assert_eq!(frame_end(&whole[..length], 0).unwrap(), None);
        }
        assert_eq!(frame_end(whole, 0).unwrap(), Some(end));
        let reply = Value::decode(&Bytes::from_static(whole)).unwrap();
        let expected = [Value::Bulk("ab".into()), Value::Integer(-12), Value::Nil, Value::Status("OK".into())];
        assert_eq!(reply, Value::Array(expected.to_vec()));
        assert!(matches!(Value::decode(&Bytes::from_static(b"-ERR no\r\n")), Err(CommandError::Refused(_))));
        for malformed in [b"!x\r\n".as_slice(), b":1x\r\n", b":\r\n", b"$x\r\n"] {
            assert!(Value::decode(&Bytes::from_static(malformed)).is_err(), "{malformed:?}");
        }
    }

    #[test]
    fn arguments_of_requests_are_found() {
        let request = encode(&["SET", "", "a\r\nb"]);
        let found: Vec<_> = arguments(&request, 0).unwrap().into_iter().map(|place| request[place].to_vec()).collect();
        assert_eq!(found, [b"SET".to_vec(), Vec::new(), b"a\r\nb".to_vec()]);
    }
}
