-- handoff/take: takes the values that were put under some keys, each for one claim.
-- KEYS     strings, the items: see put.lua
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- ARGV     from 3 on, for each item: claim, 16 bytes
-- Returns  'each', then for each item: 'taken', value | 'none' | 'failed', error
-- Retry    recognised by its claim, until the item's end; if it was replaced, see put.lua
-- Cost     O(items), and their bytes; one command more while something is kept of earlier items
-- needs: call, now, sub, byte, pcall, times_of, past_item
local reply = {'each'}
for index, key in ipairs(KEYS) do
  local claim, item, answer = ARGV[index + 2], pcall('GET', key), 'none'
  if type(item) == 'table' then
    answer = {'failed', item.err}
  elseif item then
    local till, kept = times_of(item)
    local is_live, is_waiting = till and till > now, byte(item, 2) == 119
    local value, failure = nil, not till and kept or nil
    if is_live and not is_waiting and sub(item, 19, 34) == claim then
      value = sub(item, 65)
    elseif till and kept > now then
      value, failure = past_item(key, 't', claim)
    end
    if failure then
      answer = {'failed', failure}
    elseif value then
      answer = {'taken', value}
    elseif is_live and is_waiting then
      call('SETRANGE', key, '1', 't' .. sub(item, 3, 18) .. claim)
      answer = {'taken', sub(item, 65)}
    end
  end
  reply[index + 1] = answer
end
return reply
