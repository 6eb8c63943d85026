-- handoff/put: puts values for other services, unless a value that nobody has taken is already
-- there.
-- KEYS     strings, the items: layout, `w` waits or `t` taken, put (16 bytes), claim (16 bytes),
--          end, kept (ms, 15 digits each: see record.lua), value
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- ARGV[3]  how long the value of a replaced item is kept (ms)
-- ARGV     from 4 on, for each item: put (16 bytes), how long it waits (ms), after which time it
--          may be collected (ms: longer than that), value
-- Returns  'each', then for each item: 'stored' | 'occupied' | 'failed', error
-- Retry    recognised by its put, until the item's end
-- Cost     O(items), and their bytes; 3 commands more for an item that replaces one that was taken
--          and has not ended, one more until the ends of those
-- needs: call, now, now_up, decimal, layout, format, sub, byte, pcall, times_of, past_item
-- needs: keep_item
local reply, unclaimed = {'each'}, string.rep('\0', 16)
for index, key in ipairs(KEYS) do
  local at, head, answer, kept = 4 * index, pcall('GETRANGE', key, '0', '63'), nil, 0
  local put, lasting, collected = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local margin = collected - lasting
  if type(head) == 'table' then
    answer = {'failed', head.err}
  elseif head ~= '' then
    local till, found, failure = nil, nil, nil
    till, kept = times_of(head)
    if not till then
      failure = kept
    elseif till > now and sub(head, 3, 18) == put then
      found = ''
    elseif kept > now then
      found, failure = past_item(key, 'p', put)
    end
    if failure then
      answer = {'failed', failure}
    elseif found then
      answer = 'stored'
    elseif till > now and byte(head, 2) == 119 then
      answer = 'occupied'
    elseif till > now then
      keep_item(key, head, till, tonumber(ARGV[3]), margin)
      kept = math.max(kept, till)
    end
  end
  if not answer then
    collected = decimal(math.max(collected, kept - now_up + margin))
    head = layout .. 'w' .. put .. unclaimed .. format('%015d%015d', now_up + lasting, kept)
    call('SET', key, head .. ARGV[at + 3], 'PX', collected)
    answer = 'stored'
  end
  reply[index + 1] = answer
end
return reply
