use super::Cluster;
use crate::wait::{DEADLINE, wait_until};
use crate::{CommandError, RedisServer};

/// A slot on its way from one primary to another, in the steps of an operator. Until [`finish`](Self::finish) the source owns the
/// slot. It answers `ASK` for keys that it does not have, and `TRYAGAIN` for calls of which it has some keys only.
#[derive(Debug)]
pub struct SlotMigration<'a> {
    cluster: &'a Cluster,
    slot: u16,
    source: &'a RedisServer,
    target: &'a RedisServer,
}

impl Cluster {
    /// Begins to move a slot: the target is importing it, then the source is migrating it. No key moves yet.
    ///
    /// # Errors
    /// [`CommandError`], also when `target` owns the slot or is no primary.
    ///
    /// # Panics
    /// As [`owner`](Self::owner).
    pub async fn begin_migration<'a>(
        &'a self,
        slot: u16,
        target: &'a RedisServer,
    ) -> Result<SlotMigration<'a>, CommandError> {
        let source = self.owner(slot).await;
        let migration = SlotMigration { cluster: self, slot, source, target };
        migration.set(target, &["IMPORTING", self.id(source)]).await?;
        migration.set(source, &["MIGRATING", self.id(target)]).await?;
        Ok(migration)
    }

    /// Moves a slot with all its keys in one operation of the servers, `CLUSTER MIGRATESLOTS` of Valkey 9: no client sees `ASK`.
    /// Returns `false`, and moves nothing, if the servers do not have it.
    ///
    /// # Errors
    /// [`CommandError`].
    ///
    /// # Panics
    /// When the slot has not moved within [`DEADLINE`].
    pub async fn migrate_atomically(&self, slot: u16, target: &RedisServer) -> Result<bool, CommandError> {
        let source = self.owner(slot).await;
        let number = slot.to_string();
        let command = ["CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", &number, &number, "NODE", self.id(target)];
        match source.command(&command).await {
            Err(CommandError::Refused(error)) if error.to_lowercase().contains("unknown subcommand") => Ok(false),
            Err(error) => Err(error),
            Ok(_) => {
                wait_until("the slot has moved", DEADLINE, async || {
                    self.reported_owner(slot).await.is_some_and(|owner| owner.port() == target.port())
                })
                .await;
                self.wait_settled().await;
                Ok(true)
            }
        }
    }
}

impl<'a> SlotMigration<'a> {
    /// The slot.
    pub fn slot(&self) -> u16 {
        self.slot
    }

    /// The node that owns the slot until [`finish`](Self::finish).
    pub fn source(&self) -> &'a RedisServer {
        self.source
    }

    /// The node that owns the slot after [`finish`](Self::finish). Before, it serves the slot only to calls behind `ASKING`.
    pub fn target(&self) -> &'a RedisServer {
        self.target
    }

    /// Moves one key. Returns `false` if the source does not have it.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn move_key(&self, key: &[u8]) -> Result<bool, CommandError> {
        self.migrate([key.to_vec()]).await
    }

    /// Moves these keys with one `MIGRATE`.
    async fn migrate(&self, keys: impl IntoIterator<Item = Vec<u8>>) -> Result<bool, CommandError> {
        let port = self.target.port().to_string();
        let mut command =
            ["MIGRATE", "127.0.0.1", &port, "", "0", "5000"].map(|part| part.as_bytes().to_vec()).to_vec();
        if let Some((user, password)) = self.cluster.node.credentials() {
            command.extend(["AUTH2", &user, &password].map(|part| part.as_bytes().to_vec()));
        }
        command.push(b"KEYS".to_vec());
        command.extend(keys);
        Ok(self.source.command(&command).await?.as_str() == Some("OK"))
    }

    /// Moves up to `limit` keys of the slot with one `MIGRATE`, and returns how many.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn move_keys(&self, limit: usize) -> Result<usize, CommandError> {
        let (slot, limit) = (self.slot.to_string(), limit.to_string());
        let keys = self.source.command(&["CLUSTER", "GETKEYSINSLOT", &slot, &limit]).await?.into_array();
        if !keys.is_empty() {
            self.migrate(keys.iter().map(|key| key.as_bytes().unwrap_or_default().to_vec())).await?;
        }
        Ok(keys.len())
    }

    /// Moves all remaining keys and then the slot, and waits until all nodes report the new owner.
    ///
    /// # Errors
    /// [`CommandError`].
    ///
    /// # Panics
    /// When the nodes do not agree within [`DEADLINE`].
    pub async fn finish(self) -> Result<(), CommandError> {
        while self.move_keys(100).await? > 0 {}
        let id = self.cluster.id(self.target);
        self.set(self.target, &["NODE", id]).await?;
        self.set(self.source, &["NODE", id]).await?;
        wait_until("the target owns the slot", DEADLINE, async || {
            let owner = self.cluster.reported_owner(self.slot).await;
            owner.is_some_and(|owner| owner.port() == self.target.port())
        })
        .await;
        self.cluster.wait_settled().await;
        Ok(())
    }

    /// Ends the migration; the source keeps the slot. Keys that have moved stay at the target, where no client finds them.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn abandon(self) -> Result<(), CommandError> {
        self.set(self.source, &["STABLE"]).await?;
        self.set(self.target, &["STABLE"]).await
    }

    async fn set(&self, node: &RedisServer, state: &[&str]) -> Result<(), CommandError> {
        let slot = self.slot.to_string();
        let command = [&["CLUSTER", "SETSLOT", &slot], state].concat();
        node.command(&command).await.map(drop)
    }
}
