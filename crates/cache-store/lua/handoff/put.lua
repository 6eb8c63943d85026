-- handoff/put: puts values for other services, unless a value that nobody has taken is already
-- there.
-- KEYS     strings, the items: `w` waits or `t` taken, put (16 bytes), claim (16 bytes), end (ms,
--          15 digits), value
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV     from 2 on, for each item: put (16 bytes), how long it waits (ms), after which time it
--          may be collected (ms: longer than that), value
-- Returns  'each', then for each item: 'stored' | 'occupied' | 'failed', error
-- Retry    recognised by its put
-- Cost     O(items), and their bytes
-- needs: call, now, now_up
local format, sub, byte = string.format, string.sub, string.byte
local pcall, reply = redis.pcall, {'each'}
local unclaimed = string.rep('\0', 16)
for index, key in ipairs(KEYS) do
  local at, head, answer = 4 * index - 2, pcall('GETRANGE', key, '0', '47'), nil
  if type(head) == 'table' then
    answer = {'failed', head.err}
  elseif head ~= '' then
    local till = tonumber(sub(head, 34, 48))
    if not till then
      answer = {'failed', 'TWCORRUPT the item is none of a hand-off'}
    elseif till > now then
      if sub(head, 2, 17) == ARGV[at] then
        answer = 'stored'
      elseif byte(head) == 119 then
        answer = 'occupied'
      end
    end
  end
  if not answer then
    head = 'w' .. ARGV[at] .. unclaimed .. format('%015d', now_up + ARGV[at + 1])
    call('SET', key, head .. ARGV[at + 3], 'PX', ARGV[at + 2])
    answer = 'stored'
  end
  reply[index + 1] = answer
end
return reply
