-- Prelude of every script that only reads. ARGV[1]: empty, or the time in ms that a test has set.
-- Defines `micros`, the time in µs, `now`, the same in whole ms, and `decimal`, which formats a
-- whole number with all its digits (`..` and tostring keep 14).
local call = redis.call
local micros
if ARGV[1] == '' then
  local time = call('TIME')
  micros = time[1] * 1000000 + time[2]
else
  micros = ARGV[1] * 1000
end
local now = (micros - micros % 1000) / 1000
local function decimal(number) return string.format('%d', number) end
