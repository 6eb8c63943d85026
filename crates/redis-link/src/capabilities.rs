//! What a server is capable of, as it was found by asking, never read from its version.

use std::fmt;

use crate::Fact;

/// What a server is capable of.
///
/// A link finds out each time when it opens a connection, so also after a failover, with one small script in a round trip that
/// the connection needs anyway. A server without that check (`redis.acl_check_cmd`,
/// from Redis 7.0) is sent the commands themselves, so that nothing is changed. Only `SELECT` and the conditions of `EXPIRE`
/// are taken for granted where the check exists.
///
/// A capability is unknown if the user may not send the command, or no script. `Display` prints one line for each capability,
/// and what is degraded without it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// Version 3 of the protocol (`HELLO 3`).
    pub resp3: Fact<bool>,
    /// It loads and runs Lua scripts.
    pub scripts: Fact<bool>,
    /// Scripts with flags in their first line: `#!lua flags=allow-oom`.
    pub script_flags: Fact<bool>,
    /// `PUBLISH` inside scripts.
    pub publish_in_scripts: Fact<bool>,
    /// `SPUBLISH`, which a cluster delivers on one shard only.
    pub sharded_publish: Fact<bool>,
    /// `WAIT`, which waits for replicas.
    pub wait: Fact<bool>,
    /// `WAITAOF`, which waits for the disk.
    pub waitaof: Fact<bool>,
    /// Each write is synced to the disk before it is answered, by a setting that cannot change while the server runs
    /// (`rocksdb.write_options.sync` of Kvrocks).
    pub synced_writes: Fact<bool>,
    /// `SELECT` switches databases.
    pub select: Fact<bool>,
    /// `CONFIG GET`, which shows settings.
    pub config: Fact<bool>,
    /// `EXPIRE` with a condition: `NX`, `XX`, `GT`, `LT`.
    pub expire_conditions: Fact<bool>,
    /// Whether scripts are sent without flags, also before anything is known.
    pub(crate) is_plain: bool,
}

impl Capabilities {
    /// Nothing is known, for one reason. `is_plain`: whether scripts are sent without flags nevertheless.
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

    /// Each capability by its name, and what is degraded without it.
    pub fn rows(&self) -> [(&'static str, &Fact<bool>, &'static str); 11] {
        [
            ("RESP3", &self.resp3, "connections use version 2 of the protocol"),
            ("scripts", &self.scripts, "the server serves no role"),
            ("script flags", &self.script_flags, "a full server also refuses claims, settles and releases"),
            ("PUBLISH in scripts", &self.publish_in_scripts, "waiting workers look for jobs every 10 s instead"),
            ("SPUBLISH", &self.sharded_publish, "a cluster sends each notification to all of its nodes"),
            ("WAIT", &self.wait, "Replicated is refused"),
            ("WAITAOF", &self.waitaof, "Fsynced is granted only where settings prove that each reply means on disk"),
            ("synced writes", &self.synced_writes, "Fsynced depends on the append-only file"),
            ("SELECT", &self.select, "the server has one database and serves no cache"),
            ("CONFIG GET", &self.config, "preflight does not see the settings"),
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
