//! Adding to counters.

use store_core::{Error, Op};

use super::{LONG, get, set};
use crate::case::cases;
use crate::fixture::{Fixture, look_again, ttl_ms};
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

async fn a_counter_starts_at_zero(fixture: Fixture) -> Verdict {
    check_eq!(fixture.cache.add(&fixture.key("up"), 5, LONG).await?, 5);
    check_eq!(fixture.cache.add(&fixture.key("down"), -5, LONG).await?, -5);
    check_eq!(fixture.cache.add(&fixture.key("none"), 0, LONG).await?, 0);
    Ok(())
}

async fn a_counter_goes_up_and_down(fixture: Fixture) -> Verdict {
    for (by, sum) in [(5, 5), (-7, -2), (0, -2), (2, 0), (1, 1)] {
        check_eq!(fixture.cache.add(&fixture.key("key"), by, LONG).await?, sum);
    }
    Ok(())
}

async fn a_counter_and_a_value_under_one_key_do_not_meet(fixture: Fixture) -> Verdict {
    set(&fixture, "key", "value").await?;
    check_eq!(fixture.cache.add(&fixture.key("key"), 5, LONG).await?, 5);
    check_eq!(get(&fixture, "key").await?.as_deref(), Some(b"value".as_slice()));
    Ok(())
}

async fn a_counter_begins_anew_after_its_time(fixture: Fixture) -> Verdict {
    let fixture = fixture.on_server_clock().await?;
    fixture.cache.add(&fixture.key("key"), 5, ttl_ms(30)).await?;
    while fixture.cache.add(&fixture.key("key"), 1, ttl_ms(600_000)).await? != 1 {
        look_again().await;
    }
    check_eq!(fixture.cache.add(&fixture.key("key"), 1, LONG).await?, 2);
    Ok(())
}

async fn further_additions_do_not_prolong_it(fixture: Fixture) -> Verdict {
    let fixture = fixture.on_server_clock().await?;
    fixture.cache.add(&fixture.key("key"), 100, ttl_ms(50)).await?;
    while fixture.cache.add(&fixture.key("key"), 1, LONG).await? > 100 {
        look_again().await;
    }
    Ok(())
}

async fn a_counter_reaches_the_ends_of_its_range(fixture: Fixture) -> Verdict {
    check_eq!(fixture.cache.add(&fixture.key("top"), i64::MAX, LONG).await?, i64::MAX);
    check_eq!(fixture.cache.add(&fixture.key("bottom"), i64::MIN, LONG).await?, i64::MIN);
    check_eq!(fixture.cache.add(&fixture.key("top"), i64::MIN, LONG).await?, -1);
    check_eq!(fixture.cache.add(&fixture.key("bottom"), i64::MAX, LONG).await?, -1);
    let exact = (1_i64 << 53) + 1;
    check_eq!(fixture.cache.add(&fixture.key("exact"), exact, LONG).await?, exact);
    check_eq!(fixture.cache.add(&fixture.key("exact"), 2, LONG).await?, exact + 2);
    Ok(())
}

async fn a_sum_outside_its_range_is_refused(fixture: Fixture) -> Verdict {
    for (key, end, by) in [("top", i64::MAX, 1), ("bottom", i64::MIN, -1)] {
        fixture.cache.add(&fixture.key(key), end, LONG).await?;
        let refused = fixture.cache.add(&fixture.key(key), by, LONG).await;
        check_matches!(refused, Err(Error::InvalidArgument { op: Op::KeyValueAdd, .. }));
        check_eq!(fixture.cache.add(&fixture.key(key), 0, LONG).await?, end);
    }
    Ok(())
}

async fn no_addition_of_many_is_lost(fixture: Fixture) -> Verdict {
    let mut additions = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (cache, key) = (std::sync::Arc::clone(&fixture.cache), fixture.key("key"));
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
    check_eq!(fixture.cache.add(&fixture.key("key"), 0, LONG).await?, 200);
    Ok(())
}
