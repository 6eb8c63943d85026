-- handoff/take: takes the values that were put under some keys, each for one claim.
-- KEYS     strings, the items: see put.lua
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- ARGV     from 3 on, for each item: claim, 16 bytes
-- Returns  'each', then for each item: 'taken', value | 'none' | 'failed', error
-- Retry    recognised by its claim, until the item's end
-- Cost     O(items), and their bytes
-- needs: call, now, unreadable
local sub, byte, pcall, reply = string.sub, string.byte, redis.pcall, {'each'}
for index, key in ipairs(KEYS) do
  local claim, item, answer = ARGV[index + 2], pcall('GET', key), 'none'
  if type(item) == 'table' then
    answer = {'failed', item.err}
  elseif item then
    local till = tonumber(sub(item, 35, 49))
    local failure = unreadable(item) or not till and 'TWCORRUPT the item is none of a hand-off'
    if failure then
      answer = {'failed', failure}
    elseif till > now then
      if byte(item, 2) == 119 then
        call('SETRANGE', key, '1', 't' .. sub(item, 3, 18) .. claim)
        answer = {'taken', sub(item, 50)}
      elseif sub(item, 19, 34) == claim then
        answer = {'taken', sub(item, 50)}
      end
    end
  end
  reply[index + 1] = answer
end
return reply
