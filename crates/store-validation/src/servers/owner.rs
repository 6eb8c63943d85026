//! Who owns the database numbers of a cache server.
//!
//! Each number has two records of its owner, each with the time when that service was last seen: one in the database itself,
//! and one in the state store, which survives a flush of the cache. A number is free if neither record names another service
//! that was seen in the last seven days.
//!
//! The state store identifies a cache server by a random id that is kept on the cache server. After a flush or a restart the
//! id is found again by the server's `run_id`, or by host and port. A loopback address is not used for this, since it names
//! another server on each machine.

use std::time::Duration;

use redis_link::{Fact, NumberClaim, Probe, Topology, keys};
use store_core::Error;

use super::marks::shown;
use super::probe_key::random;
use super::visit::Visit;
use crate::draft::{Connection, Draft};
use crate::{Code, Finding};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// How long a silent service keeps its number.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// The database with the keys of the whole server.
const COMMON: u32 = 0;

/// A cache server, and the state server that records its owners.
pub(super) struct Numbers<'a> {
    cache: Side<'a>,
    state: Option<Side<'a>>,
    /// The signs by which the state server finds the cache server's id.
    signs: Vec<String>,
}

/// One of the two servers.
#[derive(Clone, Copy)]
pub(super) struct Side<'a> {
    pub(super) connection: &'a Connection,
    pub(super) probe: &'a Probe,
}

/// One record of an owner: on which server, in which database, under which key.
pub(super) struct Record<'a> {
    pub(super) side: Side<'a>,
    pub(super) database: u32,
    pub(super) key: String,
}

/// Reads the owners of the service's own number and of the shared one. Nothing is written.
pub(super) async fn check(draft: &Draft, cache: Option<&Visit<'_>>, state: Option<&Visit<'_>>) -> Vec<Finding> {
    let Some(cache) = cache.filter(|visit| !visit.is_of_cluster() && !visit.is_kvrocks()) else { return Vec::new() };
    let numbers = Numbers::new(Side::of(cache), state.map(Side::of), cache.info.run_id.clone());
    let (own, shared) = (draft.database, draft.shared_database);
    if own == shared {
        return Vec::new();
    }
    let mut findings = Vec::new();
    if let (Some(number), Some(service)) = (own, draft.service.as_ref()) {
        let found = numbers.owner_but(number, Some(service.as_str())).await;
        findings
            .extend(found.map(|found| found.unwrap_or_else(|owner| numbers.taken(number, &owner, service.as_str()))));
    }
    if let Some(number) = shared {
        let of_shared = |owner| {
            let what = format!("REDIS_CACHE_SHARED_DB is {number}, and that number is owned by {owner}");
            cache.finding(Code::DatabaseNumberTaken, what)
        };
        findings.extend(numbers.owner_but(number, None).await.map(|found| found.unwrap_or_else(of_shared)));
    }
    findings
}

impl<'a> Numbers<'a> {
    pub(super) fn new(cache: Side<'a>, state: Option<Side<'a>>, run_id: Option<String>) -> Self {
        let topology = cache.connection.url.topology();
        let public = topology.endpoints().iter().filter(|endpoint| !endpoint.is_loopback());
        let addresses = public.map(|endpoint| match topology {
            // The process of the primary changes; its sentinels and its name do not.
            Topology::Sentinel { service, .. } => format!("{endpoint}/{service}"),
            _ => endpoint.to_string(),
        });
        let signs = run_id.into_iter().chain(addresses).collect();
        Self { cache, state, signs }
    }

    /// Makes the service the owner of the number in both records, or renews its claim.
    pub(super) async fn claim(&self, number: u32, service: &str, findings: &mut Vec<Finding>) {
        // The state store comes first: of two services that start at the same time, one is refused there and writes nothing.
        let mut new_on_state = None;
        if let Some(state) = self.state {
            match self.claim_on(state, number, service).await {
                Ok((NumberClaim::Taken { service: owner, silent_for }, _)) => {
                    findings.push(self.taken(number, &owner_text(&owner, silent_for), service));
                    return;
                }
                Ok((claim, record)) => new_on_state = (claim == NumberClaim::Claimed).then_some(record),
                Err(unknown) => findings.push(unknown),
            }
        }
        match self.in_database(number).claim(service, None).await {
            Ok(NumberClaim::Taken { service: owner, silent_for }) => {
                findings.push(self.taken(number, &owner_text(&owner, silent_for), service));
                if let Some(record) = new_on_state {
                    record.withdraw(service).await;
                }
            }
            Ok(_) => {}
            Err(error) => findings.push(self.cache.unknown(&error.detail())),
        }
    }

    /// Every record of the owner of a number: the one in the cache, and those in the state store under each id of the
    /// cache server. Or why they are unknown.
    pub(super) async fn records(&self, number: u32) -> Result<Vec<Record<'a>>, Finding> {
        let mut records = vec![self.in_database(number)];
        if let Some(state) = self.state {
            records.extend(self.known_ids(state).await?.iter().map(|id| on_state(state, id, number)));
        }
        Ok(records)
    }

    fn in_database(&self, number: u32) -> Record<'a> {
        Record { side: self.cache, database: number, key: keys::database_owner().to_owned() }
    }

    async fn claim_on(
        &self,
        state: Side<'a>,
        number: u32,
        service: &str,
    ) -> Result<(NumberClaim, Record<'a>), Finding> {
        let record = on_state(state, &self.server_id(state).await?, number);
        let claimed = record.claim(service, Some(KEPT + DAY)).await;
        claimed.map(|claim| (claim, record)).map_err(|error| state.unknown(&error.detail()))
    }

    /// The service that owns the number, if it is another one, as text in `Err`; or the finding that the owner is
    /// unknown.
    async fn owner_but(&self, number: u32, service: Option<&str>) -> Option<Result<Finding, String>> {
        let (mut unknown, records) = match self.records(number).await {
            Ok(records) => (None, records),
            // the cache's own record may still be readable
            Err(finding) => (Some(finding), vec![self.in_database(number)]),
        };
        for Record { side, database, key } in records {
            match side.probe.read_owner(database, &key).await {
                Fact::Known(Some(owner)) if Some(owner.service.as_str()) != service && owner.silent_for < KEPT => {
                    return Some(Err(owner_text(&owner.service, owner.silent_for)));
                }
                Fact::Known(_) => {}
                // another check reports a number that does not exist
                Fact::Unknown(_) if side.probe.can_select(database).await == Fact::Known(false) => {}
                Fact::Unknown(why) => {
                    unknown.get_or_insert_with(|| side.unknown(&why));
                }
            }
        }
        unknown.map(Ok)
    }

    /// The id of the cache server, created if it has none. The state store records the attributes by which it is found
    /// again.
    async fn server_id(&self, state: Side<'a>) -> Result<String, Finding> {
        let known = self.known_ids(state).await?;
        let id = known.into_iter().next().unwrap_or_else(random);
        let written = self.cache.probe.set_mark(COMMON, keys::server(), &id).await;
        written.map_err(|error| self.cache.unknown(&error.detail()))?;
        let id = self.cache.read(keys::server()).await?.unwrap_or(id);
        for sign in &self.signs {
            match state.probe.set_mark_for(COMMON, &keys::server_by(sign), &id, KEPT + DAY).await {
                // workers must be able to start on a full state store and drain it
                Ok(()) | Err(Error::Limit { .. }) => {}
                Err(error) => return Err(state.unknown(&error.detail())),
            }
        }
        Ok(id)
    }

    /// The ids of the cache server: first the one on itself, then those in the state store.
    async fn known_ids(&self, state: Side<'a>) -> Result<Vec<String>, Finding> {
        let mut ids: Vec<String> = self.cache.read(keys::server()).await?.into_iter().collect();
        for sign in &self.signs {
            let remembered = state.read(&keys::server_by(sign)).await?;
            ids.extend(remembered.filter(|id| !ids.contains(id)));
        }
        Ok(ids)
    }

    fn taken(&self, number: u32, owner: &str, service: &str) -> Finding {
        let what = format!("the database number {number} is owned by {owner}, and this is {service}");
        self.cache.connection.finding(Code::DatabaseNumberTaken, what)
    }
}

fn on_state<'a>(state: Side<'a>, id: &str, number: u32) -> Record<'a> {
    Record { side: state, database: COMMON, key: keys::database_owner_on(id, number) }
}

impl<'a> Side<'a> {
    fn of(visit: &'a Visit<'_>) -> Self {
        Self { connection: visit.connection, probe: &visit.probe }
    }

    async fn read(&self, key: &str) -> Result<Option<String>, Finding> {
        match self.probe.read_mark(COMMON, key).await {
            Fact::Known(text) => Ok(text),
            Fact::Unknown(why) => Err(self.unknown(&why)),
        }
    }

    pub(super) fn unknown(&self, why: &str) -> Finding {
        self.connection.finding(Code::DatabaseOwnerUnknown, why)
    }
}

impl Record<'_> {
    async fn claim(&self, service: &str, ttl: Option<Duration>) -> Result<NumberClaim, Error> {
        self.side.probe.claim_number(self.database, &self.key, service, KEPT, ttl).await
    }

    /// Undoes a claim that the other record does not allow.
    async fn withdraw(&self, service: &str) {
        if let Fact::Known(Some(owner)) = self.side.probe.read_owner(self.database, &self.key).await
            && owner.service == service
        {
            // If this fails, the record ends by its TTL.
            let _ = self.side.probe.release_number(self.database, &self.key, &owner).await;
        }
    }
}

/// `the service billing (last seen 3 h ago)`
fn owner_text(service: &str, silent_for: Duration) -> String {
    format!("the service {} (last seen {} ago)", shown(service), age(silent_for))
}

/// A duration by its largest unit.
pub(super) fn age(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}
