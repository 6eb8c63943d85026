//! The smallest client that can pipeline: one TCP connection, protocol version 2, no time-outs, no retries. Floors are
//! measured with it, so that they do not depend on a client library.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use testkit::{Value, frame_end};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Result;

/// Commands, encoded one after the other.
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
    /// If no server accepts the connection.
    pub async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: BytesMut::with_capacity(64 * 1024) })
    }

    /// Sends commands in one write and clears them.
    ///
    /// # Errors
    /// If the connection breaks.
    pub async fn send(&mut self, commands: &mut Commands) -> Result<()> {
        self.stream.write_all(&commands.bytes).await?;
        commands.bytes.clear();
        commands.count = 0;
        Ok(())
    }

    /// Sends commands in one write and returns their replies.
    ///
    /// # Errors
    /// If the connection breaks, or the server refuses a command.
    pub async fn exchange(&mut self, commands: &mut Commands) -> Result<Vec<Value>> {
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
    pub async fn command(&mut self, arguments: &[&[u8]]) -> Result<Value> {
        let mut commands = Commands::default();
        commands.add(arguments.iter().copied());
        self.send(&mut commands).await?;
        self.receive().await
    }

    /// Loads a script and returns its name for EVALSHA.
    ///
    /// # Errors
    /// As [`exchange`](Self::exchange).
    pub async fn load(&mut self, script: &str) -> Result<Bytes> {
        let reply = self.command(&[b"SCRIPT", b"LOAD", script.as_bytes()]).await?;
        Ok(reply.into_bytes().ok_or("SCRIPT LOAD returns no name")?)
    }

    /// Whether the next reply has not arrived completely.
    ///
    /// # Errors
    /// If the data does not follow the protocol.
    pub fn has_none_waiting(&self) -> Result<bool> {
        Ok(frame_end(&self.received, 0)?.is_none())
    }

    /// Waits for the next reply.
    ///
    /// # Errors
    /// As [`exchange`](Self::exchange).
    pub async fn receive(&mut self) -> Result<Value> {
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
    /// If the server refused the command.
    pub fn try_receive(&mut self) -> Result<Option<Value>> {
        let Some(end) = frame_end(&self.received, 0)? else {
            // reserve room, so that large replies are read in few calls
            self.received.reserve(64 * 1024);
            return Ok(None);
        };
        let frame = self.received.split_to(end).freeze();
        Ok(Some(Value::decode(&frame)?))
    }
}

#[cfg(test)]
mod tests {
    use super::Commands;

    #[test]
    fn commands_are_encoded() {
        let mut commands = Commands::default();
        commands.add([b"GET".as_slice(), b"a-long-key"]);
        assert_eq!(commands.bytes, b"*2\r\n$3\r\nGET\r\n$10\r\na-long-key\r\n");
    }
}
