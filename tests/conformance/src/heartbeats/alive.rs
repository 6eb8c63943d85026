//! Listing the members that are alive.

use store_core::{Op, PageRequest};

use super::{LASTING, alive, beat, beat_for, names};
use crate::case::cases;
use crate::fixture::{Fixture, ms, secs};
use crate::verdict::{Verdict, check, check_eq};

cases! { Op::HeartbeatAlive;
    an_unknown_pool_has_nobody,
    members_come_by_name,
    a_member_is_alive_until_its_beat_ends,
    members_come_page_by_page,
    lost_members_between_do_not_shorten_the_listing,
}

async fn an_unknown_pool_has_nobody(fixture: Fixture) -> Verdict {
    let page = fixture.state.alive(&fixture.pool("pool"), PageRequest::default()).await?;
    check_eq!((page.items.len(), page.next), (0, None));
    Ok(())
}

async fn members_come_by_name(fixture: Fixture) -> Verdict {
    let pool = fixture.pool("pool");
    for (member, lasting) in [("c", 10), ("a", 30), ("B", 20), ("a-1", 5)] {
        beat_for(&fixture, &pool, member, secs(lasting)).await?;
    }
    check_eq!(names(&alive(&fixture, &pool).await?), ["B", "a", "a-1", "c"]);
    Ok(())
}

async fn a_member_is_alive_until_its_beat_ends(fixture: Fixture) -> Verdict {
    let pool = fixture.pool("pool");
    beat(&fixture, &pool, "one").await?;
    fixture.advance(LASTING - ms(1));
    check_eq!(names(&alive(&fixture, &pool).await?), ["one"]);
    fixture.advance(ms(1));
    check_eq!(names(&alive(&fixture, &pool).await?), [""; 0]);
    Ok(())
}

/// The names of all members that are alive, in pages of `limit`.
async fn paged(fixture: &Fixture, limit: u32) -> Result<Vec<String>, crate::BrokenPromise> {
    let (pool, mut found, mut request) = (fixture.pool("pool"), Vec::new(), PageRequest::first(limit));
    for _ in 0..100 {
        let page = fixture.state.alive(&pool, request).await?;
        check!(page.items.len() <= limit as usize, "a page of {limit} has {} members", page.items.len());
        found.extend(page.items.iter().map(|member| member.name.to_string()));
        match page.next {
            None => return Ok(found),
            Some(cursor) => request = PageRequest::first(limit).with_cursor(cursor),
        }
    }
    Err(crate::BrokenPromise::new("the cursor does not end"))
}

async fn members_come_page_by_page(fixture: Fixture) -> Verdict {
    let members: Vec<String> = (0..25).map(|number| format!("member-{number:02}")).collect();
    for member in &members {
        beat(&fixture, &fixture.pool("pool"), member).await?;
    }
    for limit in [1, 7, 25, 1000] {
        check_eq!(paged(&fixture, limit).await?, members);
    }
    Ok(())
}

async fn lost_members_between_do_not_shorten_the_listing(fixture: Fixture) -> Verdict {
    let pool = fixture.pool("pool");
    for number in 0..30 {
        let lasting = if number % 3 == 0 { secs(60) } else { secs(1) };
        beat_for(&fixture, &pool, &format!("member-{number:02}"), lasting).await?;
    }
    fixture.advance(secs(1));
    let expected: Vec<String> = (0..30).step_by(3).map(|number| format!("member-{number:02}")).collect();
    for limit in [1, 4, 1000] {
        check_eq!(paged(&fixture, limit).await?, expected);
    }
    Ok(())
}
