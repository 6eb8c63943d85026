use super::RedisServer;
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

    /// Changes `maxmemory`. With 1 the memory is full at once: the server evicts what its policy allows, and refuses commands that
    /// need memory with `OOM`. 0 is no limit.
    ///
    /// # Errors
    /// As [`command`](Self::command).
    pub async fn set_memory_limit(&self, bytes: u64) -> Result<(), CommandError> {
        self.command(&["CONFIG", "SET", "maxmemory", &bytes.to_string()]).await.map(drop)
    }
}
