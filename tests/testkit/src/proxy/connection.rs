use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use super::requests::Requests;
use super::{Cut, Mode, Shared, wait_for};
use crate::lock;
use crate::wait::DEADLINE;

const CHUNK: usize = 64 * 1024;

/// Serves one connection in a task of its own, counted from now to its end.
pub(super) fn spawn(client: TcpStream, shared: Arc<Shared>) {
    let mut resets = shared.resets.subscribe();
    shared.connections.send_modify(|count| *count += 1);
    tokio::spawn(async move {
        let mut client = client;
        let mut server = None;
        tokio::select! {
            _ = resets.changed() => {
                for stream in server.iter().chain([&client]) {
                    // closing then sends RST instead of FIN; if the system refuses, the connection ends all the same
                    let _ = stream.set_zero_linger();
                }
            }
            // whatever fails on one side ends both
            _ = forward(&mut client, &mut server, &shared) => {}
        }
        drop((client, server));
        shared.connections.send_modify(|count| *count -= 1);
    });
}

/// Forwards until both sides have ended, one fails, or a cut has fired.
async fn forward(client: &mut TcpStream, server: &mut Option<TcpStream>, shared: &Shared) -> io::Result<()> {
    open(shared, |mode| !matches!(mode, Mode::Blackhole)).await;
    let server = server.insert(TcpStream::connect(shared.target).await?);
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let cut = AtomicBool::new(false);
    tokio::try_join!(
        forward_requests(from_client, to_server, shared, &cut),
        forward_replies(from_server, to_client, shared, &cut),
    )?;
    Ok(())
}

async fn forward_requests(
    mut client: ReadHalf<'_>,
    mut server: WriteHalf<'_>,
    shared: &Shared,
    cut: &AtomicBool,
) -> io::Result<()> {
    let mut requests = Requests::default();
    let mut chunk = vec![0; CHUNK];
    loop {
        let length = client.read(&mut chunk).await?;
        pass_through(shared, |mode| !matches!(mode, Mode::Blackhole)).await;
        if length == 0 {
            return server.shutdown().await;
        }
        let mut fired = None;
        let end = requests.find(&chunk[..length], |request| {
            let armed = &mut *lock(&shared.cut);
            fired = armed.take_if(|cut: &mut Cut| (cut.matches)(request));
            fired.is_some()
        });
        match fired {
            Some(Cut { executed: false, .. }) => {
                shared.fired.send_modify(|count| *count += 1);
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            Some(Cut { executed: true, .. }) => {
                cut.store(true, Ordering::SeqCst);
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
    shared: &Shared,
    cut: &AtomicBool,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let length = server.read(&mut chunk).await?;
        if cut.load(Ordering::SeqCst) {
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
        pass_through(shared, |mode| !matches!(mode, Mode::Blackhole | Mode::OneWay)).await;
        if length == 0 {
            return client.shutdown().await;
        }
        client.write_all(&chunk[..length]).await?;
        shared.bytes_down.fetch_add(length as u64, Ordering::Relaxed);
    }
}

/// Holds one chunk until the mode lets its direction through, and for the delay.
async fn pass_through(shared: &Shared, is_open: impl Fn(&Mode) -> bool) {
    open(shared, is_open).await;
    let mode = *shared.mode.borrow();
    if let Mode::Delay(delay) = mode {
        tokio::time::sleep(delay).await;
    }
}

async fn open(shared: &Shared, is_open: impl Fn(&Mode) -> bool) {
    wait_for(shared.mode.subscribe(), is_open).await;
}
