//! Looking at leases.

use store_core::Op;

use super::{LASTING, taken_by};
use crate::case::cases;
use crate::stage::{Stage, ms};
use crate::verdict::{Verdict, check_eq};

cases! { Op::LeaseInspect;
    a_held_lease_is_shown,
    a_free_lease_is_not,
    a_lease_that_ran_out_is_not,
    a_released_lease_is_not,
}

async fn a_held_lease_is_shown(stage: Stage) -> Verdict {
    let name = stage.lease("lease");
    let held = taken_by(&stage, &name, "one").await?;
    check_eq!(stage.state.inspect(&name).await?, Some(held));
    Ok(())
}

async fn a_free_lease_is_not(stage: Stage) -> Verdict {
    check_eq!(stage.state.inspect(&stage.lease("lease")).await?, None);
    Ok(())
}

async fn a_lease_that_ran_out_is_not(stage: Stage) -> Verdict {
    let name = stage.lease("lease");
    let held = taken_by(&stage, &name, "one").await?;
    stage.advance(LASTING - ms(1));
    check_eq!(stage.state.inspect(&name).await?, Some(held));
    stage.advance(ms(1));
    check_eq!(stage.state.inspect(&name).await?, None);
    Ok(())
}

async fn a_released_lease_is_not(stage: Stage) -> Verdict {
    let name = stage.lease("lease");
    let held = taken_by(&stage, &name, "one").await?;
    stage.state.release(&held).await?;
    check_eq!(stage.state.inspect(&name).await?, None);
    Ok(())
}
