-- link/claim_number: makes a service the owner of a database number, or renews its claim, unless
-- another service has it.
-- KEYS[1]  twinstore:owner or twinstore:owner:<server>:<number>: string: when the owner was last
--          seen in ms, a blank, its name
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  service
-- ARGV[3]  silence in ms after which an owner has lost the number
-- ARGV[4]  TTL in ms, 0 for none
-- Returns  {'claimed'} if it had no owner, or the owner was silent for that long; {'renewed'};
--          {'taken', name, how long it has been silent in ms}
-- Retry    a second run returns 'renewed'
-- Cost     O(1)
-- needs: call, now, decimal
local found = call('GET', KEYS[1])
local word = 'claimed'
if found then
  local seen, name = string.match(found, '^(%d+) (.+)$')
  if not seen then
    return redis.error_reply('TWCORRUPT the key of the owner holds something else')
  end
  local silent = math.max(now - seen, 0)
  if name == ARGV[2] then
    word = 'renewed'
  elseif silent < tonumber(ARGV[3]) then
    return {'taken', name, silent}
  end
end
local text = decimal(now) .. ' ' .. ARGV[2]
if ARGV[4] == '0' then
  call('SET', KEYS[1], text)
else
  call('SET', KEYS[1], text, 'PX', ARGV[4])
end
return {word}
