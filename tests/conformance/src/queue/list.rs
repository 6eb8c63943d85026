//! Listing the jobs of a state, page by page.

use store_core::{JobState, NewJob, Op, PageRequest, Priority};

use super::queue_fixture::{QueueFixture, job, kept};
use crate::case::cases;
use crate::fixture::{ms, secs};
use crate::verdict::{Verdict, check, check_eq};

cases! { Op::QueueList;
    an_unknown_queue_has_no_jobs,
    ready_jobs_come_in_the_order_of_their_claim: OneOrder,
    scheduled_jobs_come_by_their_times: OneOrder,
    running_jobs_come_by_the_ends_of_their_leases: OneOrder,
    completed_jobs_come_by_the_ends_of_their_times: OneOrder,
    completed_jobs_whose_time_is_over_are_not_listed,
    dead_jobs_come_by_their_deaths: OneOrder,
    each_state_lists_its_own,
    a_listed_job_is_shown_without_its_bytes,
    ready_jobs_come_page_by_page: OneOrder,
    scheduled_jobs_come_page_by_page: OneOrder,
    running_jobs_come_page_by_page: OneOrder,
    completed_jobs_come_page_by_page: OneOrder,
    dead_jobs_come_page_by_page: OneOrder,
    jobs_of_one_moment_are_each_listed_once,
    removed_jobs_are_not_listed,
    a_job_that_was_removed_and_pushed_again_has_the_priority_and_delay_of_its_last_push: OneOrder,
    a_cursor_survives_the_removal_of_what_was_read: OneOrder,
}

const NUMBER: usize = 25;

/// The ids of a state, in pages of `limit`; fails if a page is larger, or the cursor does not end.
async fn paged(queue: &QueueFixture, state: JobState, limit: u32) -> Result<Vec<String>, crate::BrokenPromise> {
    let (mut ids, mut request) = (Vec::new(), PageRequest::first(limit));
    for _ in 0..100 {
        let page = queue.fixture.state.list(&queue.name, state, request).await?;
        check!(page.items.len() <= limit as usize, "a page of {limit} has {} jobs", page.items.len());
        ids.extend(page.items.iter().map(|job| job.id.to_string()));
        match page.next {
            None => return Ok(ids),
            Some(cursor) => request = PageRequest::first(limit).with_cursor(cursor),
        }
    }
    Err(crate::BrokenPromise::new("the cursor does not end"))
}

/// The numbers of many jobs, in order.
fn numbers() -> Vec<String> {
    (0..NUMBER).map(|number| format!("{number:02}")).collect()
}

/// Jobs with these numbers, each with attributes that depend on its number.
fn numbered(adorn: impl Fn(NewJob, u64) -> NewJob) -> Vec<NewJob> {
    numbers().iter().zip(0..).map(|(id, number)| adorn(job(id), number)).collect()
}

async fn every_page_size_lists_all(queue: &QueueFixture, state: JobState) -> Verdict {
    for limit in [1, 7, NUMBER as u32, 1000] {
        check_eq!(paged(queue, state, limit).await?, numbers());
    }
    Ok(())
}

async fn an_unknown_queue_has_no_jobs(queue: QueueFixture) -> Verdict {
    for state in [JobState::Ready, JobState::Scheduled, JobState::Running, JobState::Completed, JobState::Dead] {
        let page = queue.fixture.state.list(&queue.name, state, PageRequest::default()).await?;
        check_eq!((page.items.len(), page.next), (0, None));
    }
    Ok(())
}

async fn ready_jobs_come_in_the_order_of_their_claim(queue: QueueFixture) -> Verdict {
    queue.push(&[job("c"), job("a").with_priority(Priority::Low), job("b")]).await?;
    queue.push_one(job("d").with_priority(Priority::Critical)).await?;
    check_eq!(queue.listed(JobState::Ready).await?, ["d", "c", "b", "a"]);
    check_eq!(queue.claim_ids(10).await?, ["d", "c", "b", "a"]);
    Ok(())
}

async fn scheduled_jobs_come_by_their_times(queue: QueueFixture) -> Verdict {
    let delays = [("a", 3, Priority::Critical), ("b", 1, Priority::Low), ("c", 2, Priority::Normal)];
    queue.push(&delays.map(|(id, delay, priority)| job(id).with_delay(secs(delay)).with_priority(priority))).await?;
    check_eq!(queue.listed(JobState::Scheduled).await?, ["b", "c", "a"]);
    Ok(())
}

async fn running_jobs_come_by_the_ends_of_their_leases(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a", "b", "c"]).await?;
    for lease in [3, 1, 2] {
        queue.claim_for(1, secs(lease)).await?;
    }
    check_eq!(queue.listed(JobState::Running).await?, ["b", "c", "a"]);
    Ok(())
}

async fn completed_jobs_come_by_the_ends_of_their_times(queue: QueueFixture) -> Verdict {
    for (id, lasting) in [("a", 3), ("b", 1), ("c", 2)] {
        queue.push_ids(&[id]).await?;
        let claimed = queue.claim_one().await?;
        queue.settle(&claimed.lease, kept("", secs(lasting))).await?;
    }
    check_eq!(queue.listed(JobState::Completed).await?, ["b", "c", "a"]);
    Ok(())
}

async fn completed_jobs_whose_time_is_over_are_not_listed(queue: QueueFixture) -> Verdict {
    for (id, lasting) in [("a", 1), ("b", 2), ("c", 3)] {
        queue.push_ids(&[id]).await?;
        let claimed = queue.claim_one().await?;
        queue.settle(&claimed.lease, kept("", secs(lasting))).await?;
    }
    queue.fixture.advance(secs(2));
    check_eq!(queue.listed(JobState::Completed).await?, ["c"]);
    Ok(())
}

async fn dead_jobs_come_by_their_deaths(queue: QueueFixture) -> Verdict {
    for id in ["c", "a", "b"] {
        queue.bury(id).await?;
        queue.fixture.advance(ms(1));
    }
    check_eq!(queue.listed(JobState::Dead).await?, ["c", "a", "b"]);
    Ok(())
}

async fn each_state_lists_its_own(queue: QueueFixture) -> Verdict {
    queue.bury("dead").await?;
    queue.finish("completed").await?;
    queue.push_ids(&["running"]).await?;
    queue.claim_one().await?;
    queue.push_ids(&["ready"]).await?;
    queue.push_one(job("scheduled").with_delay(secs(5))).await?;
    for (state, id) in [
        (JobState::Ready, "ready"),
        (JobState::Scheduled, "scheduled"),
        (JobState::Running, "running"),
        (JobState::Completed, "completed"),
        (JobState::Dead, "dead"),
    ] {
        check_eq!(queue.listed(state).await?, [id]);
    }
    Ok(())
}

async fn a_listed_job_is_shown_without_its_bytes(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let claimed = queue.claim_one().await?;
    queue.report(&claimed.lease, "half way").await?;
    let page = queue.fixture.state.list(&queue.name, JobState::Running, PageRequest::default()).await?;
    let (listed, mut whole) = (super::queue_fixture::only(page.items)?, queue.info("a").await?);
    check_eq!((listed.payload.len(), &listed.progress, &listed.result), (0, &None, &None));
    (whole.payload, whole.progress) = (listed.payload.clone(), None);
    check!(listed == whole, "the listing shows another job than looking at it does");
    Ok(())
}

async fn ready_jobs_come_page_by_page(queue: QueueFixture) -> Verdict {
    let priorities = Priority::ALL;
    queue.push(&numbered(|job, number| job.with_priority(priorities[number as usize * 4 / NUMBER]))).await?;
    every_page_size_lists_all(&queue, JobState::Ready).await
}

async fn scheduled_jobs_come_page_by_page(queue: QueueFixture) -> Verdict {
    queue.push(&numbered(|job, number| job.with_delay(ms(number + 1)))).await?;
    every_page_size_lists_all(&queue, JobState::Scheduled).await
}

async fn running_jobs_come_page_by_page(queue: QueueFixture) -> Verdict {
    queue.push(&numbered(|job, _| job)).await?;
    for number in 0..NUMBER as u64 {
        queue.claim_for(1, secs(number + 1)).await?;
    }
    every_page_size_lists_all(&queue, JobState::Running).await
}

async fn completed_jobs_come_page_by_page(queue: QueueFixture) -> Verdict {
    queue.push(&numbered(|job, _| job)).await?;
    for (claimed, lasting) in queue.claim(NUMBER).await?.jobs.iter().zip(1..) {
        queue.settle(&claimed.lease, kept("", secs(lasting))).await?;
    }
    every_page_size_lists_all(&queue, JobState::Completed).await
}

async fn dead_jobs_come_page_by_page(queue: QueueFixture) -> Verdict {
    for id in numbers() {
        queue.bury(&id).await?;
        queue.fixture.advance(ms(1));
    }
    every_page_size_lists_all(&queue, JobState::Dead).await
}

async fn jobs_of_one_moment_are_each_listed_once(queue: QueueFixture) -> Verdict {
    queue.push(&numbered(|job, _| job.with_delay(secs(1)))).await?;
    for limit in [1, 7] {
        let mut ids = paged(&queue, JobState::Scheduled, limit).await?;
        ids.sort_unstable();
        check_eq!(ids, numbers());
    }
    queue.fixture.advance(secs(1));
    queue.claim(NUMBER).await?;
    for limit in [1, 7] {
        let mut ids = paged(&queue, JobState::Running, limit).await?;
        ids.sort_unstable();
        check_eq!(ids, numbers());
    }
    Ok(())
}

async fn removed_jobs_are_not_listed(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a", "b", "c"]).await?;
    queue.cancel("a").await?;
    queue.push_one(job("a").with_delay(secs(5))).await?;
    queue.delete("c").await?;
    check_eq!(queue.listed(JobState::Ready).await?, ["b"]);
    check_eq!(queue.listed(JobState::Scheduled).await?, ["a"]);
    Ok(())
}

async fn a_job_that_was_removed_and_pushed_again_has_the_priority_and_delay_of_its_last_push(
    queue: QueueFixture,
) -> Verdict {
    let low = || job("a").with_priority(Priority::Low);
    queue.push(&[job("a").with_priority(Priority::Critical), job("b")]).await?;
    queue.cancel("a").await?;
    queue.push_one(low().with_delay(secs(5))).await?;
    check_eq!(queue.listed(JobState::Ready).await?, ["b"]);
    check_eq!(queue.listed(JobState::Scheduled).await?, ["a"]);
    queue.cancel("a").await?;
    queue.push_one(low()).await?;
    check_eq!(queue.listed(JobState::Ready).await?, ["b", "a"]);
    check_eq!(queue.claim_ids(10).await?, ["b", "a"]);
    Ok(())
}

async fn a_cursor_survives_the_removal_of_what_was_read(queue: QueueFixture) -> Verdict {
    queue.push(&numbered(|job, number| job.with_delay(ms(number + 1)))).await?;
    let first = queue.fixture.state.list(&queue.name, JobState::Scheduled, PageRequest::first(10)).await?;
    for job in &first.items {
        queue.fixture.state.cancel(&queue.name, &job.id).await?;
    }
    let cursor = first.next.ok_or_else(|| crate::BrokenPromise::new("the first page has no successor"))?;
    let rest = PageRequest::first(1000).with_cursor(cursor);
    let rest = queue.fixture.state.list(&queue.name, JobState::Scheduled, rest).await?;
    let ids: Vec<String> = rest.items.iter().map(|job| job.id.to_string()).collect();
    check_eq!(ids, numbers()[10..]);
    Ok(())
}
