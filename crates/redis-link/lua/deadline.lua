-- Begins every script that writes. ARGV[1]: the deadline of this copy of the request, in µs by this server's clock; if
-- a test has set the time, a blank and that time in ms follow. A copy that arrives after its deadline changes nothing
-- and returns 'late' and the server's time in µs. Defines `micros`, the time in µs, `now` and `now_up`, the same in
-- whole ms, rounded down and up, and `decimal`, which formats a whole number with all its digits (`..` and tostring
-- keep 14). Compare with `now`; start durations at `now_up`.
local call = redis.call
local micros
do
  local time = call('TIME')
  micros = time[1] * 1000000 + time[2]
  local deadline, set_ms = tonumber(ARGV[1]), nil
  if not deadline then deadline, set_ms = string.match(ARGV[1], '^(%d+) (%d+)$') end
  if micros > tonumber(deadline) then return {'late', micros} end
  if set_ms then micros = set_ms * 1000 end
end
local now = (micros - micros % 1000) / 1000
local now_up = now * 1000 < micros and now + 1 or now
local function decimal(number) return string.format('%.0f', number) end
