//! Who owns a database number, and when that service was last seen.

use std::time::Duration;

use store_core::{Error, Op, Result, millis_ceil};

use super::{Fact, Probe, unknown};
use crate::Script;
use crate::wire::Request;

static CLAIM: Script = Script::frees("link/claim_number", &[include_str!("../../lua/link/claim_number.lua")]);
static RELEASE: Script = Script::frees("link/release_number", &[include_str!("../../lua/link/release_number.lua")]);

#[cfg(test)]
pub(crate) static SCRIPTS: [&Script; 2] = [&CLAIM, &RELEASE];

/// The owner of a database number, as one server records it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Owner {
    /// The service's name.
    pub service: String,
    /// How long ago it was last seen, by that server's clock.
    pub silent_for: Duration,
    /// The record as it was read, for [`Probe::release_number`].
    record: String,
}

/// What a claim of a database number found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NumberClaim {
    /// Nobody had the number, or its owner was silent for too long. The service owns it now.
    Claimed,
    /// The service already owned it. Its last-seen time is now.
    Renewed,
    /// Another service owns it. Nothing was changed.
    Taken {
        /// That service.
        service: String,
        /// How long ago it was last seen, by the server's clock.
        silent_for: Duration,
    },
}

impl Probe {
    /// The owner that `key` records in `database`; `None` if there is none.
    pub async fn read_owner(&self, database: u32, key: &str) -> Fact<Option<Owner>> {
        let record = match self.read_mark(database, key).await {
            Fact::Known(Some(record)) => record,
            Fact::Known(None) => return Fact::Known(None),
            Fact::Unknown(why) => return Fact::Unknown(why),
        };
        let Some((seen, service)) = record.split_once(' ').and_then(|(seen, name)| Some((seen.parse().ok()?, name)))
        else {
            return Fact::Unknown("the key holds something else".into());
        };
        let silent_for = |now: u64| Duration::from_millis(now.saturating_sub(seen));
        let owner = |silent_for| Owner { service: service.to_owned(), silent_for, record: record.clone() };
        self.time().await.map(|now| Some(owner(silent_for(now.as_millis()))))
    }

    /// Makes `service` the owner that `key` records in `database`, or renews its claim. An owner that was silent for
    /// `patience` loses the number. With a `ttl` the record ends that long after its last renewal. Works on a server
    /// whose memory is full.
    ///
    /// # Errors
    /// `Corrupt` if the key holds something else; `Forbidden` if the user may not use the key or run scripts; `Unavailable`
    /// and `Indeterminate` if the server does not answer.
    pub async fn claim_number(
        &self,
        database: u32,
        key: &str,
        service: &str,
        patience: Duration,
        ttl: Option<Duration>,
    ) -> Result<NumberClaim> {
        let ttl = ttl.map_or(0, |ttl| millis_ceil(ttl).max(1));
        let args = crate::args![service, millis_ceil(patience), ttl];
        let claimed = self.in_database(database, async || self.run(&CLAIM, &[key], args).await).await;
        let mut reader = claimed.map_err(|failure| failure.into_error(Op::Probe, CLAIM.name()))?.reader(Op::Probe);
        match reader.next_word()?.as_ref() {
            b"claimed" => Ok(NumberClaim::Claimed),
            b"renewed" => Ok(NumberClaim::Renewed),
            b"taken" => Ok(NumberClaim::Taken {
                service: String::from_utf8_lossy(&reader.next_bytes()?).into_owned(),
                silent_for: Duration::from_millis(reader.next_u64()?),
            }),
            _ => Err(Error::corrupt(Op::Probe, "the claim was answered with something else")),
        }
    }

    /// Removes the record of this owner. `false` if it has changed since it was read.
    pub async fn release_number(&self, database: u32, key: &str, owner: &Owner) -> Fact<bool> {
        let args = crate::args![owner.record.as_str()];
        match self.in_database(database, async || self.run(&RELEASE, &[key], args).await).await {
            Ok(reply) => {
                let word = reply.reader(Op::Probe).next_word();
                Fact::Known(word.is_ok_and(|word| word.as_ref() == b"released"))
            }
            Err(failure) => unknown(failure),
        }
    }

    /// Writes a key with a TTL, and overwrites an older value.
    ///
    /// # Errors
    /// As [`set_probe_key`](Self::set_probe_key).
    pub async fn set_mark_for(&self, database: u32, key: &str, text: &str, ttl: Duration) -> Result<()> {
        let args = crate::args![key, text, "PX", millis_ceil(ttl).max(1)];
        let written = self.in_database(database, async || self.ask(Request::new("SET", args)).await).await;
        written.map(drop).map_err(|failure| failure.into_error(Op::Probe, "SET"))
    }
}
