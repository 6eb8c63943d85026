//! Acquiring leases.

use store_core::{AcquireRequest, Acquired, Durability, Error, Fence, Op};

use super::{LASTING, acquire, request, taken_by};
use crate::case::cases;
use crate::fixture::{Fixture, holder, look_again, ms, secs};
use crate::verdict::{BrokenPromise, Verdict, check, check_eq, check_matches};

cases! { Op::LeaseAcquire;
    a_free_lease_is_taken,
    a_held_lease_is_not_taken,
    its_own_holder_does_not_take_it_twice,
    the_same_request_again_is_answered_with_the_same_lease,
    the_same_request_again_after_a_renewal_shows_its_end,
    the_same_request_after_the_end_is_a_new_lease,
    a_lease_is_free_at_its_very_end,
    a_released_lease_is_free,
    a_request_whose_lease_was_released_does_not_take_it_back,
    a_lease_runs_out_by_the_clock_of_the_store,
    tokens_rise_across_releases,
    tokens_rise_across_expiry,
    tokens_are_not_behind_the_clock,
    tokens_rise_a_long_time_later,
    tokens_rise_when_the_store_is_opened_again: Reopen,
    one_of_many_takes_it,
    leases_of_two_names_do_not_meet,
    the_shortest_and_the_longest_lease,
    a_time_outside_its_range_is_refused,
    it_can_wait_for_the_disk: Fsync,
    it_is_held_when_the_store_is_opened_again: Reopen,
}

async fn a_free_lease_is_taken(fixture: Fixture) -> Verdict {
    let name = fixture.lease("lease");
    let lease = taken_by(&fixture, &name, "one").await?;
    check_eq!((&lease.name, &lease.holder), (&name, &holder("one")));
    check_eq!(lease.until, fixture.now().after(LASTING));
    Ok(())
}

async fn a_request_whose_lease_was_released_does_not_take_it_back(fixture: Fixture) -> Verdict {
    let name = fixture.lease("lease");
    let first = request(&name, "one");
    let Acquired::Yes(held) = acquire(&fixture, &first).await? else {
        return Err(BrokenPromise::new("the lease is not free"));
    };
    fixture.state.release(&held).await?;
    check_matches!(acquire(&fixture, &first).await, Err(Error::InvalidArgument { op: Op::LeaseAcquire, .. }));
    check_eq!(fixture.state.inspect(&name).await?, None);
    let second = taken_by(&fixture, &name, "two").await?;
    check_eq!(acquire(&fixture, &first).await?, Acquired::Taken(second.info()));
    Ok(())
}

async fn a_held_lease_is_not_taken(fixture: Fixture) -> Verdict {
    let name = fixture.lease("lease");
    let held = taken_by(&fixture, &name, "one").await?;
    fixture.advance(LASTING - ms(1));
    check_eq!(acquire(&fixture, &request(&name, "two")).await?, Acquired::Taken(held.info()));
    Ok(())
}

async fn its_own_holder_does_not_take_it_twice(fixture: Fixture) -> Verdict {
    let name = fixture.lease("lease");
    let held = taken_by(&fixture, &name, "one").await?;
    check_eq!(acquire(&fixture, &request(&name, "one")).await?, Acquired::Taken(held.info()));
    Ok(())
}

async fn the_same_request_again_is_answered_with_the_same_lease(fixture: Fixture) -> Verdict {
    let asked = request(&fixture.lease("lease"), "one");
    let first = acquire(&fixture, &asked).await?;
    fixture.advance(secs(5));
    check_eq!(acquire(&fixture, &asked).await?, first);
    Ok(())
}

async fn the_same_request_again_after_a_renewal_shows_its_end(fixture: Fixture) -> Verdict {
    let asked = request(&fixture.lease("lease"), "one");
    let Acquired::Yes(mut lease) = acquire(&fixture, &asked).await? else {
        return Err(crate::BrokenPromise::new("taken"));
    };
    lease.until = fixture.state.renew(&lease, secs(60)).await?.unwrap_or_default();
    check_eq!(acquire(&fixture, &asked).await?, Acquired::Yes(lease));
    Ok(())
}

async fn the_same_request_after_the_end_is_a_new_lease(fixture: Fixture) -> Verdict {
    let asked = request(&fixture.lease("lease"), "one");
    let Acquired::Yes(first) = acquire(&fixture, &asked).await? else { return Err(crate::BrokenPromise::new("taken")) };
    fixture.advance(LASTING);
    let Acquired::Yes(second) = acquire(&fixture, &asked).await? else {
        return Err(crate::BrokenPromise::new("taken"));
    };
    check!(second.fence > first.fence);
    check_eq!(second.until, fixture.now().after(LASTING));
    Ok(())
}

async fn a_lease_is_free_at_its_very_end(fixture: Fixture) -> Verdict {
    let name = fixture.lease("lease");
    taken_by(&fixture, &name, "one").await?;
    fixture.advance(LASTING);
    check_eq!(taken_by(&fixture, &name, "two").await?.holder, holder("two"));
    Ok(())
}

async fn a_released_lease_is_free(fixture: Fixture) -> Verdict {
    let name = fixture.lease("lease");
    let held = taken_by(&fixture, &name, "one").await?;
    fixture.state.release(&held).await?;
    taken_by(&fixture, &name, "two").await?;
    Ok(())
}

async fn tokens_rise_across_releases(fixture: Fixture) -> Verdict {
    let name = fixture.lease("lease");
    let mut last = Fence::new(0);
    for _ in 0..5 {
        let lease = taken_by(&fixture, &name, "one").await?;
        check!(lease.fence > last);
        last = lease.fence;
        fixture.state.release(&lease).await?;
    }
    Ok(())
}

async fn tokens_rise_across_expiry(fixture: Fixture) -> Verdict {
    let name = fixture.lease("lease");
    let first = taken_by(&fixture, &name, "one").await?;
    fixture.advance(LASTING);
    check!(taken_by(&fixture, &name, "two").await?.fence > first.fence);
    Ok(())
}

async fn tokens_are_not_behind_the_clock(fixture: Fixture) -> Verdict {
    let micros = Fence::new(fixture.now().as_millis() * 1000);
    check!(taken_by(&fixture, &fixture.lease("lease"), "one").await?.fence >= micros);
    Ok(())
}

async fn tokens_rise_a_long_time_later(fixture: Fixture) -> Verdict {
    let name = fixture.lease("lease");
    let first = taken_by(&fixture, &name, "one").await?;
    fixture.advance(secs(90 * 86400));
    check!(taken_by(&fixture, &name, "one").await?.fence > first.fence);
    Ok(())
}

/// The clock stands still, so the tokens are ahead of it and come from what the store has kept.
async fn tokens_rise_when_the_store_is_opened_again(mut fixture: Fixture) -> Verdict {
    let name = fixture.lease("lease");
    let mut last = Fence::new(0);
    for _ in 0..3 {
        let lease = taken_by(&fixture, &name, "one").await?;
        check!(lease.fence > last);
        last = lease.fence;
        fixture.state.release(&lease).await?;
        fixture = fixture.reopen().await?;
    }
    let expired = taken_by(&fixture, &name, "one").await?;
    let fixture = fixture.reopen().await?;
    fixture.advance(LASTING);
    check!(expired.fence > last && taken_by(&fixture, &name, "two").await?.fence > expired.fence);
    Ok(())
}

async fn one_of_many_takes_it(fixture: Fixture) -> Verdict {
    let name = fixture.lease("lease");
    let mut campaign = tokio::task::JoinSet::new();
    for number in 0..20 {
        let (state, asked) = (std::sync::Arc::clone(&fixture.state), request(&name, &format!("holder-{number}")));
        campaign.spawn(async move { state.acquire(&asked, Durability::Accepted).await });
    }
    let mut holders = Vec::new();
    while let Some(answer) = campaign.join_next().await {
        if let Acquired::Yes(lease) = answer??.value {
            holders.push(lease);
        }
    }
    check_eq!(holders.len(), 1);
    check_eq!(fixture.state.inspect(&name).await?, holders.pop().map(|lease| lease.info()));
    Ok(())
}

async fn leases_of_two_names_do_not_meet(fixture: Fixture) -> Verdict {
    taken_by(&fixture, &fixture.lease("lease"), "one").await?;
    taken_by(&fixture, &fixture.lease("lease-2"), "two").await?;
    Ok(())
}

async fn the_shortest_and_the_longest_lease(fixture: Fixture) -> Verdict {
    for (name, lasting) in [("short", ms(10)), ("long", secs(30 * 86400))] {
        let asked = AcquireRequest::new(fixture.lease(name), holder("one"), lasting);
        check_matches!(acquire(&fixture, &asked).await?, Acquired::Yes(lease) if lease.until == fixture.now().after(lasting));
    }
    Ok(())
}

async fn a_time_outside_its_range_is_refused(fixture: Fixture) -> Verdict {
    let name = fixture.lease("lease");
    for lasting in [ms(9), secs(30 * 86400) + ms(1)] {
        let asked = AcquireRequest::new(name.clone(), holder("one"), lasting);
        check_matches!(acquire(&fixture, &asked).await, Err(Error::InvalidArgument { op: Op::LeaseAcquire, .. }));
    }
    check_eq!(fixture.state.inspect(&name).await?, None);
    Ok(())
}

async fn it_can_wait_for_the_disk(fixture: Fixture) -> Verdict {
    let durability = Durability::Fsynced { within: secs(10) };
    let receipt = fixture.state.acquire(&request(&fixture.lease("lease"), "one"), durability).await?;
    check!(receipt.reached.on_disk);
    Ok(())
}

async fn it_is_held_when_the_store_is_opened_again(fixture: Fixture) -> Verdict {
    let name = fixture.lease("lease");
    let held = taken_by(&fixture, &name, "one").await?;
    let fixture = fixture.reopen().await?;
    check_eq!(fixture.state.inspect(&name).await?, Some(held.info()));
    fixture.state.release(&held).await?;
    check!(taken_by(&fixture, &name, "two").await?.fence > held.fence);
    Ok(())
}

async fn a_lease_runs_out_by_the_clock_of_the_store(fixture: Fixture) -> Verdict {
    let fixture = fixture.on_server_clock().await?;
    let name = fixture.lease("lease");
    let first = AcquireRequest::new(name.clone(), holder("one"), ms(50));
    let Acquired::Yes(first) = acquire(&fixture, &first).await? else { return Err(crate::BrokenPromise::new("taken")) };
    let second = loop {
        if let Acquired::Yes(lease) = acquire(&fixture, &request(&name, "two")).await? {
            break lease;
        }
        look_again().await;
    };
    check!(second.fence > first.fence && second.until >= first.until.after(LASTING));
    check_eq!(fixture.state.renew(&first, LASTING).await?, None);
    check_eq!(fixture.state.inspect(&name).await?, Some(second.info()));
    Ok(())
}
