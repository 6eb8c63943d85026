-- Prelude of every script that writes. ARGV[1]: the deadline of this copy of the request, in µs by
-- this server's clock; if a test has set the time, a blank and that time in ms follow; if an
-- earlier copy may have been executed, a blank and `r` follow. A copy that arrives after its
-- deadline changes nothing and returns 'late' and the server's time in µs. Defines `micros`, the
-- time in µs, `now` and `now_up`, the same in whole ms, rounded down and up, `is_repeat`, whether
-- an earlier copy may have been executed, and `decimal`, which formats a whole number with all its
-- digits (`..` and tostring keep 14). Compare with `now`; start durations at `now_up`.
local call = redis.call
local micros, is_repeat
do
  local time = call('TIME')
  micros = time[1] * 1000000 + time[2]
  local deadline, set_ms, mark = tonumber(ARGV[1]), '', ''
  if not deadline then deadline, set_ms, mark = string.match(ARGV[1], '^(%d+) ?(%d*) ?(r?)$') end
  if micros > tonumber(deadline) then return {'late', micros} end
  if set_ms ~= '' then micros = set_ms * 1000 end
  is_repeat = mark == 'r'
end
local now = (micros - micros % 1000) / 1000
local now_up = now * 1000 < micros and now + 1 or now
local function decimal(number) return string.format('%d', number) end
