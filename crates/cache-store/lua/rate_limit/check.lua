-- rate_limit/check: checks several limits, and charges all of them if each allows its charge.
-- Serves several callers in one call.
-- KEYS     for each limit, by its kind: string, the theoretical arrival time in µs (GCRA); string,
--          the start of the window in µs, a blank, the units used (fixed window)
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  how much later than its end a limit may be collected, ms; at least 1
-- ARGV     from 3 on, for each caller: how many limits, then of each: charge, allowance, window.
--          GCRA: µs, µs, 0; fixed window: units, units, µs
-- Returns  'each', then for each caller: 'allowed' | 'refused', then for each limit: what was in
--          use before (µs or units), µs to the window's end or 0; or 'failed', error
-- Retry    never: it would charge twice
-- Cost     O(limits)
-- needs: call, micros
local pcall, margin = redis.pcall, ARGV[2]
local foreign = 'TWCORRUPT the entry is none of a rate limit'

-- The used part of a limit and the µs to its window's end; or nil and the error.
local function look(key, window)
  local stored = pcall('GET', key)
  if type(stored) == 'table' then return nil, stored.err end
  if window == '0' then
    local arrival = tonumber(stored or 0)
    if not (arrival and arrival < 2^53) then return nil, foreign end
    return math.max(arrival - micros, 0), 0
  end
  local left = window - micros % window
  if not stored then return 0, left end
  local start, units = string.match(stored, '^(%d+) (%d+)$')
  if not start then return nil, foreign end
  return tonumber(start) == micros + left - window and tonumber(units) or 0, left
end

local reply, first, at = {'each'}, 1, 3
while first <= #KEYS do
  local last, answer = first + ARGV[at] - 1, {'allowed'}
  for index = first, last do
    local limit = at + 3 * (index - first)
    local used, left = look(KEYS[index], ARGV[limit + 3])
    if not used then
      answer = {'failed', left}
      break
    end
    if used + ARGV[limit + 1] > tonumber(ARGV[limit + 2]) then answer[1] = 'refused' end
    answer[#answer + 1], answer[#answer + 2] = used, left
  end
  if answer[1] == 'allowed' then
    for index = first, last do
      local limit, place = at + 3 * (index - first), 2 * (index - first) + 2
      local charge, used, left = ARGV[limit + 1], answer[place], answer[place + 1]
      if charge ~= '0' then
        local value, lasting = micros + used + charge, used + charge
        if left > 0 then
          value = string.format('%.0f %.0f', micros + left - ARGV[limit + 3], used + charge)
          lasting = left
        end
        call('SET', KEYS[index], value, 'PX', (lasting - lasting % 1000) / 1000 + margin)
      end
    end
  end
  reply[#reply + 1] = answer
  first, at = last + 1, at + 3 * (last - first) + 4
end
return reply
