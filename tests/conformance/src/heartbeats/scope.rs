//! The scope of a pool: one service, or all services.

use std::sync::Arc;

use store_core::{Beat, Op, PageRequest, PoolName, Result, StateRole, Timestamp};

use super::{LASTING, names};
use crate::case::cases;
use crate::fixture::{Fixture, holder};
use crate::verdict::{Verdict, check, check_eq};

cases! { Op::HeartbeatBeat;
    two_services_have_a_pool_of_one_name,
    a_member_leaves_the_pool_of_its_service_only,
    a_pool_whose_name_continues_another_is_another,
}

async fn beat(store: &Arc<dyn StateRole>, pool: &PoolName, member: &str) -> Result<()> {
    store.beat(&Beat::new(pool.clone(), holder(member), LASTING)).await
}

async fn alive(store: &Arc<dyn StateRole>, pool: &PoolName) -> Result<String> {
    Ok(names(&store.alive(pool, PageRequest::first(10)).await?.items).join(" "))
}

async fn two_services_have_a_pool_of_one_name(fixture: Fixture) -> Verdict {
    let pool = fixture.pool("workers");
    let stores = [(&fixture.state, "ours"), (&fixture.other_state, "theirs"), (&fixture.shared_state, "shared")];
    for (store, member) in stores {
        beat(store, &pool, member).await?;
    }
    for (store, member) in stores {
        check_eq!(alive(store, &pool).await?, member);
    }
    fixture.advance(LASTING);
    for (store, member) in stores {
        let lost = store.lost(&pool, Timestamp::default(), PageRequest::first(10)).await?.items;
        check_eq!(names(&lost), [member]);
    }
    Ok(())
}

async fn a_member_leaves_the_pool_of_its_service_only(fixture: Fixture) -> Verdict {
    let pool = fixture.pool("workers");
    beat(&fixture.state, &pool, "member").await?;
    for store in [&fixture.other_state, &fixture.shared_state] {
        check!(!store.leave(&pool, &holder("member")).await?, "a member left a pool that it is not in");
    }
    check_eq!(alive(&fixture.state, &pool).await?, "member");
    Ok(())
}

async fn a_pool_whose_name_continues_another_is_another(fixture: Fixture) -> Verdict {
    let (short, long) = (fixture.pool("a"), fixture.pool("a:b"));
    beat(&fixture.state, &short, "in-a").await?;
    beat(&fixture.state, &long, "in-a-b").await?;
    check_eq!(
        (alive(&fixture.state, &short).await?, alive(&fixture.state, &long).await?),
        ("in-a".into(), "in-a-b".into())
    );
    Ok(())
}
