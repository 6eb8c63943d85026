//! Holding on to leases.

use store_core::{Error, Fence, Op};

use super::{LASTING, taken_by};
use crate::case::cases;
use crate::stage::{Stage, ms, secs};
use crate::verdict::{Verdict, check, check_eq, check_matches};

cases! { Op::LeaseRenew;
    a_renewed_lease_lasts_from_now,
    a_renewal_may_shorten_it,
    of_renewals_at_the_same_time_the_one_made_last_counts,
    a_lease_that_ran_out_is_lost,
    a_released_lease_is_lost,
    a_lease_of_somebody_else_is_lost,
    an_unknown_lease_is_lost,
    a_lost_renewal_changes_nothing,
    a_time_outside_its_range_is_refused,
}

async fn a_renewed_lease_lasts_from_now(stage: Stage) -> Verdict {
    let name = stage.lease("lease");
    let mut held = taken_by(&stage, &name, "one").await?;
    stage.advance(LASTING - ms(1));
    let until = stage.now().after(secs(60));
    check_eq!(stage.state.renew(&held, secs(60)).await?, Some(until));
    held.until = until;
    check_eq!(stage.state.inspect(&name).await?, Some(held.clone()));
    stage.advance(secs(60) - ms(1));
    check_eq!(stage.state.inspect(&name).await?, Some(held));
    Ok(())
}

async fn a_renewal_may_shorten_it(stage: Stage) -> Verdict {
    let name = stage.lease("lease");
    let held = taken_by(&stage, &name, "one").await?;
    check_eq!(stage.state.renew(&held, secs(1)).await?, Some(stage.now().after(secs(1))));
    stage.advance(secs(1));
    taken_by(&stage, &name, "two").await?;
    Ok(())
}

/// Which of them arrives last is random.
async fn of_renewals_at_the_same_time_the_one_made_last_counts(stage: Stage) -> Verdict {
    let held = taken_by(&stage, &stage.lease("lease"), "one").await?;
    for round in 1..=20 {
        let longest = stage.now().after(secs(100 + round));
        let (shorter, longer) =
            tokio::join!(stage.state.renew(&held, secs(50)), stage.state.renew(&held, secs(100 + round)));
        check!([stage.now().after(secs(50)), longest].map(Some).contains(&shorter?));
        check_eq!(longer?, Some(longest));
        check_eq!(stage.state.inspect(&held.name).await?.map(|lease| lease.until), Some(longest));
    }
    Ok(())
}

async fn a_lease_that_ran_out_is_lost(stage: Stage) -> Verdict {
    let held = taken_by(&stage, &stage.lease("lease"), "one").await?;
    stage.advance(LASTING);
    check_eq!(stage.state.renew(&held, LASTING).await?, None);
    Ok(())
}

async fn a_released_lease_is_lost(stage: Stage) -> Verdict {
    let held = taken_by(&stage, &stage.lease("lease"), "one").await?;
    stage.state.release(&held).await?;
    check_eq!(stage.state.renew(&held, LASTING).await?, None);
    Ok(())
}

async fn a_lease_of_somebody_else_is_lost(stage: Stage) -> Verdict {
    let name = stage.lease("lease");
    let first = taken_by(&stage, &name, "one").await?;
    stage.advance(LASTING);
    let second = taken_by(&stage, &name, "two").await?;
    check_eq!(stage.state.renew(&first, secs(60)).await?, None);
    let mut forged = second.clone();
    forged.fence = Fence::new(second.fence.get() + 1);
    check_eq!(stage.state.renew(&forged, secs(60)).await?, None);
    check_eq!(stage.state.inspect(&name).await?, Some(second));
    Ok(())
}

async fn an_unknown_lease_is_lost(stage: Stage) -> Verdict {
    let mut held = taken_by(&stage, &stage.lease("lease"), "one").await?;
    held.name = stage.lease("unknown");
    check_eq!(stage.state.renew(&held, LASTING).await?, None);
    check_eq!(stage.state.inspect(&held.name).await?, None);
    Ok(())
}

async fn a_lost_renewal_changes_nothing(stage: Stage) -> Verdict {
    let name = stage.lease("lease");
    let held = taken_by(&stage, &name, "one").await?;
    stage.advance(LASTING);
    stage.state.renew(&held, secs(60)).await?;
    check_eq!(stage.state.inspect(&name).await?, None);
    Ok(())
}

async fn a_time_outside_its_range_is_refused(stage: Stage) -> Verdict {
    let held = taken_by(&stage, &stage.lease("lease"), "one").await?;
    for lasting in [ms(9), secs(30 * 86400) + ms(1)] {
        check_matches!(stage.state.renew(&held, lasting).await, Err(Error::Rejected { op: Op::LeaseRenew, .. }));
    }
    Ok(())
}
