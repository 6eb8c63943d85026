//! Setting values.

use bytes::Bytes;
use store_core::{Entry, Error, KeyValueExt, Op, Ttl};

use super::{LONG, get, gone, set};
use crate::case::cases;
use crate::fixture::{Fixture, ttl_ms};
use crate::verdict::{Verdict, check, check_eq, check_matches};

cases! { Op::KeyValueSetMany;
    a_value_is_replaced,
    the_last_of_one_key_wins,
    any_bytes_are_a_value,
    the_largest_value_is_accepted,
    a_value_is_gone_after_its_time,
    setting_again_sets_the_time_anew,
    any_text_is_a_key,
    no_entry_is_no_mistake,
    entries_outside_their_bounds_are_refused,
}

async fn a_value_is_replaced(fixture: Fixture) -> Verdict {
    for value in ["1", "", "2"] {
        set(&fixture, "key", value).await?;
        check_eq!(get(&fixture, "key").await?.as_deref(), Some(value.as_bytes()));
    }
    Ok(())
}

async fn the_last_of_one_key_wins(fixture: Fixture) -> Verdict {
    let entries = ["1", "2", "3"].map(|value| Entry::new(fixture.key("key"), value, LONG));
    fixture.cache.set_many(&entries).await?;
    check_eq!(get(&fixture, "key").await?.as_deref(), Some(b"3".as_slice()));
    Ok(())
}

async fn any_bytes_are_a_value(fixture: Fixture) -> Verdict {
    let values: [Vec<u8>; 4] = [Vec::new(), (0..=255).collect(), vec![0; 17], vec![1; 17]];
    for value in values.map(Bytes::from) {
        fixture.cache.set(fixture.key("key"), value.clone(), LONG).await?;
        check_eq!(get(&fixture, "key").await?, Some(value));
    }
    Ok(())
}

async fn the_largest_value_is_accepted(fixture: Fixture) -> Verdict {
    let value = Bytes::from(vec![7; Entry::MAX_VALUE_BYTES]);
    fixture.cache.set(fixture.key("key"), value.clone(), LONG).await?;
    check!(get(&fixture, "key").await? == Some(value), "another value came back");
    fixture.cache.delete(&fixture.key("key")).await?;
    Ok(())
}

async fn a_value_is_gone_after_its_time(fixture: Fixture) -> Verdict {
    let fixture = fixture.on_server_clock().await?;
    let entries = [("short", ttl_ms(30)), ("long", LONG)].map(|(key, ttl)| Entry::new(fixture.key(key), "1", ttl));
    fixture.cache.set_many(&entries).await?;
    gone(&fixture, "short").await?;
    check!(get(&fixture, "long").await?.is_some());
    Ok(())
}

async fn setting_again_sets_the_time_anew(fixture: Fixture) -> Verdict {
    let fixture = fixture.on_server_clock().await?;
    let entry = |key, ttl: Ttl| Entry::new(fixture.key(key), "1", ttl);
    fixture.cache.set_many(&[entry("longer", ttl_ms(30)), entry("shorter", LONG)]).await?;
    fixture.cache.set_many(&[entry("longer", LONG), entry("shorter", ttl_ms(30))]).await?;
    gone(&fixture, "shorter").await?;
    check!(get(&fixture, "longer").await?.is_some());
    Ok(())
}

async fn any_text_is_a_key(fixture: Fixture) -> Verdict {
    let longest = "x".repeat(512 - fixture.text("").len());
    let keys = ["größe / 42 ✓", "a b*?[c]:\"d\"", "A", "a", &longest];
    for key in keys {
        fixture.cache.set(fixture.key(key), Bytes::from(key.to_owned()), LONG).await?;
    }
    for key in keys {
        check_eq!(get(&fixture, key).await?, Some(Bytes::from(key.to_owned())));
    }
    Ok(())
}

async fn no_entry_is_no_mistake(fixture: Fixture) -> Verdict {
    fixture.cache.set_many(&[]).await?;
    Ok(())
}

async fn entries_outside_their_bounds_are_refused(fixture: Fixture) -> Verdict {
    let good = Entry::new(fixture.key("key"), "1", LONG);
    let too_large = Entry::new(fixture.key("large"), vec![0; Entry::MAX_VALUE_BYTES + 1], LONG);
    for bad in [vec![good.clone(); Entry::MAX_KEYS + 1], vec![good, too_large]] {
        check_matches!(fixture.cache.set_many(&bad).await, Err(Error::InvalidArgument { op: Op::KeyValueSetMany, .. }));
    }
    check_eq!(get(&fixture, "key").await?, None);
    Ok(())
}
