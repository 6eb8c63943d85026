//! One reply to `INFO`, and the level and trend of several in a row.

use std::time::{Duration, Instant};

use store_core::{Pressure, PressureReading};

/// The used shares of the limit, in percent, from which on the level is a warning, or critical.
pub(super) const WARNING: u32 = 80;
pub(super) const CRITICAL: u32 = 85;
/// A level ends this many percentage points below the share at which it begins.
pub(super) const HYSTERESIS: u32 = 3;

/// The longest pause between two samples while the pressure is not normal.
const PAUSE_UNDER_PRESSURE: Duration = Duration::from_secs(1);
/// The shortest pause, while the memory fills fast.
const SHORTEST_PAUSE: Duration = Duration::from_millis(250);
/// The times to wait that refused calls return: the shortest, the one while memory use does not fall, and the longest.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
const USUAL_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The reading of one server from the text of `INFO`, without a level.
pub(super) fn parse(text: &str) -> PressureReading {
    let mut reading = PressureReading::default();
    let (mut not_counted, mut offset, mut behind) = (0, 0_u64, None::<u64>);
    for (name, value) in text.lines().filter_map(|line| line.trim().split_once(':')) {
        match name {
            "used_memory" => reading.used_memory = value.parse().ok(),
            "maxmemory" => reading.max_memory = value.parse().ok(),
            "mem_not_counted_for_evict" => not_counted = value.parse().unwrap_or(0),
            "mem_fragmentation_ratio" => {
                let percent = value.parse::<f64>().ok().map(|ratio| ratio * 100.0);
                reading.fragmentation_percent =
                    percent.filter(|percent| (0.0..1e9).contains(percent)).map(|it| it as u32);
            }
            "evicted_keys" => reading.evicted_keys = value.parse().ok(),
            "connected_slaves" => reading.replicas = value.parse().ok(),
            "master_repl_offset" => offset = value.parse().unwrap_or(0),
            _ => {
                // slave0:ip=127.0.0.1,port=7001,state=online,offset=154,lag=0
                let digits = name.strip_prefix("slave").filter(|rest| rest.parse::<u32>().is_ok());
                if digits.is_none() {
                    continue;
                }
                let field = |wanted: &str| {
                    let fields = value.split(',').filter_map(|field| field.split_once('='));
                    fields.filter(|(name, _)| *name == wanted).find_map(|(_, value)| value.parse::<u64>().ok())
                };
                behind = Some(behind.unwrap_or(u64::MAX).min(field("offset").unwrap_or(0)));
                let silent = field("lag").map(Duration::from_secs);
                reading.replication_lag = reading.replication_lag.max(silent);
            }
        }
    }
    // The server also subtracts this before it compares its memory use with the limit.
    reading.used_memory = reading.used_memory.map(|used| used.saturating_sub(not_counted));
    reading.replication_lag_bytes = behind.map(|behind| offset.saturating_sub(behind));
    reading
}

/// How many bytes are left below the critical bound; `None` if that is unknown.
pub(super) fn room(reading: &PressureReading) -> Option<u64> {
    let (used, limit) = (reading.used_memory?, reading.max_memory.filter(|limit| *limit > 0)?);
    Some((limit / 100).saturating_mul(CRITICAL.into()).saturating_sub(used))
}

/// The memory of the fullest server, and the worst value of every other field.
pub(super) fn worst(readings: &[PressureReading]) -> PressureReading {
    let fullest = readings.iter().max_by_key(|reading| reading.used_percent());
    let mut worst = fullest.cloned().unwrap_or_default();
    for other in readings {
        worst.fragmentation_percent = worst.fragmentation_percent.max(other.fragmentation_percent);
        worst.evicted_keys = worst.evicted_keys.max(other.evicted_keys);
        worst.replicas = worst.replicas.min(other.replicas);
        worst.replication_lag_bytes = worst.replication_lag_bytes.max(other.replication_lag_bytes);
        worst.replication_lag = worst.replication_lag.max(other.replication_lag);
    }
    worst
}

/// The level, and how fast the memory fills.
#[derive(Debug, Default)]
pub(super) struct Trend {
    level: Pressure,
    /// The last share, from 0 to 1, and when it was measured.
    last: Option<(f64, Instant)>,
    /// The growth of the share per second.
    growth: f64,
}

impl Trend {
    /// The level after another reading.
    pub(super) fn next(&mut self, reading: &PressureReading, now: Instant) -> Pressure {
        let (Some(used), Some(limit)) = (reading.used_memory, reading.max_memory.filter(|limit| *limit > 0)) else {
            *self = Self::default();
            return self.level;
        };
        let share = used as f64 / limit as f64;
        self.growth = match self.last {
            Some((before, at)) if now > at => (share - before) / (now - at).as_secs_f64(),
            _ => 0.0,
        };
        self.last = Some((share, now));
        let is = |level: Pressure, bound: u32| {
            let bound = if self.level >= level { bound - HYSTERESIS } else { bound };
            share * 100.0 >= f64::from(bound)
        };
        self.level = if is(Pressure::Critical, CRITICAL) {
            Pressure::Critical
        } else if is(Pressure::Warning, WARNING) {
            Pressure::Warning
        } else {
            Pressure::Normal
        };
        self.level
    }

    /// The pause before the next sample: half the time in which the memory reaches the critical level at this rate.
    pub(super) fn pause(&self, every: Duration) -> Duration {
        let longest = match self.level {
            Pressure::Warning | Pressure::Critical => every.min(PAUSE_UNDER_PRESSURE),
            _ => every,
        };
        let Some((share, _)) = self.last.filter(|_| self.growth > 0.0 && self.level != Pressure::Critical) else {
            return longest;
        };
        let until_full = (f64::from(CRITICAL) / 100.0 - share).max(0.0) / self.growth;
        seconds(until_full / 2.0).clamp(SHORTEST_PAUSE.min(longest), longest)
    }

    /// The time to wait that refused calls return: the time until the level ends if memory use falls as fast as now.
    pub(super) fn until_released(&self) -> Duration {
        match self.last {
            Some((share, _)) if self.growth < 0.0 => {
                let above = share - f64::from(CRITICAL - HYSTERESIS) / 100.0;
                seconds(above.max(0.0) / -self.growth).clamp(SHORTEST_WAIT, LONGEST_WAIT)
            }
            _ => USUAL_WAIT,
        }
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(percent: u64) -> PressureReading {
        let mut reading = PressureReading::default();
        (reading.used_memory, reading.max_memory) = (Some(percent * 1000), Some(100_000));
        reading
    }

    #[test]
    fn an_answer_is_read_as_the_server_compares_it_with_its_limit() {
        let text = "# Memory\r\nused_memory:1000\r\nused_memory_human:1K\r\nmaxmemory:2000\r\nmem_fragmentation_ratio:1.27\r\n\
                    mem_not_counted_for_evict:100\r\n# Stats\r\nevicted_keys:3\r\n# Replication\r\nrole:master\r\n\
                    connected_slaves:2\r\nslave0:ip=10.0.0.1,port=1,state=online,offset=480,lag=0\r\n\
                    slave1:ip=10.0.0.2,port=1,state=online,offset=400,lag=4\r\nslave_x:1\r\nmaster_repl_offset:500\r\n";
        let reading = parse(text);
        assert_eq!(
            (reading.used_memory, reading.max_memory, reading.used_percent()),
            (Some(900), Some(2000), Some(45))
        );
        assert_eq!(
            (reading.fragmentation_percent, reading.evicted_keys, reading.replicas),
            (Some(127), Some(3), Some(2))
        );
        assert_eq!((reading.replication_lag_bytes, reading.replication_lag), (Some(100), Some(Duration::from_secs(4))));
        let alone =
            parse("connected_slaves:0\r\nmaster_repl_offset:500\r\nmem_fragmentation_ratio:nan\r\nmaxmemory:junk\r\n");
        assert_eq!((alone.replication_lag_bytes, alone.replication_lag, alone.replicas), (None, None, Some(0)));
        assert_eq!((alone.used_memory, alone.max_memory, alone.fragmentation_percent), (None, None, None));
    }

    #[test]
    fn the_room_ends_at_the_critical_bound() {
        assert_eq!([10, 84, 85, 99].map(|percent| room(&reading(percent))), [75_000, 1000, 0, 0].map(Some));
        assert_eq!(room(&PressureReading::default()), None);
    }

    #[test]
    fn the_fullest_server_counts_and_the_worst_of_the_rest() {
        let (mut full, mut late) = (reading(86), reading(10));
        (full.evicted_keys, full.replicas, full.replication_lag_bytes) = (Some(0), Some(2), Some(7));
        (late.evicted_keys, late.replicas, late.replication_lag_bytes) = (Some(5), Some(1), Some(900));
        let worst = worst(&[late, full]);
        assert_eq!(worst.used_percent(), Some(86));
        assert_eq!((worst.evicted_keys, worst.replicas, worst.replication_lag_bytes), (Some(5), Some(1), Some(900)));
    }

    #[test]
    fn a_level_begins_at_its_bound_and_ends_three_points_below() {
        use Pressure::{Critical, Normal, Unknown, Warning};
        let (mut trend, now) = (Trend::default(), Instant::now());
        let shares = [
            (79, Normal),
            (80, Warning),
            (78, Warning),
            (77, Warning),
            (76, Normal),
            (79, Normal),
            (84, Warning),
            (85, Critical),
            (82, Critical),
            (84, Critical),
            (81, Warning),
            (84, Warning),
            (90, Critical),
            (120, Critical),
            (50, Normal),
        ];
        for (percent, level) in shares {
            assert_eq!(trend.next(&reading(percent), now), level, "{percent} %");
        }
        assert_eq!(trend.next(&reading(95), now), Critical);
        assert_eq!(trend.next(&PressureReading::default(), now), Unknown);
        let mut unlimited = reading(95);
        unlimited.max_memory = Some(0);
        assert_eq!(trend.next(&unlimited, now), Unknown);
        assert_eq!(trend.next(&reading(84), now), Warning, "nothing remains of the level before");
    }

    #[test]
    fn the_pause_shrinks_as_the_memory_fills_faster() {
        let (mut trend, now, every) = (Trend::default(), Instant::now(), Duration::from_secs(5));
        assert_eq!(trend.pause(every), every);
        trend.next(&reading(10), now);
        trend.next(&reading(15), now + Duration::from_secs(5));
        assert_eq!(trend.pause(every), every, "35 s are left");
        trend.next(&reading(45), now + Duration::from_secs(10));
        let pause = trend.pause(every);
        assert!(pause > Duration::from_secs(3) && pause < Duration::from_millis(3400), "6.7 s are left: {pause:?}");
        trend.next(&reading(75), now + Duration::from_secs(11));
        assert_eq!(trend.pause(every), SHORTEST_PAUSE);
        trend.next(&reading(95), now + Duration::from_secs(12));
        assert_eq!(trend.pause(every), PAUSE_UNDER_PRESSURE);
        assert_eq!(trend.pause(Duration::from_millis(50)), Duration::from_millis(50));
    }

    #[test]
    fn refused_calls_wait_as_long_as_the_use_needs_to_fall() {
        let (mut trend, now) = (Trend::default(), Instant::now());
        trend.next(&reading(98), now);
        assert_eq!(trend.until_released(), USUAL_WAIT);
        trend.next(&reading(96), now + Duration::from_secs(1));
        let wait = trend.until_released();
        assert!(
            wait > Duration::from_millis(6900) && wait < Duration::from_millis(7100),
            "14 points at 2 a second: {wait:?}"
        );
        trend.next(&reading(83), now + Duration::from_secs(2));
        assert_eq!(trend.until_released(), SHORTEST_WAIT);
        trend.next(&reading(82), now + Duration::from_secs(1000));
        assert_eq!(trend.until_released(), SHORTEST_WAIT);
        trend.next(&reading(82), now + Duration::from_secs(1001));
        assert_eq!(trend.until_released(), USUAL_WAIT);
    }
}
