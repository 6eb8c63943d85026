//! Runs of agents. Their rows belong to no service.

mod record;
mod sessions;

use std::ops::ControlFlow;

use async_trait::async_trait;
use store_core::{
    Cursor, Durability, Error, Fence, NewRun, Notifications, Notify, Op, PageRequest, Receipt, RequestId, Result,
    RunEvent, RunEvents, RunFilter, RunId, RunInfo, RunOutcome, RunPage, RunState, RunWrite, Runs, RunsRemoved,
    Subscribed, Timestamp, TopicName,
};

use self::record::{Log, Payload, Record, listing};
pub(super) use self::record::{RUNS, Tables};
use super::EmbeddedState;
use crate::database::Operation;
use crate::encoding::name;
use crate::fault::Fault;
use crate::moment::Moment;
use crate::rows::{Change, Rows, View, behind};
use crate::waiting::Watch;

/// How many expired runs one sweep removes.
const SWEPT_AT_ONCE: usize = 1000;
/// How many a creation removes.
const SWEPT_BY_CREATE: usize = 10;
/// About how many rows of expired runs one call removes, beyond [`ROWS_OF_EACH`] of each run.
pub(super) const ROWS_AT_ONCE: usize = 2000;
const ROWS_OF_EACH: usize = 6; // a head, four payloads and an event
/// How many bytes of events one read returns, but for the last of them.
const EVENT_BYTES: usize = 1 << 20;

fn create(change: &mut Change<'_>, tables: &Tables, new: &NewRun, now: Moment) -> Result<RunOutcome, Fault> {
    sweep(change, tables, now, SWEPT_BY_CREATE, ROWS_AT_ONCE)?;
    let found = Record::read(change, tables, &new.run)?;
    let mut version = now.micros();
    if let Some(found) = found {
        if !found.is_expired(now) {
            if found.request != *new.request.as_bytes() {
                return Ok(RunOutcome::Conflict(found.info));
            }
            return found.put(change, now).map(RunOutcome::Done);
        }
        version = version.max(found.info.version + 1);
        found.remove(change)?;
    }
    let created = newest(change, tables)?.map_or(now.micros(), |newest| now.micros().max(newest + 1));
    let at = Timestamp::from_millis(created / 1000);
    let mut info = RunInfo::new(new.run.clone(), new.agent.clone(), new.session.clone(), version, at);
    info.updated = now.timestamp();
    info.until = Timestamp::default();
    let mut run = Record {
        tables: tables.clone(),
        info,
        created,
        ttl: new.ttl.as_millis(),
        bytes: 0,
        most: new.max_events.clamp(100, NewRun::MAX_EVENTS),
        request: *new.request.as_bytes(),
    };
    run.put_listings(change)?;
    run.put_payload(change, Payload::Input, &new.input)?;
    let event = RunEvent::new(RunState::Created.event(), "");
    run.append(change, now, &new.request, &event)?;
    run.put(change, now).map(RunOutcome::Done)
}

/// Whether a write ends or cancels a run: it is executed also when the disk is full.
pub(super) fn ends(write: &RunWrite) -> bool {
    write.state.is_some_and(|state| state.is_ended() || state == RunState::Cancelling)
}

fn newest(change: &mut Change<'_>, tables: &Tables) -> Result<Option<u64>, Fault> {
    let (prefix, mut newest) = (listing(tables, &RunFilter::default()), None);
    change.scan(tables.lists, &prefix..&behind(&prefix), |key, _| {
        newest = record::created_in(key);
        Ok(ControlFlow::Break(()))
    })?;
    Ok(newest)
}

/// Whether this write was done before.
fn was_written(change: &mut Change<'_>, run: &Record, write: &RunWrite) -> Result<bool, Fault> {
    let request = write.request.as_bytes();
    if write.changes_run() && run.request == *request {
        return Ok(true);
    }
    let Some(sequence) = write.sequence else { return Ok(false) };
    Ok(Log::of(&run.tables, &write.run).request(change, sequence)?.is_some_and(|found| found == *request))
}

pub(super) fn write(
    change: &mut Change<'_>,
    tables: &Tables,
    write: &RunWrite,
    now: Moment,
) -> Result<RunOutcome, Fault> {
    let Some(mut run) = Record::read(change, tables, &write.run)?.filter(|run| !run.is_expired(now)) else {
        return Ok(RunOutcome::Absent);
    };
    if was_written(change, &run, write)? {
        return run.put(change, now).map(RunOutcome::Done);
    }
    let latest = run.info.fence.unwrap_or(Fence::new(0));
    if write.fence.is_some_and(|fence| fence < latest) {
        return Ok(RunOutcome::Superseded { by: latest });
    }
    let is = |expected: Option<u64>, found| expected.is_none_or(|expected| expected == found);
    if !is(write.version, run.info.version) || !is(write.sequence, run.info.next_event) {
        return Ok(RunOutcome::Conflict(run.info));
    }
    let state = run.info.state;
    if !write.state.map_or(!state.is_ended(), |next| state.may_become(next)) {
        return Ok(RunOutcome::Illegal(run.info));
    }
    for event in &write.events {
        run.append(change, now, &write.request, event)?;
    }
    if write.changes_run() {
        run.info.version = now.micros().max(run.info.version + 1);
        run.info.updated = now.timestamp();
        run.request = *write.request.as_bytes();
        let error = write.error.as_deref().map(str::as_bytes);
        let payloads = [
            (Payload::Output, write.output.as_deref()),
            (Payload::AwaitRequest, write.await_request.as_deref()),
            (Payload::Error, error),
        ];
        for (kind, payload) in payloads {
            if let Some(payload) = payload {
                run.put_payload(change, kind, payload)?;
            }
        }
    }
    if let Some(next) = write.state.filter(|next| *next != state) {
        run.info.state = next;
        run.info.ended = next.is_ended().then(|| now.timestamp());
        run.append(change, now, &write.request, &RunEvent::new(next.event(), ""))?;
    }
    run.info.fence = write.fence.max(run.info.fence);
    run.trim(change)?;
    if tables.home.prefix().is_empty() {
        change.effects.notify(watched(&write.run));
    }
    run.put(change, now).map(RunOutcome::Done)
}

/// A run that has not expired, without its payloads.
pub(super) fn found(rows: &mut impl Rows, tables: &Tables, run: &RunId, now: Moment) -> Result<Option<RunInfo>, Fault> {
    let found = Record::read(rows, tables, run)?.filter(|found| !found.is_expired(now));
    Ok(found.map(|found| found.info))
}

/// Removes up to `most` expired runs, and about `rows` rows beyond a few of each. Returns how many runs. A run with more rows keeps
/// its end until a later sweep has removed the rest.
fn sweep(change: &mut Change<'_>, tables: &Tables, now: Moment, most: usize, mut rows: usize) -> Result<u64, Fault> {
    let mut removed = 0;
    for end in due(change, tables, now, most)?.0 {
        if let Ok(run) = name(record::run_in(tables, &end)) {
            let found = match Record::read(change, tables, &run) {
                Err(Fault::Corrupt(_)) => None, // A damaged run is removed too.
                found => found?,
            };
            if found.as_ref().is_none_or(|found| found.is_expired(now)) {
                let Some(gone) = record::remove_rows(change, tables, &run, rows)? else { break };
                if let Some(found) = found {
                    found.remove_entries(change)?;
                }
                rows = rows.saturating_sub(gone.saturating_sub(ROWS_OF_EACH));
                removed += u64::from(gone > 0);
            }
        }
        change.remove(tables.lists, &end)?;
    }
    Ok(removed)
}

/// The ends of up to `most` expired runs, and how many there are.
fn due(rows: &mut impl Rows, tables: &Tables, now: Moment, most: usize) -> Result<(Vec<Vec<u8>>, u64), Fault> {
    let (mut ends, mut count) = (Vec::new(), 0);
    let range = record::ends(tables, 0)..record::ends(tables, now.millis().saturating_add(1));
    rows.scan(tables.lists, &range.start..&range.end, |key, _| {
        count += 1;
        if ends.len() < most {
            ends.push(key.to_vec());
        }
        // A creation need not know how many there are.
        Ok(if most == SWEPT_BY_CREATE && ends.len() == most {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    })?;
    Ok((ends, count))
}

/// The entries of a page of a listing, how many entries there are, and how many follow the page.
struct Listed {
    /// When each was created, and its id.
    runs: Vec<(u64, RunId)>,
    total: u64,
    left: u64,
    next: Option<Cursor>,
}

fn listed(
    rows: &mut impl Rows,
    tables: &Tables,
    filter: &RunFilter,
    after: Option<u64>,
    limit: u32,
) -> Result<Listed, Fault> {
    let (prefix, mut listed) = (listing(tables, filter), Listed { runs: Vec::new(), total: 0, left: 0, next: None });
    let mut last = 0;
    rows.scan(tables.lists, &prefix..&behind(&prefix), |key, row| {
        listed.total += 1;
        let created = record::created_in(key).ok_or(Fault::Corrupt("an entry of a listing is too short"))?;
        if after.is_some_and(|after| created >= after) {
            return Ok(ControlFlow::Continue(()));
        }
        if listed.runs.len() < limit as usize {
            listed.runs.push((created, name(row?)?));
            last = created;
        } else {
            listed.left += 1;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    listed.next = (listed.left > 0).then(|| Cursor::new(last.to_string()));
    Ok(listed)
}

fn page_of(
    view: &mut View<'_>,
    tables: &Tables,
    filter: &RunFilter,
    after: Option<u64>,
    limit: u32,
    now: Moment,
) -> Result<RunPage, Fault> {
    let listed = listed(view, tables, filter, after, limit)?;
    let mut page = RunPage::new(Vec::new(), listed.next, listed.total);
    for (created, run) in listed.runs {
        // A damaged run that was removed has left its entries.
        let is_listed = |found: &Record| found.created == created && !found.is_expired(now);
        match Record::read(view, tables, &run) {
            Err(Fault::Corrupt(_)) => page.unreadable.push(run),
            found => page.items.extend(found?.filter(is_listed).map(|found| found.info)),
        }
    }
    Ok(page)
}

/// The time in a cursor.
fn place(op: Op, cursor: Option<&Cursor>) -> Result<Option<u64>> {
    let refused = |_| Error::invalid_argument(op, "the cursor is of another listing");
    cursor.map(|cursor| cursor.as_str().parse().map_err(refused)).transpose()
}

fn delete(change: &mut Change<'_>, tables: &Tables, run: &RunId, now: Moment) -> Result<bool, Fault> {
    let existed = match Record::read(change, tables, run) {
        // Its end stays until it is due.
        Err(Fault::Corrupt(_)) => record::remove_rows(change, tables, run, usize::MAX)?.is_some(),
        found => {
            let Some(found) = found? else { return Ok(false) };
            let existed = !found.is_expired(now);
            found.remove(change)?;
            existed
        }
    };
    if tables.home.prefix().is_empty() {
        change.effects.notify(watched(run));
    }
    Ok(existed)
}

fn clear(
    change: &mut Change<'_>,
    tables: &Tables,
    prefix: &str,
    after: Option<u64>,
    now: Moment,
) -> Result<RunsRemoved, Fault> {
    let (mut removed, all) = (0, RunFilter::default());
    let listed = listed(change, tables, &all, after, PageRequest::MAX_LIMIT)?;
    for (_, run) in listed.runs.iter().filter(|(_, run)| run.as_str().starts_with(prefix)) {
        removed += u64::from(delete(change, tables, run, now)?);
    }
    Ok(RunsRemoved::new(removed, listed.left, listed.next))
}

#[async_trait]
impl Runs for EmbeddedState {
    async fn create(&self, run: &NewRun, durability: Durability) -> Result<Receipt<RunOutcome>> {
        run.validate()?;
        let reached = self.database.reach(Op::RunCreate, durability)?;
        let (clock, run, home) = (self.options.clock.clone(), run.clone(), self.at_home(Op::RunCreate));
        let apply = move |change: &mut Change<'_>| {
            home.enter(change)?;
            create(change, &home.runs(), &run, Moment::now(&clock))
        };
        Ok(Receipt::new(self.database.write(Operation::adding(Op::RunCreate), apply).await?, reached))
    }

    async fn write(&self, request: &RunWrite, durability: Durability) -> Result<Receipt<RunOutcome>> {
        request.validate()?;
        let reached = self.database.reach(Op::RunWrite, durability)?;
        let operation = Operation { op: Op::RunWrite, adds: !ends(request) };
        let (clock, request, home) = (self.options.clock.clone(), request.clone(), self.at_home(Op::RunWrite));
        let apply = move |change: &mut Change<'_>| {
            home.enter(change)?;
            write(change, &home.runs(), &request, Moment::now(&clock))
        };
        Ok(Receipt::new(self.database.write(operation, apply).await?, reached))
    }

    async fn get(&self, run: &RunId) -> Result<Option<RunInfo>> {
        let (clock, run, home) = (self.options.clock.clone(), run.clone(), self.at_home(Op::RunGet));
        let look = move |view: &mut View<'_>| {
            home.check(view)?;
            let found = Record::read(view, &home.runs(), &run)?.filter(|found| !found.is_expired(Moment::now(&clock)));
            found.map(|found| found.with_payloads(view)).transpose()
        };
        self.database.read(Op::RunGet, look).await
    }

    async fn events(&self, run: &RunId, from: u64, limit: u32) -> Result<Option<RunEvents>> {
        let (clock, run, home) = (self.options.clock.clone(), run.clone(), self.at_home(Op::RunEvents));
        let limit = limit.clamp(1, PageRequest::MAX_LIMIT) as usize;
        let look = move |view: &mut View<'_>| {
            home.check(view)?;
            let found = Record::read(view, &home.runs(), &run)?.filter(|found| !found.is_expired(Moment::now(&clock)));
            let Some(found) = found else { return Ok(None) };
            let RunInfo { first_event: first, next_event: end, state, .. } = found.info;
            let begin = RunEvents::begin(from, first, end);
            let events = Log::of(&home.runs(), &run).read(view, begin, limit, EVENT_BYTES)?;
            Ok(Some(RunEvents::new(events, from, first, end, state)))
        };
        self.database.read(Op::RunEvents, look).await
    }

    async fn list(&self, filter: &RunFilter, page: PageRequest) -> Result<RunPage> {
        let (op, clock, filter) = (Op::RunList, self.options.clock.clone(), filter.clone());
        let (after, limit, home) = (place(op, page.cursor())?, page.limit(), self.at_home(op));
        let look = move |view: &mut View<'_>| {
            home.check(view)?;
            page_of(view, &home.runs(), &filter, after, limit, Moment::now(&clock))
        };
        self.database.read(op, look).await
    }

    async fn delete(&self, run: &RunId) -> Result<bool> {
        let (clock, run, home) = (self.options.clock.clone(), run.clone(), self.at_home(Op::RunDelete));
        let apply = move |change: &mut Change<'_>| {
            home.enter(change)?;
            delete(change, &home.runs(), &run, Moment::now(&clock))
        };
        self.database.write(Op::RunDelete, apply).await
    }

    async fn sweep(&self) -> Result<RunsRemoved> {
        let (clock, home) = (self.options.clock.clone(), self.at_home(Op::RunSweep));
        let apply = move |change: &mut Change<'_>| {
            home.check(change)?;
            let (now, tables) = (Moment::now(&clock), home.runs());
            let removed = sweep(change, &tables, now, SWEPT_AT_ONCE, ROWS_AT_ONCE)?;
            Ok(RunsRemoved::new(removed, due(change, &tables, now, 0)?.1, None))
        };
        self.database.write(Op::RunSweep, apply).await
    }

    async fn clear(&self, prefix: &str, after: Option<Cursor>) -> Result<RunsRemoved> {
        let (op, clock, prefix) = (Op::RunClear, self.options.clock.clone(), prefix.to_owned());
        let (after, home) = (place(op, after.as_ref())?, self.at_home(op));
        let apply = move |change: &mut Change<'_>| {
            home.enter(change)?;
            clear(change, &home.runs(), &prefix, after, Moment::now(&clock))
        };
        self.database.write(op, apply).await
    }
}

/// A run, among all that can be watched.
fn watched(run: &RunId) -> Vec<u8> {
    [b"r", run.as_str().as_bytes()].concat()
}

impl Notifications for EmbeddedState {
    fn of_run(&self, run: &RunId, notify: Notify) -> Subscribed {
        Box::new(Watch::new(self.database.waiting(), watched(run), notify))
    }
    fn of_partition(&self, topic: &TopicName, partition: u16, _: u16, notify: Notify) -> Subscribed {
        Box::new(Watch::new(self.database.waiting(), super::topics::watched(topic, partition), notify))
    }
}

/// The request of an event.
type Identity = [u8; size_of::<RequestId>()];
