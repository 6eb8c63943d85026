//! The scope of a pool: one service, or all services.

use std::sync::Arc;

use store_core::{Beat, Op, PageRequest, PoolName, Result, StateRole, Timestamp};

use super::{LASTING, names};
use crate::case::cases;
use crate::stage::{Stage, holder};
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

async fn two_services_have_a_pool_of_one_name(stage: Stage) -> Verdict {
    let pool = stage.pool("workers");
    let stores = [(&stage.state, "ours"), (&stage.other_state, "theirs"), (&stage.shared_state, "shared")];
    for (store, member) in stores {
        beat(store, &pool, member).await?;
    }
    for (store, member) in stores {
        check_eq!(alive(store, &pool).await?, member);
    }
    stage.advance(LASTING);
    for (store, member) in stores {
        let lost = store.lost(&pool, Timestamp::default(), PageRequest::first(10)).await?.items;
        check_eq!(names(&lost), [member]);
    }
    Ok(())
}

async fn a_member_leaves_the_pool_of_its_service_only(stage: Stage) -> Verdict {
    let pool = stage.pool("workers");
    beat(&stage.state, &pool, "member").await?;
    for store in [&stage.other_state, &stage.shared_state] {
        check!(!store.leave(&pool, &holder("member")).await?, "a member left a pool that it is not in");
    }
    check_eq!(alive(&stage.state, &pool).await?, "member");
    Ok(())
}

async fn a_pool_whose_name_continues_another_is_another(stage: Stage) -> Verdict {
    let (short, long) = (stage.pool("a"), stage.pool("a:b"));
    beat(&stage.state, &short, "in-a").await?;
    beat(&stage.state, &long, "in-a-b").await?;
    check_eq!(
        (alive(&stage.state, &short).await?, alive(&stage.state, &long).await?),
        ("in-a".into(), "in-a-b".into())
    );
    Ok(())
}
