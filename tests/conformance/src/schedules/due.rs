//! Which schedules are due.

use store_core::{NewJob, Op, Schedule};

use super::{advance, after, due, minutely, put, tick, watched};
use crate::case::cases;
use crate::fixture::{Fixture, ms, secs};
use crate::verdict::{Verdict, check, check_eq};

cases! { Op::ScheduleDue;
    a_new_schedule_is_due_to_have_its_time_computed,
    a_schedule_is_due_at_its_very_time,
    the_earliest_come_first_up_to_the_limit,
    a_schedule_without_another_time_is_not_due,
    it_is_due_by_the_clock_of_the_store,
}

fn names(due: &store_core::DueSchedules) -> Vec<&str> {
    due.schedules.iter().map(|info| info.name.as_str()).collect()
}

async fn a_new_schedule_is_due_to_have_its_time_computed(fixture: Fixture) -> Verdict {
    put(&fixture, "report", &minutely("report")).await?;
    let read = due(&fixture).await?;
    check_eq!((read.now, names(&read), read.next_in), (fixture.now(), vec!["report"], None));
    let plan = read.schedules[0].plan(read.now);
    check!(plan.due.is_empty() && plan.next == Some(fixture.now().after(secs(60))));
    advance(&fixture, &plan).await?;
    let read = due(&fixture).await?;
    check_eq!((names(&read), read.next_in), (vec![], Some(secs(60))));
    Ok(())
}

async fn a_schedule_is_due_at_its_very_time(fixture: Fixture) -> Verdict {
    watched(&fixture, "report", &minutely("report")).await?;
    fixture.advance(secs(60) - ms(1));
    let read = due(&fixture).await?;
    check_eq!((names(&read), read.next_in), (vec![], Some(ms(1))));
    fixture.advance(ms(1));
    check_eq!(names(&due(&fixture).await?), ["report"]);
    check_eq!(tick(&fixture).await?.len(), 1);
    check_eq!(due(&fixture).await?.next_in, Some(secs(60)));
    Ok(())
}

async fn the_earliest_come_first_up_to_the_limit(fixture: Fixture) -> Verdict {
    for seconds in [40, 20, 30, 50] {
        let schedule = Schedule::every(secs(seconds), NewJob::new("report"))?.with_anchor(fixture.now());
        watched(&fixture, &format!("every-{seconds}"), &schedule).await?;
    }
    fixture.advance(secs(45));
    let first = async |limit| fixture.state.schedules().due(&fixture.queue("queue"), limit).await;
    let read = first(2).await?;
    check_eq!((names(&read), read.next_in), (vec!["every-20", "every-30"], Some(ms(0))));
    let read = first(3).await?;
    check_eq!((names(&read), read.next_in), (vec!["every-20", "every-30", "every-40"], Some(secs(5))));
    check_eq!(names(&first(0).await?), ["every-20"]);
    Ok(())
}

async fn a_schedule_without_another_time_is_not_due(fixture: Fixture) -> Verdict {
    // The clock of a case starts at 2027-01-15 08:00:00.
    let once = Schedule::cron("0 1 8 15 1 * 2027", "UTC", NewJob::new("report"))?;
    watched(&fixture, "once", &once).await?;
    check_eq!(due(&fixture).await?.next_in, Some(secs(60)));
    check_eq!(after(&fixture, 60).await?, [60]);
    let read = due(&fixture).await?;
    check_eq!((names(&read), read.next_in), (vec![], None));
    check_eq!(super::get(&fixture, "once").await?.and_then(|info| info.next()), None);
    Ok(())
}

async fn it_is_due_by_the_clock_of_the_store(fixture: Fixture) -> Verdict {
    let fixture = fixture.on_server_clock().await?;
    watched(&fixture, "report", &Schedule::every(ms(50), NewJob::new("report"))?).await?;
    let mut fired = Vec::new();
    while fired.len() < 3 {
        let read = due(&fixture).await?;
        fired.extend(tick(&fixture).await?.iter().filter_map(Schedule::time_of));
        check!(fired.iter().all(|time| *time <= read.now.after(secs(1))));
        crate::fixture::look_again().await;
    }
    check!(fired.is_sorted_by(|one, other| one < other), "{fired:?}");
    Ok(())
}
