//! Rate limits. All arithmetic is in microseconds, in 128 bits, so no cost overflows.

use std::time::Duration;

use async_trait::async_trait;
use store_core::validate_checks;
use store_core::{Error, Key, LimitState, Op, Rate, RateCheck, RateDecision, RateLimit, Result};

use super::EmbeddedCache;
use crate::database::Operation;
use crate::encoding::{Decoder, Encoder};
use crate::expiring;
use crate::fault::Fault;
use crate::moment::Moment;
use crate::rows::{Change, Rows};

#[async_trait]
impl RateLimit for EmbeddedCache {
    async fn check(&self, checks: &[RateCheck]) -> Result<RateDecision> {
        validate_checks(checks)?;
        let limits: Vec<_> = checks.iter().map(|check| (self.limit_row(check), check.clone())).collect();
        let (clock, bounds) = (self.options.clock.clone(), self.bounds());
        let apply = move |change: &mut Change<'_>| {
            let now = Moment::now(&clock);
            let levels = limits
                .iter()
                .map(|(row, check)| Level::read(change, row, check, now))
                .collect::<Result<Vec<_>, Fault>>()?;
            let allowed = levels.iter().all(|level| level.refused_for.is_none());
            let mut states = Vec::with_capacity(levels.len());
            for ((row, check), level) in limits.iter().zip(&levels) {
                if allowed && check.cost > 0 {
                    expiring::put(change, row, level.end(check.rate.interval_micros()), &level.charged.encode())?;
                }
                states.push(level.state(check, now, allowed));
            }
            expiring::tidy(change, now, bounds)?;
            Ok(RateDecision::new(allowed, states))
        };
        let decision = self.database.write(Operation::adding(Op::RateLimitCheck), apply).await?;
        self.database.decisions().count(&decision);
        Ok(decision)
    }

    async fn reset(&self, keys: &[Key]) -> Result<()> {
        if keys.len() > RateCheck::MAX_CHECKS {
            let detail = format!("{} limits in one call; at most {most}", keys.len(), most = RateCheck::MAX_CHECKS);
            return Err(Error::invalid_argument(Op::RateLimitReset, detail));
        }
        if keys.is_empty() {
            return Ok(());
        }
        let rows: Vec<_> = keys.iter().flat_map(|key| [self.gcra_row(key), self.window_row(key)]).collect();
        let clock = self.options.clock.clone();
        let apply = move |change: &mut Change<'_>| {
            let now = Moment::now(&clock);
            rows.iter().try_for_each(|row| expiring::remove(change, row, now).map(|_| ()))
        };
        self.database.write(Op::RateLimitReset, apply).await
    }
}

impl EmbeddedCache {
    fn limit_row(&self, check: &RateCheck) -> Vec<u8> {
        match check.rate {
            Rate::Gcra { .. } => self.gcra_row(&check.key),
            Rate::FixedWindow { .. } => self.window_row(&check.key),
        }
    }
}

/// The stored state of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Used {
    /// The time, in microseconds, at which the limit will be unused.
    Until(u128),
    /// The start of the window, in microseconds, and the units used in it.
    Window(u64, u64),
}

impl Used {
    fn encode(self) -> Vec<u8> {
        match self {
            Used::Until(time) => time.to_be_bytes().to_vec(),
            Used::Window(start, units) => Encoder::with_capacity(16).u64(start).u64(units).finish(),
        }
    }
}

/// A limit, before and after it is charged.
struct Level {
    now: Used,
    charged: Used,
    /// How long, in microseconds, until the cost could be allowed; `None` if it is allowed now.
    refused_for: Option<u128>,
}

impl Level {
    fn read(change: &mut Change<'_>, row: &[u8], check: &RateCheck, now: Moment) -> Result<Self, Fault> {
        match check.rate {
            Rate::Gcra { .. } => {
                let stored = read(change, row, now, |row| Ok(u128::from_be_bytes(row.array()?)))?;
                Ok(Self::gcra(stored, check, now))
            }
            Rate::FixedWindow { .. } => {
                let stored = read(change, row, now, |row| Ok((row.u64()?, row.u64()?)))?;
                Ok(Self::window(stored, check, now))
            }
        }
    }

    fn gcra(stored: Option<u128>, check: &RateCheck, now: Moment) -> Self {
        let micros = u128::from(now.micros());
        let interval = u128::from(check.rate.interval_micros());
        let tolerance = interval * u128::from(check.rate.limit());
        let until = stored.map_or(micros, |stored| stored.max(micros));
        let charged = until + interval * u128::from(check.cost);
        let over = (charged - micros).checked_sub(tolerance).filter(|over| *over > 0);
        Self { now: Used::Until(until), charged: Used::Until(charged), refused_for: over }
    }

    fn window(stored: Option<(u64, u64)>, check: &RateCheck, now: Moment) -> Self {
        let window = check.rate.interval_micros();
        let start = now.micros() - now.micros() % window;
        let used = stored.filter(|(stored, _)| *stored == start).map_or(0, |(_, used)| used);
        let charged = used + u64::from(check.cost);
        let over = charged > u64::from(check.rate.limit());
        let left = u128::from(start) + u128::from(window) - u128::from(now.micros());
        Self {
            now: Used::Window(start, used),
            charged: Used::Window(start, charged),
            refused_for: over.then_some(left),
        }
    }

    /// The time, in milliseconds, at which nothing is in use any more.
    fn end(&self, window: u64) -> u64 {
        let micros = match self.charged {
            Used::Until(until) => until,
            Used::Window(start, _) => u128::from(start) + u128::from(window),
        };
        u64::try_from(micros.div_ceil(1000)).unwrap_or(u64::MAX)
    }

    fn state(&self, check: &RateCheck, now: Moment, charge: bool) -> LimitState {
        let limit = check.rate.limit();
        let interval = u128::from(check.rate.interval_micros());
        let micros = u128::from(now.micros());
        let (remaining, reset_after) = match if charge { self.charged } else { self.now } {
            Used::Until(until) => {
                let used = until - micros;
                ((interval * u128::from(limit)).saturating_sub(used) / interval, used)
            }
            Used::Window(start, used) => {
                let left = u128::from(start) + interval - micros;
                (u128::from(limit).saturating_sub(u128::from(used)), if used > 0 { left } else { 0 })
            }
        };
        let possible = check.cost <= limit;
        LimitState {
            allowed: self.refused_for.is_none(),
            limit,
            remaining: u32::try_from(remaining).unwrap_or(u32::MAX).min(limit),
            retry_after: self.refused_for.filter(|_| possible).map(duration),
            reset_after: duration(reset_after),
        }
    }
}

fn read<T>(
    rows: &mut impl Rows,
    row: &[u8],
    now: Moment,
    decode: impl FnOnce(&mut Decoder<'_>) -> Result<T, Fault>,
) -> Result<Option<T>, Fault> {
    expiring::get(rows, row, now, |_, row| decode(&mut Decoder::new(row)))
}

fn duration(micros: u128) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}
