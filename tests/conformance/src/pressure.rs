//! The pressure on the state store: how full its memory is, as a watched value. The suite does not fill the memory of a server; the
//! tests of `redis-link` do.

use store_core::{Op, Pressure, PressureReading};

use crate::case::{Case, cases};
use crate::fixture::Fixture;
use crate::verdict::{Verdict, check, check_eq};

/// The cases of the pressure.
pub(crate) const ALL: &[&[Case]] = &[CASES];

cases! { Op::Probe;
    the_pressure_follows_from_the_memory_in_use,
    the_pressure_is_read_again,
}

/// The level at this share of the limit, unless the share was higher before.
fn level(percent: u32) -> Pressure {
    match percent {
        0..80 => Pressure::Normal,
        80..85 => Pressure::Warning,
        _ => Pressure::Critical,
    }
}

fn check_level(reading: &PressureReading) -> Verdict {
    match reading.used_percent() {
        None => check_eq!(reading.level, Pressure::Unknown),
        // a level ends 3 percentage points below the share at which it begins
        Some(percent) => {
            check!((level(percent)..=level(percent + 3)).contains(&reading.level), "{reading:?}");
        }
    }
    Ok(())
}

async fn the_pressure_follows_from_the_memory_in_use(fixture: Fixture) -> Verdict {
    let reading = fixture.pressure().await?.borrow().clone();
    check_level(&reading)?;
    let is_complete = reading.evicted_keys.is_some() && reading.replicas.is_some();
    check!(reading.used_memory.is_none() || is_complete, "{reading:?}");
    Ok(())
}

/// That of an embedded store never changes, and `changed` reports it.
async fn the_pressure_is_read_again(fixture: Fixture) -> Verdict {
    let mut pressure = fixture.pressure().await?;
    let is_measured = pressure.borrow_and_update().level != Pressure::Unknown;
    match pressure.changed().await {
        Ok(()) => check_level(&pressure.borrow())?,
        Err(_) => check!(!is_measured, "it is not read again"),
    }
    Ok(())
}
