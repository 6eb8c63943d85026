use std::io;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, ToSocketAddrs};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

/// A reply of the server, protocol version 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A missing value, or a missing array.
    Nil,
    /// A status such as `OK`.
    Status(String),
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
            Self::Bulk(bytes) => Some(bytes),
            Self::Status(text) => Some(text.as_bytes()),
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

    /// The elements as texts, when this is an array of nothing else.
    pub fn as_strings(&self) -> Option<Vec<String>> {
        self.as_array()?.iter().map(|element| element.as_str().map(str::to_owned)).collect()
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
    received: Vec<u8>,
}

impl RespConnection {
    /// Connects without TLS and sends nothing.
    ///
    /// # Errors
    /// [`CommandError::Connection`] when nobody accepts.
    pub async fn open(address: impl ToSocketAddrs) -> Result<Self, CommandError> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: Box::new(stream), received: Vec::new() })
    }

    pub(crate) async fn open_tls(address: impl ToSocketAddrs, connector: &TlsConnector) -> Result<Self, CommandError> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").expect("invariant: a valid DNS name");
        let stream = connector.connect(name, stream).await?;
        Ok(Self { stream: Box::new(stream), received: Vec::new() })
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
                let frame = self.received.drain(..end).collect::<Vec<_>>();
                return match decode(&frame, &mut 0)? {
                    Value::Error(text) => Err(CommandError::Refused(text)),
                    value => Ok(value),
                };
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
pub(crate) fn frame_end(bytes: &[u8], start: usize) -> Result<Option<usize>, CommandError> {
    let Some((line, mut end)) = line(bytes, start) else { return Ok(None) };
    match line.first() {
        Some(b'+' | b'-' | b':') => {}
        Some(b'$') => {
            if let Ok(length) = usize::try_from(number(line)?) {
                end += length + 2;
            }
        }
        Some(b'*') => {
            for _ in 0..number(line)? {
                match frame_end(bytes, end)? {
                    Some(next) => end = next,
                    None => return Ok(None),
                }
            }
        }
        _ => return Err(CommandError::Malformed),
    }
    Ok((end <= bytes.len()).then_some(end))
}

/// Reads the value at `*at` of complete frames and moves `at` behind it.
fn decode(bytes: &[u8], at: &mut usize) -> Result<Value, CommandError> {
    let (line, end) = line(bytes, *at).ok_or(CommandError::Malformed)?;
    *at = end;
    let text = || String::from_utf8_lossy(&line[1..]).into_owned();
    match line.first() {
        Some(b'+') => Ok(Value::Status(text())),
        Some(b'-') => Ok(Value::Error(text())),
        Some(b':') => Ok(Value::Integer(number(line)?)),
        Some(b'$') => {
            let Ok(length) = usize::try_from(number(line)?) else { return Ok(Value::Nil) };
            let content = bytes.get(end..end + length).ok_or(CommandError::Malformed)?;
            *at = end + length + 2;
            Ok(Value::Bulk(Bytes::copy_from_slice(content)))
        }
        Some(b'*') => match number(line)? {
            ..0 => Ok(Value::Nil),
            count => (0..count).map(|_| decode(bytes, at)).collect::<Result<_, _>>().map(Value::Array),
        },
        _ => Err(CommandError::Malformed),
    }
}

/// The line at `start` without its end, and where the next begins.
fn line(bytes: &[u8], start: usize) -> Option<(&[u8], usize)> {
    let rest = bytes.get(start..)?;
    let length = rest.windows(2).position(|pair| pair == b"\r\n")?;
    Some((&rest[..length], start + length + 2))
}

fn number(line: &[u8]) -> Result<i64, CommandError> {
    std::str::from_utf8(&line[1..]).ok().and_then(|digits| digits.parse().ok()).ok_or(CommandError::Malformed)
}
