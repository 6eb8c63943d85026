//! Renewing leases.

use store_core::{Error, Fence, Op};

use super::{LASTING, taken_by};
use crate::case::cases;
use crate::fixture::{Fixture, ms, secs};
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

async fn a_renewed_lease_lasts_from_now(fixture: Fixture) -> Verdict {
    let name = fixture.lease("lease");
    let mut held = taken_by(&fixture, &name, "one").await?;
    fixture.advance(LASTING - ms(1));
    let until = fixture.now().after(secs(60));
    check_eq!(fixture.state.renew(&held, secs(60)).await?, Some(until));
    held.until = until;
    check_eq!(fixture.state.inspect(&name).await?, Some(held.info()));
    fixture.advance(secs(60) - ms(1));
    check_eq!(fixture.state.inspect(&name).await?, Some(held.info()));
    Ok(())
}

async fn a_renewal_may_shorten_it(fixture: Fixture) -> Verdict {
    let name = fixture.lease("lease");
    let held = taken_by(&fixture, &name, "one").await?;
    check_eq!(fixture.state.renew(&held, secs(1)).await?, Some(fixture.now().after(secs(1))));
    fixture.advance(secs(1));
    taken_by(&fixture, &name, "two").await?;
    Ok(())
}

/// Which of them arrives last is random.
async fn of_renewals_at_the_same_time_the_one_made_last_counts(fixture: Fixture) -> Verdict {
    let held = taken_by(&fixture, &fixture.lease("lease"), "one").await?;
    for round in 1..=20 {
        let longest = fixture.now().after(secs(100 + round));
        let (shorter, longer) =
            tokio::join!(fixture.state.renew(&held, secs(50)), fixture.state.renew(&held, secs(100 + round)));
        check!([fixture.now().after(secs(50)), longest].map(Some).contains(&shorter?));
        check_eq!(longer?, Some(longest));
        check_eq!(fixture.state.inspect(&held.name).await?.map(|lease| lease.until), Some(longest));
    }
    Ok(())
}

async fn a_lease_that_ran_out_is_lost(fixture: Fixture) -> Verdict {
    let held = taken_by(&fixture, &fixture.lease("lease"), "one").await?;
    fixture.advance(LASTING);
    check_eq!(fixture.state.renew(&held, LASTING).await?, None);
    Ok(())
}

async fn a_released_lease_is_lost(fixture: Fixture) -> Verdict {
    let held = taken_by(&fixture, &fixture.lease("lease"), "one").await?;
    fixture.state.release(&held).await?;
    check_eq!(fixture.state.renew(&held, LASTING).await?, None);
    Ok(())
}

async fn a_lease_of_somebody_else_is_lost(fixture: Fixture) -> Verdict {
    let name = fixture.lease("lease");
    let first = taken_by(&fixture, &name, "one").await?;
    fixture.advance(LASTING);
    let second = taken_by(&fixture, &name, "two").await?;
    check_eq!(fixture.state.renew(&first, secs(60)).await?, None);
    let mut forged = second.clone();
    forged.fence = Fence::new(second.fence.get() + 1);
    check_eq!(fixture.state.renew(&forged, secs(60)).await?, None);
    check_eq!(fixture.state.inspect(&name).await?, Some(second.info()));
    Ok(())
}

async fn an_unknown_lease_is_lost(fixture: Fixture) -> Verdict {
    let mut held = taken_by(&fixture, &fixture.lease("lease"), "one").await?;
    held.name = fixture.lease("unknown");
    check_eq!(fixture.state.renew(&held, LASTING).await?, None);
    check_eq!(fixture.state.inspect(&held.name).await?, None);
    Ok(())
}

async fn a_lost_renewal_changes_nothing(fixture: Fixture) -> Verdict {
    let name = fixture.lease("lease");
    let held = taken_by(&fixture, &name, "one").await?;
    fixture.advance(LASTING);
    fixture.state.renew(&held, secs(60)).await?;
    check_eq!(fixture.state.inspect(&name).await?, None);
    Ok(())
}

async fn a_time_outside_its_range_is_refused(fixture: Fixture) -> Verdict {
    let held = taken_by(&fixture, &fixture.lease("lease"), "one").await?;
    for lasting in [ms(9), secs(30 * 86400) + ms(1)] {
        check_matches!(
            fixture.state.renew(&held, lasting).await,
            Err(Error::InvalidArgument { op: Op::LeaseRenew, .. })
        );
    }
    Ok(())
}
