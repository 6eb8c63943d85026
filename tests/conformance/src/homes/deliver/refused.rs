//! Deliveries that are refused or fail, and what becomes of their entries.

use std::time::Duration;

use store_core::{Commit, Delivered, Delivery, Error, NewEvent, NewJob, Op, Outcome, Settlement, TopicConfig};

use crate::case::cases;
use crate::fixture::{Fixture, secs};
use crate::homes::{ACCEPTED, AtHome};
use crate::queue::queue_fixture::{job, job_id};
use crate::verdict::{Verdict, check, check_eq, check_matches};

cases! { Op::HomeDeliver;
    an_id_that_is_taken_refuses_the_entry_until_it_is_replayed,
    of_two_jobs_with_one_id_the_second_is_refused,
    a_topic_that_was_not_declared_refuses_the_entry_until_it_is_replayed,
    what_is_no_entry_is_refused,
    an_entry_that_fails_for_seven_days_is_dead,
    a_store_that_declares_other_partitions_leaves_the_entry_alive: Reopen,
    a_queue_is_no_outbox,
    a_delivery_above_a_limit_is_refused,
}

async fn an_id_that_is_taken_refuses_the_entry_until_it_is_replayed(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    let (state, other) = (&at.queue.fixture.state, at.other_queue());
    check!(state.push(&other, &[job("own")], ACCEPTED).await?.value[0].is_new());
    at.records([at.elsewhere(NewJob::new("new").with_id(job_id("own")))]).await?;
    let refused = at.deliver(&at.entry().await?).await?;
    check_matches!(&refused, Delivered::Refused(why) if why.contains("a job with this id"));
    check_eq!(at.taken().await?, [b"own".to_vec()]);
    check_eq!(at.replays().await?.map(Delivered::Refused), Some(refused));
    check_eq!(at.deliver(&at.entry().await?).await?, Delivered::Done);
    check_eq!(at.taken().await?, [b"new".to_vec()]);
    Ok(())
}

async fn of_two_jobs_with_one_id_the_second_is_refused(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    let named = |payload| at.elsewhere(NewJob::new(payload).with_id(job_id("own")));
    at.records([named("a"), named("b")]).await?;
    let (mut done, mut refused) = (0, 0);
    for entry in at.entries().await? {
        match at.deliver(&entry).await? {
            Delivered::Done => done += 1,
            Delivered::Refused(why) => refused += usize::from(why.contains("a job with this id")),
            Delivered::Lost => {}
        }
    }
    check_eq!((done, refused, at.taken().await?.len()), (1, 1, 1));
    let _ = at.replays().await?;
    check_eq!((at.deliver(&at.entry().await?).await?, at.taken().await?.len()), (Delivered::Done, 1));
    Ok(())
}

async fn a_topic_that_was_not_declared_refuses_the_entry_until_it_is_replayed(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    at.records([Delivery::event(at.topic(), NewEvent::new("paid"))]).await?;
    check_matches!(at.deliver(&at.entry().await?).await?, Delivered::Refused(_));
    check_eq!(at.replays().await?, Some(format!("the topic `{}` was not declared", at.topic())));
    at.queue.fixture.state.topics().declare(&at.topic(), &TopicConfig::default()).await?;
    check_eq!((at.deliver(&at.entry().await?).await?, at.appended(1).await?.len()), (Delivered::Done, 1));
    Ok(())
}

async fn what_is_no_entry_is_refused(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    let payloads = [&b""[..], b"hello", b"1\0\0\0\xffshort", b"1\0\0\0\x02{}"];
    let jobs: Vec<NewJob> = payloads.iter().map(|payload| NewJob::new(*payload)).collect();
    let _ = at.queue.fixture.state.push(&at.outbox(), &jobs, ACCEPTED).await?;
    let entries = at.entries().await?;
    check_eq!(entries.len(), 4);
    for entry in entries {
        check_matches!(at.deliver(&entry).await?, Delivered::Refused(why) if why.contains("is no entry"));
    }
    check_eq!(at.queue.fixture.state.counts(&at.outbox()).await?.dead, 4);
    let _ = at.queue.fixture.state.push(&at.outbox(), &[NewJob::new("2...")], ACCEPTED).await?;
    check_matches!(at.deliver(&at.entry().await?).await, Err(Error::Unsupported { .. }));
    Ok(())
}

async fn an_entry_that_fails_for_seven_days_is_dead(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    at.records([at.elsewhere(NewJob::new("a"))]).await?;
    let failed = Outcome::Retry { after: Duration::from_secs(1), error: "the server is away".to_owned() };
    let attempt = [Settlement::new(at.entry().await?.job.lease, failed)];
    let _ = at.queue.fixture.state.settle(&at.outbox(), &attempt, ACCEPTED).await?;
    at.queue.fixture.advance(Delivery::LIFE + secs(1));
    let why = "deadline; the last attempt failed: the server is away";
    check_eq!(at.deliver(&at.entry().await?).await?, Delivered::Refused(why.to_owned()));
    check_eq!(at.replays().await?.as_deref(), Some(why));
    check_eq!((at.deliver(&at.entry().await?).await?, at.arrived().await?), (Delivered::Done, 1));
    Ok(())
}

/// The fault is that of the process, not of the entry.
async fn a_store_that_declares_other_partitions_leaves_the_entry_alive(fixture: Fixture) -> Verdict {
    let mut at = AtHome::new(fixture).await?;
    let target = at.other_queue();
    check!(at.queue.fixture.state.push(&target, &[job("first")], ACCEPTED).await?.value[0].is_new());
    at.records([at.elsewhere(NewJob::new("a"))]).await?;
    let entry = at.entry().await?;
    at = at.declaring([(target, 7)]).await?;
    check_matches!(at.deliver(&entry).await, Err(Error::InvalidArgument { .. }));
    let counts = at.queue.fixture.state.counts(&at.outbox()).await?;
    check_eq!((counts.running, counts.dead), (1, 0));
    at = at.declaring([]).await?;
    check_eq!(at.deliver(&entry).await?, Delivered::Done);
    check_eq!(at.taken().await?, [b"a".to_vec(), b"first".to_vec()]);
    Ok(())
}

async fn a_queue_is_no_outbox(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    at.records([at.elsewhere(NewJob::new("a"))]).await?;
    let mut entry = at.entry().await?;
    entry.outbox = at.queue.name.clone();
    check_matches!(at.deliver(&entry).await, Err(Error::InvalidArgument { .. }));
    let nested = Delivery::job(at.outbox(), NewJob::new("a"));
    check_matches!(at.commit(&at.bare().with_delivery(nested)).await, Err(Error::InvalidArgument { .. }));
    Ok(())
}

async fn a_delivery_above_a_limit_is_refused(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    let one = |payload: usize| at.elsewhere(NewJob::new(vec![0; payload]));
    let many =
        (0..Commit::MAX_JOBS).fold(at.bare().with_job(NewJob::new("a")), |commit, _| commit.with_delivery(one(1)));
    let event = Delivery::event(at.topic(), NewEvent::new(vec![0; NewEvent::MAX_BYTES + 1]));
    let large = [one(NewJob::MAX_PAYLOAD_BYTES), one(NewJob::MAX_PAYLOAD_BYTES + 1), event];
    let large = large.map(|delivery| at.bare().with_delivery(delivery));
    for commit in large.into_iter().chain([many]) {
        check_matches!(at.commit(&commit).await, Err(Error::InvalidArgument { op: Op::HomeCommit, .. }));
    }
    at.records([one(NewJob::MAX_PAYLOAD_BYTES - 4096)]).await?;
    check_eq!((at.deliver(&at.entry().await?).await?, at.arrived().await?), (Delivered::Done, 1));
    Ok(())
}
