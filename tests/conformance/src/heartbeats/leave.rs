//! Leaving a pool.

use store_core::Op;

use super::{LASTING, alive, beat, lost, names};
use crate::case::cases;
use crate::fixture::{Fixture, holder};
use crate::verdict::{Verdict, check, check_eq};

cases! { Op::HeartbeatLeave;
    a_member_that_leaves_is_neither_alive_nor_lost,
    a_lost_member_that_leaves_is_forgotten,
    an_unknown_member_was_not_alive,
    leaving_twice_finds_what_the_first_made,
}

async fn a_member_that_leaves_is_neither_alive_nor_lost(fixture: Fixture) -> Verdict {
    let pool = fixture.pool("pool");
    for member in ["one", "two"] {
        beat(&fixture, &pool, member).await?;
    }
    check!(fixture.state.leave(&pool, &holder("one")).await?);
    check_eq!(names(&alive(&fixture, &pool).await?), ["two"]);
    fixture.advance(LASTING);
    check_eq!(names(&lost(&fixture, &pool).await?), ["two"]);
    Ok(())
}

async fn a_lost_member_that_leaves_is_forgotten(fixture: Fixture) -> Verdict {
    let pool = fixture.pool("pool");
    beat(&fixture, &pool, "one").await?;
    fixture.advance(LASTING);
    check_eq!(names(&lost(&fixture, &pool).await?), ["one"]);
    check!(!fixture.state.leave(&pool, &holder("one")).await?);
    check_eq!(names(&lost(&fixture, &pool).await?), [""; 0]);
    Ok(())
}

async fn an_unknown_member_was_not_alive(fixture: Fixture) -> Verdict {
    check!(!fixture.state.leave(&fixture.pool("pool"), &holder("one")).await?);
    Ok(())
}

async fn leaving_twice_finds_what_the_first_made(fixture: Fixture) -> Verdict {
    let pool = fixture.pool("pool");
    beat(&fixture, &pool, "one").await?;
    let answers =
        [fixture.state.leave(&pool, &holder("one")).await?, fixture.state.leave(&pool, &holder("one")).await?];
    check_eq!(answers, [true, false]);
    Ok(())
}
