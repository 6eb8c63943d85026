use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;

use super::RedisServer;
use crate::lock;
use crate::resp::{CommandError, RespConnection, Value};
use crate::wait::DEADLINE;

/// The server as it is, seen without the code under test: each call is a connection of its own, as the default user.
impl RedisServer {
    /// Sends one command in database 0 and returns its reply.
    ///
    /// # Errors
    /// [`CommandError`]; `NoReply` after [`DEADLINE`].
    pub async fn command<A: AsRef<[u8]>>(&self, arguments: &[A]) -> Result<Value, CommandError> {
        self.command_in(0, arguments).await
    }

    /// [`command`](Self::command) in this database.
    ///
    /// # Errors
    /// As [`command`](Self::command).
    pub async fn command_in<A: AsRef<[u8]>>(&self, database: u32, arguments: &[A]) -> Result<Value, CommandError> {
        let exchange = async {
            let mut connection = self.connect().await?;
            if database != 0 {
                connection.command(&["SELECT", &database.to_string()]).await?;
                self.own_commands.fetch_add(1, Ordering::Relaxed);
            }
            let reply = connection.command(arguments).await;
            self.own_commands.fetch_add(1, Ordering::Relaxed);
            reply
        };
        tokio::time::timeout(DEADLINE, exchange).await.unwrap_or(Err(CommandError::NoReply))
    }

    /// A connection to keep, logged in as the default user or as that of [`login`](super::RedisServerBuilder::login), with TLS where the server has it. What is sent on it counts
    /// in [`commands_processed`](Self::commands_processed).
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn connect(&self) -> Result<RespConnection, CommandError> {
        let mut connection = match self.certificates() {
            Some(certificates) => RespConnection::open_tls(self.address(), &certificates.connector()).await?,
            None => RespConnection::open(self.address()).await?,
        };
        if let Some((user, password)) = self.login() {
            connection.command(&["AUTH", &user, &password]).await?;
            self.own_commands.fetch_add(1, Ordering::Relaxed);
        }
        Ok(connection)
    }

    /// Changes the default user's password, also for [`url`](Self::url) and later starts. Open connections stay
    /// logged in.
    ///
    /// # Errors
    /// As [`command`](Self::command).
    pub async fn set_password(&self, password: &str) -> Result<(), CommandError> {
        self.command(&["CONFIG", "SET", "requirepass", password]).await?;
        lock(&self.settings).password = Some(password.to_owned());
        Ok(())
    }

    /// Replaces the password of a user, also for later starts. Open connections stay logged in.
    ///
    /// # Errors
    /// As [`command`](Self::command).
    pub async fn set_user_password(&self, user: &str, password: &str) -> Result<(), CommandError> {
        self.command(&["ACL", "SETUSER", user, "resetpass", &format!(">{password}")]).await?;
        let mut settings = lock(&self.settings);
        if user == "default" {
            settings.password = Some(password.to_owned());
        }
        for known in settings.users.iter_mut().filter(|known| known.name == user) {
            password.clone_into(&mut known.password);
        }
        Ok(())
    }

    /// The fields of one section of `INFO`, or of `all`.
    ///
    /// # Errors
    /// As [`command`](Self::command).
    pub async fn info(&self, section: &str) -> Result<HashMap<String, String>, CommandError> {
        let reply = self.command(&["INFO", section]).await?;
        let text = reply.as_str().ok_or(CommandError::Malformed)?;
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        Ok(fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// How many keys there are, in all databases together.
    ///
    /// # Errors
    /// As [`command`](Self::command).
    pub async fn keys_count(&self) -> Result<u64, CommandError> {
        Ok(self.info("keyspace").await?.values().filter_map(|fields| field(fields, "keys")).sum())
    }

    /// How often each command was called since the process started, by its lower-case name (`config|set`), by clients
    /// and inside scripts, the kit's own calls included.
    ///
    /// # Errors
    /// As [`command`](Self::command).
    pub async fn command_calls(&self) -> Result<BTreeMap<String, u64>, CommandError> {
        let fields = self.info("commandstats").await?;
        let calls = fields
            .iter()
            .filter_map(|(name, fields)| Some((name.strip_prefix("cmdstat_")?.to_owned(), field(fields, "calls")?)));
        Ok(calls.collect())
    }

    /// How many commands were called since the process started, by clients and inside scripts, without those that
    /// this value sent itself. To be compared with an earlier answer; `CONFIG RESETSTAT` spoils it.
    ///
    /// # Errors
    /// As [`command`](Self::command).
    pub async fn commands_processed(&self) -> Result<u64, CommandError> {
        let calls = self.command_calls().await?.into_values().sum::<u64>();
        // the INFO that asked has been sent, but is not yet in its own answer
        Ok((calls + 1).saturating_sub(self.own_commands.load(Ordering::Relaxed)))
    }
}

/// The number after `name=` in `calls=1,usec=2`.
fn field(fields: &str, name: &str) -> Option<u64> {
    fields.split(',').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
}
