//! The smallest scripts that do the same: each write compares the fence, the version or the state that the write of this library
//! compares, by the server's clock, recognises its repetition, prolongs the TTL, and notifies watchers if the library does. They check
//! neither stored data nor layouts nor deadlines.

use super::{FEW, Kind, SCHEDULES};
use crate::Result;
use crate::case::Side;
use crate::environment::Environment;
use crate::floor::{Pipelined, Script};

/// Its name as a side.
pub(super) const NAME: &str = "smallest scripts";

/// Fence, version, request, time, token.
const TOKEN: &str = "local time = redis.call('TIME')
local now = string.format('%015d', time[1] * 1000 + math.floor(time[2] / 1000))
local head = redis.call('GETRANGE', KEYS[1], 0, 47)
if head ~= '' then
  if string.sub(head, 33) == ARGV[5] then return 1 end
  if string.sub(head, 1, 16) > ARGV[1] or string.sub(head, 17, 32) ~= ARGV[2] then return 0 end
end
redis.call('SET', KEYS[1], ARGV[1] .. ARGV[3] .. ARGV[5] .. now .. ARGV[4], 'PX', 604800000)
return 1";
/// Latest attempt and end of the run; attempt, when it began, when it ended, output of each step; their order.
const BEGIN: &str = "local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local stored = redis.call('HMGET', KEYS[1], 'run', ARGV[1])
local latest, till, count = string.match(stored[1] or '0000000000000000 9999999999999 0', '(%d+) (%d+) (%d+)')
if tonumber(till) <= now or ARGV[2] < latest then return 'superseded' end
if stored[2] then return stored[2] end
local head = string.format('%s %d %d', ARGV[2], now + 604800000, count + 1)
redis.call('HSET', KEYS[1], 'run', head, ARGV[1], ARGV[2] .. string.format('%015d', now), 'n' .. count, ARGV[1])
redis.call('PEXPIRE', KEYS[1], 604800000)
return 'started'";
const FINISH: &str = "local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local stored = redis.call('HMGET', KEYS[1], 'run', ARGV[1])
local latest, till, count = string.match(stored[1] or '0000000000000000 0 0', '(%d+) (%d+) (%d+)')
if tonumber(till) <= now or ARGV[2] < latest then return 0 end
local entry = stored[2]
if not entry or string.sub(entry, 1, 16) ~= ARGV[2] then return 0 end
local head = string.format('%s %d %d', latest, now + 604800000, count)
redis.call('HSET', KEYS[1], 'run', head, ARGV[1], entry .. string.format('%015d', now) .. ARGV[3])
redis.call('PEXPIRE', KEYS[1], 604800000)
return 1";
/// State, next event, end of the run; request and data of each event, which the log keeps up to a number.
const EVENT: &str = "local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local head = redis.call('HGET', KEYS[1], 'run')
local state, first, next, till = string.match(head or 'p 0 0 9999999999999', '(%l) (%d+) (%d+) (%d+)')
if tonumber(till) <= now or state ~= 'p' then return 0 end
if next - first >= 1000 then
  redis.call('HDEL', KEYS[1], 'e' .. first)
  first = first + 1
end
local event = string.format('%015d', now) .. ARGV[2] .. ARGV[1]
redis.call('HSET', KEYS[1], 'run', string.format('p %d %d %d', first, next + 1, now + 604800000), 'e' .. next, event)
redis.call('PEXPIRE', KEYS[1], 604800000)
redis.call('PUBLISH', KEYS[1], '')
return next";
/// State, version, request, end of the run; output.
const RUN: &str = "local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local head = redis.call('HGET', KEYS[1], 'run')
if head then
  if string.sub(head, 1, 16) == ARGV[3] then return 1 end
  local state, version, till = string.match(head, '(%l) (%d+) (%d+)', 17)
  if version ~= ARGV[1] or state ~= 'p' or tonumber(till) <= now then return 0 end
end
head = ARGV[3] .. string.format('p %d %d', ARGV[1] + 1, now + 604800000)
redis.call('HSET', KEYS[1], 'run', head, 'output', ARGV[2])
redis.call('PEXPIRE', KEYS[1], 604800000)
redis.call('PUBLISH', KEYS[1], '')
return 1";
const DUE: &str = "local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if first[2] and tonumber(first[2]) > now then return {now} end
return {now, first[1], first[1] and redis.call('HGET', KEYS[2], first[1])}";
/// The schedule and the job in one hash, the job in a list, the next time in a sorted set.
const ADVANCE: &str = "local schedule = redis.call('HGET', KEYS[2], ARGV[1])
if schedule and string.sub(schedule, 1, 16) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3] .. ARGV[6], ARGV[5], ARGV[6])
redis.call('RPUSH', KEYS[3], ARGV[5])
redis.call('ZADD', KEYS[1], ARGV[4], ARGV[1])
return 1";

pub(super) async fn side(kind: Kind, environment: &Environment, window: usize, ops: usize) -> Result<Box<dyn Side>> {
    let mut wire = environment.wire().await?;
    let (texts, count): (&[&str], _) = match kind {
        Kind::Token => (&[TOKEN], FEW),
        Kind::Step => (&[BEGIN, FINISH], FEW),
        Kind::Event => (&[EVENT], FEW),
        Kind::Run => (&[RUN], FEW),
        Kind::Schedule => (&[DUE, ADVANCE], SCHEDULES),
    };
    let mut scripts = Vec::with_capacity(texts.len());
    for text in texts {
        scripts.push(Script::load(&mut wire, text).await?);
    }
    let (payload, steps) = (environment.payload(), texts.len());
    let floor = Pipelined::new(wire, NAME, window, ops, move |number, step, commands| {
        let payload = payload.as_ref();
        let (name, version) = (format!("floor:{}", number % count), number / count);
        let (expected, next) = (format!("{version:016}"), format!("{:016}", version + 1));
        let (expected, next, request) = (expected.as_bytes(), next.as_bytes(), format!("{number:016}"));
        match kind {
            Kind::Token => {
                scripts[0].call(
                    &[name.as_bytes()],
                    &[b"0000000000000001", expected, next, payload, request.as_bytes()],
                    commands,
                );
            }
            Kind::Step => {
                let field = format!("step-{number}");
                let arguments: [&[u8]; 3] = [field.as_bytes(), b"0000000000000001", payload];
                scripts[step].call(&[name.as_bytes()], &arguments[..2 + step], commands);
            }
            Kind::Event => scripts[0].call(&[name.as_bytes()], &[payload, request.as_bytes()], commands),
            Kind::Run => {
                let version = version.to_string();
                scripts[0].call(&[name.as_bytes()], &[version.as_bytes(), payload, request.as_bytes()], commands);
            }
            Kind::Schedule => {
                let keys: [&[u8]; 3] = [b"floor:due", b"floor:jobs", b"floor:ready"];
                let (score, job) = (number.to_string(), format!("{number:016}"));
                let arguments = [name.as_bytes(), expected, next, score.as_bytes(), job.as_bytes(), payload];
                if step == 0 {
                    scripts[0].call(&keys[..2], &[], commands);
                } else {
                    scripts[1].call(&keys, &arguments, commands);
                }
            }
        }
    });
    Ok(floor.with_steps(steps).with_leaves("floor:").side())
}
