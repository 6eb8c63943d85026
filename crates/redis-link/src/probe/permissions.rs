//! Our user on the server, and its rights.

use store_core::Op;

use super::{Fact, Probe, unknown};
use crate::{Arg, Reply, Script};

/// Checks for each command of ARGV whether the user may run it.
static MAY_RUN: Script = Script::new("link/may_run", include_str!("../../lua/link/may_run.lua"));

#[cfg(test)]
pub(crate) static SCRIPTS: [&Script; 1] = [&MAY_RUN];

/// The user of a connection, as far as the server shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UserInfo {
    /// Its name; `default` if the URL names no user.
    pub name: String,
    /// Whether it needs no password.
    pub needs_no_password: Fact<bool>,
    /// Its rules for commands, as the server spells them: `-@all +get`.
    pub commands: Fact<String>,
    /// Its patterns of keys, as the server spells them: `~tw:*`.
    pub keys: Fact<String>,
}

impl Probe {
    /// The user of this connection (`ACL WHOAMI`, and `ACL GETUSER` if that is allowed).
    pub async fn user(&self) -> Fact<UserInfo> {
        let name = match self.question("ACL WHOAMI", []).await {
            Fact::Known(reply) => reply.as_str().map(str::to_owned),
            Fact::Unknown(why) => return Fact::Unknown(why),
        };
        let Some(name) = name else { return Fact::Unknown("ACL WHOAMI was answered with something else".into()) };
        let rules = self.question("ACL GETUSER", [Arg::from(name.as_str())]).await;
        Fact::Known(UserInfo {
            needs_no_password: rule(&rules, "flags", |flags| match flags {
                Reply::List(flags) => Some(flags.iter().any(|flag| flag.as_str() == Some("nopass"))),
                _ => None,
            }),
            commands: rule(&rules, "commands", |commands| commands.as_str().map(str::to_owned)),
            keys: rule(&rules, "keys", |keys| keys.as_str().map(str::to_owned)),
            name,
        })
    }

    /// Which of `commands` (each a name with its arguments: `["SET", "tw:x", "1"]`) the user may not run, by their
    /// index in the list. A script checks this, because a user without rights on `ACL` cannot check it directly; a user
    /// who may not run scripts lacks all.
    ///
    /// Unknown if the server has no such check (before Redis 7.0, Kvrocks).
    pub async fn lacks_permission(&self, commands: &[&[&str]]) -> Fact<Vec<usize>> {
        let mut arguments = Vec::new();
        for command in commands {
            arguments.push(Arg::from(command.len()));
            arguments.extend(command.iter().map(|word| Arg::from(*word)));
        }
        let keys: [&str; 0] = [];
        let reply = match self.run(&MAY_RUN, &keys, arguments).await {
            Ok(reply) => reply,
            Err(failure) if failure.is_forbidden() => return Fact::Known((0..commands.len()).collect()),
            Err(failure) => return unknown(failure),
        };
        let mut reader = reply.reader(Op::Probe);
        let word = reader.next_word();
        let mut lacking = Vec::with_capacity(reader.remaining());
        while let Ok(place) = reader.next_u64() {
            lacking.extend(usize::try_from(place));
        }
        match word {
            Ok(word) if word.as_ref() == b"checked" => Fact::Known(lacking),
            _ => Fact::Unknown("the server has no check by a script of what the user may run".into()),
        }
    }

    /// Whether the user may run one command, with its arguments.
    pub async fn may(&self, command: &[&str]) -> Fact<bool> {
        self.lacks_permission(&[command]).await.map(|lacking| lacking.is_empty())
    }
}

/// One entry of the flat list that `ACL GETUSER` returns.
fn rule<T>(rules: &Fact<Reply>, name: &str, read: impl FnOnce(&Reply) -> Option<T>) -> Fact<T> {
    let entries = match rules {
        Fact::Known(Reply::List(entries)) => entries,
        Fact::Known(_) => return Fact::Unknown("ACL GETUSER was answered with something else".into()),
        Fact::Unknown(why) => return Fact::Unknown(why.clone()),
    };
    let mut pairs = entries.chunks_exact(2);
    let value = pairs.find(|pair| pair[0].as_str() == Some(name)).and_then(|pair| read(&pair[1]));
    Fact::of_option(value, "ACL GETUSER does not show it")
}
