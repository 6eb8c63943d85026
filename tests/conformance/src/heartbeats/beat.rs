//! Sending heartbeats.

use store_core::{Beat, Error, Member, Op};

use super::{LASTING, alive, beat, beat_for, lost, names};
use crate::case::cases;
use crate::fixture::{Fixture, holder, ms, secs};
use crate::verdict::{Verdict, check, check_eq, check_matches};

cases! { Op::HeartbeatBeat;
    the_first_beat_begins_the_time_in_the_pool,
    further_beats_prolong_it,
    details_are_replaced,
    a_beat_may_end_sooner_than_the_one_before,
    a_lost_member_that_comes_back_begins_anew,
    a_member_that_left_and_comes_back_begins_anew,
    a_member_is_in_each_of_its_pools,
    beats_outside_their_bounds_are_refused,
    the_largest_details_are_kept,
}

async fn the_first_beat_begins_the_time_in_the_pool(fixture: Fixture) -> Verdict {
    let pool = fixture.pool("pool");
    fixture.state.beat(&Beat::new(pool.clone(), holder("one"), LASTING).with_details("idle")).await?;
    let now = fixture.now();
    let expected = Member::new(holder("one"), now, now, now.after(LASTING)).with_details("idle");
    check!(alive(&fixture, &pool).await? == [expected], "{:?}", alive(&fixture, &pool).await?);
    Ok(())
}

async fn further_beats_prolong_it(fixture: Fixture) -> Verdict {
    let pool = fixture.pool("pool");
    let since = fixture.now();
    for _ in 0..5 {
        beat(&fixture, &pool, "one").await?;
        fixture.advance(LASTING - ms(1));
    }
    let members = alive(&fixture, &pool).await?;
    check_eq!(names(&members), ["one"]);
    let last = since.after((LASTING - ms(1)) * 4);
    check_eq!((members[0].since, members[0].last, members[0].until), (since, last, last.after(LASTING)));
    Ok(())
}

async fn details_are_replaced(fixture: Fixture) -> Verdict {
    let pool = fixture.pool("pool");
    for details in ["idle", "busy", ""] {
        fixture.state.beat(&Beat::new(pool.clone(), holder("one"), LASTING).with_details(details)).await?;
        check_eq!(alive(&fixture, &pool).await?[0].details, details);
    }
    Ok(())
}

async fn a_beat_may_end_sooner_than_the_one_before(fixture: Fixture) -> Verdict {
    let pool = fixture.pool("pool");
    beat_for(&fixture, &pool, "one", secs(60)).await?;
    beat_for(&fixture, &pool, "one", secs(1)).await?;
    fixture.advance(secs(1));
    check_eq!(names(&alive(&fixture, &pool).await?), [""; 0]);
    Ok(())
}

async fn a_lost_member_that_comes_back_begins_anew(fixture: Fixture) -> Verdict {
    let pool = fixture.pool("pool");
    beat(&fixture, &pool, "one").await?;
    fixture.advance(LASTING);
    beat(&fixture, &pool, "one").await?;
    check_eq!(alive(&fixture, &pool).await?[0].since, fixture.now());
    check_eq!(names(&lost(&fixture, &pool).await?), [""; 0]);
    Ok(())
}

async fn a_member_that_left_and_comes_back_begins_anew(fixture: Fixture) -> Verdict {
    let pool = fixture.pool("pool");
    beat(&fixture, &pool, "one").await?;
    fixture.state.leave(&pool, &holder("one")).await?;
    fixture.advance(ms(1));
    beat(&fixture, &pool, "one").await?;
    check_eq!(alive(&fixture, &pool).await?[0].since, fixture.now());
    Ok(())
}

async fn a_member_is_in_each_of_its_pools(fixture: Fixture) -> Verdict {
    let pools = ["a", "b"].map(|pool| fixture.pool(pool));
    for pool in &pools {
        beat(&fixture, pool, "one").await?;
    }
    fixture.state.leave(&pools[0], &holder("one")).await?;
    check_eq!(alive(&fixture, &pools[0]).await?.len(), 0);
    check_eq!(alive(&fixture, &pools[1]).await?.len(), 1);
    Ok(())
}

async fn beats_outside_their_bounds_are_refused(fixture: Fixture) -> Verdict {
    let pool = fixture.pool("pool");
    let beat = |lasting| Beat::new(pool.clone(), holder("one"), lasting);
    let too_large = beat(LASTING).with_details(vec![0; Beat::MAX_DETAILS_BYTES + 1]);
    for bad in [beat(ms(9)), beat(secs(31 * 86400)), too_large] {
        check_matches!(fixture.state.beat(&bad).await, Err(Error::InvalidArgument { op: Op::HeartbeatBeat, .. }));
    }
    check_eq!(alive(&fixture, &pool).await?.len(), 0);
    Ok(())
}

async fn the_largest_details_are_kept(fixture: Fixture) -> Verdict {
    let pool = fixture.pool("pool");
    let details: Vec<u8> = (0..Beat::MAX_DETAILS_BYTES).map(|byte| byte as u8).collect();
    fixture.state.beat(&Beat::new(pool.clone(), holder("one"), LASTING).with_details(details.clone())).await?;
    check!(alive(&fixture, &pool).await?[0].details == details, "other details came back");
    Ok(())
}
