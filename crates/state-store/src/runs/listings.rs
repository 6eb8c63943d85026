//! The listings of runs: their entries, and the sweep of those whose runs have expired.

use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use redis_link::keys::{self, RunIndexKeys};
use redis_link::{Arg, args};
use store_core::{
    AgentName, Cursor, Durability, Error, NewRun, Op, PageRequest, Reached, Result, RunFilter, RunId, RunInfo, RunPage,
    RunsRemoved, SessionId, millis_ceil,
};

use super::records::{Collected, Records};
use super::reply::Head;
use super::{DUE, LIST};

/// How many expired runs one sweep looks at.
pub(super) const SWEPT_AT_ONCE: usize = 1000;
/// How many a creation looks at.
pub(super) const SWEPT_BY_CREATE: usize = 10;
/// For how long a run must have expired before it is swept: the clocks of the nodes of a cluster differ.
const GRACE: Duration = Duration::from_secs(10);

/// The entries that were written for a run.
pub(super) struct Entries {
    /// When it was created, in µs.
    pub(super) created: u64,
    /// When they may be swept, in ms.
    pub(super) lasts: u64,
    /// Whether runs have expired that were not swept.
    pub(super) others_are_due: bool,
}

/// The names by which a run is listed.
struct Names<'a> {
    run: &'a RunId,
    agent: &'a AgentName,
    session: Option<&'a SessionId>,
}

impl<'a> Names<'a> {
    fn of(info: &'a RunInfo) -> Self {
        Self { run: &info.run, agent: &info.agent, session: info.session.as_ref() }
    }

    fn of_new(run: &'a NewRun) -> Self {
        Self { run: &run.run, agent: &run.agent, session: run.session.as_ref() }
    }

    /// The member of [`RunIndexKeys::ends`] without its time. No name holds a blank.
    fn text(&self) -> String {
        format!("{} {} {}", self.run, self.agent, self.session.map_or("", SessionId::as_str))
    }
}

/// A member of [`RunIndexKeys::ends`].
struct Due {
    run: RunId,
    agent: AgentName,
    session: Option<SessionId>,
    created: u64,
}

impl Due {
    fn parse(entry: &str) -> Option<Self> {
        let mut parts = entry.split(' ');
        let (run, agent, session, created) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let session = Some(session).filter(|session| !session.is_empty()).map(SessionId::new).transpose().ok()?;
        Some(Self {
            run: RunId::new(run).ok()?,
            agent: AgentName::new(agent).ok()?,
            session,
            created: created.parse().ok()?,
        })
    }

    fn names(&self) -> Names<'_> {
        Names { run: &self.run, agent: &self.agent, session: self.session.as_ref() }
    }
}

impl Records<'_> {
    /// What the keys of the listings begin with.
    async fn listings(&self, op: Op) -> Result<String> {
        let home = self.store.home_keys(op).await?;
        Ok(home.map_or_else(|| self.op().keys.listings(&self.store.namespace), |home| home.runs()))
    }

    async fn index_keys(&self, op: Op, names: &Names<'_>) -> Result<Vec<String>> {
        Ok(RunIndexKeys::under(&self.listings(op).await?, names.agent, names.session).into_vec())
    }

    /// Writes the entries of a new run. `None`, and nothing is written, if the listings have an entry with its id that may not be
    /// replaced.
    pub(super) async fn index_new(
        &self,
        run: &NewRun,
        may_replace: bool,
        durability: Durability,
    ) -> Result<(Option<Entries>, Result<Reached>)> {
        let created = if may_replace { "replace" } else { "" };
        self.index(&Names::of_new(run), args![run.ttl.as_millis(), created, ""], durability).await
    }

    async fn index(
        &self,
        names: &Names<'_>,
        times: Vec<Arg>,
        durability: Durability,
    ) -> Result<(Option<Entries>, Result<Reached>)> {
        let mut args = args![names.run.as_str(), names.text(), if names.session.is_some() { "1" } else { "" }];
        args.extend(times);
        let keys = self.index_keys(self.op().create, names).await?;
        let (mut reply, reached) = self.calls.index.call_durable(keys, args, 0, durability).await?;
        match reply.next_word()?.as_ref() {
            b"indexed" => {}
            b"listed" => return Ok((None, reached)),
            _ => return Err(reply.unknown_word()),
        }
        reply.record(names.run.as_str(), []);
        let (created, lasts) = (reply.next_u64()?, reply.next_u64()?);
        Ok((Some(Entries { created, lasts, others_are_due: reply.next_u64()? == 1 }), reached))
    }

    /// A run with the id was created before: writes its entries again, some of which the new ones have replaced, and removes the new
    /// ones.
    pub(super) async fn restore_entries(&self, new: &NewRun, entries: &Entries, found: &Head) -> Result<()> {
        self.index_again(found, Durability::Accepted).await?.unwrap_or_default();
        self.tidy(&Names::of_new(new), entries.created, Arg::fixed("")).await
    }

    /// Writes the entries of a run again.
    pub(super) async fn index_again(&self, found: &Head, durability: Durability) -> Result<Result<Reached>> {
        let times = args![0, found.created, found.info.until.as_millis()];
        Ok(self.index(&Names::of(&found.info), times, durability).await?.1)
    }

    /// Removes the entries of a run that was deleted.
    pub(super) async fn remove_entries(&self, found: &Head) -> Result<()> {
        self.tidy(&Names::of(&found.info), found.created, Arg::fixed("")).await
    }

    /// Removes the entries of the run that was created then, or postpones the next look at them: see `tidy.lua`.
    async fn tidy(&self, names: &Names<'_>, created: u64, postponed_to: Arg) -> Result<()> {
        let args = args![format!("{} {created}", names.text()), created, postponed_to];
        let mut reply = self.calls.tidy.call(self.index_keys(self.op().sweep, names).await?, args, 0).await?;
        match reply.next_word()?.as_ref() {
            b"tidied" => Ok(()),
            _ => Err(reply.unknown_word()),
        }
    }

    pub(super) async fn list(&self, filter: &RunFilter, page: &PageRequest) -> Result<RunPage> {
        let listing = self.listed(self.op().list, filter, page.limit(), page.cursor()).await?;
        let found = join_all(listing.runs.iter().map(|run| self.described(run))).await;
        let mut page = RunPage::new(Vec::with_capacity(found.len()), listing.next, listing.total);
        for (run, found) in listing.runs.into_iter().zip(found) {
            match found {
                Ok(found) => page.items.extend(found.map(|head| head.info).filter(|info| filter.matches(info))),
                // It is damaged, or has a newer layout.
                Err(Error::Corrupt { .. } | Error::Unsupported { .. }) => page.unreadable.push(run),
                Err(error) => return Err(error),
            }
        }
        Ok(page)
    }

    async fn listed(&self, op: Op, filter: &RunFilter, limit: u32, after: Option<&Cursor>) -> Result<Listed> {
        let is_digits = |text: &str| !text.is_empty() && text.len() <= 16 && text.bytes().all(|it| it.is_ascii_digit());
        let after = after.map_or("", Cursor::as_str);
        if !after.is_empty() && !is_digits(after) {
            return Err(Error::invalid_argument(op, "the cursor is of another listing"));
        }
        let key = keys::run_listing(&self.listings(op).await?, filter);
        let mut reply = self.store.link.call(op, &LIST, &[key], args![limit, after]).await?.reader(op);
        if reply.next_word()?.as_ref() != b"runs" {
            return Err(reply.unknown_word());
        }
        let (total, left) = (reply.next_u64()?, reply.next_u64()?);
        let next = reply.next_opt_text()?.map(Cursor::new);
        let mut runs = Vec::with_capacity(reply.remaining());
        while reply.remaining() > 0 {
            // What is no id names no run.
            runs.extend(RunId::new(reply.next_text()?));
        }
        Ok(Listed { runs, next, total, left })
    }

    /// Removes the entries of up to `most` expired runs, and postpones those of runs that were written since.
    pub(super) async fn sweep(&self, most: usize) -> Result<RunsRemoved> {
        let op = self.op().sweep;
        let key = keys::run_ends(&self.listings(op).await?);
        let mut reply = self.store.link.call(op, &DUE, &[key], args![most, millis_ceil(GRACE)]).await?.reader(op);
        if reply.next_word()?.as_ref() != b"due" {
            return Err(reply.unknown_word());
        }
        let (count, mut due) = (reply.next_u64()?, Vec::with_capacity(reply.remaining()));
        while reply.remaining() > 0 {
            // An entry that names no run stays.
            due.extend(Due::parse(&reply.next_text()?));
        }
        let swept = try_join_all(due.iter().map(|due| self.sweep_one(due))).await?;
        let removed = swept.iter().filter(|is_gone| **is_gone).count() as u64;
        Ok(RunsRemoved::new(removed, count.saturating_sub(due.len() as u64), None))
    }

    /// Returns whether the run has expired.
    async fn sweep_one(&self, due: &Due) -> Result<bool> {
        let (mut postponed_to, mut is_gone) = (Arg::fixed(""), false);
        match self.collected(&due.run).await {
            Ok(Collected::Live(found)) if found.created == due.created => {
                postponed_to = Arg::from(found.info.until.as_millis());
            }
            // Another run has the id, and the creation of this one was refused or interrupted.
            Ok(Collected::Live(found)) => {
                self.index_again(&found, Durability::Accepted).await?.unwrap_or_default();
            }
            Ok(Collected::Expired(_) | Collected::Absent) => is_gone = true,
            // It must not hold up others. When its key has expired, a later sweep finds nothing.
            Ok(Collected::Damaged(_)) | Err(Error::Unsupported { .. }) => postponed_to = Arg::fixed("hour"),
            Err(error) => return Err(error),
        }
        self.tidy(&due.names(), due.created, postponed_to).await?;
        Ok(is_gone)
    }

    pub(super) async fn clear(&self, prefix: &str, after: Option<&Cursor>) -> Result<RunsRemoved> {
        let listing = self.listed(self.op().clear, &RunFilter::default(), PageRequest::MAX_LIMIT, after).await?;
        let chosen = listing.runs.iter().filter(|run| run.as_str().starts_with(prefix));
        let mut cleared = RunsRemoved::new(0, listing.left, listing.next);
        for deleted in join_all(chosen.map(|run| self.delete(run))).await {
            match deleted {
                Ok(existed) => cleared.removed += u64::from(existed),
                // A newer version has written it.
                Err(Error::Unsupported { .. }) => cleared.skipped += 1,
                Err(error) => return Err(error),
            }
        }
        Ok(cleared)
    }
}

/// One page of a listing.
struct Listed {
    runs: Vec<RunId>,
    next: Option<Cursor>,
    total: u64,
    /// How many entries follow the page.
    left: u64,
}
