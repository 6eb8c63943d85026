//! What becomes of missed times.

use store_core::{CatchUp, NewJob, Op, Schedule};

use super::{after, get, put, tick, watched, with};
use crate::case::cases;
use crate::fixture::{Fixture, secs};
use crate::verdict::{Verdict, check_eq};

cases! { Op::ScheduleAdvance;
    skip_fires_the_last_time_if_it_is_not_old,
    skip_drops_what_is_older_than_the_grace,
    one_fires_once_for_all,
    all_fires_the_last_up_to_its_number,
    a_local_time_follows_the_clock_changes_of_its_zone,
    a_time_between_two_ticks_is_on_time,
}

async fn skip_fires_the_last_time_if_it_is_not_old(fixture: Fixture) -> Verdict {
    watched(&fixture, "report", &with(CatchUp::Skip)).await?;
    check_eq!(after(&fixture, 60).await?, [60]);
    check_eq!(after(&fixture, 179).await?, [180]);
    let last = get(&fixture, "report").await?.and_then(|info| info.last);
    check_eq!(last.map(|last| (last.jobs, last.missed)), Some((1, 1)));
    Ok(())
}

async fn skip_drops_what_is_older_than_the_grace(fixture: Fixture) -> Verdict {
    watched(&fixture, "report", &with(CatchUp::Skip).with_grace(secs(5))).await?;
    check_eq!(after(&fixture, 65).await?, [60]);
    check_eq!(after(&fixture, 121).await?, [0_u64; 0]); // at 186
    check_eq!(get(&fixture, "report").await?.map(|info| info.since.as_millis()), Some(1_800_000_180_000));
    check_eq!(after(&fixture, 54).await?, [240]);
    Ok(())
}

async fn one_fires_once_for_all(fixture: Fixture) -> Verdict {
    watched(&fixture, "report", &with(CatchUp::One)).await?;
    check_eq!(after(&fixture, 7200).await?, [7200]);
    let last = get(&fixture, "report").await?.and_then(|info| info.last);
    check_eq!(last.map(|last| (last.jobs, last.missed)), Some((1, 119)));
    check_eq!(after(&fixture, 61).await?, [7260]);
    Ok(())
}

async fn all_fires_the_last_up_to_its_number(fixture: Fixture) -> Verdict {
    watched(&fixture, "report", &with(CatchUp::All(3))).await?;
    check_eq!(after(&fixture, 119).await?, [60]);
    check_eq!(after(&fixture, 61).await?, [120, 180]);
    check_eq!(after(&fixture, 600).await?, [660, 720, 780]);
    let last = get(&fixture, "report").await?.and_then(|info| info.last);
    check_eq!(last.map(|last| (last.jobs, last.missed)), Some((3, 7)));
    Ok(())
}

async fn a_local_time_follows_the_clock_changes_of_its_zone(fixture: Fixture) -> Verdict {
    // The clock of a case starts at 2027-01-15 08:00 UTC. In 2027, Berlin changes its clocks on March 28 and October 31.
    let job = NewJob::new("report");
    let daily = Schedule::cron("30 2 * * *", "Europe/Berlin", job)?.with_catch_up(CatchUp::All(100));
    put(&fixture, "daily", &daily).await?;
    tick(&fixture).await?;
    let day = 86_400;
    fixture.advance(secs(71 * day)); // March 27, 08:00 UTC
    tick(&fixture).await?;
    let local = |days: u64, minutes: u64| days * day - 8 * 3600 + minutes * 60;
    check_eq!(after(&fixture, 3 * day).await?, [local(72, 60), local(73, 30), local(74, 30)]);
    fixture.advance(secs(99 * day));
    tick(&fixture).await?;
    fixture.advance(secs(99 * day));
    tick(&fixture).await?;
    fixture.advance(secs(16 * day)); // October 30
    tick(&fixture).await?;
    check_eq!(after(&fixture, 3 * day).await?, [local(289, 30), local(290, 90), local(291, 90)]);
    Ok(())
}

async fn a_time_between_two_ticks_is_on_time(fixture: Fixture) -> Verdict {
    watched(&fixture, "report", &with(CatchUp::Skip).with_grace(secs(30))).await?;
    check_eq!(after(&fixture, 89).await?, [60]);
    check_eq!(after(&fixture, 30).await?, [0_u64; 0]);
    check_eq!(after(&fixture, 2).await?, [120]);
    Ok(())
}
