use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::ops::RangeInclusive;
use std::sync::Mutex;

use crate::lock;

/// Below the range from which systems take the ports of outgoing connections: a client that dials a stopped server
/// again and again would otherwise, one day, be given that very port and talk to itself.
const PORTS: RangeInclusive<u16> = 15_000..=31_999;

/// A port that no other user of this kit takes, in any process, for as long as this value lives, also while nothing
/// listens on it.
pub(crate) struct ReservedPort {
    number: u16,
    _lock: File,
}

impl ReservedPort {
    pub(crate) fn reserve() -> io::Result<Self> {
        let folder = std::env::temp_dir().join(format!("testkit-ports-{}", rustix::process::getuid().as_raw()));
        fs::create_dir_all(&folder)?;
        for _ in 0..1_000 {
            let number = fastrand::u16(PORTS);
            let lock = File::options().create(true).append(true).open(folder.join(number.to_string()))?;
            if lock.try_lock().is_ok() && is_free(number) {
                return Ok(Self { number, _lock: lock });
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrInUse, "no free port found"))
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }
}

/// A free port, which the kit does not return again in this process.
///
/// # Errors
/// When no port is free or the temporary directory cannot be written.
pub fn free_port() -> io::Result<u16> {
    static HELD: Mutex<Vec<ReservedPort>> = Mutex::new(Vec::new());
    let port = ReservedPort::reserve()?;
    let number = port.number();
    lock(&HELD).push(port);
    Ok(number)
}

fn is_free(port: u16) -> bool {
    let taken = |bound: io::Result<TcpListener>| bound.is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse);
    !taken(TcpListener::bind((Ipv4Addr::LOCALHOST, port))) && !taken(TcpListener::bind((Ipv6Addr::LOCALHOST, port)))
}
