mod connection;
mod requests;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::lock;
use crate::port::ReservedPort;
use crate::wait::{DEADLINE, holds_within};

/// A TCP forward on `127.0.0.1` whose faults are switched while it runs.
///
/// Like a network, it never loses bytes in the middle of a connection: what [`blackhole`](Self::blackhole) and
/// [`one_way`](Self::one_way) hold back arrives after [`pass`](Self::pass), unless the connection was
/// [`reset`](Self::reset) before. It starts in `pass`; dropping it resets everything.
pub struct FaultProxy {
    port: ReservedPort,
    shared: Arc<Shared>,
    /// The task that accepts; `None` while connections are refused.
    listener: Mutex<Option<JoinHandle<()>>>,
}

/// What the connections see.
struct Shared {
    target: Mutex<SocketAddr>,
    mode: watch::Sender<Mode>,
    /// Counted up by each reset; a connection that sees it change ends.
    resets: watch::Sender<u64>,
    /// Incremented by each [`FaultProxy::half_open`]; a connection that finds it changed closes its server's side.
    half_opens: watch::Sender<u64>,
    connections: watch::Sender<usize>,
    /// The numbers of the open connections, in the order in which they were accepted.
    open: Mutex<Vec<u64>>,
    /// The connection that is held while the others pass.
    held: watch::Sender<Option<u64>>,
    /// Whether the connections of replicas are held.
    replication_held: watch::Sender<bool>,
    accepted: AtomicU64,
    cut: Mutex<Option<Cut>>,
    fired: watch::Sender<usize>,
    bytes_up: AtomicU64,
    bytes_down: AtomicU64,
}

#[derive(Clone, Copy)]
enum Mode {
    Pass,
    Delay(Duration),
    /// Bytes per second.
    Slow(u32),
    OneWay,
    Blackhole,
}

type Matcher = Box<dyn Fn(&[u8]) -> bool + Send + Sync>;

/// The armed, one-shot fault of one request.
struct Cut {
    matches: Matcher,
    place: CutAt,
}

/// Where a cut ends the connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CutAt {
    /// The request does not reach the server.
    BeforeRequest,
    /// The request is executed; nothing of its reply arrives.
    AfterRequest,
    /// The request is executed; the first half of its reply arrives.
    InReply,
    /// The connection stays open: the request and all later traffic on it are held.
    Held,
}

impl FaultProxy {
    /// Listens on a free port and forwards each connection to `target`, which need not be up.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(target: SocketAddr) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            target: Mutex::new(target),
            mode: watch::Sender::new(Mode::Pass),
            resets: watch::Sender::new(0),
            half_opens: watch::Sender::new(0),
            connections: watch::Sender::new(0),
            open: Mutex::default(),
            held: watch::Sender::new(None),
            replication_held: watch::Sender::new(false),
            accepted: AtomicU64::new(0),
            cut: Mutex::new(None),
            fired: watch::Sender::new(0),
            bytes_up: AtomicU64::new(0),
            bytes_down: AtomicU64::new(0),
        });
        let proxy = Self { port: ReservedPort::reserve()?, shared, listener: Mutex::new(None) };
        proxy.listen().await?;
        Ok(proxy)
    }

    /// The port on which it listens.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Host and port on which it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port()).into()
    }

    /// Forwards new connections to another server, as a name that has got another address. The open ones stay.
    pub fn lead_to(&self, target: SocketAddr) {
        *lock(&self.shared.target) = target;
    }

    /// Forwards again: first the held traffic, then new traffic. Accepts connections again if they were refused.
    ///
    /// # Panics
    /// When the port cannot be listened on again.
    pub async fn pass(&self) {
        self.switch(Mode::Pass).await;
    }

    /// Forwards each chunk of bytes, in both directions, this much later.
    ///
    /// # Panics
    /// As [`pass`](Self::pass).
    pub async fn delay(&self, delay: Duration) {
        self.switch(Mode::Delay(delay)).await;
    }

    /// Forwards on each connection so many bytes per second in each direction, as a slow line, until another mode is set.
    ///
    /// # Panics
    /// As [`pass`](Self::pass).
    pub async fn slow(&self, bytes_per_second: u32) {
        self.switch(Mode::Slow(bytes_per_second)).await;
    }

    /// Accepts connections but lets nothing through in either direction, not even their end, as a network that drops
    /// every packet.
    ///
    /// # Panics
    /// As [`pass`](Self::pass).
    pub async fn blackhole(&self) {
        self.switch(Mode::Blackhole).await;
    }

    /// Lets requests through and holds replies back.
    ///
    /// # Panics
    /// As [`pass`](Self::pass).
    pub async fn one_way(&self) {
        self.switch(Mode::OneWay).await;
    }

    /// Holds one of the open connections in both directions, also its end, until [`pass`](Self::pass); the others continue.
    /// `pick` chooses among them in the order in which they were accepted, modulo their number. Returns `false` if there is
    /// no connection.
    pub fn hold_connection(&self, pick: usize) -> bool {
        let open = lock(&self.shared.open);
        let held = open.get(pick % open.len().max(1)).copied();
        drop(open);
        self.shared.held.send_replace(held);
        held.is_some()
    }

    /// Holds the connections of replicas, old and new ones, until [`pass`](Self::pass); all others continue. So a primary behind
    /// this proxy is separated from its replicas, but not from clients. A replica is known by its `PSYNC`, which it must send
    /// without TLS.
    pub fn hold_replication(&self) {
        self.shared.replication_held.send_replace(true);
    }

    /// Arms one hold: the connection of the next request that `matches` is held in both directions, from this request on,
    /// until [`pass`](Self::pass); the others continue. It counts as [`fired`](Self::fired).
    pub fn hold_at_request(&self, matches: impl Fn(&[u8]) -> bool + Send + Sync + 'static) {
        self.arm(matches, CutAt::Held);
    }

    /// Closes the server's side of all connections and keeps the clients' sides open: everything that clients send later
    /// disappears, as behind a firewall that has dropped the connection's state. New connections pass.
    pub fn half_open(&self) {
        self.shared.half_opens.send_modify(|count| *count += 1);
    }

    /// Ends all connections at both sides with RST, forgets what they held back, and has new ones refused until another
    /// mode is set. Returns when that is done.
    pub async fn reset(&self) {
        let listener = lock(&self.listener).take();
        if let Some(listener) = listener {
            listener.abort();
            // cancelled on purpose; the end of the task is the end of the listening
            let _ = listener.await;
            holds_within(DEADLINE, async || TcpStream::connect(self.address()).await.is_err()).await;
        }
        self.cut_connections().await;
    }

    /// Ends all connections with RST, as [`reset`](Self::reset), but accepts new ones all the while.
    pub async fn cut_connections(&self) {
        let seen = self.shared.connections.subscribe();
        self.shared.resets.send_modify(|count| *count += 1);
        let _ = tokio::time::timeout(DEADLINE, wait_for(seen, |count| *count == 0)).await;
    }

    /// Arms one cut: the next request that `matches` is executed by the server, its reply is swallowed, and its
    /// connection is then closed. Everything before and after passes.
    ///
    /// `matches` sees one whole request as it is on the wire ([`mentions`] is often enough), however it was split or
    /// pipelined. What the client had pipelined behind it is not sent; replies to what it had sent before may be lost
    /// too. Without the protocol's arrays, as under TLS, it sees single chunks of bytes. Arming again replaces a cut
    /// that has not fired.
    ///
    /// "Executed" is known from the server's end of the connection, which follows the end of the requests. A script
    /// that the server does not have is "executed" with `NOSCRIPT`: load it before.
    pub fn cut_after_request(&self, matches: impl Fn(&[u8]) -> bool + Send + Sync + 'static) {
        self.arm(matches, CutAt::AfterRequest);
    }

    /// Arms one cut as [`cut_after_request`](Self::cut_after_request), but the request does not reach the server.
    pub fn cut_before_request(&self, matches: impl Fn(&[u8]) -> bool + Send + Sync + 'static) {
        self.arm(matches, CutAt::BeforeRequest);
    }

    /// Arms one cut as [`cut_after_request`](Self::cut_after_request), but the client receives the first half of the next
    /// data from the server: the reply ends in the middle.
    pub fn cut_in_reply(&self, matches: impl Fn(&[u8]) -> bool + Send + Sync + 'static) {
        self.arm(matches, CutAt::InReply);
    }

    /// Removes a cut that has not fired.
    pub fn disarm(&self) {
        *lock(&self.shared.cut) = None;
    }

    /// How many cuts have fired; counted before the client's connection is closed.
    pub fn fired(&self) -> usize {
        *self.shared.fired.borrow()
    }

    /// Waits until [`fired`](Self::fired) has reached `times`.
    ///
    /// # Panics
    /// When it has not within [`DEADLINE`].
    pub async fn wait_fired(&self, times: usize) {
        let reached = wait_for(self.shared.fired.subscribe(), |fired| *fired >= times);
        assert!(tokio::time::timeout(DEADLINE, reached).await.is_ok(), "no {times} cuts fired within {DEADLINE:?}");
    }

    /// How many connections are open now.
    pub fn connections(&self) -> usize {
        *self.shared.connections.borrow()
    }

    /// How many bytes went from clients to the server.
    pub fn bytes_up(&self) -> u64 {
        self.shared.bytes_up.load(Ordering::Relaxed)
    }

    /// How many bytes went from the server to clients.
    pub fn bytes_down(&self) -> u64 {
        self.shared.bytes_down.load(Ordering::Relaxed)
    }

    fn arm(&self, matches: impl Fn(&[u8]) -> bool + Send + Sync + 'static, place: CutAt) {
        *lock(&self.shared.cut) = Some(Cut { matches: Box::new(matches), place });
    }

    async fn switch(&self, mode: Mode) {
        self.shared.held.send_replace(None);
        self.shared.replication_held.send_replace(false);
        self.shared.mode.send_replace(mode);
        self.listen().await.expect("the proxy's own port can be listened on again");
    }

    async fn listen(&self) -> io::Result<()> {
        if lock(&self.listener).is_some() {
            return Ok(());
        }
        let listener = self.bind().await?;
        let shared = Arc::clone(&self.shared);
        *lock(&self.listener) = Some(tokio::spawn(async move {
            loop {
                // a connection that ended before it was accepted is the only error to be met here
                if let Ok((client, _)) = listener.accept().await {
                    connection::spawn(client, Arc::clone(&shared));
                }
            }
        }));
        Ok(())
    }

    /// Binds, again and again while the port is taken: a closed listener lives on for a moment in a process that
    /// another thread is just starting ([`reset`](Self::reset) waits for its end for the same reason).
    async fn bind(&self) -> io::Result<TcpListener> {
        let mut bound = Err(io::ErrorKind::AddrInUse.into());
        holds_within(DEADLINE, async || {
            bound = TcpListener::bind(self.address()).await;
            !bound.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
        })
        .await;
        bound
    }
}

impl fmt::Debug for FaultProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultProxy").field("port", &self.port()).finish_non_exhaustive()
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        if let Some(listener) = lock(&self.listener).take() {
            listener.abort();
        }
        self.shared.resets.send_modify(|count| *count += 1);
    }
}

/// A matcher for [`FaultProxy::cut_after_request`]: the request contains these bytes somewhere, letter for letter.
pub fn mentions(text: impl AsRef<[u8]>) -> impl Fn(&[u8]) -> bool + Send + Sync + 'static {
    let text = text.as_ref().to_vec();
    move |request| request.windows(text.len().max(1)).any(|window| window == text)
}

/// Waits until the watched value satisfies `holds`; for ever when its sender is gone.
async fn wait_for<T>(mut seen: watch::Receiver<T>, holds: impl FnMut(&T) -> bool) {
    if seen.wait_for(holds).await.is_err() {
        std::future::pending::<()>().await;
    }
}
