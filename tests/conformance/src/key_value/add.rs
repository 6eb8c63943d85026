//! Counting.

use store_core::{Error, Op};

use super::{LONG, get, set};
use crate::case::cases;
use crate::stage::{Stage, look_again, ttl_ms};
use crate::verdict::{Verdict, check_eq, check_matches};

cases! { Op::KeyValueAdd;
    a_counter_starts_at_zero,
    a_counter_goes_up_and_down,
    a_counter_and_a_value_under_one_key_do_not_meet,
    a_counter_begins_anew_after_its_time,
    further_additions_do_not_prolong_it,
    a_counter_reaches_the_ends_of_its_range,
    a_sum_outside_its_range_is_refused,
    no_addition_of_many_is_lost,
}

async fn a_counter_starts_at_zero(stage: Stage) -> Verdict {
    check_eq!(stage.cache.add(&stage.key("up"), 5, LONG).await?, 5);
    check_eq!(stage.cache.add(&stage.key("down"), -5, LONG).await?, -5);
    check_eq!(stage.cache.add(&stage.key("none"), 0, LONG).await?, 0);
    Ok(())
}

async fn a_counter_goes_up_and_down(stage: Stage) -> Verdict {
    for (by, sum) in [(5, 5), (-7, -2), (0, -2), (2, 0), (1, 1)] {
        check_eq!(stage.cache.add(&stage.key("key"), by, LONG).await?, sum);
    }
    Ok(())
}

async fn a_counter_and_a_value_under_one_key_do_not_meet(stage: Stage) -> Verdict {
    set(&stage, "key", "value").await?;
    check_eq!(stage.cache.add(&stage.key("key"), 5, LONG).await?, 5);
    check_eq!(get(&stage, "key").await?.as_deref(), Some(b"value".as_slice()));
    Ok(())
}

async fn a_counter_begins_anew_after_its_time(stage: Stage) -> Verdict {
    let stage = stage.on_server_clock().await?;
    stage.cache.add(&stage.key("key"), 5, ttl_ms(30)).await?;
    while stage.cache.add(&stage.key("key"), 1, ttl_ms(600_000)).await? != 1 {
        look_again().await;
    }
    check_eq!(stage.cache.add(&stage.key("key"), 1, LONG).await?, 2);
    Ok(())
}

async fn further_additions_do_not_prolong_it(stage: Stage) -> Verdict {
    let stage = stage.on_server_clock().await?;
    stage.cache.add(&stage.key("key"), 100, ttl_ms(50)).await?;
    while stage.cache.add(&stage.key("key"), 1, LONG).await? > 100 {
        look_again().await;
    }
    Ok(())
}

async fn a_counter_reaches_the_ends_of_its_range(stage: Stage) -> Verdict {
    check_eq!(stage.cache.add(&stage.key("top"), i64::MAX, LONG).await?, i64::MAX);
    check_eq!(stage.cache.add(&stage.key("bottom"), i64::MIN, LONG).await?, i64::MIN);
    check_eq!(stage.cache.add(&stage.key("top"), i64::MIN, LONG).await?, -1);
    check_eq!(stage.cache.add(&stage.key("bottom"), i64::MAX, LONG).await?, -1);
    let exact = (1_i64 << 53) + 1;
    check_eq!(stage.cache.add(&stage.key("exact"), exact, LONG).await?, exact);
    check_eq!(stage.cache.add(&stage.key("exact"), 2, LONG).await?, exact + 2);
    Ok(())
}

async fn a_sum_outside_its_range_is_refused(stage: Stage) -> Verdict {
    for (key, end, by) in [("top", i64::MAX, 1), ("bottom", i64::MIN, -1)] {
        stage.cache.add(&stage.key(key), end, LONG).await?;
        let refused = stage.cache.add(&stage.key(key), by, LONG).await;
        check_matches!(refused, Err(Error::Rejected { op: Op::KeyValueAdd, .. }));
        check_eq!(stage.cache.add(&stage.key(key), 0, LONG).await?, end);
    }
    Ok(())
}

async fn no_addition_of_many_is_lost(stage: Stage) -> Verdict {
    let mut additions = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (cache, key) = (std::sync::Arc::clone(&stage.cache), stage.key("key"));
        additions.spawn(async move {
            for _ in 0..10 {
                cache.add(&key, 1, LONG).await?;
            }
            Ok::<_, Error>(())
        });
    }
    while let Some(added) = additions.join_next().await {
        added??;
    }
    check_eq!(stage.cache.add(&stage.key("key"), 0, LONG).await?, 200);
    Ok(())
}
