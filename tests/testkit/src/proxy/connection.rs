use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;

use super::requests::Requests;
use super::{Cut, CutAt, Mode, Shared, wait_for};
use crate::lock;
use crate::wait::DEADLINE;

const CHUNK: usize = 64 * 1024;

/// Serves one connection in a task of its own, counted from now to its end.
pub(super) fn spawn(client: TcpStream, shared: Arc<Shared>) {
    let mut resets = shared.resets.subscribe();
    let mut half_opens = shared.half_opens.subscribe();
    let number = shared.accepted.fetch_add(1, Ordering::Relaxed);
    shared.connections.send_modify(|count| *count += 1);
    lock(&shared.open).push(number);
    tokio::spawn(async move {
        let mut client = client;
        let mut server = None;
        let connection = Connection { shared: &shared, number, is_replication: AtomicBool::new(false) };
        tokio::select! {
            _ = resets.changed() => {
                for stream in server.iter().chain([&client]) {
                    // closing then sends RST instead of FIN; if the system refuses, the connection ends all the same
                    let _ = stream.set_zero_linger();
                }
            }
            // whatever fails on one side ends both
            _ = serve(&mut client, &mut server, &connection, &mut half_opens) => {}
        }
        drop((client, server));
        lock(&shared.open).retain(|open| *open != number);
        shared.connections.send_modify(|count| *count -= 1);
    });
}

/// One connection and what it shares with the others.
struct Connection<'a> {
    shared: &'a Shared,
    number: u64,
    /// Whether the client is a replica.
    is_replication: AtomicBool,
}

/// Forwards; once the connection is half-open, swallows what the client sends until it ends.
async fn serve(
    client: &mut TcpStream,
    server: &mut Option<TcpStream>,
    connection: &Connection<'_>,
    half_opens: &mut watch::Receiver<u64>,
) -> io::Result<()> {
    tokio::select! {
        ended = forward(client, server, connection) => return ended,
        Ok(()) = half_opens.changed() => {}
    }
    *server = None;
    let mut chunk = vec![0; CHUNK];
    while client.read(&mut chunk).await? > 0 {}
    Ok(())
}

/// Forwards until both sides have ended, one fails, or a cut has fired.
async fn forward(
    client: &mut TcpStream,
    server: &mut Option<TcpStream>,
    connection: &Connection<'_>,
) -> io::Result<()> {
    connection.open(|mode| !matches!(mode, Mode::Blackhole)).await;
    let target = *lock(&connection.shared.target);
    let server = server.insert(TcpStream::connect(target).await?);
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let cut = Mutex::new(None);
    tokio::try_join!(
        forward_requests(from_client, to_server, connection, &cut),
        forward_replies(from_server, to_client, connection, &cut),
    )?;
    Ok(())
}

async fn forward_requests(
    mut client: ReadHalf<'_>,
    mut server: WriteHalf<'_>,
    connection: &Connection<'_>,
    cut: &Mutex<Option<CutAt>>,
) -> io::Result<()> {
    let shared = connection.shared;
    let mut requests = Requests::default();
    let mut chunk = vec![0; CHUNK];
    loop {
        let length = client.read(&mut chunk).await?;
        connection.pass_through(length, |mode| !matches!(mode, Mode::Blackhole)).await;
        if length == 0 {
            return server.shutdown().await;
        }
        let mut fired = None;
        let end = requests.find(&chunk[..length], |request| {
            if is_psync(request) {
                connection.is_replication.store(true, Ordering::Relaxed);
            }
            let armed = &mut *lock(&shared.cut);
            fired = armed.take_if(|cut: &mut Cut| (cut.matches)(request));
            fired.is_some()
        });
        connection.open(|_| true).await;
        match fired {
            Some(Cut { place: CutAt::BeforeRequest, .. }) => {
                shared.fired.send_modify(|count| *count += 1);
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            Some(Cut { place: CutAt::Held, .. }) => {
                shared.held.send_replace(Some(connection.number));
                shared.fired.send_modify(|count| *count += 1);
                connection.open(|_| true).await;
                server.write_all(&chunk[..length]).await?;
                shared.bytes_up.fetch_add(length as u64, Ordering::Relaxed);
            }
            Some(Cut { place, .. }) => {
                *lock(cut) = Some(place);
                server.write_all(&chunk[..end.unwrap_or(length)]).await?;
                // the server executes what it has received before it closes in turn: see `forward_replies`
                return server.shutdown().await;
            }
            None => {
                server.write_all(&chunk[..length]).await?;
                shared.bytes_up.fetch_add(length as u64, Ordering::Relaxed);
            }
        }
    }
}

async fn forward_replies(
    mut server: ReadHalf<'_>,
    mut client: WriteHalf<'_>,
    connection: &Connection<'_>,
    cut: &Mutex<Option<CutAt>>,
) -> io::Result<()> {
    let shared = connection.shared;
    let mut chunk = vec![0; CHUNK];
    loop {
        let length = server.read(&mut chunk).await?;
        let fired = lock(cut).take();
        if let Some(place) = fired {
            if place == CutAt::InReply {
                client.write_all(&chunk[..length / 2]).await?;
                client.flush().await?;
            }
            // swallow the reply until the server's end shows that it has executed everything; a server that is
            // blocked in a command has executed those before
            let rest = async {
                while length > 0 && server.read(&mut chunk).await? > 0 {}
                io::Result::Ok(())
            };
            let _ = tokio::time::timeout(DEADLINE, rest).await;
            shared.fired.send_modify(|count| *count += 1);
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        connection.pass_through(length, |mode| !matches!(mode, Mode::Blackhole | Mode::OneWay)).await;
        if length == 0 {
            return client.shutdown().await;
        }
        client.write_all(&chunk[..length]).await?;
        shared.bytes_down.fetch_add(length as u64, Ordering::Relaxed);
    }
}

/// Whether a replica begins to follow with this request.
fn is_psync(request: &[u8]) -> bool {
    request.get(8..13).is_some_and(|name| name.eq_ignore_ascii_case(b"PSYNC"))
}

impl Connection<'_> {
    /// Holds one chunk until the mode lets its direction through, and for the delay.
    async fn pass_through(&self, length: usize, is_open: impl Fn(&Mode) -> bool) {
        self.open(is_open).await;
        let mode = *self.shared.mode.borrow();
        match mode {
            Mode::Delay(delay) => tokio::time::sleep(delay).await,
            Mode::Slow(bytes_per_second) => {
                let time = Duration::from_secs(length as u64) / bytes_per_second.max(1);
                let is_over = wait_for(self.shared.mode.subscribe(), |mode| !matches!(mode, Mode::Slow(_)));
                let _ = tokio::time::timeout(time, is_over).await;
            }
            Mode::Pass | Mode::OneWay | Mode::Blackhole => {}
        }
    }

    async fn open(&self, is_open: impl Fn(&Mode) -> bool) {
        wait_for(self.shared.held.subscribe(), |held| *held != Some(self.number)).await;
        if self.is_replication.load(Ordering::Relaxed) {
            wait_for(self.shared.replication_held.subscribe(), |held| !held).await;
        }
        wait_for(self.shared.mode.subscribe(), is_open).await;
    }
}
