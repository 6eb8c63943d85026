//! [`Schedules`]: in partition 0 of their queue, each beside the jobs that it pushes.

mod record;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use redis_link::{Answer, Arg, ReplyReader, Script, args};
use store_core::{
    Advance, Advanced, Cursor, DueSchedules, Durability, Error, Op, Page, PageRequest, QueueName, Reached, Receipt,
    Result, Schedule, ScheduleInfo, ScheduleName, SchedulePut, Schedules, Timestamp,
};

use super::batch::Group;
use super::partition::{Called, Target};
use super::{id_arg, record as job_record};
use crate::StateStore;
use crate::store::ONCE;

/// A script by its kind, its name and the pieces before its own file: files below `lua`.
macro_rules! scheduling {
    (@piece $name:literal) => { include_str!(concat!("../../lua/", $name, ".lua")) };
    ($kind:ident $name:literal $(, $piece:tt)*) => {
        Script::$kind($name, &[$(scheduling!(@piece $piece),)* scheduling!(@piece $name)])
    };
}

static PUT: Script = scheduling!(adds "schedule/put", "queue/keys", "once", "schedule/record");
static CHANGE: Script = scheduling!(frees "schedule/change", "queue/keys", "once", "schedule/record");
static GET: Script = scheduling!(reads "schedule/get", "queue/keys");
static LIST: Script = scheduling!(frees "schedule/list", "queue/keys");
static DUE: Script = scheduling!(frees "schedule/due", "queue/keys", "schedule/record");
static ADVANCE: Script = scheduling!(adds "schedule/advance",
    "queue/keys", "queue/begin", "schedule/record", "schedule/advancing", "queue/writes", "queue/push_batches",
    "schedule/advanced", "queue/running", "queue/waiter", "queue/wake", "queue/positions", "queue/blob", "queue/lease",
    "queue/single", "queue/unique", "queue/take", "queue/hand_over", "queue/batch", "queue/batches"
);

#[cfg(test)]
pub(crate) static SCRIPTS: [&Script; 6] = [&PUT, &CHANGE, &GET, &LIST, &DUE, &ADVANCE];

/// Each call is one script in one round trip.
#[async_trait]
impl Schedules for StateStore {
    async fn put(
        &self,
        queue: &QueueName,
        name: &ScheduleName,
        schedule: &Schedule,
        expected: Option<u64>,
        durability: Durability,
    ) -> Result<Receipt<SchedulePut>> {
        let op = Op::SchedulePut;
        let expected = expected.map_or_else(String::new, |version| version.to_string());
        let args = args![name.as_str(), expected, schedule.encode(), self.remembered_arg(durability)];
        let (answer, reached) = self.on_schedules((op, &PUT), queue, true, durability, args).await?;
        let mut reply = answer.reader(op);
        match reply.next_word()?.as_ref() {
            b"stored" => {
                let version = reply.next_u64()?;
                reply.record_write(queue.as_str(), |write| write.with_part(name.as_str()).with_number(version));
                Ok(Receipt::new(SchedulePut::Stored { version }, reached?))
            }
            b"conflict" => Ok(Receipt::new(SchedulePut::Conflict { version: reply.next_u64()? }, Reached::default())),
            _ => Err(reply.unknown_word()),
        }
    }

    async fn get(&self, queue: &QueueName, name: &ScheduleName) -> Result<Option<ScheduleInfo>> {
        let op = Op::ScheduleGet;
        let accepted = Durability::Accepted;
        let (answer, _) = self.on_schedules((op, &GET), queue, false, accepted, args![name.as_str()]).await?;
        let mut reply = answer.reader(op);
        match reply.next_word()?.as_ref() {
            b"schedule" => record::read(op, name.clone(), reply.next_bytes()?).map(Some),
            b"absent" => Ok(None),
            _ => Err(reply.unknown_word()),
        }
    }

    async fn list(&self, queue: &QueueName, page: PageRequest) -> Result<Page<ScheduleInfo>> {
        let op = Op::ScheduleList;
        let after = match page.cursor().map(Cursor::as_str) {
            None => "",
            Some(text) => text
                .strip_prefix(' ')
                .filter(|name| !name.is_empty())
                .ok_or_else(|| Error::invalid_argument(op, "the cursor is not one of this listing"))?,
        };
        let args = args![page.limit(), after];
        let (answer, _) = self.on_schedules((op, &LIST), queue, false, Durability::Accepted, args).await?;
        let mut reply = answer.reader(op);
        if reply.next_word()?.as_ref() != b"schedules" {
            return Err(reply.unknown_word());
        }
        let next = reply.next_opt_text()?.map(|name| Cursor::new(format!(" {name}")));
        let mut schedules = Vec::with_capacity(reply.remaining() / 2);
        while reply.remaining() > 0 {
            let name = read_name(op, &mut reply)?;
            schedules.push(record::read(op, name, reply.next_bytes()?)?);
        }
        Ok(Page::new(schedules, next))
    }

    async fn delete(&self, queue: &QueueName, name: &ScheduleName) -> Result<()> {
        self.change(Op::ScheduleDelete, "delete", queue, name).await.map(drop)
    }

    async fn pause(&self, queue: &QueueName, name: &ScheduleName) -> Result<bool> {
        self.change(Op::SchedulePause, "pause", queue, name).await
    }

    async fn resume(&self, queue: &QueueName, name: &ScheduleName) -> Result<bool> {
        self.change(Op::ScheduleResume, "resume", queue, name).await
    }

    async fn due(&self, queue: &QueueName, limit: u32) -> Result<DueSchedules> {
        let op = Op::ScheduleDue;
        let args = args![limit.clamp(1, DueSchedules::MAX_LIMIT)];
        let (answer, _) = self.on_schedules((op, &DUE), queue, false, Durability::Accepted, args).await?;
        let mut reply = answer.reader(op);
        if reply.next_word()?.as_ref() != b"due" {
            return Err(reply.unknown_word());
        }
        let now = Timestamp::from_millis(reply.next_u64()?);
        let next_in = match reply.next_opt_text()? {
            None => None,
            Some(millis) => {
                let millis = millis.parse().map_err(|_| Error::corrupt(op, "the time of a schedule is no number"))?;
                Some(std::time::Duration::from_millis(millis))
            }
        };
        let mut due = DueSchedules::new(now, Vec::with_capacity(reply.remaining() / 2), next_in);
        while reply.remaining() > 0 {
            let name = read_name(op, &mut reply)?;
            match record::read(op, name.clone(), reply.next_bytes()?) {
                Ok(info) => due.schedules.push(info),
                Err(_) => due.unreadable.push(name),
            }
        }
        Ok(due)
    }

    async fn advance(&self, queue: &QueueName, advance: &Advance, durability: Durability) -> Result<Receipt<Advanced>> {
        let op = Op::ScheduleAdvance;
        advance.validate()?;
        let ids = &advance.jobs;
        let (answer, reached) =
            self.on_schedules((op, &ADVANCE), queue, true, durability, advance_args(advance)).await?;
        let mut reply = answer.reader(op);
        match reply.next_word()?.as_ref() {
            b"advanced" => {}
            b"superseded" => return Ok(Receipt::new(Advanced::Superseded, Reached::default())),
            b"early" => {
                return Err(Error::invalid_argument(op, "the time of the firing has not come by the server's clock"));
            }
            _ => return Err(reply.unknown_word()),
        }
        // Without its jobs: if a failover loses them, it loses the firing too, and the schedule fires again.
        let until = advance.until.as_millis();
        reply.record_write(queue.as_str(), |write| write.with_part(advance.name.as_str()).with_number(until));
        Ok(Receipt::new(Advanced::Done { jobs: ids.clone() }, reached?))
    }
}

impl StateStore {
    /// Calls a script on the partition that has the schedules.
    async fn on_schedules(
        &self,
        (op, script): (Op, &'static Script),
        queue: &QueueName,
        records: bool,
        durability: Durability,
        args: Vec<Arg>,
    ) -> Result<(Answer, Result<Reached>)> {
        Ok(with_shape!(self, op, queue, records, |shape| {
            let call = script.pieces().contains(&ONCE).then(|| shape.keys(0).call(fastrand::u64(..)));
            let more_keys = call.into_iter().collect();
            let to =
                Target { takes_schedules: true, more_keys, durability, ..Target::new(op, script, queue, &shape, 0) };
            match self.call_on(to, args.clone()).await? {
                Called::Answered(answer, reached) => Some((answer, reached)),
                Called::OtherShape => None,
            }
        }))
    }

    /// Whether there is such a schedule.
    async fn change(&self, op: Op, action: &'static str, queue: &QueueName, name: &ScheduleName) -> Result<bool> {
        let args = args![Arg::fixed(action), name.as_str(), self.remembered_arg(Durability::Accepted)];
        let (answer, _) = self.on_schedules((op, &CHANGE), queue, false, Durability::Accepted, args).await?;
        let mut reply = answer.reader(op);
        match reply.next_word()?.as_ref() {
            b"changed" => {
                reply.record_write(queue.as_str(), |write| write.with_part(name.as_str()));
                Ok(true)
            }
            b"absent" => Ok(false),
            _ => Err(reply.unknown_word()),
        }
    }
}

/// The arguments of `advance.lua` from the third one on.
fn advance_args(advance: &Advance) -> Vec<Arg> {
    let ids = &advance.jobs;
    let jobs = std::slice::from_ref(&advance.job);
    let mut buffer = BytesMut::with_capacity(ids.len() * (job_record::MAX_OVERHEAD + jobs[0].payload.len() + 64));
    let mut args = vec![Arg::fixed(""), Arg::from(ids.len())];
    for id in ids {
        if let Some((batch, _)) = id.place() {
            Group::of_one(batch, jobs[0].priority).encode(jobs, &mut buffer, |arg| args.push(Arg::Bytes(arg)));
        }
    }
    let (since, until) = (advance.since.as_millis(), advance.until.as_millis());
    let due = advance.due.last().map_or_else(String::new, |due| format!("{:015}", due.as_millis()));
    let next = advance.next.map_or_else(String::new, |next| next.as_millis().to_string());
    args.extend(args![
        advance.name.as_str(),
        format!("{:016}{since:015}", advance.version),
        format!("{until:015}"),
        due,
        format!("{:04}{:06}", ids.len(), advance.missed.min(999_999)),
        Bytes::copy_from_slice(advance.request.as_bytes()),
    ]);
    args.push(ids.last().map_or(Arg::fixed(""), id_arg));
    args.push(Arg::from(next));
    args
}

fn read_name(op: Op, reply: &mut ReplyReader) -> Result<ScheduleName> {
    ScheduleName::new(reply.next_text()?).map_err(|_| Error::corrupt(op, "the name of a schedule is not valid"))
}
