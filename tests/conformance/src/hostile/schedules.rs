//! Hostile texts as names, payloads and queues of schedules.

use store_core::{Advanced, Durability, NewJob, PageRequest, QueueName, Schedule, ScheduleName, SchedulePut};

use super::Texts;
use crate::fixture::{Fixture, secs};
use crate::verdict::{Verdict, check, check_eq};

/// Every operation on schedules.
pub(super) async fn play(fixture: &Fixture, texts: &Texts, queue: &QueueName) -> Verdict {
    let (schedules, accepted) = (fixture.state.schedules(), Durability::Accepted);
    let name = |index| ScheduleName::new(texts.word(index));
    for index in 0..4 {
        let schedule = Schedule::every(secs(60), NewJob::new(texts.bytes(index + 1)))?;
        let put = schedules.put(queue, &name(index)?, &schedule, None, accepted).await?.value;
        check_eq!(put, SchedulePut::Stored { version: 1 });
        let info = schedules.get(queue, &name(index)?).await?;
        check_eq!(info.map(|info| info.schedule), Some(schedule));
    }
    check!(schedules.pause(queue, &name(0)?).await? && schedules.resume(queue, &name(0)?).await?);
    let mut listed = Vec::new();
    for info in schedules.list(queue, PageRequest::default()).await?.items {
        listed.push((info.name.to_string(), info.schedule.job().payload.clone()));
    }
    let mut expected: Vec<_> = (0..4).map(|index| (texts.word(index).to_owned(), texts.bytes(index + 1))).collect();
    expected.sort();
    check_eq!(listed, expected);
    let due = schedules.due(queue, 10).await?;
    check_eq!(due.schedules.len(), 4);
    for info in due.schedules {
        let mut fired = info.plan(due.now);
        check_eq!(schedules.advance(queue, &fired, accepted).await?.value, Advanced::Done { jobs: fired.jobs.clone() });
        fired.request = store_core::RequestId::generate();
        fired.version += 1;
        check_eq!(schedules.advance(queue, &fired, accepted).await?.value, Advanced::Superseded);
        schedules.delete(queue, &info.name).await?;
    }
    check_eq!(schedules.list(queue, PageRequest::default()).await?.items, []);
    Ok(())
}
