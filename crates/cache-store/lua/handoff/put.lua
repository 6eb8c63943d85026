-- handoff/put: puts values for other services, unless a value that nobody has taken is already
-- there.
-- KEYS     strings, the items: layout, `w` waits or `t` taken, put (16 bytes), claim (16 bytes),
--          end (ms, 15 digits), value
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- ARGV     from 3 on, for each item: put (16 bytes), how long it waits (ms), after which time it
--          may be collected (ms: longer than that), value
-- Returns  'each', then for each item: 'stored' | 'occupied' | 'failed', error
-- Retry    recognised by its put
-- Cost     O(items), and their bytes
-- needs: call, now, now_up, layout, unreadable
local format, sub, byte = string.format, string.sub, string.byte
local pcall, reply = redis.pcall, {'each'}
local unclaimed = string.rep('\0', 16)
for index, key in ipairs(KEYS) do
  local at, head, answer = 4 * index - 1, pcall('GETRANGE', key, '0', '48'), nil
  if type(head) == 'table' then
    answer = {'failed', head.err}
  elseif head ~= '' then
    local till = tonumber(sub(head, 35, 49))
    local failure = unreadable(head) or not till and 'TWCORRUPT the item is none of a hand-off'
    if failure then
      answer = {'failed', failure}
    elseif till > now then
      if sub(head, 3, 18) == ARGV[at] then
        answer = 'stored'
      elseif byte(head, 2) == 119 then
        answer = 'occupied'
      end
    end
  end
  if not answer then
    head = layout .. 'w' .. ARGV[at] .. unclaimed .. format('%015d', now_up + ARGV[at + 1])
    call('SET', key, head .. ARGV[at + 3], 'PX', ARGV[at + 2])
    answer = 'stored'
  end
  reply[index + 1] = answer
end
return reply
