-- key_value/add: adds to counters. A counter that is absent starts at 0 and gets the TTL.
-- KEYS     strings, decimal numbers of 64 bits
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV     from 2 on, for each counter: how much (decimal), TTL in ms
-- Returns  'each', then for each counter: 'counted', the sum (decimal) | 'failed', error
-- Retry    never: it would count twice
-- Cost     O(counters)
-- needs: call
local pcall, reply = redis.pcall, {'each'}
for index, key in ipairs(KEYS) do
  local by, answer = ARGV[2 * index], nil
  local sum = pcall('INCRBY', key, by)
  if type(sum) == 'table' then
    local is_overflow = string.find(sum.err, 'overflow', 1, true)
    local what = is_overflow and 'TWINVALID the sum leaves the range of 64 bits'
      or 'TWCORRUPT the counter holds something else'
    answer = {'failed', what}
  else
    -- The sum of a new counter equals the addend. A counter with a TTL keeps its TTL.
    if sum == tonumber(by) then call('PEXPIRE', key, ARGV[2 * index + 1], 'NX') end
    -- Lua's numbers are exact up to 53 bits only.
    if sum > 9007199254740991 or sum < -9007199254740991 then sum = call('GET', key) end
    answer = {'counted', sum}
  end
  reply[index + 1] = answer
end
return reply
