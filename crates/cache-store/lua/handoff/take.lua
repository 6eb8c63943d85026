-- handoff/take: takes the values that were put under some keys, each for one claim.
-- KEYS     strings, the items: see put.lua
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV     from 2 on, for each item: claim, 16 bytes
-- Returns  'each', then for each item: 'taken', value | 'none' | 'failed', error
-- Retry    recognised by its claim, until the item's end
-- Cost     O(items), and their bytes
-- needs: call, now
local sub, byte, pcall, reply = string.sub, string.byte, redis.pcall, {'each'}
for index, key in ipairs(KEYS) do
  local claim, item, answer = ARGV[index + 1], pcall('GET', key), 'none'
  if type(item) == 'table' then
    answer = {'failed', item.err}
  elseif item then
    local till = tonumber(sub(item, 34, 48))
    if not till then
      answer = {'failed', 'TWCORRUPT the item is none of a hand-off'}
    elseif till > now then
      if byte(item) == 119 then
        call('SETRANGE', key, '0', 't' .. sub(item, 2, 17) .. claim)
        answer = {'taken', sub(item, 49)}
      elseif sub(item, 18, 33) == claim then
        answer = {'taken', sub(item, 49)}
      end
    end
  end
  reply[index + 1] = answer
end
return reply
