-- Checks some limits and charges all of them, if each allows its charge.
-- KEYS     for each limit, by its kind: string, the theoretical arrival time in µs (GCRA); string, the start of the window
--          in µs, a blank, the units used (fixed window)
-- ARGV[1]  now in ms; empty: the server's clock
-- ARGV[2]  how much later than its end a limit may be collected, ms; at least 1
-- ARGV     from 3 on, for each limit: charge, allowance, window. GCRA: µs, µs, 0; fixed window: units, units, µs
-- Returns  'allowed' | 'refused', then for each limit: what was in use before (µs or units), µs to the window's end or 0
-- Retry    never: it would charge twice
-- Cost     O(limits)
local call, micros = redis.call, ARGV[1]
if micros == '' then
  local time = call('TIME')
  micros = time[1] * 1000000 + time[2]
else
  micros = micros * 1000
end
local word, reply = 'allowed', {'', 0, 0}
for index = 1, #KEYS do
  local stored, used, left, window = call('GET', KEYS[index]), 0, 0, ARGV[3 * index + 2]
  if window == '0' then
    if stored and stored - micros > 0 then used = stored - micros end
  else
    left = window - micros % window
    if stored then
      local start, units = string.match(stored, '^(%d+) (%d+)$')
      if tonumber(start) == micros + left - window then used = tonumber(units) end
    end
  end
  if used + ARGV[3 * index] > tonumber(ARGV[3 * index + 1]) then word = 'refused' end
  reply[2 * index], reply[2 * index + 1] = used, left
end
reply[1] = word
if word == 'refused' then return reply end
for index = 1, #KEYS do
  local charge, used, left = ARGV[3 * index], reply[2 * index], reply[2 * index + 1]
  if charge ~= '0' then
    local value, lasting = micros + used + charge, used + charge
    if left > 0 then
      value = string.format('%.0f %.0f', micros + left - ARGV[3 * index + 2], used + charge)
      lasting = left
    end
    call('SET', KEYS[index], value, 'PX', (lasting - lasting % 1000) / 1000 + ARGV[2])
  end
end
return reply
