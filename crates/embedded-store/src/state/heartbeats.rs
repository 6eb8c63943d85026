//! Heartbeats. A member has a row by its name and one by the end of its last beat, the latest end first.

use std::ops::ControlFlow;

use async_trait::async_trait;
use bytes::Bytes;
use store_core::{
    Beat, Cursor, Error, Heartbeats, HolderName, Member, Op, Page, PageRequest, PoolName, Result, Timestamp,
    millis_ceil, validate_lease,
};

use super::EmbeddedState;
use crate::encoding::{Decoder, Encoder, name};
use crate::fault::Fault;
use crate::moment::Moment;
use crate::rows::{Change, Rows, Table, View, behind};

/// How many lost members one beat removes.
const FORGOTTEN_PER_BEAT: usize = 100;

/// The rows of one pool begin with its scope, a zero byte, its name and a zero byte. No name contains a zero byte.
pub(super) struct Pool {
    prefix: Vec<u8>,
}

impl Pool {
    fn row(&self, member: &str) -> Vec<u8> {
        Encoder::default().tail(&self.prefix).tail(member.as_bytes()).finish()
    }

    /// The prefix of the members whose last beat ends at `until`.
    fn ends_at(&self, until: u64) -> Vec<u8> {
        Encoder::default().tail(&self.prefix).u64(u64::MAX - until).finish()
    }

    fn end(&self, until: u64, member: &str) -> Vec<u8> {
        Encoder::default().tail(&self.ends_at(until)).tail(member.as_bytes()).finish()
    }

    /// Reads a member. A damaged row counts as absent: the next beat replaces it.
    fn read(&self, rows: &mut impl Rows, member: &HolderName) -> Result<Option<Member>, Fault> {
        match rows.get(Table::Members, &self.row(member.as_str()), |row| decode(member.clone(), row)) {
            Err(Fault::Corrupt(_)) => Ok(None),
            found => found,
        }
    }

    fn write(&self, change: &mut Change<'_>, member: &Member) -> Result<(), Fault> {
        let row = Encoder::default()
            .u64(member.since.as_millis())
            .u64(member.last.as_millis())
            .u64(member.until.as_millis())
            .tail(&member.details)
            .finish();
        change.put(Table::Members, &self.row(member.name.as_str()), row)?;
        change.put(Table::MemberEnds, &self.end(member.until.as_millis(), member.name.as_str()), Vec::new())
    }

    fn remove(&self, change: &mut Change<'_>, member: &HolderName, until: u64) -> Result<(), Fault> {
        change.remove(Table::Members, &self.row(member.as_str()))?;
        change.remove(Table::MemberEnds, &self.end(until, member.as_str()))?;
        Ok(())
    }

    /// The members in the order of [`Table::MemberEnds`] from `from` on, the latest end first, until `each` breaks.
    fn ended(
        &self,
        rows: &mut impl Rows,
        from: &[u8],
        mut each: impl FnMut(HolderName, u64) -> ControlFlow<()>,
    ) -> Result<(), Fault> {
        rows.scan(Table::MemberEnds, from..&behind(&self.prefix), |key, row| {
            if row.is_err() {
                return Ok(ControlFlow::Continue(()));
            }
            let (member, until) = self.parse_end(key)?;
            Ok(each(member, until))
        })
    }

    fn parse_end(&self, key: &[u8]) -> Result<(HolderName, u64), Fault> {
        let mut key = Decoder::new(key.get(self.prefix.len()..).unwrap_or_default());
        let until = u64::MAX - key.u64()?;
        Ok((name(key.tail())?, until))
    }

    /// The pool of a row.
    pub(super) fn of_row(key: &[u8]) -> Option<Self> {
        let length = key.splitn(3, |byte| *byte == 0).take(2).map(<[u8]>::len).sum::<usize>() + 2;
        key.get(..length).map(|prefix| Self { prefix: prefix.to_vec() })
    }

    /// Its scoped name.
    pub(super) fn name(&self) -> &[u8] {
        &self.prefix[..self.prefix.len() - 1]
    }

    /// Whether the row of an end is so old that the pool forgets the member.
    pub(super) fn is_forgotten(&self, end: &[u8], now: Moment) -> bool {
        self.parse_end(end).is_ok_and(|(_, until)| until < too_old(now))
    }

    /// The next pool of any scope that has members, behind this one or from the first one on.
    fn next(&self, rows: &mut impl Rows) -> Result<Option<Self>, Fault> {
        let mut next = None;
        for (from, to) in [(behind(&self.prefix), vec![0xff]), (Vec::new(), self.prefix.clone())] {
            rows.scan(Table::MemberEnds, &from[..]..&to, |key, _| {
                next = Self::of_row(key);
                Ok(ControlFlow::Break(()))
            })?;
            if next.is_some() {
                break;
            }
        }
        Ok(next)
    }

    /// Removes the members that were lost longest ago, if that is too long ago or there are too many.
    fn forget_lost(&self, change: &mut Change<'_>, now: Moment) -> Result<(), Fault> {
        let mut lost = 0;
        self.ended(change, &self.ends_at(now.millis()), |_, _| {
            lost += 1;
            if lost < Member::LOST_KEPT_COUNT + FORGOTTEN_PER_BEAT {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        let too_many = lost.saturating_sub(Member::LOST_KEPT_COUNT);
        let too_old = too_old(now);
        let mut forgotten = Vec::new();
        change.scan_back(Table::MemberEnds, &self.ends_at(now.millis())..&behind(&self.prefix), |key, _| {
            // A damaged row is removed too: the key has its time.
            let Ok((member, until)) = self.parse_end(key) else { return Ok(ControlFlow::Continue(())) };
            if forgotten.len() < FORGOTTEN_PER_BEAT && (until < too_old || forgotten.len() < too_many) {
                forgotten.push((member, until));
                return Ok(ControlFlow::Continue(()));
            }
            Ok(ControlFlow::Break(()))
        })?;
        forgotten.iter().try_for_each(|(member, until)| self.remove(change, member, *until))
    }
}

impl EmbeddedState {
    fn pool(&self, name: &PoolName) -> Pool {
        Pool { prefix: [self.scoped(name.as_str()), vec![0]].concat() }
    }
}

/// Members that were lost before this, in ms, are forgotten.
fn too_old(now: Moment) -> u64 {
    now.millis().saturating_sub(millis_ceil(Member::LOST_KEPT_FOR))
}

fn decode(member: HolderName, row: &[u8]) -> Result<Member, Fault> {
    let mut row = Decoder::new(row);
    let mut time = || row.u64().map(Timestamp::from_millis);
    let (since, last, until) = (time()?, time()?, time()?);
    Ok(Member::new(member, since, last, until).with_details(Bytes::copy_from_slice(row.tail())))
}

fn page(mut members: Vec<Member>, limit: usize, cursor: impl Fn(&Member) -> String) -> Page<Member> {
    let more = members.len() > limit;
    members.truncate(limit);
    let next = members.last().filter(|_| more).map(|last| Cursor::new(cursor(last)));
    Page::new(members, next)
}

#[async_trait]
impl Heartbeats for EmbeddedState {
    async fn beat(&self, beat: &Beat) -> Result<()> {
        validate_lease(Op::HeartbeatBeat, beat.lasting)?;
        if beat.details.len() > Beat::MAX_DETAILS_BYTES {
            let detail = format!(
                "the details have {} bytes; at most {most}",
                beat.details.len(),
                most = Beat::MAX_DETAILS_BYTES
            );
            return Err(Error::invalid_argument(Op::HeartbeatBeat, detail));
        }
        let (clock, pool, beat) = (self.options.clock.clone(), self.pool(&beat.pool), beat.clone());
        let apply = move |change: &mut Change<'_>| {
            let now = Moment::now(&clock);
            let before = pool.read(change, &beat.member)?;
            if let Some(before) = &before {
                pool.remove(change, &before.name, before.until.as_millis())?;
            }
            let since =
                before.filter(|before| before.until > now.timestamp()).map_or(now.timestamp(), |before| before.since);
            let until = Timestamp::from_millis(now.after(beat.lasting));
            let member =
                Member::new(beat.member.clone(), since, now.timestamp(), until).with_details(beat.details.clone());
            pool.write(change, &member)?;
            pool.forget_lost(change, now)?;
            // A pool without beats is removed by those of the pool before it.
            pool.next(change)?.map_or(Ok(()), |next| next.forget_lost(change, now))
        };
        self.database.write(Op::HeartbeatBeat, apply).await
    }

    async fn leave(&self, pool: &PoolName, member: &HolderName) -> Result<bool> {
        let (clock, pool, member) = (self.options.clock.clone(), self.pool(pool), member.clone());
        let apply = move |change: &mut Change<'_>| {
            let now = Moment::now(&clock);
            let Some(member) = pool.read(change, &member)? else { return Ok(false) };
            pool.remove(change, &member.name, member.until.as_millis())?;
            Ok(member.until > now.timestamp())
        };
        self.database.write(Op::HeartbeatLeave, apply).await
    }

    async fn alive(&self, pool: &PoolName, request: PageRequest) -> Result<Page<Member>> {
        let (clock, pool) = (self.options.clock.clone(), self.pool(pool));
        let look = move |view: &mut View<'_>| {
            let now = Moment::now(&clock);
            let prefix = &pool.prefix;
            let limit = request.limit() as usize;
            // The smallest key after that of the last member of the page.
            let from = request.cursor().map_or(prefix.clone(), |last| [&pool.row(last.as_str())[..], &[0]].concat());
            let mut members = Vec::new();
            view.scan(Table::Members, &from[..]..&behind(prefix), |key, row| {
                let member = row.and_then(|row| decode(name(key.get(prefix.len()..).unwrap_or_default())?, row));
                // A damaged row belongs to nobody: the next beat replaces it.
                members.extend(member.ok().filter(|member| member.until > now.timestamp()));
                Ok(if members.len() > limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
            Ok(page(members, limit, |last| last.name.as_str().to_owned()))
        };
        self.database.read(Op::HeartbeatAlive, look).await
    }

    async fn lost(&self, pool: &PoolName, since: Timestamp, request: PageRequest) -> Result<Page<Member>> {
        let last = request.cursor().map(|cursor| parse_lost(cursor.as_str())).transpose()?;
        let (clock, pool) = (self.options.clock.clone(), self.pool(pool));
        let look = move |view: &mut View<'_>| {
            let now = Moment::now(&clock);
            let limit = request.limit() as usize;
            // The smallest key after that of the last member of the page, but never one of a live member.
            let seen = last.as_ref().map(|(until, name)| [&pool.end(*until, name)[..], &[0]].concat());
            let from = seen.unwrap_or_default().max(pool.ends_at(now.millis()));
            let oldest = since.as_millis().max(too_old(now));
            let mut names = Vec::new();
            pool.ended(view, &from, |name, until| {
                if until < oldest || names.len() > limit {
                    return ControlFlow::Break(());
                }
                names.push(name);
                ControlFlow::Continue(())
            })?;
            let mut members = Vec::new();
            for name in &names {
                members.extend(pool.read(view, name)?);
            }
            Ok(page(members, limit, |last| format!("{}.{}", last.until.as_millis(), last.name)))
        };
        self.database.read(Op::HeartbeatLost, look).await
    }
}

fn parse_lost(cursor: &str) -> Result<(u64, String)> {
    let parts = cursor.split_once('.').and_then(|(until, name)| Some((until.parse().ok()?, name.to_owned())));
    parts.ok_or_else(|| Error::invalid_argument(Op::HeartbeatLost, "the cursor is not one of this listing"))
}
