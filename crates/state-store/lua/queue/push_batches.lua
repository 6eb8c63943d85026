-- Fast path of a push: jobs with assigned ids, without a deadline or a unique key. A script that
-- only adds such jobs, to a queue for which no worker waits, ends here.
-- needs: call, decimal, is_repeat, now_up
local shape, interrupted = unpack(call('HMGET', KEYS[13], 'shape', 'moving'))
if shape ~= ARGV[2] then
  if shape then return { 'shape', shape } end
  call('HSET', KEYS[13], 'shape', ARGV[2])
end
local answer = is_repeat and call('GET', KEYS[15])
if answer then
  -- Written again: a server waits for the durability of the last write of a connection.
  call('SET', KEYS[15], answer, 'PX', ARGV[3])
  return cmsgpack.unpack(answer)
end

local reply, behind, added, added_later = { 'pushed' }, 5 + 3 * ARGV[4], 0, 0
local push_time, later, stored, first_due_before = struct.pack('>I6', now_up), {}, {}, nil
local lists, batched = { [0] = {}, {}, {}, {} }, {}
for at = 5, behind - 1, 3 do
  local id, kind, n, delay = ARGV[at + 1], struct.unpack('>BBI6', ARGV[at])
  if not is_repeat or call('HEXISTS', KEYS[1], id) == 0 then
    if delay > 0 then
      later[#later + 1] = decimal(now_up + delay)
      later[#later + 1] = kind % 4 .. id
      added_later = added_later + n
    else
      table.insert(lists[kind % 4], id)
    end
    added = added + n
    if n > 1 then
      batched[#batched + 1] = #stored + 1
      batched[#batched + 1] = push_time .. string.sub(ARGV[at], 9) .. string.char(kind)
    end
    stored[#stored + 1] = id
    stored[#stored + 1] = n > 1 and ARGV[at + 2] or ARGV[at + 2] .. push_time
  end
end
-- Index entry, state, record: what an interrupted script leaves is visited and removed by a claim.
if later[1] then
  first_due_before = tonumber(call('ZRANGE', KEYS[7], 0, 0, 'WITHSCORES')[2]) or math.huge
  call('ZADD', KEYS[7], 'NX', unpack(later))
end
local has_news = false
for priority = 0, 3 do
  if lists[priority][1] then
    call('RPUSH', KEYS[3 + priority], unpack(lists[priority]))
    has_news = true
  end
end
for i = #batched - 1, 1, -2 do
  local at = batched[i]
  if call('HSETNX', KEYS[2], stored[at], batched[i + 1]) == 0 and not is_repeat then
    -- An existing batch is never written over.
    reply[1] = 'taken'
    table.remove(stored, at + 1)
    table.remove(stored, at)
  end
end
if stored[1] then
  call('HSET', KEYS[1], unpack(stored))
  call('HINCRBY', KEYS[13], 'alive', added)
  if added_later > 0 then call('HINCRBY', KEYS[13], 'scheduled', added_later) end
end
for i = 1, #later, 2 do has_news = has_news or tonumber(later[i]) < first_due_before end
if behind > #ARGV and reply[1] == 'pushed' and not (has_news and call('EXISTS', KEYS[14]) == 1) then
  call('SET', KEYS[15], '\145\166pushed', 'PX', ARGV[3])
  return reply
end
