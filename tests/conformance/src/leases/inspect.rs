//! Inspecting leases.

use store_core::Op;

use super::{LASTING, taken_by};
use crate::case::cases;
use crate::fixture::{Fixture, ms};
use crate::verdict::{Verdict, check_eq};

cases! { Op::LeaseInspect;
    a_held_lease_is_shown,
    a_free_lease_is_not,
    a_lease_that_ran_out_is_not,
    a_released_lease_is_not,
}

async fn a_held_lease_is_shown(fixture: Fixture) -> Verdict {
    let name = fixture.lease("lease");
    let held = taken_by(&fixture, &name, "one").await?;
    check_eq!(fixture.state.inspect(&name).await?, Some(held.info()));
    Ok(())
}

async fn a_free_lease_is_not(fixture: Fixture) -> Verdict {
    check_eq!(fixture.state.inspect(&fixture.lease("lease")).await?, None);
    Ok(())
}

async fn a_lease_that_ran_out_is_not(fixture: Fixture) -> Verdict {
    let name = fixture.lease("lease");
    let held = taken_by(&fixture, &name, "one").await?;
    fixture.advance(LASTING - ms(1));
    check_eq!(fixture.state.inspect(&name).await?, Some(held.info()));
    fixture.advance(ms(1));
    check_eq!(fixture.state.inspect(&name).await?, None);
    Ok(())
}

async fn a_released_lease_is_not(fixture: Fixture) -> Verdict {
    let name = fixture.lease("lease");
    let held = taken_by(&fixture, &name, "one").await?;
    fixture.state.release(&held).await?;
    check_eq!(fixture.state.inspect(&name).await?, None);
    Ok(())
}
