use std::io;

use super::RedisServer;
use crate::lock;
use crate::resp::CommandError;

/// Faults that a server brings about on itself.
impl RedisServer {
    /// Closes the connections of all clients, also those that are subscribed, but not those of replicas. Returns how many.
    ///
    /// # Errors
    /// As [`command`](Self::command).
    pub async fn disconnect_clients(&self) -> Result<usize, CommandError> {
        let mut closed = 0;
        for kind in ["normal", "pubsub"] {
            let reply = self.command(&["CLIENT", "KILL", "TYPE", kind]).await?;
            closed +=
                reply.as_integer().and_then(|count| usize::try_from(count).ok()).ok_or(CommandError::Malformed)?;
        }
        Ok(closed)
    }

    /// Removes all scripts, as after a restart: `EVALSHA` is answered with `NOSCRIPT`. In a cluster, of this node only.
    ///
    /// # Errors
    /// As [`command`](Self::command).
    pub async fn flush_scripts(&self) -> Result<(), CommandError> {
        self.command(&["SCRIPT", "FLUSH", "SYNC"]).await.map(drop)
    }

    /// From now on the disk of the server is full, or it has space again: the system refuses each write to a file beyond its first
    /// byte (`RLIMIT_FSIZE`, so the error is `EFBIG` instead of `ENOSPC`, which servers treat alike).
    ///
    /// # Errors
    /// When the server does not run, or the system refuses.
    ///
    /// # Panics
    /// When the server was built without [`fills_disk`](crate::RedisServerBuilder::fills_disk): the system would kill it.
    pub fn fill_disk(&self, is_full: bool) -> io::Result<()> {
        assert!(lock(&self.settings).fills_disk, "the server was built without fills_disk()");
        self.with_process(|process| process.limit_files(is_full.then_some(0)))
    }

    /// Changes `maxmemory`. With 1 the memory is full at once: the server evicts what its policy allows, and refuses commands that
    /// need memory with `OOM`. 0 is no limit.
    ///
    /// # Errors
    /// As [`command`](Self::command).
    pub async fn set_memory_limit(&self, bytes: u64) -> Result<(), CommandError> {
        self.command(&["CONFIG", "SET", "maxmemory", &bytes.to_string()]).await.map(drop)
    }
}
