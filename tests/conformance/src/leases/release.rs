//! Giving leases back.

use store_core::Op;

use super::{LASTING, taken_by};
use crate::case::cases;
use crate::stage::Stage;
use crate::verdict::{Verdict, check, check_eq};

cases! { Op::LeaseRelease;
    a_held_lease_is_given_back,
    giving_back_twice_answers_the_same,
    a_lease_that_ran_out_is_not_held,
    a_lease_of_somebody_else_stays,
    an_unknown_lease_is_not_held,
}

async fn a_held_lease_is_given_back(stage: Stage) -> Verdict {
    let name = stage.lease("lease");
    let held = taken_by(&stage, &name, "one").await?;
    check!(stage.state.release(&held).await?);
    check_eq!(stage.state.inspect(&name).await?, None);
    Ok(())
}

async fn giving_back_twice_answers_the_same(stage: Stage) -> Verdict {
    let held = taken_by(&stage, &stage.lease("lease"), "one").await?;
    check_eq!([stage.state.release(&held).await?, stage.state.release(&held).await?], [true, true]);
    Ok(())
}

async fn a_lease_that_ran_out_is_not_held(stage: Stage) -> Verdict {
    let held = taken_by(&stage, &stage.lease("lease"), "one").await?;
    stage.advance(LASTING);
    check!(!stage.state.release(&held).await?);
    Ok(())
}

async fn a_lease_of_somebody_else_stays(stage: Stage) -> Verdict {
    let name = stage.lease("lease");
    let first = taken_by(&stage, &name, "one").await?;
    stage.advance(LASTING);
    let second = taken_by(&stage, &name, "two").await?;
    check!(!stage.state.release(&first).await?);
    check_eq!(stage.state.inspect(&name).await?, Some(second.clone()));
    stage.state.release(&second).await?;
    taken_by(&stage, &name, "three").await?;
    check!(!stage.state.release(&second).await?);
    Ok(())
}

async fn an_unknown_lease_is_not_held(stage: Stage) -> Verdict {
    let mut held = taken_by(&stage, &stage.lease("lease"), "one").await?;
    held.name = stage.lease("unknown");
    check!(!stage.state.release(&held).await?);
    Ok(())
}
