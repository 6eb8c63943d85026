//! A proxy that makes a server's clock appear shifted: it changes the times that the server returns, and the deadlines
//! that are sent to it. Their number of digits stays the same.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub(crate) struct Shifting {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    /// By how many µs the clock appears to be ahead.
    shift: AtomicI64,
    /// By how many µs more at each call of a script.
    step: AtomicI64,
    hides_time: AtomicBool,
    /// How many copies were refused as late.
    refusals: AtomicU64,
    cuts: watch::Sender<u64>,
}

impl Shifting {
    pub(crate) async fn start(target: SocketAddr, shift: i64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            shift: AtomicI64::new(shift),
            step: AtomicI64::new(0),
            hides_time: AtomicBool::new(false),
            refusals: AtomicU64::new(0),
            cuts: watch::Sender::new(0),
        });
        let of_all = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let shared = Arc::clone(&of_all);
                tokio::spawn(async move {
                    let server = TcpStream::connect(target).await.unwrap();
                    let mut cuts = shared.cuts.subscribe();
                    let ((from_client, to_client), (from_server, to_server)) =
                        (client.into_split(), server.into_split());
                    tokio::select! {
                        () = forward(from_client, to_server, |bytes| shared.change_request(bytes)) => {}
                        () = forward(from_server, to_client, |bytes| shared.change_reply(bytes)) => {}
                        _ = cuts.changed() => {}
                    }
                });
            }
        });
        Self { port, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Shifts the clock by this many µs from now on.
    pub(crate) fn shift(&self, by: i64) {
        self.shared.shift.store(by, Ordering::SeqCst);
    }

    /// The clock steps forward whenever a script is called.
    pub(crate) fn shift_at_each_call(&self, by: i64) {
        self.shared.step.store(by, Ordering::SeqCst);
    }

    /// The server refuses TIME, except inside scripts.
    pub(crate) fn hide_time(&self) {
        self.shared.hides_time.store(true, Ordering::SeqCst);
    }

    /// How many copies were refused as late since the last call of this.
    pub(crate) fn refusals(&self) -> u64 {
        self.shared.refusals.swap(0, Ordering::SeqCst)
    }

    /// Ends all connections.
    pub(crate) fn cut(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }
}

impl Shared {
    fn change_request(&self, bytes: &mut [u8]) {
        for at in places(bytes, b"\r\nEVALSHA\r\n") {
            self.shift.fetch_add(self.step.load(Ordering::SeqCst), Ordering::SeqCst);
            // 16 digits, and 2 more bytes for the mark of a repetition.
            let plain = places(&bytes[at..], b"\r\n$16\r\n").first().copied();
            let marked = places(&bytes[at..], b"\r\n$18\r\n").first().copied();
            if let Some(deadline) = plain.into_iter().chain(marked).min() {
                self.add(&mut bytes[at + deadline + 7..][..16], -1, 1);
            }
        }
        for at in places(bytes, b"$4\r\nTIME\r\n") {
            if self.hides_time.load(Ordering::SeqCst) {
                bytes[at + 7] = b'X';
            }
        }
    }

    fn change_reply(&self, bytes: &mut [u8]) {
        for at in places(bytes, b"*2\r\n$10\r\n") {
            self.add(&mut bytes[at + 9..][..10], 1, 1_000_000);
        }
        for at in places(bytes, b"late\r\n:") {
            self.refusals.fetch_add(1, Ordering::SeqCst);
            self.add(&mut bytes[at + 7..][..16], 1, 1);
        }
    }

    fn add(&self, digits: &mut [u8], sign: i64, unit: i64) {
        let number: i64 = std::str::from_utf8(digits).unwrap().parse().unwrap();
        let shifted = number + sign * self.shift.load(Ordering::SeqCst) / unit;
        digits.copy_from_slice(format!("{shifted}").as_bytes());
    }
}

fn places(bytes: &[u8], wanted: &[u8]) -> Vec<usize> {
    bytes.windows(wanted.len()).enumerate().filter(|(_, window)| *window == wanted).map(|(at, _)| at).collect()
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, change: impl Fn(&mut [u8])) {
    let mut chunk = vec![0; 64 * 1024];
    while let Ok(length) = from.read(&mut chunk).await {
        change(&mut chunk[..length]);
        if length == 0 || to.write_all(&chunk[..length]).await.is_err() {
            return;
        }
    }
}
