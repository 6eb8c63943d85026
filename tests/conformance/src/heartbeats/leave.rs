//! Orderly departures.

use store_core::Op;

use super::{LASTING, alive, beat, lost, names};
use crate::case::cases;
use crate::stage::{Stage, holder};
use crate::verdict::{Verdict, check, check_eq};

cases! { Op::HeartbeatLeave;
    a_member_that_leaves_is_neither_alive_nor_lost,
    a_lost_member_that_leaves_is_forgotten,
    an_unknown_member_was_not_alive,
    leaving_twice_finds_what_the_first_made,
}

async fn a_member_that_leaves_is_neither_alive_nor_lost(stage: Stage) -> Verdict {
    let pool = stage.pool("pool");
    for member in ["one", "two"] {
        beat(&stage, &pool, member).await?;
    }
    check!(stage.state.leave(&pool, &holder("one")).await?);
    check_eq!(names(&alive(&stage, &pool).await?), ["two"]);
    stage.advance(LASTING);
    check_eq!(names(&lost(&stage, &pool).await?), ["two"]);
    Ok(())
}

async fn a_lost_member_that_leaves_is_forgotten(stage: Stage) -> Verdict {
    let pool = stage.pool("pool");
    beat(&stage, &pool, "one").await?;
    stage.advance(LASTING);
    check_eq!(names(&lost(&stage, &pool).await?), ["one"]);
    check!(!stage.state.leave(&pool, &holder("one")).await?);
    check_eq!(names(&lost(&stage, &pool).await?), [""; 0]);
    Ok(())
}

async fn an_unknown_member_was_not_alive(stage: Stage) -> Verdict {
    check!(!stage.state.leave(&stage.pool("pool"), &holder("one")).await?);
    Ok(())
}

async fn leaving_twice_finds_what_the_first_made(stage: Stage) -> Verdict {
    let pool = stage.pool("pool");
    beat(&stage, &pool, "one").await?;
    let answers = [stage.state.leave(&pool, &holder("one")).await?, stage.state.leave(&pool, &holder("one")).await?];
    check_eq!(answers, [true, false]);
    Ok(())
}
