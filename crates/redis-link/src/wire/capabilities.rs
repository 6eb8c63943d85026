//! Queries the capabilities of a server when a connection is opened.

use std::sync::Arc;
use std::time::Duration;

use store_core::{Clock, Op};

use super::{Failure, Greeting, Request, Wire};
use crate::{Arg, Capabilities, Fact, Reply, Script};

static CHECK: Script = Script::new("link/capabilities", include_str!("../../lua/link/capabilities.lua"));

#[cfg(test)]
pub(crate) static SCRIPTS: [&Script; 1] = [&CHECK];

/// The setting of Kvrocks that makes it sync each write. It cannot be changed while the server runs.
const SYNCED: &str = "rocksdb.write_options.sync";

const NO_SCRIPT: &str = "the server runs no script for this user";
const DENIED: &str = "the user may not send the command";
const UNASKED: &str = "only Kvrocks has such a setting";

/// The requests of the query: they load a small script and run it. It has no arguments, because servers accept only a few from a
/// client that has not authenticated.
pub(super) fn check() -> [Request<'static>; 2] {
    let keys: [&str; 0] = [];
    [Request::load(&CHECK), Request::script(&CHECK, &keys, Vec::new(), &Clock::Server)]
}

/// The capabilities, from the replies to [`check`]. Sends more requests if the server refuses the flags of the script or lacks
/// `redis.acl_check_cmd`.
///
/// # Errors
/// The failure of the connection. If the server refuses a request, capabilities are unknown.
pub(super) async fn read(
    wire: &Wire,
    answered: [Result<Reply, Failure>; 2],
    greeting: Option<&Greeting>,
    within: Duration,
) -> Result<Capabilities, Failure> {
    let mut wire = wire.clone();
    let [loaded, mut answered] = answered;
    let mut found = Capabilities::unknown(NO_SCRIPT, wire.capabilities.is_plain);
    // a refusal with an unknown reason means that the server refuses the flags
    if !found.is_plain && loaded.is_err_and(|failure| failure.is_without_meaning()) {
        found.is_plain = true;
        wire.capabilities = Arc::new(found.clone());
        answered = wire.pipeline(check().into(), within).await?.pop().unwrap_or(Err(Failure::LOST));
    }
    let protocol = greeting.map_or(2, |greeting| greeting.protocol.unwrap_or(3));
    found.resp3 = Fact::Known(protocol == 3);
    let reply = match answered {
        Ok(reply) => reply,
        Err(failure) => {
            if failure.is_unknown_command() {
                found.scripts = Fact::Known(false);
            }
            return Ok(found);
        }
    };
    let mut reply = reply.reader(Op::Connect);
    let word = reply.next_word();
    let mut next = || reply.next_word().map(|word| word.to_vec()).unwrap_or_default();
    found.scripts = Fact::Known(true);
    found.script_flags = Fact::Known(!found.is_plain);
    found.synced_writes = Fact::Unknown(UNASKED.to_owned());
    match word.as_ref().map(AsRef::as_ref) {
        Ok(b"capable") => {
            // the check of rights finds out whether the user may publish on the channels of the store
            found.publish_in_scripts = Fact::Known(next() != b"absent");
            found.sharded_publish = Fact::Known(next() != b"absent");
            found.wait = allowed(&next());
            found.waitaof = allowed(&next());
            found.select = allowed(&next());
            found.config = allowed(&next());
            found.expire_conditions = Fact::Known(true);
        }
        Ok(b"unchecked") => {
            found.publish_in_scripts = allowed(&next());
            found.sharded_publish = allowed(&next());
            found.expire_conditions = allowed(&next());
            ask(&wire, &mut found, within).await?;
        }
        _ => found.scripts = Fact::Known(false),
    }
    Ok(found)
}

/// Sends the commands themselves, to a server without `redis.acl_check_cmd`.
async fn ask(wire: &Wire, found: &mut Capabilities, within: Duration) -> Result<(), Failure> {
    let requests = vec![
        // waits for 1 ms at most
        Request::new("WAIT", [Arg::from(1), Arg::from(1)]),
        Request::new("WAITAOF", [Arg::from(1), Arg::from(0), Arg::from(1)]),
        // not a number: a server that accepts it does not switch databases
        Request::new("SELECT", [Arg::fixed("x")]),
        Request::new("CONFIG GET", [Arg::fixed(SYNCED)]),
    ];
    let mut replies = wire.pipeline(requests, within).await?.into_iter();
    let mut next = || replies.next().unwrap_or(Err(Failure::LOST));
    found.wait = exists(&next());
    found.waitaof = exists(&next());
    let selected = next();
    found.select = if selected.is_ok() { Fact::Known(false) } else { exists(&selected) };
    let setting = next();
    found.config = exists(&setting);
    found.synced_writes = match setting {
        Ok(Reply::List(pair)) => match pair.get(1).and_then(Reply::as_str) {
            Some(value) => Fact::Known(value == "yes"),
            None => Fact::Unknown(UNASKED.to_owned()),
        },
        _ => Fact::Unknown(format!("the server does not show {SYNCED}")),
    };
    Ok(())
}

fn allowed(word: &[u8]) -> Fact<bool> {
    match word {
        b"yes" => Fact::Known(true),
        b"absent" => Fact::Known(false),
        _ => Fact::Unknown(DENIED.to_owned()),
    }
}

/// Whether the server has the command to which this is the reply.
fn exists(answered: &Result<Reply, Failure>) -> Fact<bool> {
    match answered {
        Err(failure) if failure.is_unknown_command() => Fact::Known(false),
        Err(failure) if failure.is_forbidden() => Fact::Unknown(DENIED.to_owned()),
        _ => Fact::Known(true),
    }
}
