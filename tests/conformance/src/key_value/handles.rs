//! Typed handles: each keeps its values under its name.

use std::sync::Arc;

use store_core::{HandleName, KeyValue, KeyValueExt, Op, Put, RequestId, Ttl, TypedHandoff, TypedKeyValue};
use twinstore::cache::{Loading, LoadingOptions};

use crate::case::cases;
use crate::fixture::Fixture;
use crate::verdict::{BrokenPromise, Verdict, check_eq};

cases! { Op::KeyValueGetMany;
    handles_with_other_names_do_not_share_values,
    handles_of_one_name_share_values_unless_their_kinds_differ,
    a_handle_reads_nothing_that_was_set_without_it,
    handoffs_with_other_names_do_not_meet,
}

const KEEP: Ttl = Ttl::from_secs(60);

fn named(name: &str) -> HandleName {
    HandleName::new(name).expect("invariant: cases use short plain names")
}

fn store(fixture: &Fixture) -> Arc<dyn KeyValue> {
    fixture.cache.clone()
}

fn values(fixture: &Fixture, name: &str) -> TypedKeyValue<u64> {
    TypedKeyValue::new(store(fixture), named(name), KEEP)
}

fn loading(fixture: &Fixture, name: &str) -> Loading<u64> {
    Loading::new(store(fixture), named(name), LoadingOptions::new(KEEP).with_eagerness(0.0))
}

/// The value that a handle has or loads.
async fn load(fixture: &Fixture, handle: &Loading<u64>, value: u64) -> Result<u64, BrokenPromise> {
    let loaded = handle.get_or_load(&fixture.key("key"), async move || Ok::<_, std::io::Error>(value)).await;
    Ok(loaded.map_err(|error| BrokenPromise::new(error.to_string()))?.value)
}

async fn handles_with_other_names_do_not_share_values(fixture: Fixture) -> Verdict {
    let key = fixture.key("key");
    let (prices, counts) = (loading(&fixture, "prices"), loading(&fixture, "counts"));
    check_eq!([load(&fixture, &prices, 1).await?, load(&fixture, &counts, 2).await?], [1, 2]);
    let (prices, counts) = (values(&fixture, "prices"), values(&fixture, "counts"));
    prices.set(&key, &3).await?;
    check_eq!(counts.get(&key).await?, None);
    counts.set(&key, &4).await?;
    check_eq!((prices.get(&key).await?, counts.get(&key).await?), (Some(3), Some(4)));
    counts.delete(&key).await?;
    check_eq!((prices.get(&key).await?, counts.get(&key).await?), (Some(3), None));
    Ok(())
}

async fn handles_of_one_name_share_values_unless_their_kinds_differ(fixture: Fixture) -> Verdict {
    let key = fixture.key("key");
    values(&fixture, "prices").set(&key, &1).await?;
    check_eq!(values(&fixture, "prices").get(&key).await?, Some(1));
    let prices = loading(&fixture, "prices");
    check_eq!(load(&fixture, &prices, 2).await?, 2);
    check_eq!(values(&fixture, "prices").get(&key).await?, Some(1));
    prices.forget(&key).await?;
    check_eq!((load(&fixture, &prices, 3).await?, values(&fixture, "prices").get(&key).await?), (3, Some(1)));
    Ok(())
}

async fn a_handle_reads_nothing_that_was_set_without_it(fixture: Fixture) -> Verdict {
    let key = fixture.key("key");
    fixture.cache.set(key.clone(), "1".into(), KEEP).await?;
    check_eq!(values(&fixture, "prices").get(&key).await?, None);
    check_eq!(load(&fixture, &loading(&fixture, "prices"), 2).await?, 2);
    check_eq!(fixture.cache.get(&key).await?.as_deref(), Some(b"1".as_slice()));
    Ok(())
}

async fn handoffs_with_other_names_do_not_meet(fixture: Fixture) -> Verdict {
    let key = fixture.key("key");
    let handoffs = |name, cache| TypedHandoff::<u64>::new(cache, named(name), KEEP);
    for (name, value) in [("invoices", 1), ("letters", 2)] {
        let put = handoffs(name, fixture.cache.clone()).put(fixture.other_service.clone(), &key, &value).await?;
        check_eq!(put, Put::Stored);
    }
    for (name, value) in [("letters", Some(2)), ("invoices", Some(1)), ("others", None)] {
        let taken = handoffs(name, fixture.other.clone()).take(&key, RequestId::generate()).await?;
        check_eq!(taken, value);
    }
    Ok(())
}
