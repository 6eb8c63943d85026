//! The smallest client that can pipeline: one TCP connection, protocol version 2, no time-outs, no retries. Floors are
//! measured with it, so that they owe nothing to any client library.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Result;

/// A reply. Texts share the memory that they were read into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Nothing, or a missing array.
    Nil,
    /// A status such as `OK`.
    Status,
    /// A number.
    Integer(i64),
    /// Bytes.
    Bulk(Bytes),
    /// An array.
    Array(Vec<Reply>),
}

impl Reply {
    /// The elements; none when this is no array.
    pub fn into_array(self) -> Vec<Reply> {
        match self {
            Reply::Array(elements) => elements,
            _ => Vec::new(),
        }
    }

    /// The bytes, when this is a string of them.
    pub fn into_bulk(self) -> Option<Bytes> {
        match self {
            Reply::Bulk(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// Commands, encoded one behind the other.
#[derive(Debug, Default)]
pub struct Commands {
    bytes: Vec<u8>,
    count: usize,
}

impl Commands {
    /// Adds one command.
    pub fn add<'a>(&mut self, arguments: impl IntoIterator<Item = &'a [u8], IntoIter: ExactSizeIterator>) {
        let arguments = arguments.into_iter();
        self.header(b'*', arguments.len());
        for argument in arguments {
            self.header(b'$', argument.len());
            self.bytes.extend_from_slice(argument);
            self.bytes.extend_from_slice(b"\r\n");
        }
        self.count += 1;
    }

    /// How many commands there are.
    pub fn count(&self) -> usize {
        self.count
    }

    fn header(&mut self, kind: u8, number: usize) {
        self.bytes.push(kind);
        let mut digits = [0_u8; 20];
        let (mut at, mut rest) = (digits.len(), number);
        loop {
            at -= 1;
            digits[at] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.bytes.extend_from_slice(&digits[at..]);
        self.bytes.extend_from_slice(b"\r\n");
    }
}

/// One connection.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    received: BytesMut,
}

impl Wire {
    /// Connects.
    ///
    /// # Errors
    /// When nobody accepts.
    pub async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: BytesMut::with_capacity(64 * 1024) })
    }

    /// Sends commands in one write and empties them.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn send(&mut self, commands: &mut Commands) -> Result<()> {
        self.stream.write_all(&commands.bytes).await?;
        commands.bytes.clear();
        commands.count = 0;
        Ok(())
    }

    /// Sends commands in one write and returns their replies.
    ///
    /// # Errors
    /// When the connection breaks, or the server refuses one.
    pub async fn exchange(&mut self, commands: &mut Commands) -> Result<Vec<Reply>> {
        let count = commands.count;
        self.send(commands).await?;
        let mut replies = Vec::with_capacity(count);
        while replies.len() < count {
            replies.push(self.receive().await?);
        }
        Ok(replies)
    }

    /// Sends one command and returns its reply.
    ///
    /// # Errors
    /// As [`exchange`](Self::exchange).
    pub async fn command(&mut self, arguments: &[&[u8]]) -> Result<Reply> {
        let mut commands = Commands::default();
        commands.add(arguments.iter().copied());
        self.send(&mut commands).await?;
        self.receive().await
    }

    /// Loads a script; the name by which EVALSHA knows it.
    ///
    /// # Errors
    /// As [`exchange`](Self::exchange).
    pub async fn load(&mut self, script: &str) -> Result<Bytes> {
        let reply = self.command(&[b"SCRIPT", b"LOAD", script.as_bytes()]).await?;
        Ok(reply.into_bulk().ok_or("SCRIPT LOAD answers no name")?)
    }

    /// Whether the next reply has not arrived as a whole.
    ///
    /// # Errors
    /// When what arrived is not the protocol.
    pub fn has_none_waiting(&self) -> Result<bool> {
        Ok(frame_end(&self.received, 0)?.is_none())
    }

    /// Waits for the next reply.
    ///
    /// # Errors
    /// As [`exchange`](Self::exchange).
    pub async fn receive(&mut self) -> Result<Reply> {
        loop {
            if let Some(reply) = self.try_receive()? {
                return Ok(reply);
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err("the server closed the connection".into());
            }
        }
    }

    /// The next reply, if all of it has arrived.
    ///
    /// # Errors
    /// When the server refused the command.
    pub fn try_receive(&mut self) -> Result<Option<Reply>> {
        let Some(end) = frame_end(&self.received, 0)? else {
            // room for what is coming, so that large replies are read in few calls
            self.received.reserve(64 * 1024);
            return Ok(None);
        };
        let frame = self.received.split_to(end).freeze();
        decode(&frame, &mut 0).map(Some)
    }
}

/// Where the frame that starts at `start` ends; `None` while bytes of it are missing.
fn frame_end(bytes: &[u8], start: usize) -> Result<Option<usize>> {
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
        _ => return Err("the reply is not RESP2".into()),
    }
    Ok((end <= bytes.len()).then_some(end))
}

fn decode(frame: &Bytes, at: &mut usize) -> Result<Reply> {
    let (kind, line, end) = header(frame, *at).ok_or("the reply is cut")?;
    *at = end;
    match kind {
        b'+' => Ok(Reply::Status),
        b'-' => Err(format!("the server refused: {}", String::from_utf8_lossy(line)).into()),
        b':' => Ok(Reply::Integer(number(line)?)),
        b'$' => {
            let Ok(length) = usize::try_from(number(line)?) else { return Ok(Reply::Nil) };
            *at = end + length + 2;
            Ok(Reply::Bulk(frame.slice(end..end + length)))
        }
        _ => match usize::try_from(number(line)?) {
            Ok(count) => (0..count).map(|_| decode(frame, at)).collect::<Result<_>>().map(Reply::Array),
            Err(_) => Ok(Reply::Nil),
        },
    }
}

/// The kind, the rest of the line at `start`, and where the next line begins.
fn header(bytes: &[u8], start: usize) -> Option<(u8, &[u8], usize)> {
    let rest = bytes.get(start..)?;
    let length = rest.iter().position(|byte| *byte == b'\r')?;
    (rest.len() > length + 1).then(|| (rest[0], &rest[1..length], start + length + 2))
}

fn number(line: &[u8]) -> Result<i64> {
    let (digits, negative) = line.strip_prefix(b"-").map_or((line, false), |digits| (digits, true));
    let mut number = 0_i64;
    for digit in digits {
        number = number * 10 + i64::from(digit - b'0');
    }
    Ok(if negative { -number } else { number })
}

#[cfg(test)]
mod tests {
    use super::{Commands, Reply, decode, frame_end};
    use bytes::Bytes;

    #[test]
    fn commands_are_encoded() {
        let mut commands = Commands::default();
        commands.add([b"GET".as_slice(), b"a-long-key"]);
        assert_eq!(commands.bytes, b"*2\r\n$3\r\nGET\r\n$10\r\na-long-key\r\n");
    }

    #[test]
    fn replies_are_decoded_when_they_are_whole() {
        let whole = b"*3\r\n$2\r\nab\r\n:-12\r\n$-1\r\n+OK\r\n";
        assert_eq!(frame_end(&whole[..20], 0).unwrap(), None);
        let end = frame_end(whole, 0).unwrap().unwrap();
        assert_eq!(end, whole.len() - 5);
        let reply = decode(&Bytes::from_static(whole), &mut 0).unwrap();
        let expected = [Reply::Bulk(Bytes::from_static(b"ab")), Reply::Integer(-12), Reply::Nil];
        assert_eq!(reply, Reply::Array(expected.to_vec()));
        assert!(decode(&Bytes::from_static(b"-ERR no\r\n"), &mut 0).is_err());
    }
}
