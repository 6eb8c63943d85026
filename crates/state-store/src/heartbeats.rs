//! Heartbeats: a hash of members, indexed by time and by name.

use async_trait::async_trait;
use bytes::Bytes;
use redis_link::keys::PoolKeys;
use redis_link::layout::{self, Aggregate};
use redis_link::{Arg, ReplyReader, Script, args};
use store_core::{
    Beat, Cursor, Durability, Error, Heartbeats, HolderName, Member, Op, Page, PageRequest, PoolName, Result,
    Timestamp, millis_ceil,
};

use crate::StateStore;
use crate::leases::check_lasting;
use crate::store::ONCE;

static BEAT: Script = Script::frees("heartbeat/beat", &[layout::PIECE, include_str!("../lua/heartbeat/beat.lua")]);
static LEAVE: Script =
    Script::frees("heartbeat/leave", &[layout::PIECE, ONCE, include_str!("../lua/heartbeat/leave.lua")]);
static ALIVE: Script = Script::reads("heartbeat/alive", &[layout::PIECE, include_str!("../lua/heartbeat/alive.lua")]);
static LOST: Script = Script::reads("heartbeat/lost", &[layout::PIECE, include_str!("../lua/heartbeat/lost.lua")]);

#[cfg(test)]
pub(crate) static SCRIPTS: [&Script; 4] = [&BEAT, &LEAVE, &ALIVE, &LOST];

/// Each call is one script in one round trip. `beat` and `leave` also work if the server's memory is full.
#[async_trait]
impl Heartbeats for StateStore {
    async fn beat(&self, beat: &Beat) -> Result<()> {
        let op = Op::HeartbeatBeat;
        check_lasting(op, beat.lasting)?;
        if beat.details.len() > Beat::MAX_DETAILS_BYTES {
            let detail = format!(
                "details of {} bytes; at most {most} are allowed",
                beat.details.len(),
                most = Beat::MAX_DETAILS_BYTES
            );
            return Err(Error::invalid_argument(op, detail));
        }
        let args = args![
            self.pool_layouts(),
            beat.member.as_str(),
            millis_ceil(beat.lasting),
            &beat.details,
            millis_ceil(Member::LOST_KEPT_FOR),
            Member::LOST_KEPT_COUNT,
        ];
        let keys = self.pool_keys(&beat.pool);
        let link = self.link.for_lease(beat.lasting);
        let (answer, reached) = link.call_reaching(op, &BEAT, &keys, args, self.heartbeats).await?;
        let mut reply = answer.reader(op);
        match reply.next_word()?.as_ref() {
            b"beaten" => {
                reply.record_write(beat.pool.as_str(), |write| write.with_part(beat.member.as_str()));
                reached.map(drop)
            }
            _ => Err(reply.unknown_word()),
        }
    }

    async fn leave(&self, pool: &PoolName, member: &HolderName) -> Result<bool> {
        let op = Op::HeartbeatLeave;
        let args = args![self.pool_layouts(), member.as_str(), self.remembered_arg(Durability::Accepted)];
        let call = PoolKeys::new(&self.namespace, &self.scope, pool).call(fastrand::u64(..));
        let [details, until, names] = self.pool_keys(pool);
        let mut reply = self.link.call(op, &LEAVE, &[details, until, names, call], args).await?.reader(op);
        match reply.next_word()?.as_ref() {
            b"left" => {
                reply.record_write(pool.as_str(), |write| write.with_part(member.as_str()));
                Ok(true)
            }
            b"gone" => Ok(false),
            _ => Err(reply.unknown_word()),
        }
    }

    async fn alive(&self, pool: &PoolName, page: PageRequest) -> Result<Page<Member>> {
        let op = Op::HeartbeatAlive;
        let args = args![self.pool_layouts(), page.limit(), page.cursor().map_or("", Cursor::as_str)];
        let mut reply = self.link.call(op, &ALIVE, &self.pool_keys(pool), args).await?.reader(op);
        if reply.next_word()?.as_ref() != b"members" {
            return Err(reply.unknown_word());
        }
        let next = reply.next_opt_text()?.map(Cursor::new);
        Ok(Page::new(members(op, &mut reply)?, next))
    }

    async fn lost(&self, pool: &PoolName, since: Timestamp, page: PageRequest) -> Result<Page<Member>> {
        let op = Op::HeartbeatLost;
        let (until, name) = match page.cursor() {
            None => ("", ""),
            Some(cursor) => {
                split(cursor).ok_or_else(|| Error::invalid_argument(op, "the cursor is of another listing"))?
            }
        };
        let args = args![self.pool_layouts(), page.limit(), since.as_millis(), Member::LOST_KEPT_COUNT, until, name];
        let mut reply = self.link.call(op, &LOST, &self.pool_keys(pool), args).await?.reader(op);
        if reply.next_word()?.as_ref() != b"members" {
            return Err(reply.unknown_word());
        }
        let has_more = reply.next_int()? == 1;
        let members = members(op, &mut reply)?;
        let last = members.last().filter(|_| has_more);
        let next = last.map(|member| Cursor::new(format!("{}:{}", member.until.as_millis(), member.name)));
        Ok(Page::new(members, next))
    }
}

impl StateStore {
    fn pool_layouts(&self) -> Arg {
        self.link.layouts().argument(Aggregate::Pool)
    }

    fn pool_keys(&self, pool: &PoolName) -> [String; 3] {
        let keys = PoolKeys::new(&self.namespace, &self.scope, pool);
        [keys.details, keys.until, keys.names]
    }
}

/// The time and the name in a cursor of the lost members.
fn split(cursor: &Cursor) -> Option<(&str, &str)> {
    cursor.as_str().split_once(':').filter(|(until, _)| until.parse::<u64>().is_ok())
}

fn members(op: Op, reply: &mut ReplyReader) -> Result<Vec<Member>> {
    let mut members = Vec::with_capacity(reply.remaining() / 2);
    while reply.remaining() > 0 {
        let (name, entry) = (reply.next_text()?, reply.next_bytes()?);
        let member = HolderName::new(name).ok().and_then(|name| member(name, &entry));
        members.push(member.ok_or_else(|| Error::corrupt(op, "the entry is not one of a member"))?);
    }
    Ok(members)
}

/// An entry as `beat.lua` writes it: its layout, three times of 15 digits, then the details. No copy.
fn member(name: HolderName, entry: &Bytes) -> Option<Member> {
    let time = |from: usize| {
        let digits = std::str::from_utf8(entry.get(from..from + 15)?).ok()?;
        digits.parse().ok().map(Timestamp::from_millis)
    };
    let (since, last, until) = (time(1)?, time(16)?, time(31)?);
    Some(Member::new(name, since, last, until).with_details(entry.slice(46..)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_its_layout_three_times_and_details() {
        let name = HolderName::new("worker-1").unwrap();
        let entry = Bytes::from_static(b"1000000000000001000000000000002000000000000003subscribe");
        let read = member(name.clone(), &entry).unwrap();
        let times = [read.since, read.last, read.until].map(Timestamp::as_millis);
        assert_eq!((times, read.details.as_ref()), ([1, 2, 3], &b"subscribe"[..]));
        for broken in [&b""[..], b"100000000000000100000000000000200000000000000", &[0xff; 60]] {
            assert!(member(name.clone(), &Bytes::copy_from_slice(broken)).is_none());
        }
    }

    #[test]
    fn a_cursor_keeps_the_whole_name() {
        assert_eq!(split(&Cursor::new("12:a:b")), Some(("12", "a:b")));
        assert_eq!(split(&Cursor::new("a:b")), None);
        assert_eq!(split(&Cursor::new("")), None);
    }
}
