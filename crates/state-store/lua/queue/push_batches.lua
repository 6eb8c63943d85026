-- Fast path of a script that pushes: adds jobs with assigned ids, without a unique key.
-- needs: beside, call, decimal, interrupted, is_repeat, now_up, paused
local push_time = struct.pack('>I6', now_up)
local reply, behind = { 'pushed' }, 5 + 3 * ARGV[4]

-- Stores the jobs. Returns whether one is due before all others.
local function add_batches()
  local added, added_later, first_due_before, has_news = 0, 0, math.huge, false
  local later, stored, new, lists = {}, beside, {}, { [0] = {}, {}, {}, {} }
  for at = 5, behind - 1, 3 do
    local id, kind, n, delay = ARGV[at + 1], struct.unpack('>BBI6', ARGV[at])
    if not is_repeat or call('HEXISTS', KEYS[1], id) == 0 then
      if delay > 0 then
        later[#later + 1], later[#later + 2] = decimal(now_up + delay), kind % 4 .. id
        added_later = added_later + n
      else
        table.insert(lists[kind % 4], id)
      end
      added = added + n
      new[#new + 1] = at
    end
  end
  -- Index entry, state, record: a claim removes what an interrupted script leaves.
  if later[1] then
    first_due_before = tonumber(call('ZRANGE', KEYS[7], 0, 0, 'WITHSCORES')[2]) or first_due_before
    call('ZADD', KEYS[7], 'NX', unpack(later))
  end
  for priority = 0, 3 do
    if lists[priority][1] then
      call('RPUSH', KEYS[3 + priority], unpack(lists[priority]))
      has_news = true
    end
  end
  for _, at in ipairs(new) do
    local id, kind, n = ARGV[at + 1], string.byte(ARGV[at], 1, 2)
    if n > 1 and call('HSETNX', KEYS[2], id, push_time .. string.sub(ARGV[at], 9)
      .. string.char(kind)) == 0 and not is_repeat then
      -- An existing batch is never written over.
      reply[1] = 'taken'
    else
      stored[#stored + 1] = id
      stored[#stored + 1] = n > 1 and ARGV[at + 2] or ARGV[at + 2] .. push_time
    end
  end
  if stored[1] then call('HSET', KEYS[1], unpack(stored)) end
  if new[1] and stored[1] then
    call('HINCRBY', KEYS[13], 'alive', added)
    if added_later > 0 then call('HINCRBY', KEYS[13], 'scheduled', added_later) end
  end
  for i = 1, #later, 2 do has_news = has_news or tonumber(later[i]) < first_due_before end
  return has_news
end

local one_token, one_text = unpack(call('HRANDFIELD', KEYS[14], 1, 'WITHVALUES'))
local is_awaited = one_token ~= nil
local is_one = is_awaited and ARGV[4] == '1' and not ARGV[8]
  and not (is_repeat or interrupted or paused)
local has_news = not is_one and add_batches()
