//! Listing the members that were lost.

use store_core::{Member, Op, PageRequest, Timestamp};

use super::{LASTING, alive, beat, beat_for, lost, names};
use crate::case::cases;
use crate::fixture::{Fixture, look_again, ms, secs};
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

async fn a_member_is_lost_when_its_beat_ends(fixture: Fixture) -> Verdict {
    let pool = fixture.pool("pool");
    beat(&fixture, &pool, "one").await?;
    fixture.advance(LASTING - ms(1));
    check_eq!(names(&lost(&fixture, &pool).await?), [""; 0]);
    fixture.advance(ms(1));
    check_eq!(names(&lost(&fixture, &pool).await?), ["one"]);
    Ok(())
}

async fn the_latest_come_first(fixture: Fixture) -> Verdict {
    let pool = fixture.pool("pool");
    for (member, lasting) in [("a", 2), ("b", 3), ("c", 1), ("d", 60)] {
        beat_for(&fixture, &pool, member, secs(lasting)).await?;
    }
    fixture.advance(secs(10));
    check_eq!(names(&lost(&fixture, &pool).await?), ["b", "a", "c"]);
    Ok(())
}

async fn members_lost_at_one_moment_come_by_name(fixture: Fixture) -> Verdict {
    let pool = fixture.pool("pool");
    for member in ["b", "c", "a"] {
        beat(&fixture, &pool, member).await?;
    }
    fixture.advance(LASTING);
    check_eq!(names(&lost(&fixture, &pool).await?), ["a", "b", "c"]);
    Ok(())
}

async fn only_those_since_a_time_are_told(fixture: Fixture) -> Verdict {
    let pool = fixture.pool("pool");
    let began = fixture.now();
    for (member, lasting) in [("a", 1), ("b", 2), ("c", 3)] {
        beat_for(&fixture, &pool, member, secs(lasting)).await?;
    }
    fixture.advance(secs(10));
    for (since, expected) in [(secs(1), 3), (secs(2), 2), (secs(2) + ms(1), 1), (secs(4), 0)] {
        let page = fixture.state.lost(&pool, began.after(since), PageRequest::default()).await?;
        check_eq!(page.items.len(), expected);
    }
    Ok(())
}

async fn a_lost_member_is_shown_as_it_was(fixture: Fixture) -> Verdict {
    let (pool, since) = (fixture.pool("pool"), fixture.now());
    beat(&fixture, &pool, "one").await?;
    fixture.advance(secs(1));
    let last = fixture.now();
    let details = store_core::Beat::new(pool.clone(), crate::fixture::holder("one"), LASTING).with_details("busy");
    fixture.state.beat(&details).await?;
    fixture.advance(secs(60));
    let members = lost(&fixture, &pool).await?;
    check_eq!(names(&members), ["one"]);
    check_eq!((members[0].since, members[0].last, members[0].until), (since, last, last.after(LASTING)));
    check_eq!(members[0].details, "busy");
    Ok(())
}

async fn members_come_page_by_page(fixture: Fixture) -> Verdict {
    let pool = fixture.pool("pool");
    for number in 0..25 {
        // five at a time end together
        beat_for(&fixture, &pool, &format!("member-{number:02}"), secs(10 - number / 5)).await?;
    }
    fixture.advance(secs(60));
    let whole: Vec<String> = (0..25).map(|number| format!("member-{number:02}")).collect();
    for limit in [1, 7, 25] {
        let (mut found, mut request) = (Vec::new(), PageRequest::first(limit));
        loop {
            let page = fixture.state.lost(&pool, Timestamp::default(), request).await?;
            check!(page.items.len() <= limit as usize && found.len() <= 25, "the pages do not end");
            found.extend(page.items.iter().map(|member| member.name.to_string()));
            let Some(cursor) = page.next else { break };
            request = PageRequest::first(limit).with_cursor(cursor);
        }
        check_eq!(found, whole);
    }
    Ok(())
}

async fn members_are_forgotten_after_a_day(fixture: Fixture) -> Verdict {
    let pool = fixture.pool("pool");
    beat(&fixture, &pool, "one").await?;
    fixture.advance(LASTING + Member::LOST_KEPT_FOR);
    beat(&fixture, &pool, "two").await?;
    check_eq!(names(&lost(&fixture, &pool).await?), ["one"]);
    fixture.advance(ms(1));
    beat(&fixture, &pool, "two").await?;
    check_eq!(names(&lost(&fixture, &pool).await?), [""; 0]);
    Ok(())
}

async fn a_bounded_number_is_remembered(fixture: Fixture) -> Verdict {
    let pool = fixture.pool("pool");
    for number in 0..Member::LOST_KEPT_COUNT + 5 {
        beat_for(&fixture, &pool, &format!("member-{number:04}"), ms(10_000 + number as u64)).await?;
    }
    fixture.advance(secs(60));
    beat(&fixture, &pool, "survivor").await?;
    let members = lost(&fixture, &pool).await?;
    check_eq!(members.len(), Member::LOST_KEPT_COUNT);
    check_eq!(members.last().map(|member| member.name.as_str()), Some("member-0005"));
    Ok(())
}

async fn a_member_is_lost_by_the_clock_of_the_store(fixture: Fixture) -> Verdict {
    let fixture = fixture.on_server_clock().await?;
    let pool = fixture.pool("pool");
    beat(&fixture, &pool, "two").await?;
    beat_for(&fixture, &pool, "one", ms(30)).await?;
    while names(&lost(&fixture, &pool).await?) != ["one"] {
        look_again().await;
    }
    check_eq!(names(&alive(&fixture, &pool).await?), ["two"]);
    Ok(())
}
