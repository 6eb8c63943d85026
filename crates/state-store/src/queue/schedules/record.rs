//! The stored form of a schedule: see `lua/schedule/record.lua`.

use bytes::Bytes;
use store_core::{Error, Firing, Op, Result, Schedule, ScheduleInfo, ScheduleName, Timestamp};

use crate::queue::read_id;

const LAYOUT: u8 = 1;
/// Where its times, options and payload begin.
const HEAD: usize = 106;

/// Reads a schedule.
pub(super) fn read(op: Op, name: ScheduleName, stored: Bytes) -> Result<ScheduleInfo> {
    decode(op, name.clone(), stored).unwrap_or_else(|| {
        let detail =
            format!("this version cannot read the schedule `{name}`; delete it unless a newer version wrote it");
        Err(Error::corrupt(op, detail))
    })
}

fn decode(op: Op, name: ScheduleName, stored: Bytes) -> Option<Result<ScheduleInfo>> {
    let head = stored.get(..HEAD).filter(|head| head[0] == LAYOUT)?;
    let number = |from: usize, len: usize| std::str::from_utf8(&head[from..from + len]).ok()?.parse::<u64>().ok();
    let time = |from| number(from, 15).map(Timestamp::from_millis);
    let schedule = Schedule::decode(stored.slice(HEAD..))?;
    let mut info = ScheduleInfo::new(name, schedule, number(2, 16)?, time(18)?);
    info.paused = head[1] == b'p';
    let (due, fired) = (time(49)?, time(64)?);
    let (jobs, missed) = (u32::try_from(number(79, 4)?).ok()?, u32::try_from(number(83, 6)?).ok()?);
    if jobs > 0 {
        match read_id(op, &head[89..HEAD]) {
            Ok(job) => info.last = Some(Firing::new(due, fired, jobs, missed, job)),
            Err(error) => return Some(Err(error)),
        }
    }
    Some(Ok(info))
}
