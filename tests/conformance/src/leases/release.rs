//! Releasing leases.

use store_core::Op;

use super::{LASTING, taken_by};
use crate::case::cases;
use crate::fixture::Fixture;
use crate::verdict::{Verdict, check, check_eq};

cases! { Op::LeaseRelease;
    a_held_lease_is_given_back,
    giving_back_twice_answers_the_same,
    a_lease_that_ran_out_is_not_held,
    a_lease_of_somebody_else_stays,
    a_released_lease_that_somebody_acquired_since_is_not_held,
    an_unknown_lease_is_not_held,
}

async fn a_held_lease_is_given_back(fixture: Fixture) -> Verdict {
    let name = fixture.lease("lease");
    let held = taken_by(&fixture, &name, "one").await?;
    check!(fixture.state.release(&held).await?);
    check_eq!(fixture.state.inspect(&name).await?, None);
    Ok(())
}

async fn giving_back_twice_answers_the_same(fixture: Fixture) -> Verdict {
    let held = taken_by(&fixture, &fixture.lease("lease"), "one").await?;
    check_eq!([fixture.state.release(&held).await?, fixture.state.release(&held).await?], [true, true]);
    Ok(())
}

async fn a_lease_that_ran_out_is_not_held(fixture: Fixture) -> Verdict {
    let held = taken_by(&fixture, &fixture.lease("lease"), "one").await?;
    fixture.advance(LASTING);
    check!(!fixture.state.release(&held).await?);
    Ok(())
}

async fn a_lease_of_somebody_else_stays(fixture: Fixture) -> Verdict {
    let name = fixture.lease("lease");
    let first = taken_by(&fixture, &name, "one").await?;
    fixture.advance(LASTING);
    let second = taken_by(&fixture, &name, "two").await?;
    check!(!fixture.state.release(&first).await?);
    check_eq!(fixture.state.inspect(&name).await?, Some(second.info()));
    Ok(())
}

async fn a_released_lease_that_somebody_acquired_since_is_not_held(fixture: Fixture) -> Verdict {
    let name = fixture.lease("lease");
    let first = taken_by(&fixture, &name, "one").await?;
    check!(fixture.state.release(&first).await?);
    let second = taken_by(&fixture, &name, "two").await?;
    check!(!fixture.state.release(&first).await?);
    check_eq!(fixture.state.inspect(&name).await?, Some(second.info()));
    Ok(())
}

async fn an_unknown_lease_is_not_held(fixture: Fixture) -> Verdict {
    let mut held = taken_by(&fixture, &fixture.lease("lease"), "one").await?;
    held.name = fixture.lease("unknown");
    check!(!fixture.state.release(&held).await?);
    Ok(())
}
