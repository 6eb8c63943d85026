//! Setting values that are absent.

use bytes::Bytes;
use store_core::{Entry, Error, KeyValueExt, Op, RequestId, SetIfAbsent};

use super::{LONG, get, gone, set};
use crate::case::cases;
use crate::fixture::{Fixture, ttl_ms};
use crate::verdict::{BrokenPromise, Verdict, check_eq, check_matches};

cases! { Op::KeyValueSetIfAbsent;
    an_absent_value_is_stored,
    a_present_value_stays,
    the_same_request_again_is_stored_again,
    the_same_request_again_does_not_see_another_value_as_its_own,
    a_value_that_is_gone_is_absent,
    one_of_many_is_stored,
    any_bytes_are_a_value,
    a_counter_is_not_a_value,
    a_value_above_its_bound_is_refused,
}

fn entry(fixture: &Fixture, value: &'static str) -> Entry {
    Entry::new(fixture.key("key"), value, LONG)
}

async fn an_absent_value_is_stored(fixture: Fixture) -> Verdict {
    let answer = fixture.cache.set_if_absent(&entry(&fixture, "1"), RequestId::generate()).await?;
    check_eq!(answer, SetIfAbsent::Stored);
    check_eq!(get(&fixture, "key").await?.as_deref(), Some(b"1".as_slice()));
    Ok(())
}

async fn a_present_value_stays(fixture: Fixture) -> Verdict {
    for first in [true, false] {
        if first {
            set(&fixture, "key", "set").await?;
        } else {
            fixture.cache.delete(&fixture.key("key")).await?;
            fixture.cache.set_if_absent(&entry(&fixture, "set"), RequestId::generate()).await?;
        }
        let answer = fixture.cache.set_if_absent(&entry(&fixture, "other"), RequestId::generate()).await?;
        check_eq!(answer, SetIfAbsent::Present(Bytes::from("set")));
        check_eq!(get(&fixture, "key").await?.as_deref(), Some(b"set".as_slice()));
    }
    Ok(())
}

async fn the_same_request_again_is_stored_again(fixture: Fixture) -> Verdict {
    let request = RequestId::generate();
    for _ in 0..3 {
        check_eq!(fixture.cache.set_if_absent(&entry(&fixture, "1"), request).await?, SetIfAbsent::Stored);
    }
    Ok(())
}

async fn the_same_request_again_does_not_see_another_value_as_its_own(fixture: Fixture) -> Verdict {
    let request = RequestId::generate();
    fixture.cache.set_if_absent(&entry(&fixture, "1"), request).await?;
    set(&fixture, "key", "2").await?;
    let answer = fixture.cache.set_if_absent(&entry(&fixture, "1"), request).await?;
    check_eq!(answer, SetIfAbsent::Present(Bytes::from("2")));
    Ok(())
}

async fn a_value_that_is_gone_is_absent(fixture: Fixture) -> Verdict {
    let fixture = fixture.on_server_clock().await?;
    let short = Entry::new(fixture.key("key"), "1", ttl_ms(30));
    fixture.cache.set_if_absent(&short, RequestId::generate()).await?;
    gone(&fixture, "key").await?;
    let answer = fixture.cache.set_if_absent(&entry(&fixture, "2"), RequestId::generate()).await?;
    check_eq!(answer, SetIfAbsent::Stored);
    fixture.cache.delete(&fixture.key("key")).await?;
    let answer = fixture.cache.set_if_absent(&entry(&fixture, "3"), RequestId::generate()).await?;
    check_eq!(answer, SetIfAbsent::Stored);
    Ok(())
}

async fn one_of_many_is_stored(fixture: Fixture) -> Verdict {
    let mut requests = tokio::task::JoinSet::new();
    for number in 0..20 {
        let (cache, key) = (std::sync::Arc::clone(&fixture.cache), fixture.key("key"));
        requests.spawn(async move {
            let entry = Entry::new(key, number.to_string(), LONG);
            cache.set_if_absent(&entry, RequestId::generate()).await.map(|answer| (entry.value, answer))
        });
    }
    let (mut stored, mut present) = (Vec::new(), Vec::new());
    while let Some(answer) = requests.join_next().await {
        match answer?? {
            (value, SetIfAbsent::Stored) => stored.push(value),
            (_, SetIfAbsent::Present(value)) => present.push(value),
            (_, other) => return Err(BrokenPromise::new(format!("{other:?}"))),
        }
    }
    check_eq!(stored.len(), 1);
    check_eq!(present, vec![stored[0].clone(); 19]);
    Ok(())
}

async fn any_bytes_are_a_value(fixture: Fixture) -> Verdict {
    let values: [Vec<u8>; 4] = [Vec::new(), (0..=255).collect(), vec![0; 17], vec![1; 17]];
    for (number, value) in values.into_iter().map(Bytes::from).enumerate() {
        let entry = Entry::new(fixture.key(&number.to_string()), value.clone(), LONG);
        fixture.cache.set_if_absent(&entry, RequestId::generate()).await?;
        let other = fixture.cache.set_if_absent(&entry, RequestId::generate()).await?;
        check_eq!(other, SetIfAbsent::Present(value));
    }
    Ok(())
}

async fn a_counter_is_not_a_value(fixture: Fixture) -> Verdict {
    fixture.cache.add(&fixture.key("key"), 5, LONG).await?;
    let answer = fixture.cache.set_if_absent(&entry(&fixture, "1"), RequestId::generate()).await?;
    check_eq!(answer, SetIfAbsent::Stored);
    Ok(())
}

async fn a_value_above_its_bound_is_refused(fixture: Fixture) -> Verdict {
    let too_large = Entry::new(fixture.key("key"), vec![0; Entry::MAX_VALUE_BYTES + 1], LONG);
    let refused = fixture.cache.set_if_absent(&too_large, RequestId::generate()).await;
    check_matches!(refused, Err(Error::InvalidArgument { op: Op::KeyValueSetIfAbsent, .. }));
    Ok(())
}
