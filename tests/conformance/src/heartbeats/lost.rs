//! Who was lost.

use store_core::{LOST_KEPT_COUNT, LOST_KEPT_FOR, Op, PageRequest, Timestamp};

use super::{LASTING, alive, beat, beat_for, lost, names};
use crate::case::cases;
use crate::stage::{Stage, look_again, ms, secs};
use crate::verdict::{Verdict, check, check_eq};

cases! { Op::HeartbeatLost;
    a_member_is_lost_when_its_beat_ends,
    a_member_is_lost_by_the_clock_of_the_store,
    the_latest_come_first,
    members_lost_at_one_moment_come_by_name,
    only_those_since_a_time_are_told,
    a_lost_member_is_shown_as_it_was,
    members_come_page_by_page,
    members_are_forgotten_after_a_day,
    a_bounded_number_is_remembered,
}

async fn a_member_is_lost_when_its_beat_ends(stage: Stage) -> Verdict {
    let pool = stage.pool("pool");
    beat(&stage, &pool, "one").await?;
    stage.advance(LASTING - ms(1));
    check_eq!(names(&lost(&stage, &pool).await?), [""; 0]);
    stage.advance(ms(1));
    check_eq!(names(&lost(&stage, &pool).await?), ["one"]);
    Ok(())
}

async fn the_latest_come_first(stage: Stage) -> Verdict {
    let pool = stage.pool("pool");
    for (member, lasting) in [("a", 2), ("b", 3), ("c", 1), ("d", 60)] {
        beat_for(&stage, &pool, member, secs(lasting)).await?;
    }
    stage.advance(secs(10));
    check_eq!(names(&lost(&stage, &pool).await?), ["b", "a", "c"]);
    Ok(())
}

async fn members_lost_at_one_moment_come_by_name(stage: Stage) -> Verdict {
    let pool = stage.pool("pool");
    for member in ["b", "c", "a"] {
        beat(&stage, &pool, member).await?;
    }
    stage.advance(LASTING);
    check_eq!(names(&lost(&stage, &pool).await?), ["a", "b", "c"]);
    Ok(())
}

async fn only_those_since_a_time_are_told(stage: Stage) -> Verdict {
    let pool = stage.pool("pool");
    let began = stage.now();
    for (member, lasting) in [("a", 1), ("b", 2), ("c", 3)] {
        beat_for(&stage, &pool, member, secs(lasting)).await?;
    }
    stage.advance(secs(10));
    for (since, expected) in [(secs(1), 3), (secs(2), 2), (secs(2) + ms(1), 1), (secs(4), 0)] {
        let page = stage.state.lost(&pool, began.after(since), PageRequest::default()).await?;
        check_eq!(page.items.len(), expected);
    }
    Ok(())
}

async fn a_lost_member_is_shown_as_it_was(stage: Stage) -> Verdict {
    let (pool, since) = (stage.pool("pool"), stage.now());
    beat(&stage, &pool, "one").await?;
    stage.advance(secs(1));
    let last = stage.now();
    let details = store_core::Beat::new(pool.clone(), crate::stage::holder("one"), LASTING).with_details("busy");
    stage.state.beat(&details).await?;
    stage.advance(secs(60));
    let members = lost(&stage, &pool).await?;
    check_eq!(names(&members), ["one"]);
    check_eq!((members[0].since, members[0].last, members[0].until), (since, last, last.after(LASTING)));
    check_eq!(members[0].details, "busy");
    Ok(())
}

async fn members_come_page_by_page(stage: Stage) -> Verdict {
    let pool = stage.pool("pool");
    for number in 0..25 {
        // five at a time end together
        beat_for(&stage, &pool, &format!("member-{number:02}"), secs(10 - number / 5)).await?;
    }
    stage.advance(secs(60));
    let whole: Vec<String> = (0..25).map(|number| format!("member-{number:02}")).collect();
    for limit in [1, 7, 25] {
        let (mut found, mut request) = (Vec::new(), PageRequest::first(limit));
        loop {
            let page = stage.state.lost(&pool, Timestamp::default(), request).await?;
            check!(page.items.len() <= limit as usize && found.len() <= 25, "the pages do not end");
            found.extend(page.items.iter().map(|member| member.name.to_string()));
            let Some(cursor) = page.next else { break };
            request = PageRequest::first(limit).after(cursor);
        }
        check_eq!(found, whole);
    }
    Ok(())
}

async fn members_are_forgotten_after_a_day(stage: Stage) -> Verdict {
    let pool = stage.pool("pool");
    beat(&stage, &pool, "one").await?;
    stage.advance(LASTING + LOST_KEPT_FOR);
    beat(&stage, &pool, "two").await?;
    check_eq!(names(&lost(&stage, &pool).await?), ["one"]);
    stage.advance(ms(1));
    beat(&stage, &pool, "two").await?;
    check_eq!(names(&lost(&stage, &pool).await?), [""; 0]);
    Ok(())
}

async fn a_bounded_number_is_remembered(stage: Stage) -> Verdict {
    let pool = stage.pool("pool");
    for number in 0..LOST_KEPT_COUNT + 5 {
        beat_for(&stage, &pool, &format!("member-{number:04}"), ms(10_000 + number as u64)).await?;
    }
    stage.advance(secs(60));
    beat(&stage, &pool, "survivor").await?;
    let members = lost(&stage, &pool).await?;
    check_eq!(members.len(), LOST_KEPT_COUNT);
    check_eq!(members.last().map(|member| member.name.as_str()), Some("member-0005"));
    Ok(())
}

async fn a_member_is_lost_by_the_clock_of_the_store(stage: Stage) -> Verdict {
    let stage = stage.on_server_clock().await?;
    let pool = stage.pool("pool");
    beat(&stage, &pool, "two").await?;
    beat_for(&stage, &pool, "one", ms(30)).await?;
    while names(&lost(&stage, &pool).await?) != ["one"] {
        look_again().await;
    }
    check_eq!(names(&alive(&stage, &pool).await?), ["two"]);
    Ok(())
}
