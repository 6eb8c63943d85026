-- Adds to a counter. One that is absent starts at 0, and lives for the TTL from then on.
-- KEYS[1]  string, decimal number of 64 bits
-- ARGV[1]  how much, decimal
-- ARGV[2]  TTL, ms
-- Returns  'counted', the sum (decimal string)
-- Retry    never: it would count twice
-- Cost     O(1)
local sum = redis.pcall('INCRBY', KEYS[1], ARGV[1])
if type(sum) == 'table' then
  if string.find(sum.err, 'overflow', 1, true) then
    return redis.error_reply('TWREJECT the sum leaves the range of 64 bits')
  end
  return redis.error_reply('TWCORRUPT the counter holds something else')
end
-- A new counter's sum is what was added; one that has a TTL keeps it.
if sum == tonumber(ARGV[1]) then redis.call('PEXPIRE', KEYS[1], ARGV[2], 'NX') end
-- Lua's numbers are exact up to 53 bits only.
if sum > 9007199254740991 or sum < -9007199254740991 then return {'counted', redis.call('GET', KEYS[1])} end
return {'counted', sum}
