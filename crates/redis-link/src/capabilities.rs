//! The capabilities of a server. The link queries them, and never derives them from the version.

use std::fmt;

use crate::Fact;

/// The capabilities of a server.
///
/// A link queries them each time it opens a connection, so also after a failover. One small script checks the commands with
/// `redis.acl_check_cmd` (Redis 7.0), in a round trip that the connection needs anyway; the link then assumes that `SELECT`
/// switches databases and that `EXPIRE` accepts conditions. To a server without `redis.acl_check_cmd` the link sends the commands
/// themselves, in forms that change nothing.
///
/// A capability is unknown if the user may not send the command or may not run scripts. `Display` prints one line for each
/// capability, with what is degraded if it is missing.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// Version 3 of the protocol (`HELLO 3`).
    pub resp3: Fact<bool>,
    /// Lua scripts.
    pub scripts: Fact<bool>,
    /// Scripts with flags in their first line: `#!lua flags=allow-oom`.
    pub script_flags: Fact<bool>,
    /// `PUBLISH` inside scripts. Scripts on a cluster do not send it.
    pub publish_in_scripts: Fact<bool>,
    /// `SPUBLISH`, which scripts on a cluster send: it is delivered within one shard only.
    pub sharded_publish: Fact<bool>,
    /// `WAIT`, which waits for replicas.
    pub wait: Fact<bool>,
    /// `WAITAOF`, which waits for the disk.
    pub waitaof: Fact<bool>,
    /// The server syncs each write to the disk before it replies, because of a setting that cannot change while it runs
    /// (`rocksdb.write_options.sync` of Kvrocks).
    pub synced_writes: Fact<bool>,
    /// `SELECT` switches databases.
    pub select: Fact<bool>,
    /// `CONFIG GET`, which returns settings.
    pub config: Fact<bool>,
    /// `EXPIRE` with a condition: `NX`, `XX`, `GT`, `LT`.
    pub expire_conditions: Fact<bool>,
    /// Whether scripts are sent without flags, even before the capabilities are known.
    pub(crate) is_plain: bool,
}

impl Capabilities {
    /// All capabilities are unknown, for one reason. `is_plain`: whether scripts are sent without flags.
    pub(crate) fn unknown(why: &str, is_plain: bool) -> Self {
        let unknown = || Fact::Unknown(why.to_owned());
        Self {
            resp3: unknown(),
            scripts: unknown(),
            script_flags: unknown(),
            publish_in_scripts: unknown(),
            sharded_publish: unknown(),
            wait: unknown(),
            waitaof: unknown(),
            synced_writes: unknown(),
            select: unknown(),
            config: unknown(),
            expire_conditions: unknown(),
            is_plain,
        }
    }

    /// The name of each capability, whether the server has it, and what is degraded without it.
    pub fn rows(&self) -> [(&'static str, &Fact<bool>, &'static str); 11] {
        [
            ("RESP3", &self.resp3, "connections use version 2 of the protocol"),
            ("scripts", &self.scripts, "the server cannot serve any role"),
            ("script flags", &self.script_flags, "a full server also refuses claims, settlements and releases"),
            (
                "PUBLISH in scripts",
                &self.publish_in_scripts,
                "waiting workers claim every 10 s instead, watches of runs read every 5 s, consumers of topics every 2 s, \
                 broadcasts fail; nothing on a cluster",
            ),
            (
                "SPUBLISH",
                &self.sharded_publish,
                "on a cluster, waiting workers claim every 10 s instead, watches of runs read every 5 s, consumers of topics every \
                 2 s, broadcasts fail; nothing elsewhere",
            ),
            ("WAIT", &self.wait, "Replicated is refused"),
            ("WAITAOF", &self.waitaof, "Fsynced is granted only where settings prove that each reply means on disk"),
            ("synced writes", &self.synced_writes, "Fsynced depends on the append-only file"),
            ("SELECT", &self.select, "the server has one database and serves no cache"),
            ("CONFIG GET", &self.config, "the preflight cannot read the settings"),
            ("EXPIRE conditions", &self.expire_conditions, "nothing: no script uses them"),
        ]
    }

    /// Whether scripts are sent without flags.
    pub(crate) fn refuses_flags(&self) -> bool {
        self.is_plain || self.script_flags == Fact::Known(false)
    }
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, fact, degraded)) in self.rows().into_iter().enumerate() {
            f.write_str(if index == 0 { "" } else { "\n" })?;
            match fact {
                Fact::Known(true) => write!(f, "{name:<20} yes")?,
                Fact::Known(false) => write!(f, "{name:<20} no       {degraded}")?,
                Fact::Unknown(why) => write!(f, "{name:<20} unknown  {why}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |fact: &Fact<bool>| match fact {
            Fact::Known(true) => "yes",
            Fact::Known(false) => "no",
            Fact::Unknown(_) => "unknown",
        };
        f.debug_map().entries(self.rows().into_iter().map(|(name, fact, _)| (name, word(fact)))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_matrix_has_a_line_for_each_capability() {
        let mut capabilities = Capabilities::unknown("the user may run no script", false);
        (capabilities.wait, capabilities.waitaof) = (Fact::Known(true), Fact::Known(false));
        let matrix = capabilities.to_string();
        assert_eq!(matrix.lines().count(), capabilities.rows().len());
        let line = |name: &str| matrix.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        assert_eq!(line("WAIT "), "WAIT                 yes");
        assert!(line("WAITAOF").contains(" no       Fsynced is granted only"));
        assert!(line("SELECT").ends_with("unknown  the user may run no script"));
        assert!(!capabilities.refuses_flags() && Capabilities::unknown("", true).refuses_flags());
    }
}
